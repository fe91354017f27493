"""The risk monitor's two ways to the venue, over real sockets: verifying what is held, cancelling what rests."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest
from psycopg.types.json import Jsonb

from services.risk_monitor.auditing.loops import Audit
from services.risk_monitor.emergency import Emergency
from services.risk_monitor.loops import Progress
from services.risk_monitor.verifying.loops import Verifier
from shared.bus.listen import Wakeup
from shared.domain.ids import AccountId
from shared.domain.modes import Mode
from shared.domain.orders import OrderType
from shared.domain.outcomes import Success, Unknown
from shared.domain.prepared import Accepted, PreparedOrder
from shared.runtime.clock import SystemClock
from shared.venue.account_reading import AccountReading
from shared.venue.cancelling import Cancelling
from shared.venue.urls import VenueUrls
from tests.contract.venue_running import against_simulator, trader, yes
from tests.factories import Claim, Desk

pytestmark = pytest.mark.integration
ACCOUNT = AccountId("desk")
WAKEUP = frozenset({"position_changed"})


@pytest.fixture
def live(database_url, role_url, db):
    """Run acts with a LIVE desk, a wallet at a fresh venue, and the risk monitor's own connection."""

    async def play(act):
        async def check(running):
            async with trader(running) as me:
                with Desk(role_url, database_url, mode="LIVE") as desk:
                    await act(running, me, desk, await db(role="risk_monitor"))

        await against_simulator(check)

    return play


async def bought(me, desk):
    """A real order, claimed and sent; returns the claim, the prepared order and what the venue answered."""
    listing = await me.open_market()
    ids = {name: getattr(listing, name) for name in ("window_id", "condition_id", "up_token", "down_token")}
    desk.window(**ids)
    desk.control("max_position_usd", "10")
    signal = desk.signal(
        listing.window_id,
        token_id=listing.up_token,
        price=Decimal("0.99"),
        risk=Jsonb({"max_position_usdc": "10", "max_slippage": "0.02"}),
    )
    prepared = me.trading.prepare(me.intent(listing, position_id=f"pos-{signal}"))
    amounts = {
        "maker_amount": str(Decimal(prepared.maker_amount) / 1_000_000),
        "taker_amount": str(Decimal(prepared.taker_amount) / 1_000_000),
    }
    claim = desk.claim(
        signal, order_id=prepared.order_id, token_id=listing.up_token, limit_price="0.99", reserved_usdc="5.35",
        cap_usdc="10", **amounts,
    )  # fmt: skip
    assert claim.refused is None, claim.refused
    outcome = await me.trading.submit(prepared, before_send=yes)
    assert isinstance(outcome, Success)
    return claim, prepared, outcome.value


def newest(desk):
    return desk.one("SELECT * FROM position_verifications ORDER BY id DESC LIMIT 1")


async def test_what_is_held_is_verified_by_trades_and_balances_and_a_stranger_share_blinds(live):
    async def act(running, me, desk, database):
        claim, prepared, accepted = await bought(me, desk)
        fee = {"fee_usdc": "0.1"}
        desk.record(
            claim.order_id, "MATCHED", shares=str(accepted.shares), usdc=str(accepted.usdc),
            trade_ids=list(accepted.trade_ids), **fee,
        )  # fmt: skip
        clock = SystemClock()
        progress = Progress(clock, watched_at=clock.monotonic())
        verifier = Verifier(database, Wakeup(WAKEUP), {ACCOUNT: me.account}, progress)
        await verifier.verify_all()
        row = newest(desk)
        assert (row["verified"], row["skipped"]) == (True, False)
        assert row["venue"]["trades"] == {prepared.intent.token_id: str(accepted.shares)}
        running.jump(5)
        await verifier.verify_all()
        assert newest(desk)["verified"]
        assert Decimal(newest(desk)["venue"]["balances"][prepared.intent.token_id]) == accepted.shares
        assert progress.problems() == []

    await live(act)


class Late:
    """A venue that shows no trade yet, while the Book is told of one."""

    def __init__(self, account, learn):
        self._account, self._learn = account, [learn]

    async def trades(self, condition_id, fee):
        if self._learn:
            self._learn.pop()()
            return ()
        return await self._account.trades(condition_id, fee)

    async def balances(self, tokens, *, refresh):
        return await self._account.balances(tokens, refresh=refresh)


async def test_a_trade_recorded_while_the_venue_is_asked_is_no_difference(live):
    async def act(_running, me, desk, database):
        claim, _, accepted = await bought(me, desk)
        (trade_id,) = accepted.trade_ids

        def learn():
            fee = {"fee_usdc": "0", "state": "MATCHED"}
            desk.trade(claim.order_id, trade_id, shares=str(accepted.shares), usdc=str(accepted.usdc), **fee)

        clock = SystemClock()
        progress = Progress(clock, watched_at=clock.monotonic())
        await Verifier(database, Wakeup(WAKEUP), {ACCOUNT: Late(me.account, learn)}, progress).verify_all()
        kept = desk.all("SELECT verified FROM position_verifications")
        assert [row["verified"] for row in kept] == [True]

    await live(act)


async def test_shares_the_book_knows_nothing_of_blind_the_monitor_once_it_is_no_race(live):
    async def act(_running, me, desk, database):
        claim, _, _ = await bought(me, desk)
        clock = SystemClock()
        verifier = Verifier(
            database, Wakeup(WAKEUP), {ACCOUNT: me.account}, Progress(clock, watched_at=clock.monotonic())
        )
        await verifier.verify_all()
        assert not newest(desk)["verified"]
        assert desk.gate()["breaker"] == "CLOSED"
        desk.owner.execute("UPDATE position_verifications SET at = at - interval '3 seconds'")
        await verifier.verify_all()
        assert desk.gate()["breaker_reason"] == "STOP_LOSS_BLIND"
        assert desk.order_row(claim)["state"] == "SUBMITTING", "verifying changes nothing"

    await live(act)


@pytest.fixture
def verifying(live):
    """Run acts with a LIVE desk that has bought, and a verifier that reads the venue as the service does."""

    async def play(act):
        async def check(running, me, desk, database):
            clock = SystemClock()
            progress = Progress(clock, watched_at=clock.monotonic())
            claim, prepared, accepted = await bought(me, desk)
            async with AccountReading(
                running.urls, me.credentials, running.clock, signature_type=3, patient=False
            ) as reading:
                verifier = Verifier(database, Wakeup(WAKEUP), {ACCOUNT: reading}, progress)
                await act(running, desk, verifier, Bought(claim, prepared, accepted))

        await live(check)

    return play


@dataclass
class Bought:
    """An order that the venue matched: its claim, as it was sent, and the answer."""

    claim: Claim
    prepared: PreparedOrder
    accepted: Accepted


def fill(desk, order):
    accepted = order.accepted
    desk.record(
        order.claim.order_id, "MATCHED", shares=str(accepted.shares), usdc=str(accepted.usdc),
        trade_ids=list(accepted.trade_ids), fee_usdc="0.1",
    )  # fmt: skip


def age_looks(desk, seconds):
    desk.owner.execute("UPDATE position_verifications SET at = at - %s", [timedelta(seconds=seconds)])


@pytest.mark.parametrize("status", ["http_429", "http_503"])
async def test_a_limited_venues_last_answer_counts_for_half_a_minute_then_trading_stops(verifying, status):
    async def act(running, desk, verifier, order):
        fill(desk, order)
        desk.owner.execute("UPDATE positions SET opened_at = opened_at - interval '1 minute'")
        await verifier.verify_all()
        assert newest(desk)["verified"]
        await running.fault(status, match={"method": "GET", "path": "/data/trades"}, times=1, seconds=7)
        await verifier.verify_all()
        row = newest(desk)
        assert row["verified"], "by the answer of a moment ago"
        assert row["venue"]["cached"]
        assert row["venue"]["trades"] == {order.prepared.intent.token_id: str(order.accepted.shares)}
        assert verifier.progress.problems() == []
        await verifier.verify_all()
        assert newest(desk)["venue"].get("cached"), (
            "for seven seconds nobody asks, although the venue would answer"
        )
        age_looks(desk, 31)
        await verifier.verify_all()
        assert desk.gate()["breaker_reason"] == "VERIFICATION_RATE_LIMITED"
        assert verifier.progress.problems() != []
        verifier._quiet_until.clear()  # as if the seven seconds were over
        await verifier.verify_all()
        assert "cached" not in newest(desk)["venue"]
        assert verifier.progress.problems() == []

    await verifying(act)


async def test_what_is_held_for_less_than_half_a_minute_is_waited_for(verifying):
    async def act(running, desk, verifier, order):
        fill(desk, order)
        await running.fault("http_429", match={"method": "GET", "path": "/data/trades"}, times=9, seconds=7)
        await verifier.verify_all()
        assert desk.gate()["breaker"] == "CLOSED"
        assert desk.all("SELECT * FROM position_verifications") == []
        assert verifier.progress.problems() != []

    await verifying(act)


async def test_a_read_that_fails_is_no_empty_list(verifying):
    async def act(running, desk, verifier, order):
        fill(desk, order)
        await running.fault("http_500", match={"method": "GET", "path": "/data/trades"}, times=9)
        await verifier.verify_all()
        assert desk.all("SELECT * FROM position_verifications") == []
        assert desk.all("SELECT * FROM positions WHERE orphaned") == []
        assert verifier.progress.problems() != []

    await verifying(act)


async def test_what_the_venue_does_not_show_is_flagged_tripped_after_two_minutes_and_found_again(verifying):
    async def act(_running, desk, verifier, order):
        fill(desk, order)
        (real,) = order.accepted.trade_ids
        told = {"shares": str(order.accepted.shares), "usdc": str(order.accepted.usdc), "state": "MATCHED"}
        desk.trade(order.claim.order_id, real, **told)
        desk.trade(order.claim.order_id, "never", shares="2", usdc="0.1", state="MATCHED")
        await verifier.verify_all()
        assert not newest(desk)["verified"]
        assert not desk.position(order.claim)["orphaned"], "it may be a race"
        age_looks(desk, 3)
        await verifier.verify_all()
        assert desk.position(order.claim)["orphaned"]
        assert desk.gate()["breaker"] == "CLOSED", "an error, no halt yet"
        (alert,) = desk.all("SELECT * FROM alerts WHERE kind = 'position_orphaned'")
        assert (alert["severity"], alert["closed_at"]) == ("ERROR", None)
        desk.owner.execute("UPDATE positions SET orphaned_since = orphaned_since - interval '2 minutes'")
        await verifier.verify_all()
        assert desk.gate()["breaker_reason"] == "RECONCILIATION_MISMATCH"
        desk.do(
            "reconciler", "SELECT reverse_trade(%s, 'never', %s, 'test')",
            order.claim.order_id, desk.position(order.claim)["token_id"],
        )  # fmt: skip
        await verifier.verify_all()
        position = desk.position(order.claim)
        assert (position["orphaned"], position["orphaned_since"]) == (False, None)
        kinds = desk.all("SELECT kind FROM audit_events WHERE kind LIKE 'position_%%ed' ORDER BY event_id")
        assert "position_orphaned" in {row["kind"] for row in kinds}
        desk.assert_books_agree()

    await verifying(act)


async def test_shares_of_an_order_the_book_holds_for_dead_blind_although_no_position_is_open(verifying):
    async def act(_running, desk, verifier, order):
        desk.record(order.claim.order_id, "REFUSED")
        assert desk.position(order.claim)["state"] == "VOID"
        desk.control("stop_loss", "off")
        await verifier.verify_all()
        age_looks(desk, 3)
        await verifier.verify_all()
        assert desk.gate()["breaker_reason"] == "TAKE_PROFIT_BLIND", "no stop is on, a profit is"

    await verifying(act)


async def test_emergency_cancels_what_rests_once_a_switch(live):
    async def act(_running, me, desk, database):
        listing = await me.open_market()
        resting = me.trading.prepare(
            me.intent(listing, order_type=OrderType.GTC, limit_price=Decimal("0.01"), amount=Decimal(5))
        )
        assert isinstance(await me.trading.submit(resting, before_send=yes), Success)
        assert len(await me.account.open_orders()) == 1
        emergency = Emergency(
            database, Wakeup(frozenset({"gate_changed"})), {ACCOUNT: me.cancelling}, SystemClock(), "one"
        )
        await emergency.cancel_due()
        assert len(await me.account.open_orders()) == 1, "nobody said EMERGENCY"
        desk.control("kill_switch", "EMERGENCY")
        await emergency.cancel_due()
        assert await me.account.open_orders() == ()
        again = desk.one("SELECT done_at FROM scheduled_work WHERE work = 'cancel_all:desk'")
        await emergency.cancel_due()
        assert desk.one("SELECT done_at FROM scheduled_work WHERE work = 'cancel_all:desk'") == again

    await live(act)


class Deaf:
    """A venue whose answer never arrives."""

    async def cancel_all(self):
        return Unknown("TIMEOUT")


async def test_a_cancel_that_fails_is_told_and_tried_again_and_one_whose_answer_is_lost_stops_trading(live):
    async def act(running, me, desk, database):
        desk.control("kill_switch", "EMERGENCY")
        wakeup = Wakeup(frozenset({"gate_changed"}))
        async with Cancelling(
            VenueUrls(clob="http://127.0.0.1:9"), me.credentials, running.clock
        ) as refusing:
            await Emergency(database, wakeup, {ACCOUNT: refusing}, SystemClock(), "one").cancel_due()
        (alert,) = desk.all("SELECT * FROM alerts WHERE kind = 'cancel_all_failed'")
        assert (alert["severity"], alert["details"]["unknown"]) == ("CRITICAL", False)
        assert desk.gate()["breaker"] == "CLOSED"
        for tried in (Deaf(), me.cancelling):
            desk.owner.execute("UPDATE scheduled_work SET done_for = '0' WHERE work = 'cancel_all:desk'")
            assert desk.all("SELECT * FROM scheduled_work WHERE work = 'cancelled_all:desk'") == []
            await Emergency(database, wakeup, {ACCOUNT: tried}, SystemClock(), "one").cancel_due()
        assert desk.gate()["breaker_reason"] == "ORDER_UNKNOWN"
        assert len(desk.all("SELECT * FROM scheduled_work WHERE work = 'cancelled_all:desk'")) == 1

    await live(act)


async def test_the_data_api_is_told_where_it_differs_for_two_minutes_and_stops_nothing(live):
    async def act(running, me, desk, database):
        claim, prepared, accepted = await bought(me, desk)
        fill(desk, Bought(claim, prepared, accepted))
        running.jump(120)
        audit = Audit(database, me.public, {ACCOUNT: me.signer.wallet}, running.clock)
        await audit.look()
        assert audit._gaps[ACCOUNT, Mode.LIVE] == {}, "both show the same"
        desk.trade(claim.order_id, "never", shares="2", usdc="0.1", state="MATCHED")
        (real,) = accepted.trade_ids
        desk.trade(claim.order_id, real, shares=str(accepted.shares), usdc=str(accepted.usdc))
        for told in (0, 1, 1):
            await audit.look()
            assert len(desk.all("SELECT * FROM alerts WHERE kind = 'data_api_differs'")) == told
            running.clock.ahead += timedelta(seconds=121)
        assert desk.gate()["breaker"] == "CLOSED"
        desk.do(
            "reconciler", "SELECT reverse_trade(%s, 'never', %s, 'test')",
            claim.order_id, prepared.intent.token_id,
        )  # fmt: skip
        await audit.look()
        assert desk.all("SELECT * FROM alerts WHERE kind = 'data_api_differs' AND closed_at IS NULL") == []

    await live(act)
