"""What no history may show, judged from outside: the operations as their callers saw them, and the Book's rows. PURE.

Real-time order is Jepsen's: an operation took effect somewhere between its invocation and its completion, one whose end
is unknown at any time since. The Book's own order is that of an account's audit events, which are written under its lock.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tests.simulation.history.operations import End, Operation
from tests.simulation.history.rows import Rows

SEND_WITHIN_S = 0.1
MAY_LIVE = frozenset({"SUBMITTING", "LIVE", "DELAYED", "CANCELLING", "UNKNOWN"})
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken, and where to look."""

    rule: str
    what: str


CLAIMS = ("claim", "claim_exit")
Rule = Callable[[Sequence[Operation], Rows], Iterator[str]]


def of(history: Sequence[Operation], function: str, *ends: End) -> list[Operation]:
    """Return the operations of one function that ended so, or all of them."""
    return [each for each in history if each.function == function and (not ends or each.end in ends)]


def claims_of(history: Sequence[Operation], *ends: End) -> list[Operation]:
    """Return claims of entries and of exits."""
    return [each for function in CLAIMS for each in of(history, function, *ends)]


def entered_twice(history: Sequence[Operation], rows: Rows) -> Iterator[str]:
    """One entry possibly live or filled per account, window and strategy; two orders per window and instrument (B9, B10)."""
    del history
    may_be = Counter(
        (row["account_id"], row["window_id"], row["strategy_id"])
        for row in rows.orders
        if row["purpose"] == "ENTRY" and (row["state"] in MAY_LIVE or row["eff_usdc"] > 0)
    )
    held = Counter(
        (row["account_id"], row["window_id"], row["strategy_id"])
        for row in rows.entries
        if row["released_at"] is None
    )
    slots = Counter((row["account_id"], row["window_id"], row["instrument"]) for row in rows.slots)
    orders = Counter(
        (row["account_id"], row["window_id"], row["instrument"])
        for row in rows.orders
        if row["purpose"] == "ENTRY"
    )
    for found, most in ((may_be, 1), (held, 1), (slots, 2), (orders, 2)):
        yield from (f"{key} {count} times" for key, count in found.items() if count > most)


def claimed_after_a_stop(history: Sequence[Operation], rows: Rows) -> Iterator[str]:
    """No claim that began after a switch or a trip was answered, and ended before anybody lifted it (D18, R6)."""
    claims = of(history, "claim", End.OK)
    for stop, until in stops(history):
        assert stop.completed_at is not None
        for claim in claims:
            if (
                stop.completed_at < claim.invoked_at
                and claim.last_at < until
                and claim.value["account"] == stop.value["account"]
            ):
                yield f"{claim.value['order']} claimed {claim.invoked_at - stop.completed_at:.6f} s after {stop.function}"
    opened: dict[str, set[str]] = defaultdict(set)
    for event in rows.audit:
        causes = opened[event["account_id"]]
        match event["kind"], event["details"].get("key"):
            case "breaker_tripped", _:
                causes.add("breaker")
            case "breaker_reset", _:
                causes.discard("breaker")
            case "control_set", "kill_switch":
                causes.discard("switch")
                causes |= {"switch"} if event["details"]["new"] != "OFF" else set()
            case "entry_claimed", _ if causes:
                yield f"{event['order_id']} claimed while stopped by {', '.join(sorted(causes))}"


def stops(history: Sequence[Operation]) -> Iterator[tuple[Operation, float]]:
    """Yield each answered stop, and the moment until which it certainly held: the first lift that may follow it."""
    lifts: dict[tuple[str, str], list[Operation]] = defaultdict(list)
    for each in history:
        if (lifted := _lifts(each)) is not None and each.end is not End.FAIL:
            lifts[lifted, each.value["account"]].append(each)
    for stop in history:
        kind = _stops(stop)
        if kind is None or stop.end is not End.OK or stop.completed_at is None:
            continue
        later = (
            each.invoked_at for each in lifts[kind, stop.value["account"]] if each.last_at > stop.invoked_at
        )
        yield stop, min(later, default=NEVER)


def _stops(each: Operation) -> str | None:
    if each.function == "control" and each.value["key"] == "kill_switch":
        return "switch" if each.value["value"] != "OFF" else None
    if each.function == "trip" or (each.function == "record" and each.answer == "UNKNOWN"):
        return "breaker"
    return None


def _lifts(each: Operation) -> str | None:
    if each.function == "control" and each.value["key"] == "kill_switch" and each.value["value"] == "OFF":
        return "switch"
    return "breaker" if each.function == "reset" else None


def claimed_by_the_past(history: Sequence[Operation], rows: Rows) -> Iterator[str]:
    """No claim by an old epoch after a newer one was answered (E2)."""
    taken = of(history, "take_epoch", End.OK)
    for claim in claims_of(history, End.OK):
        epoch = claim.value["epoch"]
        newer = [each for each in taken if each.answer > epoch and each.last_at < claim.invoked_at]
        if newer:
            yield f"{claim.value['order']} by epoch {epoch} after epoch {newer[0].answer}"
    newest: dict[str, int] = defaultdict(int)
    for event in rows.audit:
        if event["kind"] == "epoch_taken":
            newest[event["account_id"]] = int(event["details"]["epoch"])
        claimed = event["kind"] in {"entry_claimed", "exit_claimed"}
        if claimed and int(event["details"]["epoch"]) != newest[event["account_id"]]:
            yield f"{event['order_id']} by epoch {event['details']['epoch']} under {newest[event['account_id']]}"


def epochs_out_of_order(history: Sequence[Operation], rows: Rows) -> Iterator[str]:
    """An epoch is taken once, and a later one is a greater one (D7)."""
    del rows
    taken = of(history, "take_epoch", End.OK)
    for number, count in Counter(each.answer for each in taken).items():
        if count > 1:
            yield f"epoch {number} taken {count} times"
    for earlier, later in itertools.permutations(taken, 2):
        if earlier.last_at < later.invoked_at and later.answer <= earlier.answer:
            yield f"epoch {later.answer} after {earlier.answer}"


def claimed_before_compared(history: Sequence[Operation], rows: Rows) -> Iterator[str]:
    """Nothing is claimed before the reconciler said of the epoch that Book and venue agree (X1)."""
    del rows
    compared: dict[int, float] = {}
    for each in of(history, "mark"):
        compared.setdefault(each.value["epoch"], each.invoked_at)
    for claim in claims_of(history, End.OK):
        if compared.get(claim.value["epoch"], NEVER) > claim.last_at:
            yield f"{claim.value['order']} by epoch {claim.value['epoch']}"


def sent_wrongly(history: Sequence[Operation], rows: Rows) -> Iterator[str]:
    """An order is sent once, after its claim, soon after it; one sent under a newer epoch was held for Unknown (E2 to E4)."""
    claims = {each.value["order"]: each for each in claims_of(history, End.OK)}
    held = {row["order_id"] for row in rows.audit if row["kind"] == "order_unknown"}
    takes = of(history, "take_epoch", End.OK)
    for order, count in Counter(each.value["order"] for each in of(history, "send")).items():
        if count > 1:
            yield f"{order} sent {count} times"
    for send in of(history, "send"):
        order, claim = send.value["order"], claims.get(send.value["order"])
        if claim is None or claim.completed_at is None or claim.completed_at > send.invoked_at:
            yield f"{order} sent without an answered claim"
        elif send.invoked_at - claim.completed_at > SEND_WITHIN_S:
            yield f"{order} sent {send.invoked_at - claim.completed_at:.3f} s after its claim"
        for take in takes:
            if take.answer > send.value["epoch"] and take.last_at < send.invoked_at and order not in held:
                yield f"{order} sent under epoch {take.answer}, and nobody held it for Unknown"


def not_durable(history: Sequence[Operation], rows: Rows) -> Iterator[str]:
    """What was answered is in the Book, what was refused is not, and nothing is there that nobody asked for (E3, E8)."""
    there = {row["order_id"] for row in rows.orders}
    claims = claims_of(history)
    for claim in claims:
        if claim.end is End.OK and claim.value["order"] not in there:
            yield f"{claim.value['order']} was claimed and is not there"
        if claim.end is End.FAIL and claim.value["order"] in there and not _again(claim, claims):
            yield f"{claim.value['order']} was refused ({claim.answer}) and is there"
    for order in there - {each.value["order"] for each in claims}:
        yield f"{order} is there, and nobody claimed it"
    fills = {(row["order_id"], row["trade_id"]) for row in rows.fills}
    for trade in of(history, "trade", End.OK):
        if (trade.value["order"], trade.value["trade"]) not in fills:
            yield f"trade {trade.value['trade']} was recorded and is not there"


def _again(claim: Operation, claims: Sequence[Operation]) -> bool:
    """The same order was asked for by another call, too."""
    return any(
        each is not claim and each.value["order"] == claim.value["order"] and each.end is not End.FAIL
        for each in claims
    )


def lost_at_the_venue(history: Sequence[Operation], rows: Rows) -> Iterator[str]:
    """At rest the Book holds what the venue did with each order that was sent, and nothing for one that was not (E6, E8)."""
    bought: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows.fills:
        bought[row["order_id"]] += row["shares"] if row["state"] != "FAILED" else 0
    sent = {each.value["order"]: Decimal(each.value["shares"]) for each in of(history, "send")}
    for row in rows.orders:
        order = row["order_id"]
        if bought[order] != sent.get(order, Decimal(0)):
            yield f"{order} bought {sent.get(order, 0)} at the venue and {bought[order]} in the Book"


def sold_too_much(history: Sequence[Operation], rows: Rows) -> Iterator[str]:
    """No position is sold twice: what was sold of it was bought before, and one exit at a time is unfinished (E19, B11)."""
    del history
    shares: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in rows.fills:
        # What was mined may be sold, although its match may fail after all (E23).
        counts = row["side"] == "BUY" or row["state"] != "FAILED"
        shares[row["position_id"], row["side"]] += row["shares"] if counts else 0
    for (position, side), sold in list(shares.items()):
        if side == "SELL" and sold > shares[position, "BUY"]:
            yield f"{position} bought {shares[position, 'BUY']} and sold {sold}"
    unfinished = Counter(
        row["position_id"] for row in rows.orders if row["purpose"] == "EXIT" and row["state"] in MAY_LIVE
    )
    yield from (
        f"{position} is being sold {count} times" for position, count in unfinished.items() if count > 1
    )


def moved_from_nowhere(history: Sequence[Operation], rows: Rows) -> Iterator[str]:
    """No bucket is ever overdrawn, balances are the fold of the entries, a deposit is booked once (R9, E18)."""
    buckets: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for entry in rows.ledger:
        account, amount = entry["account_id"], entry["amount"]
        if not amount > 0 or entry["from_bucket"] == entry["to_bucket"]:
            yield f"entry {entry['entry_id']} moves {amount} from {entry['from_bucket']} to {entry['to_bucket']}"
        buckets[account, entry["from_bucket"]] -= amount
        buckets[account, entry["to_bucket"]] += amount
        source = buckets[account, entry["from_bucket"]]
        if source < 0 and (
            entry["from_bucket"] in {"RESERVED", "POSITIONS", "RECEIVABLE"} or entry["kind"] == "claim"
        ):
            yield f"entry {entry['entry_id']} ({entry['kind']}) overdraws {entry['from_bucket']} to {source}"
    for key in buckets.keys() | rows.balances.keys():
        if buckets[key] != rows.balances.get(key, Decimal(0)):
            yield f"{key} says {rows.balances.get(key)} and its entries {buckets[key]}"
    asked = of(history, "deposit")
    for account in {each.value["account"] for each in asked}:
        mine = [each for each in asked if each.value["account"] == account and each.end is not End.FAIL]
        sure = {each.value["reference"]: Decimal(each.value["amount"]) for each in mine if each.end is End.OK}
        perhaps = sure | {each.value["reference"]: Decimal(each.value["amount"]) for each in mine}
        booked = -buckets[account, "EXTERNAL"]
        if not sum(sure.values()) <= booked <= sum(perhaps.values()):
            yield f"{account} was given {sum(sure.values())} to {sum(perhaps.values())} and has {booked}"


def judge(history: Sequence[Operation], rows: Rows, rules: Mapping[str, Rule]) -> list[Violation]:
    """Return every violation of every rule."""
    return [Violation(name, what) for name, rule in rules.items() for what in rule(history, rows)]
