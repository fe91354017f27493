"""PURE: what an answer to a write means, by allow-list (E5). Nobody else guesses.

KnownFailure only where the venue certainly did nothing: nothing was sent, or its refusal is on the list below. Success
only for an answer that names our own order. All else is Unknown: the order counts as exposure until proved otherwise.
Sources of the texts: the venue's error pages and collected answers of 2025 and 2026.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from shared.domain.amounts import FINEST_TICK
from shared.domain.ids import OrderId
from shared.domain.money import MICRO, ZERO, from_micro, parse
from shared.domain.orders import OrderSide
from shared.domain.outcomes import KnownFailure, Outcome, Success, Unknown
from shared.domain.prepared import Accepted, PreparedOrder
from shared.venue.accounts import Cancellation
from shared.venue.executor import NOT_SENT, RedemptionTicket


class TransportFault(StrEnum):
    """How a request failed below HTTP."""

    NOT_SENT = "NOT_SENT"
    """The last check before the write said no."""
    CONNECT = "CONNECT"
    POOL = "POOL"
    """No connection came free in time."""
    TIMEOUT = "TIMEOUT"
    LOST = "LOST"
    UNREADABLE = "UNREADABLE"
    """What came back was not HTTP, or too long."""


_TRIPS = True
FINAL_TEXTS: tuple[tuple[str, str, bool], ...] = (
    # text contained in the answer, our reason, does it concern the account (then the breaker opens)
    ("invalid order payload", "INVALID_PAYLOAD", False),
    ("the order owner has to be the owner of the api key", "OWNER_MISMATCH", _TRIPS),
    ("the order signer address has to be the address of the api key", "SIGNER_MISMATCH", _TRIPS),
    ("maker address not allowed", "MAKER_NOT_ALLOWED", _TRIPS),
    ("address banned", "BANNED", _TRIPS),
    ("address in closed only mode", "CLOSED_ONLY", _TRIPS),
    ("too many orders in payload", "TOO_MANY_ORDERS", False),
    ("invalid post-only order", "POST_ONLY_CROSSES", False),
    ("breaks minimum tick size rule", "OFF_TICK", False),
    ("lower than the minimum", "TOO_SMALL", False),
    ("crosses the book", "CROSSES_BOOK", False),
    ("not enough balance / allowance", "NOT_ENOUGH_BALANCE", False),
    ("invalid expiration", "INVALID_EXPIRATION", False),
    ("invalid nonce", "INVALID_NONCE", False),
    ("invalid signature", "INVALID_SIGNATURE", _TRIPS),
    ("order_version_mismatch", "VERSION_MISMATCH", _TRIPS),
    ("invalid order version", "VERSION_MISMATCH", _TRIPS),
    ("invalid amounts", "INVALID_AMOUNTS", False),
    ("order canceled in the ctf exchange contract", "CANCELLED_ON_CHAIN", False),
    ("order match delayed due to market conditions", "MATCH_DELAYED", False),
    ("fok orders are fully filled or killed", "FOK_NOT_FILLED", False),
    ("no orders found to match with fak order", "FAK_NOT_FILLED", False),
    ("the market is not yet ready to process new orders", "MARKET_NOT_READY", False),
    ("invalid amount for a marketable", "TOO_SMALL", False),
)
"""Refusals with status 400 after which the order certainly does not exist. Not here, on purpose: ``order timed out``
(it may rest), ``Duplicated`` (an earlier copy arrived), ``context canceled``."""

_TAKEN = ("live", "matched", "delayed")
_RESTRICTED_TEXTS = ("trading is currently", "trading is disabled", "post-only mode")
_RESTRICTED_CODES = frozenset({"post_only_mode", "cancel_only", "trading_disabled"})
_REGION_TEXT = "trading restricted in your region"


def classify_order_answer(
    status: int | None,
    headers: Mapping[str, str],
    body: bytes,
    transport: TransportFault | None,
    *,
    began_send: bool,
    expected: PreparedOrder,
) -> Outcome[Accepted]:
    """Return what an answer to POST /order proves about the order ``expected``.

    ``headers`` have lower-case names; ``began_send`` is whether one byte may have left us.
    """
    if transport is not None or status is None:
        return classify_fault(transport, began_send=began_send)
    answer = _json_object(body)
    if status != HTTPStatus.OK:
        return _refused(status, headers, body, answer)
    if answer is None:
        return Unknown("UNREADABLE", _sample(body))
    return _accepted(answer, body, expected)


def classify_fault(transport: TransportFault | None, *, began_send: bool) -> KnownFailure | Unknown:
    """Return what a failure below HTTP proves: before the first byte nothing can have happened, after it anything."""
    if not began_send and transport in {TransportFault.NOT_SENT, TransportFault.CONNECT, TransportFault.POOL}:
        return KnownFailure(NOT_SENT if transport is TransportFault.NOT_SENT else f"{transport}_FAILED")
    return Unknown(transport.value if transport else "NO_ANSWER")


def classify_cancel_answer(
    status: int | None,
    headers: Mapping[str, str],
    body: bytes,
    transport: TransportFault | None,
    *,
    began_send: bool,
) -> Outcome[Cancellation]:
    """Return what an answer to a cancel proves (E16); 200 lists what was and what was not cancelled, with reasons."""
    if transport is not None or status is None:
        return classify_fault(transport, began_send=began_send)
    answer = _json_object(body)
    if status != HTTPStatus.OK:
        return _refused(status, headers, body, answer, texts=())
    cancelled = answer.get("canceled") if answer else None
    kept = answer.get("not_canceled", {}) if answer else None
    if not isinstance(cancelled, list) or not isinstance(kept, dict | None):
        return Unknown("UNREADABLE", _sample(body))
    return Success(
        Cancellation(
            cancelled=tuple(OrderId(str(order_id)) for order_id in cancelled),
            not_cancelled={OrderId(str(order_id)): str(reason) for order_id, reason in (kept or {}).items()},
        )
    )


def classify_relayer_answer(
    status: int | None,
    headers: Mapping[str, str],
    body: bytes,
    transport: TransportFault | None,
    *,
    began_send: bool,
) -> Outcome[RedemptionTicket]:
    """Return what an answer to the relayer's POST /submit proves; a 400 is its own refusal, nothing was sent on."""
    if transport is not None or status is None:
        return classify_fault(transport, began_send=began_send)
    answer = _json_object(body)
    if status == HTTPStatus.BAD_REQUEST and answer is not None:
        return KnownFailure("RELAYER_REFUSED", {"text": _error_text(answer)})
    if status != HTTPStatus.OK:
        return _refused(status, headers, body, answer, texts=())
    transaction = answer.get("transactionID") if answer else None
    if answer is None or not isinstance(transaction, str) or not transaction:
        return Unknown("UNREADABLE", _sample(body))
    return Success(RedemptionTicket(transaction, str(answer.get("transactionHash") or "")))


def _accepted(answer: Mapping[str, Any], body: bytes, expected: PreparedOrder) -> Outcome[Accepted]:
    order_id = answer.get("orderID")
    if not order_id:
        return Unknown("NO_ORDER_ID", {"text": str(answer.get("errorMsg", ""))})
    if not isinstance(order_id, str) or order_id.lower() != expected.order_id.lower():
        return Unknown("OTHER_ORDER_ID", {"order_id": str(order_id)})
    status = answer.get("status")
    if answer.get("success") is not True or answer.get("errorMsg") or status not in _TAKEN:
        return Unknown("NOT_CLEAR", {"status": str(status), "text": str(answer.get("errorMsg", ""))})
    try:
        making, taking = _amount(answer.get("makingAmount")), _amount(answer.get("takingAmount"))
    except ValueError:
        return Unknown("UNREADABLE", _sample(body))
    buys = expected.intent.side is OrderSide.BUY
    shares, usdc = (taking, making) if buys else (making, taking)
    # Totals are whole units in every captured answer, base units in the venue's own example: one that gives more than
    # the order offered, or pays over a dollar or under the finest tick a share, is not understood.
    understood = (
        making <= from_micro(expected.maker_amount) and shares * FINEST_TICK - MICRO <= usdc <= shares
    )
    if not understood or (status == "matched" and not shares):
        return Unknown("AMOUNTS_NOT_UNDERSTOOD", {"making": str(making), "taking": str(taking)})
    return Success(
        Accepted(
            status=status,
            shares=shares,
            usdc=usdc,
            trade_ids=_texts(answer.get("tradeIDs")),
            transaction_hashes=_texts(answer.get("transactionsHashes")),
        )
    )


def _refused(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    answer: Mapping[str, Any] | None,
    *,
    texts: tuple[tuple[str, str, bool], ...] = FINAL_TEXTS,
) -> KnownFailure | Unknown:
    text = _error_text(answer) if answer else ""
    lowered = text.lower()
    detail = {"status": str(status), **({"text": text} if answer else _sample(body))}
    if retry_after := headers.get("retry-after"):
        detail["retry_after"] = retry_after
    by_status = {
        HTTPStatus.UNAUTHORIZED: ("UNAUTHORIZED", _TRIPS, True),
        HTTPStatus.TOO_EARLY: ("ENGINE_RESTARTING", False, True),
        HTTPStatus.FORBIDDEN: ("BLOCKED", _TRIPS, _is_html(headers, body) or _REGION_TEXT in lowered),
        HTTPStatus.TOO_MANY_REQUESTS: ("RATE_LIMITED", False, bool(text)),
        HTTPStatus.SERVICE_UNAVAILABLE: ("RESTRICTED", False, _is_restricted(lowered, answer)),
    }
    if status in by_status:
        reason, trips, proved = by_status[HTTPStatus(status)]
        return KnownFailure(reason, detail, trips=trips) if proved else Unknown(f"HTTP_{status}", detail)
    if status == HTTPStatus.BAD_REQUEST:
        return _refused_by_text(lowered, detail, texts)
    return Unknown(f"HTTP_{status}", detail)


def _refused_by_text(
    lowered: str, detail: Mapping[str, str], texts: tuple[tuple[str, str, bool], ...]
) -> KnownFailure | Unknown:
    if "duplicated" in lowered:  # an earlier copy reached the book: it proves neither a fill nor none
        return Unknown("DUPLICATED", detail)
    for wanted, reason, trips in texts:
        if wanted in lowered:
            return KnownFailure(reason, detail, trips=trips)
    return Unknown("UNLISTED_TEXT", detail)


def _is_restricted(lowered: str, answer: Mapping[str, Any] | None) -> bool:
    return (
        any(text in lowered for text in _RESTRICTED_TEXTS)
        or str((answer or {}).get("code")) in _RESTRICTED_CODES
    )


def _is_html(headers: Mapping[str, str], body: bytes) -> bool:
    return "text/html" in headers.get("content-type", "") or body.lstrip()[:9].lower().startswith(
        (b"<!doctype", b"<html")
    )


def _json_object(body: bytes) -> Mapping[str, Any] | None:
    try:
        value = json.loads(body, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _error_text(answer: Mapping[str, Any]) -> str:
    return str(answer.get("error") or answer.get("errorMsg") or answer.get("message") or "")


def _amount(value: object) -> Decimal:
    if value is None or value == "":
        return ZERO
    amount = parse(value) if isinstance(value, str | int | Decimal) and not isinstance(value, bool) else None
    if amount is None or amount < 0:
        raise ValueError(f"not an amount: {value!r}")
    return amount


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str) and item) if isinstance(value, list) else ()


def _sample(body: bytes) -> dict[str, str]:
    """Return the first characters of a body nobody understood; an answer holds no secret of ours."""
    return {"sample": body[:200].decode("utf-8", "replace")}
