"""Windows that are over, settled by the venue's word and proved afterwards, on a real Book as the reconciler's role."""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

import pytest

from services.reconciler.settling import queries
from services.reconciler.settling.loops import Settlement
from shared.bus.listen import Wakeup
from shared.runtime.clock import SystemClock
from shared.venue.listings import Resolution, Resolutions
from shared.venue.refusals import ReadFailed
from tests.contract.venue_running import INSTRUMENT, against_simulator, trader
from tests.factories import Desk

pytestmark = pytest.mark.integration
ONE, ZERO = Decimal(1), Decimal(0)


@dataclass
class Mouth:
    """A venue that says what a test wants; the real reading is tried against the simulator below."""

    said: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    failed: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)

    async def resolutions(self, window_id, condition_id):
        del condition_id
        self.asked.append(window_id)
        return Resolutions(
            tuple(
                Resolution(up, down, SystemClock().now(), source) for source, (up, down) in self.said.items()
            ),
            self.failed,
        )

    async def market(self, window_id):
        raise ReadFailed(window_id, "this mouth has no listings")


@pytest.fixture
async def database(db):
    return await db(role="reconciler")


@pytest.fixture
def mouth():
    return Mouth()


@pytest.fixture
def settlement(database, mouth):
    return Settlement(database, Wakeup(frozenset({"window_changed"})), mouth, SystemClock())


def over(desk: Desk, *, ago_s: float = 2, **fields: object) -> str:
    return desk.window(opens_in_s=-60 - ago_s, closes_in_s=-ago_s, **fields)


def held(desk: Desk, *, ago_s: float = 2) -> tuple[str, object]:
    """A window that was bought in while it ran, and is over now."""
    window = desk.window()
    claim = desk.hold(window)
    desk.owner.execute(
        "UPDATE windows SET opens_at = clock_timestamp() - make_interval(secs => %s + 60),"
        " closes_at = clock_timestamp() - make_interval(secs => %s) WHERE window_id = %s",
        [ago_s, ago_s, window],
    )
    return window, claim


def ticks(desk: Desk, window: str, *, opening: str, closing: str, source: str = "chainlink_twap") -> None:
    """The collector's record around both boundaries, one price a second."""
    desk.do("operator", "SELECT ensure_partitions(1)")
    row = desk.one("SELECT opens_at, closes_at FROM windows WHERE window_id = %s", window)
    for boundary, price in ((row["opens_at"], opening), (row["closes_at"], closing)):
        for second in range(-5, 6):
            at = boundary + timedelta(seconds=second)
            desk.do(
                "feed_collector",
                "INSERT INTO price_ticks (timestamp, symbol, source, price, source_timestamp) VALUES (%s, 'BTC', %s, %s, %s)",
                at, source, Decimal(price), at,
            )  # fmt: skip


def window_row(desk: Desk, window: str) -> dict:
    return desk.one("SELECT * FROM windows WHERE window_id = %s", window)


async def test_a_held_window_is_settled_and_its_profit_proved(desk, settlement, mouth):
    window, claim = held(desk)
    ticks(desk, window, opening="100", closing="101")
    mouth.said = {"data": (ONE, ZERO), "gamma": (ONE, ZERO)}
    await settlement.settle_due()
    row = window_row(desk, window)
    assert (row["state"], row["payout_up"], row["our_direction"]) == ("RESOLVED", 1, "UP")
    assert desk.position(claim)["state"] == "SETTLEMENT"
    check = desk.one("SELECT * FROM settlement_checks")
    assert (check["our_direction"], check["venue_direction"], check["agrees"]) == ("UP", "UP", True)
    assert (check["book_pnl_usdc"], check["balance_delta_usdc"]) == (Decimal("1.95"), None)
    desk.do(
        "execution",
        "SELECT expected_usdc FROM claim_redeem(%s, 'desk', 'PAPER', %s, 'r', 1, 0)",
        desk.epoch,
        window,
    )
    desk.do("execution", "SELECT record_redemption('r', 'PAID', '{\"paid_usdc\": \"4\"}')")
    await settlement.settle_due()
    check = desk.one("SELECT * FROM settlement_checks")
    assert (check["balance_delta_usdc"], check["agrees"]) == (Decimal("1.95"), True)
    desk.assert_books_agree()


async def test_a_loser_is_proved_at_once(desk, settlement, mouth):
    held(desk)
    mouth.said = {"clob": (ZERO, ONE)}
    await settlement.settle_due()
    check = desk.one("SELECT * FROM settlement_checks")
    assert (check["our_direction"], check["venue_direction"]) == ("UNDECIDED", "DOWN")
    assert (check["book_pnl_usdc"], check["balance_delta_usdc"], check["agrees"]) == (
        Decimal("-2.05"),
        Decimal("-2.05"),
        True,
    )


async def test_a_profit_that_no_trade_explains_trips(desk, settlement, mouth):
    window, _ = held(desk)
    mouth.said = {"data": (ONE, ZERO)}
    await settlement.settle_due()
    desk.do(
        "execution",
        "SELECT expected_usdc FROM claim_redeem(%s, 'desk', 'PAPER', %s, 'r', 1, 0)",
        desk.epoch,
        window,
    )
    desk.do("execution", "SELECT record_redemption('r', 'PAID', '{\"paid_usdc\": \"4\"}')")
    desk.owner.execute("UPDATE fills SET usdc = usdc + 0.000001")
    await settlement.settle_due()
    assert desk.gate()["breaker_reason"] == "RECONCILIATION_MISMATCH"
    assert [row["kind"] for row in desk.all("SELECT kind FROM discrepancies")] == ["SETTLED_PNL"]


async def test_an_invalid_market_pays_half(desk, settlement, mouth):
    window, claim = held(desk)
    mouth.said = {"data": (Decimal("0.5"), Decimal("0.5"))}
    await settlement.settle_due()
    assert window_row(desk, window)["payout_down"] == Decimal("0.5")
    assert desk.position(claim)["booked_receivable"] == 2


async def test_windows_nobody_holds_are_settled_too_whatever_state_they_were_left_in(desk, settlement, mouth):
    windows = [over(desk, state=state) for state in ("DISCOVERED", "OPEN", "CLOSED")]
    mouth.said = {"data": (ZERO, ONE)}
    await settlement.settle_due()
    assert [window_row(desk, window)["state"] for window in windows] == ["RESOLVED"] * 3
    assert desk.all("SELECT * FROM settlement_checks") == []


async def test_a_window_is_not_asked_for_before_a_second_has_passed(desk, settlement, mouth):
    over(desk, ago_s=0.2)
    await settlement.settle_due()
    assert mouth.asked == []


async def test_a_venue_that_has_not_spoken_is_asked_again_and_nothing_is_guessed(desk, settlement, mouth):
    window = over(desk)
    ticks(desk, window, opening="100", closing="101")
    for _ in range(3):
        await settlement.settle_due()
    assert mouth.asked == [window], "asked again only after a while"
    assert window_row(desk, window)["state"] == "OPEN"
    settlement._ask_at.clear()
    mouth.said, mouth.failed = {"gamma": (ONE, ZERO)}, ("data: no answer",)
    await settlement.settle_due()
    assert window_row(desk, window)["resolution_source"] == "gamma"


async def test_two_mouths_that_differ_settle_nothing_and_call_a_person(desk, settlement, mouth):
    window, claim = held(desk)
    mouth.said = {"data": (ONE, ZERO), "clob": (ZERO, ONE)}
    await settlement.settle_due()
    assert window_row(desk, window)["state"] == "OPEN"
    assert desk.position(claim)["state"] == "MONITORING"
    assert (
        desk.one("SELECT severity FROM alerts WHERE kind = 'resolution_conflict'")["severity"] == "CRITICAL"
    )


async def test_our_own_prices_against_the_venue_are_a_discrepancy_and_the_venue_is_recorded(
    desk, settlement, mouth
):
    window, _ = held(desk)
    ticks(desk, window, opening="100", closing="99")
    mouth.said = {"data": (ONE, ZERO)}
    await settlement.settle_due()
    assert window_row(desk, window)["payout_up"] == 1
    assert not desk.one("SELECT agrees FROM settlement_checks")["agrees"]
    found = desk.one("SELECT * FROM discrepancies")
    assert (found["kind"], found["subject"], found["book"]) == ("DIRECTION", window, {"ours": "DOWN"})
    assert desk.gate()["breaker"] == "CLOSED"


async def test_an_hourly_window_is_judged_by_the_candle(desk, settlement, mouth):
    window = over(desk, rule="BINANCE_CANDLE")
    ticks(desk, window, opening="100", closing="99", source="binance_spot")
    ticks(desk, window, opening="100", closing="105", source="chainlink_twap")
    mouth.said = {"data": (ZERO, ONE)}
    await settlement.settle_due()
    assert window_row(desk, window)["our_direction"] == "DOWN"


async def test_a_window_without_a_word_for_ten_minutes_is_unresolved_alerted_once_and_settled_when_it_comes(
    desk, settlement, mouth
):
    window = over(desk, ago_s=601)
    for _ in range(2):
        settlement._ask_at.clear()
        await settlement.settle_due()
    assert window_row(desk, window)["state"] == "UNRESOLVED"
    assert [
        row["repeats"] for row in desk.all("SELECT repeats FROM alerts WHERE kind = 'window_unresolved'")
    ] == [0]
    mouth.said = {"data": (ONE, ZERO)}
    settlement._ask_at.clear()
    await settlement.settle_due()
    assert window_row(desk, window)["state"] == "RESOLVED"


async def test_a_payout_half_an_hour_late_is_told_once(desk, settlement, mouth):
    window, claim = held(desk)
    mouth.said = {"data": (ONE, ZERO)}
    await settlement.settle_due()
    assert desk.all("SELECT * FROM alerts WHERE kind = 'payout_unpaid'") == []
    desk.owner.execute(
        "UPDATE windows SET resolved_at = resolved_at - interval '31 minutes' WHERE window_id = %s", [window]
    )
    for _ in range(2):
        await settlement.settle_due()
    (alert,) = desk.all("SELECT * FROM alerts WHERE kind = 'payout_unpaid'")
    assert (alert["dedup_key"], alert["repeats"]) == (f"payout_unpaid:{claim.position_id}", 0)


async def test_two_reconcilers_settle_once(desk, database, settlement, mouth):
    window, _ = held(desk)
    mouth.said = {"data": (ONE, ZERO)}
    other = Settlement(database, Wakeup(frozenset({"window_changed"})), mouth, SystemClock())
    (due,) = await database.retry_read(queries.due_windows)
    assert await settlement.settle(due)
    assert await other.settle(due)
    resolved = desk.all(
        "SELECT * FROM audit_events WHERE kind = 'window_resolved' AND window_id = %s", window
    )
    assert len(resolved) == 1


async def test_a_window_of_the_simulator_is_settled_by_what_all_its_mouths_say(desk, database):
    async def check(running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            window = (
                over(desk, window_id=listing.window_id, condition_id=listing.condition_id)
                and listing.window_id
            )
            settlement = Settlement(database, Wakeup(frozenset({"window_changed"})), me.public, running.clock)
            await settlement.settle_due()
            assert window_row(desk, window)["state"] == "OPEN"
            running.jump(90)
            settlement._ask_at.clear()
            await settlement.settle_due()
            row = window_row(desk, window)
            assert row["state"] == "RESOLVED"
            truth = (await running.control.get("/_sim/windows")).json()["windows"]
            winner = next(each["winner"] for each in truth if each["slug"] == window)
            assert (row["payout_up"], row["payout_down"]) == ((1, 0) if winner == "UP" else (0, 1))
            assert row["instrument"] == INSTRUMENT

    await against_simulator(check)
