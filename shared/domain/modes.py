"""Trading modes, and how the environment's ceiling and the runtime control combine (D5)."""

from enum import StrEnum


class Mode(StrEnum):
    """What happens to an order; one unified set of tables holds all of them (B13)."""

    BACKTEST = "BACKTEST"
    PAPER = "PAPER"
    DRY_RUN = "DRY_RUN"
    LIVE = "LIVE"


RANK = {Mode.BACKTEST: 0, Mode.PAPER: 1, Mode.DRY_RUN: 2, Mode.LIVE: 3}


def effective(ceiling: Mode, control: Mode) -> Mode:
    """Return the lower of the process's ceiling and the runtime control: a control can only lower (R7)."""
    return min(ceiling, control, key=RANK.__getitem__)
