"""The chain as a person reads it: one line a happening, milliseconds since the signal, then the money."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.operator.explain.queries import Happening, Leg, Subject


@dataclass(frozen=True, slots=True)
class Story:
    """Everything of one trade, in the order it happened."""

    subject: Subject
    happenings: Sequence[Happening]
    verdict: Mapping[str, Any]
    legs: Sequence[Leg]


def tell(
    subject: Subject, happenings: Iterable[Happening], verdict: Mapping[str, Any], legs: Sequence[Leg]
) -> Story:
    """Return the story with its happenings in order of time; at one instant, in the order they were given."""
    return Story(subject, sorted(happenings, key=lambda each: each.at), verdict, legs)


def as_data(story: Story) -> dict[str, object]:
    """Return the story as JSON-ready data; money is text, times are ISO 8601."""
    subject = story.subject
    fields = {name: _plain(getattr(subject, name)) for name in subject.__slots__ if name != "decided_from"}
    return {
        **fields,
        "net_pnl": str(subject.net_pnl),
        "chain": [
            {
                "at": each.at.isoformat(),
                "since_signal_ms": since_ms(each.at, subject.decided_from),
                "table": each.table,
                "what": each.what,
                "details": each.details,
            }
            for each in story.happenings
        ],
        "gate": dict(story.verdict),
        "ledger": [
            {
                "at": leg.at.isoformat(),
                "from": leg.from_bucket,
                "to": leg.to_bucket,
                "amount_usdc": str(leg.amount),
                "kind": leg.kind,
                "provisional": leg.provisional,
            }
            for leg in story.legs
        ],
    }


def since_ms(at: datetime, start: datetime) -> str:
    """Return milliseconds from ``start`` to ``at`` with three decimals: rows keep microseconds."""
    elapsed = at - start
    micro = (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds
    return f"{Decimal(micro) / 1000:+.3f}"


def render(story: Story) -> RenderableType:
    """Return the story for a terminal."""
    return Group(
        *_heading(story.subject), _timeline(story), _gate(story.verdict), _ledger(story.legs), _result(story)
    )


def _heading(subject: Subject) -> Iterator[RenderableType]:
    yield Text(f"{subject.purpose} order {subject.order_id}  {subject.state}", style="bold")
    yield Text(
        f"{subject.account} · {subject.mode} · {subject.strategy} · {subject.window_id} · {subject.outcome}\n"
        f"signal {subject.signal_id} → position {subject.position_id} {subject.position_state}"
    )


def _timeline(story: Story) -> Table:
    table = Table(title="From ticks to cash", title_justify="left", box=None, pad_edge=False)
    table.add_column("time (UTC)", no_wrap=True, style="dim")
    table.add_column("ms since signal", justify="right", no_wrap=True)
    table.add_column("what", no_wrap=True, style="bold")
    table.add_column("details")
    for each in story.happenings:
        clock = each.at.strftime("%H:%M:%S.%f")[:-3]
        table.add_row(clock, since_ms(each.at, story.subject.decided_from), each.what, _brief(each.details))
    return table


def _gate(verdict: Mapping[str, Any]) -> RenderableType:
    checks = verdict.get("checks")
    if not isinstance(checks, list):
        return Text(f"gate: {json.dumps(verdict)}")
    table = Table(title="The gate", title_justify="left", box=None, pad_edge=False)
    for column in ("check", "verdict", "input", "limit"):
        table.add_column(column)
    for check in checks:
        passed = Text("passed", style="green") if check.get("passed") else Text("REFUSED", style="bold red")
        table.add_row(str(check.get("name")), passed, _short(check.get("input")), _short(check.get("limit")))
    return table


def _ledger(legs: Sequence[Leg]) -> Table:
    table = Table(title="The ledger", title_justify="left", box=None, pad_edge=False)
    for column in ("time (UTC)", "from", "to"):
        table.add_column(column)
    table.add_column("USDC", justify="right")
    table.add_column("for")
    for leg in legs:
        kind = f"{leg.kind} (provisional)" if leg.provisional else leg.kind
        table.add_row(
            leg.at.strftime("%H:%M:%S.%f")[:-3], leg.from_bucket, leg.to_bucket, f"{leg.amount:f}", kind
        )
    return table


def _result(story: Story) -> Table:
    subject = story.subject
    table = Table(title="The result, USDC", title_justify="left", box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row(f"bought {subject.bought_shares:f} shares for", f"{subject.bought_usdc:f}")
    table.add_row(f"sold {subject.sold_shares:f} shares for", f"{subject.sold_usdc:f}")
    if subject.payout is not None:
        paid = "not paid yet" if subject.paid_usdc is None else f"{subject.paid_usdc:f}"
        table.add_row(f"settled at {subject.payout:f} a share, paid", paid)
    table.add_row("gross profit or loss", f"{subject.gross_pnl:+f}")
    table.add_row("fees", f"{subject.fees_usdc:f}")
    table.add_row(Text("net profit or loss", style="bold"), Text(f"{subject.net_pnl:+f}", style="bold"))
    return table


def _brief(details: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={_short(value)}" for key, value in details.items() if value is not None)


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + _brief(value) + "}"
    if isinstance(value, list):
        return ",".join(_short(each) for each in value)
    return str(value)


def _plain(value: object) -> object:
    return value if value is None else str(value)
