"""Public reads: markets, books, resolutions, positions, the venue's clock. No credentials, no key.

A failed read raises ReadFailed; what the venue says and we cannot believe raises a Refusal. Neither is ever an empty
answer (R3).
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType, TracebackType
from typing import Any, Self

from shared.domain.books import Book
from shared.domain.ids import ConditionId, Instrument, TokenId, WindowId
from shared.runtime.clock import Clock
from shared.venue.accounts import Activity, HeldPosition
from shared.venue.http import HttpReads, Params
from shared.venue.listings import (
    ClobMarket,
    Discovery,
    MarketListing,
    RefusedListing,
    Resolution,
    Resolutions,
    VenueTime,
)
from shared.venue.parse import json_list, parse_activity, parse_book, parse_position, read
from shared.venue.parse_markets import parse_clob_market, parse_clob_winner, parse_event, parse_resolution
from shared.venue.refusals import Malformed, ReadFailed, Refusal, VenueProblem
from shared.venue.urls import VenueUrls
from shared.venue.wire import WireDataPage, WireEventPage, WireSeries

PAGES_MAX = 50
"""A list that does not end is an error, not a list."""
_PAGE = 100
_DATA_PAGE = 1000
_SLUGS_AHEAD = 4
_KNOWN_SERIES: Mapping[tuple[str, str], str] = MappingProxyType(
    {("BTC", "15m"): "10192", ("BTC", "5m"): "10684", ("BTC", "1h"): "10114"}
)
_UNIT_S: Mapping[str, int] = MappingProxyType({"m": 60, "h": 3600})


class PublicReading:
    """Use as ``async with PublicReading(urls, clock) as reading``."""

    def __init__(self, urls: VenueUrls, clock: Clock) -> None:
        self._clock = clock
        self._gamma = HttpReads(urls.gamma, clock)
        self._clob = HttpReads(urls.clob, clock)
        self._data = HttpReads(urls.data, clock)
        self._series = dict(_KNOWN_SERIES)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reads in (self._gamma, self._clob, self._data):
            await reads.__aexit__(kind, error, trace)

    async def discover(
        self, instrument: Instrument, interval: str, now: datetime, *, ahead: timedelta | None = None
    ) -> Discovery:
        """Return the markets of one series that end after ``now``, soonest first; ``ahead`` bounds how far it looks.

        Series are found by known id, by slug, and where the venue lists neither by the slug rule. One market that is
        refused does not hide the others. Raises ReadFailed.
        """
        listings: dict[WindowId, MarketListing] = {}
        refused: dict[WindowId, RefusedListing] = {}
        async with aclosing(self._events(instrument, interval, now, ahead)) as events:
            async for event in events:
                try:
                    found = parse_event(event, self._clock.now())
                except Refusal as refusal:
                    slug = WindowId(str(event.get("slug", "?")) if isinstance(event, dict) else "?")
                    refused[slug] = RefusedListing(slug, refusal.kind, str(refusal))
                    continue
                listings |= {listing.window_id: listing for listing in found if listing.closes_at > now}
        soonest = sorted(listings.values(), key=lambda listing: (listing.opens_at, listing.window_id))
        return Discovery(tuple(soonest), tuple(refused.values()))

    async def market(self, window_id: WindowId) -> MarketListing | None:
        """Return one market by slug, closed ones too; None when Gamma has none; raises ReadFailed, Refusal."""
        event = await self._gamma.find(f"/events/slug/{window_id}")
        if event is None:
            return None
        for listing in parse_event(event, self._clock.now()):
            if listing.window_id == window_id:
                return listing
        raise Malformed(f"the event {window_id} has no market of that name")

    async def book(self, token_id: TokenId) -> Book | None:
        """Return the book; None while the CLOB does not know the token; raises ReadFailed, Refusal."""
        answer = await self._clob.find("/book", {"token_id": token_id})
        if answer is None:
            return None
        book = parse_book(answer, self._clock.now())
        if book.token_id != token_id:
            raise Malformed(f"asked for the book of {token_id}, got that of {book.token_id}")
        return book

    async def clob_market(self, condition_id: ConditionId) -> ClobMarket | None:
        """Return the matching engine's own view of a market; None while it does not know it."""
        answer = await self._clob.find(f"/clob-markets/{condition_id}")
        return None if answer is None else parse_clob_market(answer, self._clock.now())

    async def resolutions(self, window_id: WindowId, condition_id: ConditionId) -> Resolutions:
        """Return what Data API, Gamma and CLOB each say of the market's end; never raises for a source that failed."""
        found: list[Resolution] = []
        failed: list[str] = []
        for source, ask in (
            ("data", partial(self._data_resolution, condition_id)),
            ("gamma", partial(self._gamma_resolution, window_id)),
            ("clob", partial(self._clob_resolution, condition_id)),
        ):
            try:
                resolution = await ask()
            except VenueProblem as problem:
                failed.append(f"{source}: {problem}")
                continue
            if resolution is not None:
                found.append(resolution)
        return Resolutions(tuple(found), tuple(failed))

    async def positions(
        self, wallet: str, condition_id: ConditionId | None = None
    ) -> tuple[HeldPosition, ...]:
        """Return the Data API's positions of a wallet, dust included; a minute late, so it audits only (D19)."""
        params: dict[str, str | int] = {"user": wallet, "filter_type": "TOKENS", "filter_amount": 0}
        rows = await self._data_rows("/v2/positions", params)
        found = (parse_position(row) for row in rows)
        return tuple(position for position in found if condition_id in {None, position.condition_id})

    async def activity(self, wallet: str, since: datetime) -> tuple[Activity, ...]:
        """Return what moved a wallet's money since a moment, oldest first."""
        start_s = int(since.timestamp())
        rows = await self._data_rows(
            "/v2/activity", {"user": wallet, "start": start_s, "sort_direction": "ASC"}
        )
        return tuple(sorted((parse_activity(row) for row in rows), key=lambda activity: activity.at))

    async def venue_time(self) -> VenueTime:
        """Return one reading of the CLOB's clock; raises ReadFailed, Malformed."""
        asked_at = self._clock.now()
        answer = await self._clob.get("/time")
        if not isinstance(answer, int):
            raise Malformed(f"the venue's time is {answer!r}")
        return VenueTime(datetime.fromtimestamp(answer, UTC), asked_at, self._clock.now())

    async def _events(
        self, instrument: Instrument, interval: str, now: datetime, ahead: timedelta | None
    ) -> AsyncGenerator[Any]:
        series_id = await self._series_id(instrument, interval)
        if series_id is None:
            for slug in _slugs_by_rule(instrument, interval, now):
                event = await self._gamma.find(f"/events/slug/{slug}")
                if event is not None:
                    yield event
            return
        params: dict[str, str | int] = {
            "series_id": series_id,
            "closed": "false",
            "limit": _PAGE,
            "order": "endDate",
            "ascending": "true",
        }
        for _ in range(PAGES_MAX):
            page = read(WireEventPage, await self._gamma.get("/events/keyset", params))
            for event in page.events:
                yield event
            if not page.next_cursor or (ahead is not None and _begins_after(page.events, now + ahead)):
                return
            params["after_cursor"] = page.next_cursor
        raise ReadFailed("/events/keyset", f"series {series_id} has more than {PAGES_MAX} pages")

    async def _series_id(self, instrument: Instrument, interval: str) -> str | None:
        """Return the id of a series, None where the venue lists no such slug; found ones are remembered."""
        if (instrument, interval) not in self._series:
            label = "hourly" if interval == "1h" else interval
            answer = await self._gamma.get("/series", {"slug": f"{instrument.lower()}-up-or-down-{label}"})
            if not isinstance(answer, list):
                raise Malformed("the list of series is no list")
            if not answer:
                return None
            self._series[instrument, interval] = read(WireSeries, answer[0]).id
        return self._series[instrument, interval]

    async def _data_resolution(self, condition_id: ConditionId) -> Resolution | None:
        rows = json_list(await self._data.get("/v2/resolutions", {"condition_id": condition_id}), "data")
        return parse_resolution(rows[0]) if rows else None

    async def _gamma_resolution(self, window_id: WindowId) -> Resolution | None:
        listing = await self.market(window_id)
        return listing.resolution if listing else None

    async def _clob_resolution(self, condition_id: ConditionId) -> Resolution | None:
        answer = await self._clob.find(f"/markets/{condition_id}")
        return None if answer is None else parse_clob_winner(answer)

    async def _data_rows(self, path: str, params: Params) -> Sequence[Any]:
        rows: list[Any] = []
        asked = {**params, "limit": _DATA_PAGE}
        for _ in range(PAGES_MAX):
            page = read(WireDataPage, await self._data.get(path, asked))
            rows.extend(page.data)
            if not page.pagination.has_more or not page.pagination.next_cursor:
                return rows
            asked["cursor"] = page.pagination.next_cursor
        raise ReadFailed(path, f"more than {PAGES_MAX} pages")


def _slugs_by_rule(instrument: Instrument, interval: str, now: datetime) -> list[WindowId]:
    """Return the slugs of the running window and the next ones by the venue's naming: the epoch of the start.

    Only the names come from the label's length; the times of a window are always its own.
    """
    if interval[-1:] not in _UNIT_S or not interval[:-1].isdigit():
        return []
    length_s = int(interval[:-1]) * _UNIT_S[interval[-1]]
    first_s = int(now.timestamp()) // length_s * length_s
    return [
        WindowId(f"{instrument.lower()}-updown-{interval}-{first_s + ahead * length_s}")
        for ahead in range(_SLUGS_AHEAD)
    ]


def _begins_after(events: Sequence[Any], limit: datetime) -> bool:
    """Return whether the last event of a page ends after ``limit``; one without a readable end decides nothing."""
    last = events[-1] if events else None
    try:
        return datetime.fromisoformat(str(last["endDate"])) > limit if isinstance(last, dict) else False
    except (KeyError, ValueError, TypeError):
        return False
