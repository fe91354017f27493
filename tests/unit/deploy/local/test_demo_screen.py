import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from rich.console import Console

from deploy.local.demo_panels import Course, draw
from deploy.local.demo_screen import PlainScreen, save_picture
from deploy.local.processes import Program, Watched
from services.dashboard.api.capture.schemas import FeedScreen
from services.dashboard.api.schemas import (
    AccountScreen,
    BookTop,
    EventScreen,
    ExecutorScreen,
    OrderScreen,
    Overview,
    PositionScreen,
    ServiceScreen,
    WindowScreen,
)
from tests.unit.services.dashboard.api.samples import NOTHING_CAPTURED

NOW = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
OPENS = NOW - timedelta(seconds=30)
ACCOUNT = AccountScreen(
    account="oracle",
    mode="LIVE",
    strategies=["oracle-average"],
    breaker="CLOSED",
    breaker_reason=None,
    kill_switch="OFF",
    mode_ceiling="LIVE",
    halted=False,
    deposited=Decimal(100),
    cash=Decimal("96.5"),
    reserved=Decimal(0),
    positions=Decimal(4),
    receivable=Decimal(0),
    gross_pnl=Decimal("0.6"),
    fees=Decimal("0.1"),
    net_pnl=Decimal("0.500001"),
    unrealised_pnl=Decimal(0),
    open_count=1,
    wins=1,
    losses=0,
)
WINDOW = WindowScreen(
    window_id="btc-updown-15m-1",
    instrument="BTC",
    state="OPEN",
    opens_at=OPENS,
    closes_at=OPENS + timedelta(seconds=60),
    strike=Decimal("76978.00000000"),
    up=BookTop(Decimal("0.4100"), Decimal("0.42"), Decimal("0.2"), continuous=True),
    down=BookTop(Decimal("0.58"), None, Decimal("0.2"), continuous=True),
    winner=None,
    our_direction=None,
    tainted=False,
)
POSITION = PositionScreen(
    position_id="pos-1",
    account="oracle",
    mode="LIVE",
    strategy="oracle-average",
    window_id="btc-updown-15m-1",
    window_opens_at=OPENS,
    side="DOWN",
    state="MONITORING",
    opened_at=NOW,
    shares=Decimal("5.12"),
    cost=Decimal(4),
    average_price=Decimal("0.78"),
    mark=Decimal("0.58"),
    net_pnl=Decimal("-0.06"),
    exit_reason=None,
    payout=None,
)
ORDER = OrderScreen(
    order_id="0x" + "ab" * 32,
    account="oracle",
    mode="LIVE",
    purpose="ENTRY",
    window_id="btc-updown-15m-1",
    outcome="DOWN",
    side="BUY",
    state="UNKNOWN",
    reason="TIMEOUT",
    claimed_at=NOW,
    limit_price=Decimal("0.8"),
    shares=Decimal(0),
    usdc=Decimal(0),
    fee=Decimal(0),
    signal_to_sent_ms=Decimal("12.345"),
)
EVENT = EventScreen(
    event_id=7,
    at=NOW,
    account="oracle",
    mode="LIVE",
    kind="entry_claimed",
    actor="onebook_execution",
    window_id="btc-updown-15m-1",
    details={"limit_price": "0.80"},
)
OVERVIEW = Overview(
    read_at=NOW,
    accounts=[ACCOUNT],
    windows=[WINDOW],
    feeds=[FeedScreen("chainlink", "BTC", Decimal("76969.5"), Decimal("0.3"), stale=False, ticks=9)],
    capture=NOTHING_CAPTURED,
    positions=[POSITION],
    orders=[ORDER],
    events=[EVENT],
    services=[
        ServiceScreen("execution", "one", Decimal("0.4"), healthy=True, details={}),
        ServiceScreen("reconciler", "one", Decimal(40), healthy=True, details={}),
    ],
    executor=ExecutorScreen(3, "one", reconciled=True),
    pnl=[],
    alerts=[],
    signals={},
)


def watched(name: str, pid: int | None, restarts: int = 0) -> Watched:
    return Watched(Program(name, name, {}), Path(name), pid=pid, restarts=restarts)


COURSE = Course(
    mode="LIVE",
    source="sample, seed 1",
    elapsed=timedelta(seconds=95),
    wanted=3,
    traded=1,
    settled=0,
    note="no more entries",
    page="http://127.0.0.1:8080/",
    watched=[watched("execution", 1, restarts=2), watched("reconciler", 2), watched("signal_engine", None)],
)


def screen(overview: Overview = OVERVIEW) -> str:
    console = Console(file=io.StringIO(), width=160, height=44, color_system=None)
    console.print(draw(overview, COURSE), height=44)
    return console.file.getvalue()


def test_the_screen_shows_the_window_its_prices_and_what_is_held():
    shown = screen()
    for words in (
        "30 s left",
        "0.41/0.42",
        "0.58/-",
        "76978.00",
        "76969.50",
        "MONITORING",
        "UNKNOWN",
    ):
        assert words in shown
    assert "windows: 1 of 3 traded, 0 settled" in shown
    assert "+0.5000" in shown


def test_a_service_that_is_down_or_silent_is_shown_as_such():
    lines = {
        name: line
        for line in screen().splitlines()
        for name in ("execution", "reconciler", "signal_engine")
        if f" {name} " in line
    }
    assert "yes" in lines["execution"]
    assert "silent" in lines["reconciler"]
    assert "down" in lines["signal_engine"]


def test_an_open_breaker_takes_the_place_of_an_open_gate():
    broken = replace(OVERVIEW, accounts=[replace(ACCOUNT, breaker="OPEN", breaker_reason="DRAWDOWN")])
    assert "DRAWDOWN" in screen(broken)


def test_nothing_yet_is_a_screen_too():
    empty = replace(
        OVERVIEW,
        accounts=[],
        windows=[],
        feeds=[],
        positions=[],
        orders=[],
        events=[],
        services=[],
        executor=None,
    )
    assert "nobody leads yet" in screen(empty)


def lines_of(*overviews: Overview) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    plain = PlainScreen(console)
    with plain.alive():
        for overview in overviews:
            plain.show(overview, COURSE)
    return console.file.getvalue().splitlines()


def test_each_event_is_printed_once_and_the_state_now_and_then():
    later = replace(
        OVERVIEW,
        read_at=NOW + timedelta(seconds=1),
        events=[replace(EVENT, event_id=8, kind="order_filled"), EVENT],
    )
    lines = lines_of(OVERVIEW, later)
    assert [line.split("  ")[2] for line in lines if not line.startswith("--")] == [
        "entry claimed",
        "order filled",
    ]
    assert len([line for line in lines if line.startswith("--")]) == 1
    much_later = replace(OVERVIEW, read_at=NOW + timedelta(seconds=15))
    assert len([line for line in lines_of(OVERVIEW, much_later) if line.startswith("--")]) == 2


def test_the_plain_line_names_who_is_not_fit():
    assert "not fit: reconciler" in lines_of(OVERVIEW)[-1]


def test_a_picture_of_the_screen_is_an_svg(tmp_path):
    save_picture(OVERVIEW, COURSE, tmp_path / "docs" / "demo.svg")
    assert (tmp_path / "docs" / "demo.svg").read_text().startswith("<svg")
