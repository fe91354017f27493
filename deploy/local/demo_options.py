"""What a demo is asked for: options of the command line, each with its variable, as `make demo` passes them."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.domain.modes import Mode

FOLDER = Path("var/demo")
MODES = (Mode.PAPER, Mode.DRY_RUN, Mode.LIVE)
WINDOW_S = 60
DASHBOARD_PORT = 8080


class OptionInvalid(ValueError):
    """An option cannot be meant; the message says what can."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """A demo that can be run."""

    windows: int
    """How many windows to trade and settle; 0: until Ctrl-C."""
    mode: Mode
    headless: bool
    summary: Path | None
    seed: int
    source: str
    window_s: int
    folder: Path
    dashboard_port: int
    picture: Path | None
    """Where to keep an SVG of the screen, taken while the last window trades."""

    @property
    def trading_limit_s(self) -> int:
        """Return how long entries are taken, from the start of the services: two windows to spare, one to start."""
        return (self.windows + 3) * self.window_s


def read_options(
    arguments: Sequence[str], environment: Mapping[str, str], *, is_terminal: bool
) -> DemoOptions:
    """Return the options; raises OptionInvalid. An empty variable counts as absent: make exports all of them."""
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    parser = argparse.ArgumentParser(
        prog="make demo", description="Trade recorded markets on this machine and watch."
    )
    parser.add_argument("--windows", default=given.get("WINDOWS", "0"))
    parser.add_argument("--mode", default=given.get("MODE", "PAPER"))
    parser.add_argument("--headless", action="store_true", default=_is_yes(given.get("HEADLESS", "")))
    parser.add_argument("--summary", default=given.get("SUMMARY"))
    parser.add_argument("--seed", default=given.get("SEED", "1"))
    parser.add_argument("--source", default=given.get("SOURCE", "sample"))
    parser.add_argument("--window-s", default=given.get("WINDOW_S", str(WINDOW_S)))
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--dashboard-port", default=given.get("DASHBOARD_PORT", str(DASHBOARD_PORT)))
    parser.add_argument("--picture", type=Path, default=None)
    chosen = parser.parse_args(arguments)
    return DemoOptions(
        windows=_count("WINDOWS", chosen.windows, 0, 10_000),
        mode=_mode(chosen.mode),
        headless=chosen.headless or not is_terminal,
        summary=Path(chosen.summary) if chosen.summary else None,
        seed=_count("SEED", chosen.seed, 0, 2**31),
        source=chosen.source,
        window_s=_count("WINDOW_S", chosen.window_s, WINDOW_S, 900),
        folder=chosen.folder,
        dashboard_port=_count("DASHBOARD_PORT", chosen.dashboard_port, 0, 65_535),
        picture=chosen.picture,
    )


def _is_yes(text: str) -> bool:
    return text.lower() in {"1", "yes", "true", "on"}


def _count(name: str, text: str, low: int, high: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise OptionInvalid(f"{name} must be a whole number, not {text!r}") from None
    if not low <= value <= high:
        raise OptionInvalid(f"{name} must be between {low} and {high}, not {value}")
    return value


def _mode(text: str) -> Mode:
    try:
        mode = Mode(text.strip().upper())
    except ValueError:
        mode = Mode.BACKTEST
    if mode not in MODES:
        raise OptionInvalid(f"MODE must be {', '.join(MODES[:-1])} or {MODES[-1]}, not {text!r}")
    return mode


def options_of_this_process() -> DemoOptions:
    """Return this process's options; ends it with status 2 and one clear line when they cannot be meant."""
    try:
        return read_options(sys.argv[1:], os.environ, is_terminal=sys.stdout.isatty())
    except OptionInvalid as invalid:
        print(f"demo: {invalid}", file=sys.stderr)
        raise SystemExit(2) from None
