"""Every transition table, written out by hand as a picture: no cell is missing, none is there by accident."""

from itertools import product

import pytest

from shared.domain import breaker, orders, positions, redemptions, signals, trades, windows

# rows: states; columns: events; a dash: the event changes nothing
GRIDS = {
    "signal": """
                CLAIMED  REFUSED  EXPIRED
NEW             ORDERED  REFUSED  EXPIRED
ORDERED         -        -        -
REFUSED         -        -        -
EXPIRED         -        -        -
""",
    "order": """
             RESTS DELAYED MATCHED KILLED REFUSED  NOT_SENT LOST    CANCEL_SENT EXPIRED PROVED_ABSENT
SUBMITTING   LIVE  DELAYED FILLED  KILLED REJECTED NOT_SENT UNKNOWN -           -       -
DELAYED      LIVE  -       FILLED  KILLED REJECTED -        UNKNOWN -           -       -
LIVE         -     -       FILLED  KILLED -        -        -       CANCELLING  EXPIRED -
CANCELLING   LIVE  -       FILLED  KILLED -        -        UNKNOWN -           -       -
UNKNOWN      LIVE  DELAYED FILLED  KILLED REJECTED NOT_SENT -       CANCELLING  EXPIRED NEVER_PLACED
FILLED       -     -       -       -      -        -        -       -           -       -
KILLED       -     -       -       -      -        -        -       -           -       -
REJECTED     -     -       -       -      -        -        -       -           -       -
NOT_SENT     -     -       -       -      -        -        -       -           -       -
EXPIRED      -     -       -       -      -        -        -       -           -       -
NEVER_PLACED -     -       -       -      -        -        -       -           -       -
""",
    "fill": """
            MATCHED  MINED  RETRYING  CONFIRMED  FAILED
MATCHED     -        MINED  RETRYING  CONFIRMED  FAILED
MINED       -        -      RETRYING  CONFIRMED  FAILED
RETRYING    -        MINED  -         CONFIRMED  FAILED
CONFIRMED   -        -      -         -          -
FAILED      -        -      -         -          -
""",
    "window": """
            OPENED  CLOSED  OVERDUE     RESOLVED
DISCOVERED  OPEN    -       -           -
OPEN        -       CLOSED  -           -
CLOSED      -       -       UNRESOLVED  RESOLVED
UNRESOLVED  -       -       -           RESOLVED
RESOLVED    -       -       -           -
""",
    "breaker": """
        TRIP  RESET
CLOSED  OPEN  -
OPEN    -     CLOSED
""",
    "redemption": """
           SUBMITTED LOST    PAID FAILED
CLAIMED    SUBMITTED UNKNOWN PAID FAILED
SUBMITTED  -         UNKNOWN PAID FAILED
UNKNOWN    SUBMITTED -       PAID FAILED
PAID       -         -       -    -
FAILED     -         -       -    -
""",
    "position-money": """
                      MATCHED    ENTRY_DEAD SOLD   RESOLVED   REDEEM_CLAIMED REDEEM_FAILED PAID   SELL_FAILED
OPENING               MONITORING VOID       -      -          -              -             -      -
MONITORING            -          VOID       -      -          -              -             -      -
STOP_TRIGGERED        -          VOID       -      -          -              -             -      -
TAKE_PROFIT_TRIGGERED -          VOID       -      -          -              -             -      -
FLATTEN_TRIGGERED     -          VOID       -      -          -              -             -      -
EXIT_PENDING          -          -          CLOSED -          -              -             -      MONITORING
EXPIRED               -          VOID       CLOSED SETTLEMENT -              -             -      -
SETTLEMENT            -          VOID       -      -          REDEEMING      -             CLOSED -
REDEEMING             -          -          -      -          -              SETTLEMENT    CLOSED -
CLOSED                -          VOID       -      -          -              -             -      MONITORING
VOID                  MONITORING -          -      -          -              -             -      -
""",
    "position-exit": """
                      STOP           TAKE_PROFIT           FLATTEN           EXIT_CLAIMED WINDOW_OVER
OPENING               -              -                     -                 -            EXPIRED
MONITORING            STOP_TRIGGERED TAKE_PROFIT_TRIGGERED FLATTEN_TRIGGERED -            EXPIRED
STOP_TRIGGERED        -              -                     -                 EXIT_PENDING EXPIRED
TAKE_PROFIT_TRIGGERED -              -                     -                 EXIT_PENDING EXPIRED
FLATTEN_TRIGGERED     -              -                     -                 EXIT_PENDING EXPIRED
EXIT_PENDING          STOP_TRIGGERED TAKE_PROFIT_TRIGGERED FLATTEN_TRIGGERED -            EXPIRED
EXPIRED               -              -                     -                 -            -
SETTLEMENT            -              -                     -                 -            -
REDEEMING             -              -                     -                 -            -
CLOSED                -              -                     -                 -            EXPIRED
VOID                  -              -                     -                 -            EXPIRED
""",
}
TABLES = {
    "signal": (signals.TRANSITIONS, signals.SignalState, {"CLAIMED", "REFUSED", "EXPIRED"}),
    "order": (orders.TRANSITIONS, orders.OrderState, set(orders.OrderEvent)),
    "fill": (trades.TRANSITIONS, trades.FillState, set(trades.FillState)),
    "window": (windows.TRANSITIONS, windows.WindowState, set(windows.WindowEvent)),
    "breaker": (breaker.TRANSITIONS, breaker.BreakerState, {"TRIP", "RESET"}),
    "redemption": (redemptions.TRANSITIONS, redemptions.RedemptionState, set(redemptions.RedemptionEvent)),
    "position": (positions.TRANSITIONS, positions.PositionState, set(positions.PositionEvent)),
}


def cells(entity):
    """The picture as a mapping of (state, event) to the next state."""
    found = {}
    for name, grid in GRIDS.items():
        if name.partition("-")[0] != entity:
            continue
        header, *rows = grid.strip("\n").splitlines()
        events = header.split()
        for row in rows:
            state, *nexts = row.split()
            found.update({(state, event): after for event, after in zip(events, nexts, strict=True)})
    return found


@pytest.mark.parametrize("entity", TABLES)
def test_the_picture_covers_every_state_and_event(entity):
    _, states, events = TABLES[entity]
    assert set(cells(entity)) == set(
        product([str(state) for state in states], [str(event) for event in events])
    )


@pytest.mark.parametrize("entity", TABLES)
def test_the_table_is_the_picture(entity):
    table, _, _ = TABLES[entity]
    drawn = {cell: after for cell, after in cells(entity).items() if after != "-"}
    assert {(str(state), str(event)): str(after) for (state, event), after in table.items()} == drawn


def test_a_step_that_is_not_in_the_table_is_none():
    assert orders.next_state(orders.OrderState.FILLED, orders.OrderEvent.KILLED) is None
    assert positions.next_state(positions.PositionState.VOID, positions.PositionEvent.MATCHED) == "MONITORING"


def test_every_order_state_is_either_possibly_live_or_terminal():
    assert set(orders.OrderState) == orders.POSSIBLY_LIVE | orders.TERMINAL
    assert not orders.POSSIBLY_LIVE & orders.TERMINAL
    assert orders.OrderState.UNKNOWN in orders.POSSIBLY_LIVE, "an Unknown order is exposure"


def test_every_position_state_has_an_owner_and_every_exit_a_trigger():
    assert set(positions.OWNER) == set(positions.PositionState)
    assert set(positions.TRIGGER_OF) == set(positions.ExitReason) - {positions.ExitReason.EXPIRY}
    assert set(positions.TRIGGER_OF.values()) == positions.TRIGGERED
