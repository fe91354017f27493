"""Every world must agree with itself: windows, ladders and feeds tell one story, and a seed tells it again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice, pairwise, takewhile
from pathlib import Path
from statistics import median, stdev

import pytest

from services.simulator.prices import average
from services.simulator.recordings import READERS, RecordingMissing
from services.simulator.sources import WorldImpossible, world_from
from services.simulator.world import FeedTick, Ladder, SimWindow, World
from tests.recordings import recorded_sets

START_MS = 1_800_000_000_123
WINDOWS = 4
SOURCES = ["sample", "generator", *(f"recordings:{name}" for name in sorted(READERS))]


@dataclass(frozen=True)
class Settings:
    seed: int = 1
    source: str = "sample"
    recordings: Path | None = None
    assets: Sequence[str] = ("btc",)
    window_s: int = 60
    lookback_s: int | None = None
    resolution_delay_s: float | None = None
    windows_ahead: int = 2
    first_open_in_s: int = 10


@dataclass(frozen=True)
class Told:
    """What a world tells up to the close of its fourth window."""

    settings: Settings
    world: World
    windows: Sequence[SimWindow]
    ladders: Sequence[Sequence[Ladder]]
    ticks: Sequence[FeedTick]

    def feed(self, name: str) -> Sequence[FeedTick]:
        return [tick for tick in self.ticks if tick.feed == name]


def told(settings: Settings, asset: str = "btc") -> Told:
    world = world_from(settings, START_MS)
    windows = world.windows_until(START_MS + 10_000 + (WINDOWS - 1) * settings.window_s * 1000)
    windows = [window for window in windows if window.asset == asset][:WINDOWS]
    ladders = [list(world.ladders(window)) for window in windows]
    end_ms = windows[-1].closes_at_ms + 5_000
    ticks = list(takewhile(lambda tick: tick.at_ms < end_ms, world.feed(asset, START_MS - 120_000)))
    return Told(settings, world, windows, ladders, ticks)


REPLAY = (
    "that a recorded set is replayed as it was, so a demo of one could settle another way than its market did"
)


@pytest.fixture(scope="module", params=SOURCES)
def story(request: pytest.FixtureRequest) -> Told:
    source: str = request.param
    return told(
        Settings(
            source=source, recordings=recorded_sets(REPLAY) if source.startswith("recordings:") else None
        )
    )


def test_windows_follow_each_other_and_are_listed_ahead(story: Told) -> None:
    for window in story.windows:
        assert window.opens_at_ms % 1000 == 0
        assert window.slug == f"btc-updown-{window.duration}-{window.opens_at_ms // 1000}"
        assert window.closes_at_ms - window.opens_at_ms == 60_000
        assert window.listed_at_ms == max(START_MS, window.opens_at_ms - 120_000)
        assert window.resolves_at_ms - window.closes_at_ms == 3_667
        assert window.lookback_s == 4
    assert all(later.opens_at_ms == window.closes_at_ms for window, later in pairwise(story.windows))
    assert len(story.world.windows_until(START_MS)) == 2


def test_ids_are_the_venues_kind_and_never_repeat(story: Told) -> None:
    ids = [
        value
        for window in story.windows
        for value in (window.up_token, window.down_token, window.condition_id)
    ]
    assert len(set(ids)) == len(ids)
    for window in story.windows:
        assert len(window.condition_id) == len(window.question_id) == 66
        for token in (window.up_token, window.down_token):
            assert 0 < int(token) < 2**256
            assert (int(token) >> 40) & (2**64 - 1) != 0  # Protocol V2 ids are zero there


def test_strike_final_average_and_winner_agree_with_the_feed(story: Told) -> None:
    averages = {tick.observed_ms: tick.price for tick in story.feed("chainlink_twap")}
    prices = {tick.observed_ms: tick.price for tick in story.feed("chainlink")}
    for window in story.windows:
        for at_ms, told_price in ((window.opens_at_ms, window.strike), (window.closes_at_ms, window.final)):
            looked_at = [prices[moment] for moment in sorted(prices) if at_ms - 4_000 < moment <= at_ms]
            assert len(looked_at) == 16
            assert averages[at_ms] == told_price == average(looked_at)
        assert window.winner == ("UP" if window.final >= window.strike else "DOWN")
        assert window.final != window.strike


def test_the_average_is_the_feeds_own_at_every_moment(story: Told) -> None:
    prices = [tick.price for tick in story.feed("chainlink")]
    moments = [tick.observed_ms for tick in story.feed("chainlink")]
    averages = {tick.observed_ms: tick.price for tick in story.feed("chainlink_twap")}
    assert all(tick.extra == {"window_seconds": 4} for tick in story.feed("chainlink_twap"))
    for last in range(16, moments.index(story.windows[-1].closes_at_ms) + 1):
        assert averages[moments[last]] == average(prices[last - 15 : last + 1])


@pytest.mark.parametrize("story", [name for name in SOURCES if name != "generator"], indirect=True)
def test_a_mirror_gives_the_other_winner_and_the_other_tokens_book(story: Told) -> None:
    for first in range(0, WINDOWS, 2):
        window, mirror = story.windows[first], story.windows[first + 1]
        assert mirror.recorded == f"{window.recorded}:mirrored"
        assert {window.winner, mirror.winner} == {"UP", "DOWN"}
        shift_ms = mirror.opens_at_ms - window.opens_at_ms
        opened = [ladder for ladder in story.ladders[first] if ladder.at_ms >= window.opens_at_ms]
        mirrored = [ladder for ladder in story.ladders[first + 1] if ladder.at_ms >= mirror.opens_at_ms]
        assert [replace(ladder.mirrored(), at_ms=ladder.at_ms + shift_ms) for ladder in opened] == mirrored
        moved, back = window.final / window.strike, mirror.final / mirror.strike
        assert float(moved - 1) == pytest.approx(-float(back - 1), rel=1e-6)


def test_ladders_are_in_order_on_the_tick_and_never_crossed(story: Told) -> None:
    for window, ladders in zip(story.windows, story.ladders, strict=True):
        assert ladders[0].at_ms == window.listed_at_ms
        assert ladders[-1].at_ms < window.closes_at_ms
        assert all(ladder.at_ms < later.at_ms for ladder, later in pairwise(ladders))
        for ladder in ladders:
            bids, asks = [price for price, _ in ladder.bids], [price for price, _ in ladder.asks]
            assert bids == sorted(set(bids), reverse=True)
            assert asks == sorted(set(asks))
            assert not bids or not asks or bids[0] < asks[0]
            assert all(0 < price < 1 and price % window.tick == 0 for price in bids + asks)
            assert all(size > 0 for _, size in ladder.bids + ladder.asks)


def test_before_the_open_the_book_is_flat_and_afterwards_it_moves(story: Told) -> None:
    for window, ladders in zip(story.windows, story.ladders, strict=True):
        flat = {
            (ladder.bids[0][0], ladder.asks[0][0]) for ladder in ladders if ladder.at_ms < window.opens_at_ms
        }
        moved = {ladder.bids[:1] for ladder in ladders if ladder.at_ms >= window.opens_at_ms}
        assert flat == {(Decimal("0.49"), Decimal("0.51"))}
        assert len(moved) > 10


def test_a_book_that_is_sure_at_the_end_is_right(story: Told) -> None:
    for window, ladders in zip(story.windows, story.ladders, strict=True):
        last = ladders[-1]
        if not last.bids or last.bids[0][0] < Decimal("0.05"):
            assert window.winner == "DOWN"
        elif last.bids[0][0] > Decimal("0.95"):
            assert window.winner == "UP"


def test_no_more_than_twenty_books_a_second(story: Told) -> None:
    for ladders in story.ladders:
        times = [ladder.at_ms for ladder in ladders]
        assert all(later - at_ms >= 950 for at_ms, later in zip(times, times[20:], strict=False))


def test_ticks_come_in_order_after_they_were_observed(story: Told) -> None:
    assert all(tick.at_ms <= later.at_ms for tick, later in pairwise(story.ticks))
    assert all(tick.at_ms > tick.observed_ms for tick in story.ticks)
    for name in ("chainlink", "chainlink_twap", "binance_trade", "binance_book"):
        feed = story.feed(name)
        assert all(tick.observed_ms < later.observed_ms for tick, later in pairwise(feed))
    for name, key in (("binance_trade", "trade_id"), ("binance_book", "update_id")):
        assert all(tick.extra[key] < later.extra[key] for tick, later in pairwise(story.feed(name)))


def test_the_reference_ticks_without_a_gap_through_every_open(story: Told) -> None:
    moments = [tick.observed_ms for tick in story.feed("chainlink")]
    assert {later - moment for moment, later in pairwise(moments)} == {250}


def test_the_price_does_not_jump_where_windows_meet(story: Told) -> None:
    edges = {window.opens_at_ms for window in story.windows}
    steps = [
        (later.observed_ms - 250 in edges or later.observed_ms in edges, abs(later.price / tick.price - 1))
        for tick, later in pairwise(story.feed("chainlink"))
    ]
    assert max(step for at_edge, step in steps if at_edge) <= max(
        step for at_edge, step in steps if not at_edge
    )


def test_binance_is_near_the_reference_but_not_the_same_and_comes_sooner(story: Told) -> None:
    binance = {tick.observed_ms // 250: tick for tick in story.feed("binance_book")}
    gaps = [
        float(binance[tick.observed_ms // 250].price / tick.price - 1) * 1e4
        for tick in story.feed("chainlink")
        if tick.observed_ms // 250 in binance
    ]
    assert 0.15 < median(gaps) < 0.5  # basis points; Bitcoin's standing basis is 0.32
    assert stdev(gaps) > 0.1
    lags = {
        name: sorted(tick.at_ms - tick.observed_ms for tick in story.feed(name))
        for name in ("chainlink", "binance_trade")
    }
    assert (
        lags["binance_trade"][len(lags["binance_trade"]) // 2]
        < lags["chainlink"][len(lags["chainlink"]) // 2]
    )


def test_binances_best_prices_enclose_its_middle(story: Told) -> None:
    for tick in story.feed("binance_book"):
        assert tick.extra["bid"] < tick.price < tick.extra["ask"]
        assert min(tick.extra["bid_size"], tick.extra["ask_size"]) >= 0


def test_the_same_seed_tells_the_same_story_and_another_seed_another(story: Told) -> None:
    again = told(story.settings)
    assert again.windows == story.windows
    assert again.ladders == story.ladders
    assert again.ticks == story.ticks
    other = told(replace(story.settings, seed=2))
    assert not {window.condition_id for window in other.windows} & {
        window.condition_id for window in story.windows
    }
    assert other.ladders != story.ladders
    assert [tick.price for tick in other.ticks] != [tick.price for tick in story.ticks]


@pytest.mark.parametrize("after_open_ms", [10, 777])  # 10: ticks of the window before are still on their way
def test_a_feed_joined_later_is_the_same_feed(story: Told, after_open_ms: int) -> None:
    from_ms = story.windows[1].opens_at_ms + after_open_ms
    late = islice(story.world.feed("btc", from_ms), 500)
    assert list(late) == [tick for tick in story.ticks if tick.at_ms >= from_ms][:500]


def test_recorded_windows_go_round_for_ever() -> None:
    world = world_from(Settings(), START_MS)
    windows = world.windows_until(START_MS + 60_000 * 10)
    assert [window.recorded for window in windows[:4]] == [window.recorded for window in windows[4:8]]
    assert windows[0].strike != windows[4].strike or windows[0].final != windows[4].final


def test_a_binance_recording_keeps_its_windows_that_settled_against_binance() -> None:
    source = "recordings:bbo_binance_btc5m_20260225"
    settings = Settings(source=source, recordings=recorded_sets(REPLAY))
    world = world_from(settings, START_MS)
    windows = world.windows_until(START_MS + 60_000 * 40)
    (window,) = [window for window in windows if window.recorded.endswith(":1772029800")]
    assert window.winner == "DOWN"
    ticks = takewhile(lambda tick: tick.at_ms < window.closes_at_ms, world.feed("btc", window.opens_at_ms))
    binance = [tick.price for tick in ticks if tick.feed == "binance_trade"]
    # Up to the look-back Binance stood above its open; the settling price is held below.
    assert binance[int(len(binance) * 0.93)] > binance[0]


def test_a_generated_world_has_many_assets_that_move_apart() -> None:
    settings = Settings(source="generator", assets=("btc", "eth", "xrp"))
    world = world_from(settings, START_MS)
    windows = world.windows_until(START_MS)
    assert [window.asset for window in windows] == ["btc", "eth", "xrp"] * 2
    assert len({window.series_id for window in windows}) == 3
    assert len({(window.final / window.strike) for window in windows}) == 6


def test_both_sides_win_in_a_generated_world() -> None:
    windows = world_from(Settings(source="generator"), START_MS).windows_until(START_MS + 60_000 * 60)
    ups = sum(window.winner == "UP" for window in windows)
    assert 15 < ups < 45


def test_a_window_in_real_time_ticks_once_a_second_over_a_minute() -> None:
    world = world_from(Settings(source="generator", window_s=900, first_open_in_s=1), START_MS)
    window = world.windows_until(START_MS)[0]
    ticks = [tick for tick in islice(world.feed("btc", START_MS), 400) if tick.feed == "chainlink"]
    assert window.lookback_s == 60
    assert {later.observed_ms - tick.observed_ms for tick, later in pairwise(ticks)} == {1000}
    assert window.resolves_at_ms - window.closes_at_ms == 55_000


def test_the_banner_says_what_is_recorded_and_what_is_derived(story: Told) -> None:
    banner = "\n".join(story.world.banner())
    assert story.settings.source in banner
    assert "seed 1" in banner
    derived = "generated" if story.settings.source == "generator" else "recorded"
    assert derived in banner


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"assets": ("btc", "eth")}, "recordings hold btc only"),
        ({"assets": ("nope",)}, "unknown assets nope"),
        ({"assets": ()}, "at least one asset"),
        ({"source": "wishes"}, "unknown source"),
        ({"window_s": 3}, "at least 4 s"),
        ({"lookback_s": 31}, "look-back of 31 s"),
    ],
)
def test_settings_that_fit_nothing_say_what_to_change(change: dict[str, object], said: str) -> None:
    with pytest.raises(WorldImpossible, match=said):
        world_from(replace(Settings(), **change), START_MS)  # type: ignore[arg-type]


def test_a_recording_without_its_folder_says_what_to_set() -> None:
    with pytest.raises(RecordingMissing, match="set ONEBOOK_RECORDINGS"):
        world_from(Settings(source="recordings:bbo_btc15m_20260101"), START_MS)
