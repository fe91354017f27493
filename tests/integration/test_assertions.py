"""The ten assertions on real rows: each is broken once in reality and trips; a clean run keeps all ten (R10)."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from psycopg.types.json import Jsonb

from services.risk_monitor.asserting import actions
from services.risk_monitor.asserting.loops import Assertions
from services.risk_monitor.loops import Progress
from shared.domain.assertions import NAMES
from shared.domain.ids import AccountId
from shared.domain.modes import Mode
from shared.runtime.clock import SystemClock
from tests.factories import Desk

pytestmark = pytest.mark.integration
ACCOUNT = (AccountId("desk"), Mode.PAPER)
NOW = SystemClock().now()


@pytest.fixture
def check(db):
    """Check all ten now, as the risk monitor; returns what is broken by number."""

    async def run() -> dict[int, tuple[str, ...]]:
        database = await db(role="risk_monitor")
        results = await actions.check_assertions(
            database, ACCOUNT, now=NOW, instance="one", leaving_out=frozenset()
        )
        assert [result.number for result in results] == list(NAMES)
        return {result.number: result.broken for result in results if not result.passed}

    return run


def lead(desk: Desk) -> None:
    """An executor leads, has been compared for a while, and says so."""
    desk.owner.execute("UPDATE executor_epochs SET reconciled_at = reconciled_at - interval '1 minute'")
    details = Jsonb({"leading": True, "epoch": desk.epoch})
    desk.do("execution", "SELECT beat('execution', 'one', true, %s)", details)


def verify(desk: Desk, *, minutes_ago: float = 0, **marks: object) -> None:
    desk.do(
        "risk_monitor",
        "INSERT INTO position_verifications (account_id, mode, verified, skipped, venue, book, at)"
        " VALUES (%s, %s, %s, false, %s, %s, clock_timestamp() - %s)",
        desk.account,
        desk.mode,
        not marks,
        Jsonb({"blind": False, "short": False} | marks),
        Jsonb({"differences": ["token 1: Book 0, trades 4"] if marks else []}),
        timedelta(minutes=minutes_ago),
    )


def trade(desk: Desk) -> None:
    """A whole story: entered, filled, sold, settled; another that is held; one refused and one expired."""
    sold = desk.hold()
    desk.ask_exit(sold)
    out = desk.exit(sold)
    desk.trade(out.order_id, "s1", shares="4", usdc="2.4", price="0.6")
    desk.record(out.order_id, "MATCHED")
    desk.hold()
    window = desk.window()
    desk.do("execution", "SELECT refuse_signal(%s, 'COOLDOWN', '{}')", desk.signal(window))
    desk.do("execution", "SELECT refuse_signal(%s, 'SIGNAL_EXPIRED', '{}')", desk.signal(window, ordinal=1))
    verify(desk)


async def test_a_clean_run_keeps_all_ten(desk, check):
    lead(desk)
    trade(desk)
    assert await check() == {}
    assert desk.gate()["breaker"] == "CLOSED"
    kept = desk.all("SELECT assertion, held FROM assertion_results ORDER BY assertion")
    assert [(row["assertion"], row["held"]) for row in kept] == [(number, True) for number in NAMES]


def forget_a_signal(desk: Desk) -> None:
    lead(desk)
    desk.signal(desk.window(), expires_at=NOW - timedelta(seconds=20))


def leave_an_order_unreported(desk: Desk) -> None:
    desk.enter()
    desk.owner.execute("SET session_replication_role = replica")  # history, too, is as old
    for table, column in (("orders", "claimed_at"), ("control_history", "at")):
        desk.owner.execute(f"UPDATE {table} SET {column} = {column} - interval '11 seconds'")


def lose_a_fill(desk: Desk) -> None:
    claim = desk.hold()
    desk.owner.execute("UPDATE positions SET bought_shares = 5 WHERE position_id = %s", [claim.position_id])


def hold_unconfirmed(desk: Desk) -> None:
    desk.hold()
    desk.owner.execute("UPDATE positions SET opened_at = opened_at - interval '3 minutes'")


def pay_too_little(desk: Desk) -> None:
    desk.hold()
    desk.owner.execute(
        "INSERT INTO settlement_checks (window_id, account_id, mode, book_pnl_usdc, balance_delta_usdc, agrees)"
        " SELECT window_id, account_id, mode, 1.5, 1.499999, false FROM positions"
    )


def lose_an_id(desk: Desk) -> None:
    desk.hold()
    desk.owner.execute("ALTER TABLE orders DROP CONSTRAINT orders_order_id_check")
    desk.owner.execute("SET session_replication_role = replica")  # no triggers, no references
    desk.owner.execute("UPDATE orders SET order_id = ''")
    desk.owner.execute("UPDATE fills SET order_id = ''")


def hold_what_was_not_allowed(desk: Desk) -> None:
    desk.hold()
    desk.owner.execute("SET session_replication_role = replica")
    desk.owner.execute("UPDATE control_history SET new_value = 'ETH' WHERE key = 'allowed_instruments'")


def enter_before_the_opening(desk: Desk) -> None:
    desk.hold()
    desk.owner.execute("UPDATE windows SET opens_at = clock_timestamp() + interval '5 seconds'")


def deploy_too_much(desk: Desk) -> None:
    desk.hold()
    desk.control("max_session_loss", "1.99")


def let_a_loop_hang(desk: Desk) -> None:
    details = Jsonb({"slow_turns": {"enter": "5.200"}})
    desk.do("execution", "SELECT beat('execution', 'one', true, %s)", details)


BREAKS: dict[int, tuple[Callable[[Desk], None], str]] = {
    1: (forget_a_signal, "is NEW"),
    2: (leave_an_order_unreported, "is SUBMITTING"),
    3: (lose_a_fill, "records 5 of 4"),
    4: (hold_unconfirmed, "not confirmed since"),
    5: (pay_too_little, "expected 1.5, received 1.499999"),
    6: (lose_an_id, "an order claimed"),
    7: (hold_what_was_not_allowed, "is in BTC"),
    8: (enter_before_the_opening, "window opens"),
    9: (deploy_too_much, "of 1.99 USDC"),
    10: (let_a_loop_hang, "execution/one enter took 5.200 s"),
}


@pytest.mark.parametrize("number", NAMES)
async def test_each_broken_in_reality_is_kept_and_trips(desk, check, number):
    spoil, words = BREAKS[number]
    spoil(desk)
    broken = await check()
    assert list(broken) == [number]
    assert words in broken[number][0]
    (trip,) = desk.all("SELECT reason, context FROM breaker_history")
    assert (trip["reason"], trip["context"]["assertion"]) == ("ASSERTION_FAILED", number)
    kept = desk.one("SELECT * FROM assertion_results WHERE NOT held")
    assert (kept["assertion"], kept["details"]["broken"]) == (number, list(broken[number]))


async def test_4_fails_for_shares_nobody_explains_and_not_for_a_race(desk, check):
    desk.hold()
    verify(desk, blind=True)
    assert await check() == {}
    verify(desk, minutes_ago=0.1, blind=True)
    desk.owner.execute("DELETE FROM scheduled_work")
    assert list(await check()) == [4]


async def test_4_fails_for_a_position_the_venue_has_not_shown_for_two_minutes(desk, check):
    claim = desk.hold()
    verify(desk)
    desk.do("risk_monitor", "SELECT flag_orphans(%s, %s, %s)", *ACCOUNT, [desk.position(claim)["token_id"]])
    assert await check() == {}
    desk.owner.execute("UPDATE positions SET orphaned_since = orphaned_since - interval '2 minutes'")
    desk.owner.execute("DELETE FROM scheduled_work")
    assert (await check())[4] == (f"orphaned: {claim.position_id}",)


async def test_a_list_narrowed_later_outlaws_nothing_that_is_held(desk, check):
    desk.hold()
    desk.control("allowed_instruments", "ETH")
    assert await check() == {}


async def test_a_limit_nobody_can_read_counts_as_broken(desk, check):
    desk.hold()
    desk.owner.execute(
        "INSERT INTO runtime_controls VALUES ('desk', 'max_session_loss', 'much', now(), 'x', 'y')"
    )
    assert "cannot be read" in (await check())[9][0]


async def test_each_is_checked_once_a_period_by_whoever_is_first(desk, db):
    desk.hold()
    database = await db(role="risk_monitor")
    ask = {"database": database, "account": ACCOUNT, "now": NOW, "leaving_out": frozenset({4})}
    first = await actions.check_assertions(instance="one", **ask)
    assert len(first) == 9
    assert await actions.check_assertions(instance="two", **ask) == []
    later = ask | {"now": NOW + timedelta(seconds=5)}
    again = {result.number for result in await actions.check_assertions(instance="two", **later)}
    assert {2, 9} <= again < set(NAMES)


async def test_holdings_are_asserted_once_the_verifier_has_looked(desk, db):
    hold_unconfirmed(desk)
    clock = SystemClock()
    progress = Progress(clock, watched_at=clock.monotonic())
    asserting = Assertions(await db(role="risk_monitor"), "one", progress)
    await asserting.check()
    assert desk.gate()["breaker"] == "CLOSED"
    progress.verified = True
    await asserting.check()
    assert desk.gate()["breaker_reason"] == "ASSERTION_FAILED"
