"""The end of a demo: what the Book says, what the fake venue knows, and every way in which they differ."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from deploy.local.summary.queries import BookAccount, BookFill, BookSide
from shared.domain.fees import FEE_STEP

MUST_BE_AT_THE_VENUE = frozenset({"FILLED", "LIVE", "DELAYED", "CANCELLING", "EXPIRED", "UNKNOWN"})
"""Order states that say the venue took the order; a refused or killed one it need not remember."""
OVER = frozenset({"CLOSED", "VOID"})
ZERO = Decimal(0)
_EXACT = Decimal("0.000001")

Truth = Mapping[str, Any]
"""The answer of the simulator's /_sim/truth."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a demo was asked for and how it went."""

    mode: str
    seed: int
    source: str
    window_s: int
    windows_wanted: int
    windows_settled: int
    started_at: str
    seconds: int
    restarts: Mapping[str, int]
    problems: Sequence[str]
    """Why it ended otherwise than it should; empty when it went to its end."""


def summarise(
    run: Run, book: BookSide, truth: Truth, wallets: Mapping[str, str], proofs: Sequence[str]
) -> dict[str, Any]:
    """Return the summary; ``wallets`` is account → address at the venue, ``proofs`` what verification found wrong."""
    differences = [*proofs, *compare(book, truth, wallets)] if wallets else [*proofs, *untouched(truth)]
    is_over = set(book.positions) <= OVER
    gross, fees = sum_of(book, "gross_pnl"), sum_of(book, "fees")
    latency = book.signal_to_sent_ms
    return {
        "ok": is_over and not differences and not run.problems,
        "mode": run.mode,
        "seed": run.seed,
        "source": run.source,
        "window_s": run.window_s,
        "started_at": run.started_at,
        "seconds": run.seconds,
        "windows_wanted": run.windows_wanted,
        "windows_traded": book.windows_traded,
        "windows_settled": run.windows_settled,
        "signals": sum(book.signals.values()),
        "signals_by_state": dict(book.signals),
        "refusals": dict(book.refusals),
        "orders": len(book.orders),
        "orders_by_state": _count([order.state for order in book.orders]),
        "fills": len(book.fills),
        "positions": sum(book.positions.values()),
        "positions_by_state": dict(book.positions),
        "fees_usdc": exact(fees),
        "gross_pnl_usdc": exact(gross),
        "net_pnl_usdc": exact(gross - fees),
        "accounts": {each.account: _account(each) for each in book.accounts},
        "simulator": {account: _wallet(truth, wallet) for account, wallet in wallets.items()},
        "mismatches": len(differences),
        "differences": differences,
        "signal_to_sent_ms": {"median": str(latency[0]), "p99": str(latency[1])} if latency else None,
        "restarts": dict(run.restarts),
        "breakers_open": list(book.breakers_open),
        "problems": list(run.problems),
    }


def sum_of(book: BookSide, field: str) -> Decimal:
    """Return one figure of all accounts together, USDC."""
    return sum((getattr(each, field) for each in book.accounts), ZERO)


def exact(amount: Decimal) -> str:
    """Return an amount with all its six decimals."""
    return f"{amount.quantize(_EXACT):f}"


def _count(states: Sequence[str]) -> dict[str, int]:
    return {state: states.count(state) for state in sorted(set(states))}


def _account(each: BookAccount) -> dict[str, Any]:
    return {
        "deposited_usdc": exact(each.deposited),
        "cash_usdc": exact(each.cash),
        "gross_pnl_usdc": exact(each.gross_pnl),
        "fees_usdc": exact(each.fees),
        "net_pnl_usdc": exact(each.gross_pnl - each.fees),
        "tokens": {token: exact(shares) for token, shares in each.tokens.items()},
    }


def _wallet(truth: Truth, address: str) -> dict[str, Any]:
    wallet = truth["wallets"].get(address)
    if wallet is None:
        return {}
    return {
        "cash_usdc": wallet["cash"],
        "tokens": {token: exact(shares) for token, shares in _tokens(wallet).items()},
    }


def _tokens(wallet: Mapping[str, Any]) -> dict[str, Decimal]:
    held = {
        token: Decimal(each["mined"]) + Decimal(each["unmined"]) - Decimal(each["leaving"])
        for token, each in wallet["tokens"].items()
    }
    return {token: shares for token, shares in held.items() if shares}


def compare(book: BookSide, truth: Truth, wallets: Mapping[str, str]) -> Iterator[str]:
    """Yield every difference between the Book and the venue, in words: money, tokens, orders, fills, both ways."""
    for each in book.accounts:
        if each.account in wallets:
            yield from _compare_money(each, truth["wallets"].get(wallets[each.account]))
    yield from _compare_orders(book, truth, wallets)
    yield from _compare_fills(book, truth, wallets)


def _compare_money(each: BookAccount, wallet: Mapping[str, Any] | None) -> Iterator[str]:
    if wallet is None:
        yield f"{each.account}: the venue has no such wallet"
        return
    unsettled = each.reserved + each.positions + each.receivable
    figures = (
        ("cash", each.cash, Decimal(wallet["cash"])),
        ("deposits", each.deposited, Decimal(wallet["deposited"])),
        ("money not settled", unsettled, Decimal(wallet["cash_pending"])),
        (
            "what trading brought",
            each.gross_pnl - each.fees,
            Decimal(wallet["cash"]) - Decimal(wallet["deposited"]),
        ),
    )
    for name, ours, theirs in figures:
        if ours != theirs:
            yield f"{each.account}: {name}: Book {exact(ours)}, venue {exact(theirs)} USDC"
    held = _tokens(wallet)
    for token in sorted(held.keys() | each.tokens.keys()):
        ours, theirs = each.tokens.get(token, ZERO), held.get(token, ZERO)
        if ours != theirs:
            yield f"{each.account}: token {token[:12]}…: Book {exact(ours)}, venue {exact(theirs)} shares"


def _compare_orders(book: BookSide, truth: Truth, wallets: Mapping[str, str]) -> Iterator[str]:
    addresses = set(wallets.values())
    theirs = {order["id"]: order for order in truth["orders"] if order["wallet"] in addresses}
    ours = {order.order_id: order for order in book.orders}
    for order_id in theirs.keys() - ours.keys():
        yield f"order {order_id[:14]}… is at the venue ({theirs[order_id]['status']}) and not in the Book"
    for order in ours.values():
        venue = theirs.get(order.order_id)
        if venue is None and (order.state in MUST_BE_AT_THE_VENUE or order.shares):
            yield f"order {order.order_id[:14]}… is {order.state} in the Book and unknown to the venue"
        elif venue is not None:
            matched = Decimal(venue["matched"]) - Decimal(venue["failed"])
            if matched != order.shares:
                yield f"order {order.order_id[:14]}…: Book {exact(order.shares)}, venue {exact(matched)} shares traded"


def _compare_fills(book: BookSide, truth: Truth, wallets: Mapping[str, str]) -> Iterator[str]:
    addresses = set(wallets.values())
    theirs = {
        (trade["order"], trade["id"], trade["token"]): trade
        for trade in truth["trades"]
        if trade["wallet"] in addresses and trade["status"] != "FAILED"
    }
    ours = {(fill.order_id, fill.trade_id, fill.token_id): fill for fill in book.fills}
    for key in theirs.keys() - ours.keys():
        yield f"trade {key[1]} of order {key[0][:14]}… is at the venue and not in the Book"
    for key, fill in ours.items():
        trade = theirs.get(key)
        if trade is None:
            yield f"trade {key[1]} of order {key[0][:14]}… is in the Book and not at the venue"
        else:
            yield from _compare_fill(fill, trade)


def _compare_fill(fill: BookFill, trade: Mapping[str, Any]) -> Iterator[str]:
    # Which way the venue rounds a fee is not known: a fill's own figure may be a step off, the residue is booked with
    # the balance that shows it, and cash is compared to the micro-unit (E18).
    figures = (
        ("shares", fill.shares, Decimal(trade["shares"]), ZERO),
        ("USDC", fill.usdc, Decimal(trade["cash"]), ZERO),
        ("fee", fill.fee, Decimal(trade["fee"]), FEE_STEP),
    )
    for name, ours, theirs, allowed in figures:
        if abs(ours - theirs) > allowed:
            yield f"trade {fill.trade_id}: {name}: Book {exact(ours)}, venue {exact(theirs)}"
    if fill.side != trade["side"]:
        yield f"trade {fill.trade_id}: Book {fill.side}, venue {trade['side']}"


def untouched(truth: Truth) -> Iterator[str]:
    """Yield every order the venue saw although none may leave this machine (PAPER, DRY_RUN)."""
    for order in truth["orders"]:
        yield f"order {order['id'][:14]}… reached the venue in a mode in which none may"


def write(summary: Mapping[str, Any], path: Path) -> None:
    """Write the summary as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(json.dumps(summary, indent=2) + "\n")
    draft.replace(path)
