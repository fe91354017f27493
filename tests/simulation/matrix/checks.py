"""The promises, checked from outside: each is a function of what was read, and returns what is wrong in words."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from tests.simulation.matrix.evidence import Evidence

Row = dict[str, Any]
DEPOSIT_USDC = Decimal(100)
SEND_WITHIN = timedelta(milliseconds=100)
ARRIVE_WITHIN = timedelta(milliseconds=750)
"""How long our bytes may lie in sockets of a busy machine before the venue's process looks at them; less than the second
after which the server takes the lock from a frozen leader, so that a late send of one is seen."""
_WORTH = ("CASH", "RESERVED", "POSITIONS", "FEES", "RECEIVABLE", "PNL")
_UNFINISHED = ("SUBMITTING", "LIVE", "DELAYED", "CANCELLING", "UNKNOWN")
_DEFECTS = ("LATE_FILL", "CAPITAL_INVARIANT", "LIMIT_EXCEEDED_BY_FACT")
"""Reasons that would say: the Book took an order for dead that was not, or its own figures do not agree."""
_NEVER_THERE = ("REJECTED", "NOT_SENT", "NEVER_PLACED")
_UNWRITTEN = ("ORDER_UNWRITTEN", "TRADE_UNWRITTEN")


def one_entry_a_window(found: Evidence) -> Iterator[str]:
    """At most one entry order per account, window and strategy is at the venue: another only when the one before is gone
    there without a share, and was known to be when the next was claimed."""
    entries = [order for order in found.venue_orders if order["side"] == "BUY"]
    rows = {each["order_id"]: each for each in found.orders}
    by_window: dict[str, list[Row]] = defaultdict(list)
    for order in sorted(entries, key=lambda each: each["created_ms"]):
        by_window[order["slug"]].append(order)
    for slug, orders in by_window.items():
        for before, after in pairwise(orders):
            kept = Decimal(before["matched"]) - Decimal(before["failed"])
            known = rows.get(before["id"], {}).get("recorded_at")
            claimed = rows.get(after["id"], {}).get("claimed_at")
            if (
                kept
                or before["id"] not in rows
                or after["id"] not in rows
                or known is None
                or claimed < known
            ):
                yield f"two entry orders at the venue in {slug}: {before['id']} kept {kept} shares, then {after['id']}"


def nothing_sent_twice(found: Evidence) -> Iterator[str]:
    """No signed order is ever posted a second time."""
    yield from (
        f"order {order} was posted {count} times" for order, count in found.posts.items() if count > 1
    )


def every_venue_order_is_written(found: Evidence) -> Iterator[str]:
    """Nothing of ours is at the venue that the Book does not have."""
    written = {order["order_id"] for order in found.orders}
    yield from (
        f"order {each['id']} is at the venue and not in the Book"
        for each in found.venue_orders
        if each["id"] not in written
    )


def every_trade_is_booked(found: Evidence) -> Iterator[str]:
    """The fills are the venue's trades, share for share and cent for cent; what failed there is reversed here."""
    ours = {(each["order_id"], each["trade_id"]): each for each in found.fills}
    theirs = {(each["order"], each["id"]): each for each in found.venue_trades}
    for key in sorted(ours.keys() | theirs.keys()):
        fill, trade = ours.get(key), theirs.get(key)
        if trade is None:
            yield f"fill {key} is no trade of the venue"
        elif fill is None:
            if trade["status"] != "FAILED":
                yield f"trade {key} is not booked"
        elif (fill["state"] == "FAILED") != (trade["status"] == "FAILED"):
            yield f"fill {key} is {fill['state']}, at the venue {trade['status']}"
        elif (fill["shares"], fill["usdc"]) != (Decimal(trade["shares"]), Decimal(trade["cash"])):
            yield f"fill {key} has {fill['shares']} for {fill['usdc']}, at the venue {trade['shares']} for {trade['cash']}"


def money_is_constant(found: Evidence) -> Iterator[str]:
    """After every single entry of the ledger: cash + reserved + positions at cost + fees + receivables, less what was won,
    is what came in from outside; and nothing came but the deposit."""
    totals: dict[str, Decimal] = defaultdict(Decimal)
    outside = Decimal(0)
    for entry in found.ledger:
        totals[entry["from_bucket"]] -= entry["amount"]
        totals[entry["to_bucket"]] += entry["amount"]
        if "EXTERNAL" in {entry["from_bucket"], entry["to_bucket"]}:
            outside += entry["amount"] if entry["from_bucket"] == "EXTERNAL" else -entry["amount"]
            if entry["kind"] != "DEPOSIT":
                yield f"{entry['kind']} of {entry['amount']} came from outside"
        worth = sum((totals[bucket] for bucket in _WORTH), Decimal(0))
        if worth != outside:
            yield f"after entry {entry['entry_id']} the Book is worth {worth}, not {outside}"
    if outside != DEPOSIT_USDC:
        yield f"{outside} USDC came from outside, not {DEPOSIT_USDC}"


def cash_is_the_venues(found: Evidence) -> Iterator[str]:
    """At rest the Book's cash is the venue's, and both are the deposit with every trade and payout added up."""
    booked, venue = found.balances["CASH"], Decimal(found.venue_wallet["cash"])
    moved = sum(
        (Decimal(each["net_cash"]) for each in found.venue_trades if each["status"] != "FAILED"), Decimal(0)
    )
    paid = sum((Decimal(each["paid"]) for each in found.venue_redemptions), Decimal(0))
    if not booked == venue == DEPOSIT_USDC + moved + paid:
        yield f"cash: Book {booked}, venue {venue}, added up {DEPOSIT_USDC + moved + paid}"
    for bucket in ("RESERVED", "POSITIONS", "RECEIVABLE"):
        if found.balances.get(bucket):
            yield f"{found.balances[bucket]} USDC are left in {bucket}"


def tokens_are_the_venues(found: Evidence) -> Iterator[str]:
    """What the positions hold and nobody redeemed is what the wallet holds, token for token."""
    redeemed = {each["slug"] for each in found.venue_redemptions}
    held: dict[str, Decimal] = defaultdict(Decimal)
    for position in found.positions:
        if position["window_id"] not in redeemed:
            held[position["token_id"]] += position["bought_shares"] - position["sold_shares"]
    for token in held.keys() | found.venue_wallet["tokens"].keys():
        shown = found.venue_wallet["tokens"].get(token, {"mined": "0", "unmined": "0"})
        theirs = Decimal(shown["mined"]) + Decimal(shown["unmined"])
        if held[token] != theirs:
            yield f"token {token[:12]}…: Book {held[token]}, venue {theirs}"


def nothing_is_unfinished(found: Evidence) -> Iterator[str]:
    """No order is between two states, no position waits, no redemption is under way."""
    yield from (
        f"order {each['order_id']} is {each['state']}"
        for each in found.orders
        if each["state"] in _UNFINISHED
    )
    yield from (
        f"position {each['position_id']} is {each['state']}"
        for each in found.positions
        if each["state"] not in {"CLOSED", "VOID"}
    )
    yield from (
        f"redemption {each['redemption_id']} is {each['state']}"
        for each in found.redemptions
        if each["state"] not in {"PAID", "FAILED"}
    )


def _unknown_spans(found: Evidence) -> Iterator[tuple[Row, Row | None]]:
    """Yield when each order became Unknown and what ended that."""
    for number, event in enumerate(found.audit):
        if event["kind"] == "order_unknown":
            later = (
                each
                for each in found.audit[number + 1 :]
                if each["order_id"] == event["order_id"]
                and each["kind"].startswith("order_")
                and each["kind"] != "order_unknown"
            )
            yield event, next(later, None)


def unknown_keeps_its_capital(found: Evidence) -> Iterator[str]:
    """While an order is Unknown nothing of its reservation goes back to cash."""
    for began, ended in _unknown_spans(found):
        for entry in found.ledger:
            inside = entry["at"] >= began["at"] and (ended is None or entry["at"] < ended["at"])
            released = (entry["from_bucket"], entry["to_bucket"]) == ("RESERVED", "CASH")
            if inside and released and entry["position_id"] == began["position_id"]:
                yield f"{entry['amount']} USDC went back to cash while {began['order_id']} was Unknown"


def unknown_opens_the_breaker(found: Evidence) -> Iterator[str]:
    """The breaker was open before, or is opened by the very transaction that records the Unknown, and stays open."""
    for began, ended in _unknown_spans(found):
        before = [
            each for each in found.breaker if each["at"] < began["at"] and each["writer"] != began["writer"]
        ]
        was_open = bool(before) and before[-1]["state"] == "OPEN"
        with_it = any(each["writer"] == began["writer"] and each["state"] == "OPEN" for each in found.breaker)
        if not was_open and not with_it:
            yield f"{began['order_id']} became Unknown and the breaker stayed closed"
        for each in found.breaker:
            if (
                each["state"] == "CLOSED"
                and each["at"] > began["at"]
                and (ended is None or each["at"] < ended["at"])
            ):
                yield f"the breaker closed while {began['order_id']} was Unknown"


def no_claim_after_a_stop(found: Evidence) -> Iterator[str]:
    """In the order in which the account's lock was held: no entry is claimed while the breaker is open or a switch is thrown."""
    stopped_by: dict[str, str] = {}
    for event in found.audit:
        details = event["details"]
        if event["kind"] == "breaker_tripped":
            stopped_by["breaker"] = details["reason"]
        elif event["kind"] == "breaker_reset":
            stopped_by.pop("breaker", None)
        elif event["kind"] == "control_set" and details["key"] == "kill_switch":
            stopped_by["switch"] = details["new"]
            if details["new"] == "OFF":
                del stopped_by["switch"]
        elif event["kind"] == "entry_claimed" and stopped_by:
            yield f"{event['order_id']} was claimed after {', '.join(stopped_by.values())}"


def sends_follow_their_claims(found: Evidence) -> Iterator[str]:
    """No send begins more than 100 ms after its claim, by our record and, roughly, by the venue's."""
    claimed = {each["order_id"]: each["claimed_at"] for each in found.orders}
    for order in found.orders:
        if order["sent_at"] is not None and order["sent_at"] - order["claimed_at"] > SEND_WITHIN:
            yield f"{order['order_id']} was sent {order['sent_at'] - order['claimed_at']} after its claim"
    for each in found.arrivals:
        arrived = datetime.fromtimestamp(each["arrived_ms"] / 1000, UTC)
        if each["id"] not in claimed:
            yield f"{each['id']} reached the venue and was never claimed"
        elif arrived - claimed[each["id"]] > SEND_WITHIN + ARRIVE_WITHIN:
            yield f"{each['id']} reached the venue {arrived - claimed[each['id']]} after its claim"


def states_are_the_venues(found: Evidence) -> Iterator[str]:
    """What the venue took in is not called never sent, never placed or refused, and what traded there not killed.

    An order the venue took in and threw out itself, as its market closed, was answered with a refusal: that is one.
    """
    states = {each["order_id"]: each["state"] for each in found.orders}
    for order in found.venue_orders:
        state, kept = states.get(order["id"]), Decimal(order["matched"]) - Decimal(order["failed"])
        thrown_out = state == "REJECTED" and order["status"] == "CANCELED" and not kept
        if (state in _NEVER_THERE and not thrown_out) or (kept and state != "FILLED"):
            yield f"{order['id']} is {state}, at the venue {order['status']} with {kept} shares"


def books_are_whole(found: Evidence) -> Iterator[str]:
    """The stored figures are the folds of their entries, and the history is as it was written."""
    yield from (
        f"ledger: {each['what']} is {each['stored']}, folded {each['folded']}"
        for each in found.ledger_differences
    )
    if found.audit_broken is not None:
        yield f"the audit chain is broken at {found.audit_broken}"


def no_defect_was_told(found: Evidence) -> Iterator[str]:
    """No trip and no discrepancy says that the Book itself was wrong."""
    yield from (
        f"tripped by {each['reason']}: {each['context']}"
        for each in found.breaker
        if each["reason"] in _DEFECTS
    )
    yield from (
        f"discrepancy {each['kind']} {each['subject']}"
        for each in found.discrepancies
        if each["kind"] in _UNWRITTEN
    )


Check = Callable[[Evidence], Iterator[str]]
CHECKS: tuple[Check, ...] = (
    one_entry_a_window,
    nothing_sent_twice,
    every_venue_order_is_written,
    every_trade_is_booked,
    money_is_constant,
    cash_is_the_venues,
    tokens_are_the_venues,
    nothing_is_unfinished,
    unknown_keeps_its_capital,
    unknown_opens_the_breaker,
    no_claim_after_a_stop,
    sends_follow_their_claims,
    states_are_the_venues,
    books_are_whole,
    no_defect_was_told,
)


def problems(found: Evidence) -> list[str]:
    """Return everything that is wrong, each with the name of its check."""
    return [f"{check.__name__}: {problem}" for check in CHECKS for problem in check(found)]
