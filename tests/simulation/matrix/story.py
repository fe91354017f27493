"""One cell from an empty Book to rest: entry, the act the point belongs to, the blows, the recovery, the settlement."""

import random
import tempfile
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.processes import look_again_after
from tests.simulation.matrix.answers import ANSWERS, RESTS, arming
from tests.simulation.matrix.cells import Blow, Cell
from tests.simulation.matrix.checks import problems
from tests.simulation.matrix.desk import CLOCK, CellDesk
from tests.simulation.matrix.evidence import gather
from tests.simulation.matrix.ground import Ground
from tests.simulation.matrix.hands import Row
from tests.simulation.matrix.strikes import Plan, Strike

READY_WITHIN_S = 40.0
REST_WITHIN_S = 220.0
"""A redemption without a receipt is asked for again after a minute (E21), and the venue may lose that one, too."""
LOOK_EVERY_S = 0.12
LEAD_MS = 700
"""A window is chosen that opens so much later: its row must be read at the venue before."""
SAID_AFTER_S = 0.7
SAID_WITHIN_S = 1.1
"""The venue tells its time in whole seconds, so an executor may think it half a second earlier; and cells that share a
window do not all speak at once: on a busy machine a send would be late for its claim, and not begin."""
AGAIN_AFTER_S = 0.5
SECOND_WITHIN_S = 20.0
TRIES = 6
WINDOWS_TRIED = 5
ASK_MAX = Decimal("0.85")
HELD_AT_MOST_S = 14.0


@dataclass
class Result:
    """What came of a cell."""

    cell: Cell
    problems: list[str] = field(default_factory=list)
    struck: int = 0
    restarts: int = 0
    tries: int = 1
    missed: bool = False
    """Nothing had struck yet, and the story did not go as it should: nothing was sent, or nothing met."""
    seconds: float = 0.0
    logs: str = ""
    seen: str = ""


def run_cell(ground: Ground, cell: Cell) -> Result:
    """Play one cell to its rest, and return what was wrong; never raises.

    A machine too busy to send within 100 ms of the claim sends nothing, as it should, and a book may be gone when the
    order arrives: then the point is not reached for no fault of anybody's. Such a cell is played again, and counted.
    """
    for tries in range(1, TRIES + 1):
        result = _run_once(ground, cell)
        result.tries = tries
        if not result.missed:
            break
    return result


def _run_once(ground: Ground, cell: Cell) -> Result:
    result = Result(cell)
    began = CLOCK.monotonic()
    with ExitStack() as stack:
        try:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cell-", dir=ground.folder)))
            server, database = stack.enter_context(
                ground.book(f"cell_{ground.number()}", own_server=cell.own_server)
            )
            plan = make_plan(cell, folder, port=server.port, pid_file=server.pid_file)
            desk = CellDesk(ground, server, database, folder, plan)
            stack.callback(desk.close)
            _play(desk, cell, result)
        except Exception:  # noqa: BLE001 - a cell that breaks is a result like any other
            result.problems.append(traceback.format_exc(limit=-4))
        if result.problems and "desk" in locals():
            result.logs = desk.logs()
    result.seconds = CLOCK.monotonic() - began
    return result


def make_plan(cell: Cell, folder: Path, *, port: int, pid_file: Path) -> Plan:
    """Return the blows of a cell; a hand-over begins with a leader that dies while its order is under way."""
    strikes = []
    waits_for = folder / "armed"
    blows = list(cell.blows)
    if cell.point.startswith("epoch."):
        blows.insert(0, Blow("entry.post.answered", "kill"))
    for number, blow in enumerate(blows):
        mark = folder / f"struck-{number}"
        strikes.append(Strike(blow.point, blow.act, str(mark), str(waits_for), blow.delay_ms))
        waits_for = mark
    return Plan(tuple(strikes), port, str(pid_file))


def _play(desk: CellDesk, cell: Cell, result: Result) -> None:
    desk.open()
    _wait(
        desk,
        "an executor leads and is reconciled",
        lambda now: now["reconciled"] and now["clock"] and now["balance"],
    )
    side = _enter(desk, cell)
    _BY_ACT[act_of(cell.point)](desk, cell, side)
    now = _rest(desk, side)
    result.struck = sum(Path(strike.mark).exists() for strike in desk.plan.strikes)
    result.restarts = desk.restarts
    result.seen = f"{now['orders']} {now['positions']} {now['signals']} restarts {desk.restarts}"
    evidence = gather(desk)
    result.problems += [
        f"the point {strike.point} was never reached"
        for strike in desk.plan.strikes
        if not Path(strike.mark).exists()
    ]
    broken = problems(evidence)
    result.missed = result.struck == 0 and not broken and _went_amiss(now, cell)
    result.problems += broken


def _went_amiss(now: Row, cell: Cell) -> bool:
    orders, played = now["orders"], ANSWERS[cell.answer]
    if not orders or any(order.endswith("NOT_SENT") for order in orders):
        return True
    if act_of(cell.point) == "exit" and not any(order.startswith("EXIT") for order in orders):
        return True
    return played.matched and not now["fills"]


def act_of(point: str) -> str:
    """Return the act whose answer the venue plays: exit, cancel, redeem, else the entry."""
    head = point.partition(".")[0]
    return head if head in {"exit", "cancel", "redeem"} else "entry"


def _wait(desk: CellDesk, what: str, look: Callable[[Row], Any]) -> Row:
    deadline = CLOCK.monotonic() + READY_WITHIN_S
    while CLOCK.monotonic() < deadline:
        desk.supervise()
        now = desk.status()
        if look(now):
            return now
        look_again_after(LOOK_EVERY_S)
    raise AssertionError(f"did not happen within {READY_WITHIN_S:g} s: {what}; {now}")


def _enter(desk: CellDesk, cell: Cell) -> str:
    """Say the signal in the first moments of a window, on the side that will win; returns the side."""
    for _ in range(WINDOWS_TRIED):
        side = _wait_for_window(desk, cell)
        asks = desk.book_of(side)["asks"]
        if asks and Decimal(asks[0][0]) <= ASK_MAX:
            break
    else:
        raise AssertionError("no window had anything to buy in its first moments")
    act, played = act_of(cell.point), ANSWERS[cell.answer]
    if act == "cancel":
        for body in arming(RESTS, "entry", desk.wallet):
            desk.arm(body)
    if act in {"entry", "cancel"} or (act == "redeem" and played.kind == "order"):
        _arm_answer(desk, cell, act if played.kind == "write" else "entry")
    if act in {"entry", "cancel"}:
        arm_blows(desk)
    desk.say(side)
    return side


def _wait_for_window(desk: CellDesk, cell: Cell) -> str:
    """Wait into the first moments of the next window; returns the side that will win it."""
    answer = desk.ground.venue.ask("/windows")
    window = min(
        (each for each in answer["windows"] if each["opens_at_ms"] >= answer["now_ms"] + LEAD_MS),
        key=lambda each: each["opens_at_ms"],
    )
    desk.write_window(window)
    _wait(desk, "the market is read and open", lambda now: now["market"] and now["opened"])
    chance = random.Random(f"{desk.folder}{window['slug']}")
    # Who sells again or arrives late needs most of the window still before it: near its end there is nobody to trade with.
    needs_time = act_of(cell.point) == "exit" or cell.answer == "late_arrival"
    look_again_after(SAID_AFTER_S + (0.5 if needs_time else SAID_WITHIN_S) * chance.random())
    return str(window["winner"])


def _arm_answer(desk: CellDesk, cell: Cell, act: str) -> None:
    for body in arming(ANSWERS[cell.answer], act, desk.wallet):
        desk.arm(body)


def arm_blows(desk: CellDesk) -> None:
    (desk.folder / "armed").touch()


def _entered(desk: CellDesk, cell: Cell, side: str) -> None:
    """The point belongs to the entry and what follows by itself; the strategy wishes again in the middle of it."""
    deadline = CLOCK.monotonic() + AGAIN_AFTER_S
    while CLOCK.monotonic() < deadline:
        desk.supervise()
        look_again_after(LOOK_EVERY_S)
    desk.say(side, ordinal=1)
    if cell.point != "reconcile.repaired":
        return
    # The executors would record everything themselves: they are gone for a while.
    _wait(desk, "the order is under way", lambda now: now["orders"] or now["signals"] != ["NEW"])
    desk.hold_executors()
    deadline = CLOCK.monotonic() + HELD_AT_MOST_S
    while CLOCK.monotonic() < deadline and not Path(desk.plan.strikes[0].mark).exists():
        desk.supervise()
        look_again_after(LOOK_EVERY_S)
    desk.let_go()


def _exited(desk: CellDesk, cell: Cell, side: str) -> None:
    """Ask to be out as soon as there is something to sell, and let the answer meet the sale."""
    now = _wait(desk, "a position is mined", lambda now: (now["mined"] and _position(now)) or now["closed"])
    if now["closed"]:
        return  # there was nothing to sell in time
    _arm_answer(desk, cell, "exit")
    arm_blows(desk)
    desk.tick(side)
    desk.ask_exit(_position(now))


def _redeemed(desk: CellDesk, cell: Cell, side: str) -> None:
    """Hold to the end, and let the answer meet the redemption."""
    del side
    _wait(desk, "the position is open", lambda now: now["mined"] or now["closed"])
    if ANSWERS[cell.answer].kind != "order":
        _arm_answer(desk, cell, "redeem")
    arm_blows(desk)


def _position(now: Row) -> str:
    return next((each.split()[1] for each in now["positions"] if each.startswith("MONITORING")), "")


_BY_ACT = {"entry": _entered, "exit": _exited, "cancel": _entered, "redeem": _redeemed}


def _rest(desk: CellDesk, side: str) -> Row:
    """Let everything come to its end: the window settled, nothing unfinished, venue and Book of one mind on the cash.

    A second blow may wait for the next comparison by schedule, when all has come to rest before it.
    """
    deadline = CLOCK.monotonic() + REST_WITHIN_S
    ticked_at, rested_at = 0.0, float("inf")
    now: Row = {}
    while CLOCK.monotonic() < deadline:
        desk.supervise()
        now = desk.status()
        if not now["closed"] and CLOCK.monotonic() - ticked_at > 0.3:
            ticked_at = CLOCK.monotonic()
            desk.tick(side)
        if is_at_rest(now) and Decimal(desk.wallet_truth()["cash"]) == now["cash"]:
            rested_at = min(rested_at, CLOCK.monotonic())
            first, *others = [Path(strike.mark).exists() for strike in desk.plan.strikes]
            if not first or all(others) or CLOCK.monotonic() - rested_at > SECOND_WITHIN_S:
                return now
        look_again_after(LOOK_EVERY_S)
    raise AssertionError(f"it did not come to rest: {now}; venue {desk.wallet_truth()}")


def is_at_rest(now: Row) -> bool:
    """Return whether nothing of the story is unfinished in the Book."""
    unfinished = ("possibly_live", "unexplained", "unsettled", "open_positions", "redeeming")
    return (
        now["window"] == "RESOLVED"
        and bool(now["reconciled"])
        and "NEW" not in now["signals"]
        and not any(now[name] for name in unfinished)
    )
