"""docs/states.md is drawn from the transition tables; it may not drift from them.

`ONEBOOK_WRITE_DOCS=1 pytest tests/unit/shared/domain/test_states_page.py` writes the page anew.
"""

import os
from pathlib import Path

from shared.domain import breaker, orders, positions, redemptions, signals, trades, windows

PAGE = Path(__file__).parents[4] / "docs" / "states.md"
HEAD = """# States

Drawn from the `TRANSITIONS` tables of `shared/domain` by a test that fails when this page is not what they say. The
same tables are written into the database, which refuses every other step to everyone, psql included. An event without
an arrow changes nothing: it is a repeat or came late.
"""
CHAPTERS = (
    (
        "Window",
        windows.WindowState.DISCOVERED,
        windows.TRANSITIONS,
        "A market, from its discovery to the venue's word.",
    ),
    ("Signal", signals.SignalState.NEW, signals.TRANSITIONS, "A signal ends exactly once."),
    (
        "Order",
        orders.OrderState.SUBMITTING,
        orders.TRANSITIONS,
        (
            "`filled` is a quantity, not a state: FILLED means the venue is done with a match. SUBMITTING, LIVE, DELAYED, "
            "CANCELLING and UNKNOWN may still match: they are exposure and keep their capital. A trade on a terminal order "
            "keeps the state, moves the quantity, and trips LATE_FILL."
        ),
    ),
    (
        "Fill",
        trades.FillState.MATCHED,
        trades.TRANSITIONS,
        "A match is a position at once and provisional until CONFIRMED; FAILED reverses it. Statuses may be skipped.",
    ),
    (
        "Position",
        positions.PositionState.OPENING,
        positions.TRANSITIONS,
        "One row, one state, one owner. A trigger is sticky: it ends in an exit or with the window.",
    ),
    (
        "Redemption",
        redemptions.RedemptionState.CLAIMED,
        redemptions.TRANSITIONS,
        "Resolved tokens become cash once; the balance proves it.",
    ),
    (
        "Breaker",
        breaker.BreakerState.CLOSED,
        breaker.TRANSITIONS,
        "Everything may trip it; only a named person resets it.",
    ),
)


def page():
    parts = [HEAD]
    for title, first, table, text in CHAPTERS:
        arrows: dict[tuple[str, str], list[str]] = {}
        order = list(type(first))  # a table may be made from sets, whose order is nobody's
        for (state, event), after in sorted(
            table.items(), key=lambda item: (order.index(item[0][0]), order.index(item[1]), str(item[0][1]))
        ):
            arrows.setdefault((str(state), str(after)), []).append(str(event))
        lines = [f"    {state} --> {after}: {', '.join(events)}" for (state, after), events in arrows.items()]
        parts.append(
            f"\n## {title}\n\n{text}\n\n```mermaid\nstateDiagram-v2\n    [*] --> {first}\n"
            + "\n".join(lines)
            + "\n```\n"
        )
    owners = "\n".join(f"| {state} | {owner} |" for state, owner in positions.OWNER.items())
    parts.append(f"\n### Who acts next on a position\n\n| state | service |\n|---|---|\n{owners}\n")
    return "".join(parts)


def test_the_page_is_what_the_tables_say():
    if os.environ.get("ONEBOOK_WRITE_DOCS"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page()
