"""Book and venue compared over real sockets: the simulator is the venue, every order is really signed and sent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from services.reconciler.actions import Run
from services.reconciler.asking import VenueDesk
from services.reconciler.loops import Comparison, Progress
from shared.db.engine import Database
from shared.domain.ids import AccountId
from shared.domain.outcomes import Success
from shared.domain.prepared import PreparedOrder
from shared.runtime.clock import SystemClock
from shared.venue.account_reading import AccountReading
from shared.venue.listings import MarketListing
from shared.venue.urls import VenueUrls
from tests.contract.venue_running import Running, Trader, against_simulator, trader, yes
from tests.factories import Claim, Desk

pytestmark = pytest.mark.integration
ACCOUNT = AccountId("desk")
NOWHERE = VenueUrls(clob="http://127.0.0.1:9")


@dataclass
class Stage:
    """The venue with our wallet, our Book, and the reconciler between them."""

    running: Running
    me: Trader
    desk: Desk
    listing: MarketListing
    comparison: Comparison
    window: str

    def write(self, **changes: Any) -> tuple[PreparedOrder, Claim]:
        """Prepare a real order and claim it, as execution does; nothing is sent."""
        signal = self.desk.signal(
            self.window,
            token_id=self.listing.up_token,
            price=Decimal("0.99"),
            amount_usdc=Decimal(5),
            risk=Jsonb({"max_position_usdc": "10", "max_slippage": "0.02"}),
        )
        prepared = self.me.trading.prepare(
            self.me.intent(self.listing, position_id=f"pos-{signal}", limit_price=Decimal("0.99"), **changes)
        )
        claim = self.desk.claim(
            signal,
            order_id=prepared.order_id,
            token_id=self.listing.up_token,
            limit_price="0.99",
            maker_amount=str(Decimal(prepared.maker_amount) / 1_000_000),
            taker_amount=str(Decimal(prepared.taker_amount) / 1_000_000),
            reserved_usdc="5.35",
            cap_usdc="10",
        )
        assert claim.refused is None, claim.refused
        return prepared, claim

    async def send(self, prepared: PreparedOrder) -> Any:
        outcome = await self.me.trading.submit(prepared, before_send=yes)
        assert isinstance(outcome, Success), outcome
        return outcome.value

    def answer(self, claim: Claim, accepted: Any) -> None:
        fee = (accepted.usdc * Decimal("0.07")).quantize(Decimal("0.00001"))
        self.desk.record(
            claim.order_id,
            "MATCHED",
            shares=str(accepted.shares),
            usdc=str(accepted.usdc),
            fee_usdc=str(fee),
            trade_ids=list(accepted.trade_ids),
        )

    async def compare(self, *, epoch: int | None = None) -> Run:
        return await self.comparison.compare(ACCOUNT, epoch=epoch)

    def close_window(self) -> None:
        self.desk.owner.execute(
            "UPDATE windows SET opens_at = clock_timestamp() - interval '2 minutes', closes_at = clock_timestamp()"
        )

    def reasons(self) -> list[str]:
        return [row["reason"] for row in self.desk.all("SELECT reason FROM breaker_history ORDER BY id")]

    def fills(self) -> list[dict[str, Any]]:
        return self.desk.all("SELECT * FROM fills ORDER BY trade_id")


@pytest.fixture
def on_stage(database_url, role_url, db, monkeypatch):
    """Run a test's acts on a fresh venue and a fresh Book."""
    monkeypatch.setattr("services.reconciler.loops.LOOK_AGAIN_S", 0.01)

    async def play(act: Any, **simulator: Any) -> None:
        async def check(running: Running) -> None:
            async with trader(running) as me:
                with Desk(role_url, database_url, mode="LIVE") as desk:
                    async with staged(running, me, desk, await db(role="reconciler")) as stage:
                        await act(stage)
                        desk.assert_books_agree()

        await against_simulator(check, **simulator)

    return play


@asynccontextmanager
async def staged(running: Running, me: Trader, desk: Desk, database: Database) -> AsyncIterator[Stage]:
    listing = await me.open_market()
    for key in ("max_position_usd", "max_instrument_usd", "max_exposure_usd", "max_session_loss"):
        desk.control(key, "50")
    desk.window(
        window_id=listing.window_id,
        condition_id=listing.condition_id,
        up_token=listing.up_token,
        down_token=listing.down_token,
    )
    venue = VenueDesk(me.public, {ACCOUNT: me.account}, {ACCOUNT: me.signer.wallet}, running.clock)
    comparison = Comparison(database, venue, SystemClock(), Progress())
    yield Stage(running, me, desk, listing, comparison, listing.window_id)


async def test_what_was_bought_is_compared_clean_and_followed_to_its_confirmation(on_stage):
    async def act(stage: Stage) -> None:
        prepared, claim = stage.write()
        stage.answer(claim, await stage.send(prepared))
        run = await stage.compare()
        assert (run.differences, run.error) == ((), None)
        assert [fill["state"] for fill in stage.fills()] == ["MATCHED"]
        stage.running.jump(11)
        await stage.compare()
        assert [fill["state"] for fill in stage.fills()] == ["MINED"]
        stage.running.jump(30)
        run = await stage.compare()
        assert [fill["state"] for fill in stage.fills()] == ["CONFIRMED"]
        assert run.differences == ()
        assert run.compared["fills"] == 1
        assert stage.desk.order_row(claim)["explained"]
        assert stage.reasons() == []
        row = stage.desk.one("SELECT * FROM reconciliation_runs ORDER BY run_id DESC LIMIT 1")
        assert (row["kind"], row["mismatches"], row["error"]) == ("CONTINUOUS", 0, None)

    await on_stage(act, mined_s=10, confirmed_s=40)


async def test_a_match_that_stays_off_chain_is_told_after_a_minute_a_discrepancy_after_ten_and_never_unknown(
    on_stage,
):
    """The chain has its own clock (E9)."""

    async def act(stage: Stage) -> None:
        prepared, claim = stage.write()
        stage.answer(claim, await stage.send(prepared))
        await stage.compare()
        own, venues = (
            SystemClock(),
            stage.running.clock,
        )  # what is told is timed by the Book's, what differs by the venue's
        late = "discrepancies WHERE kind = 'SETTLEMENT_LATE' AND resolved_at IS NULL"
        slow = "alerts WHERE kind = 'settlement_slow'"
        for clock, kind, seconds, told in (
            (own, slow, 50, 0),
            (own, slow, 61, 1),
            (venues, late, 598, 0),
            (venues, late, 601, 1),
        ):
            matched_at = clock.now() - timedelta(seconds=seconds)
            stage.desk.owner.execute("UPDATE fills SET matched_at = %s", [matched_at])
            await stage.compare()
            assert len(stage.desk.all(f"SELECT * FROM {kind}")) == told, seconds
        assert stage.fills()[0]["state"] == "MATCHED"
        assert stage.desk.order_row(claim)["state"] == "FILLED"
        assert stage.reasons() == []
        stage.running.jump(60)
        await stage.compare()
        assert stage.desk.all(f"SELECT * FROM {late}") == []

    await on_stage(act, mined_s=50, confirmed_s=55)


async def test_an_unknown_that_was_placed_is_adopted_with_its_fills(on_stage):
    async def act(stage: Stage) -> None:
        prepared, claim = stage.write()
        await stage.send(prepared)
        stage.desk.record(claim.order_id, "LOST", reason="TIMEOUT")
        run = await stage.compare(epoch=1)
        assert run.differences == ()
        assert stage.desk.order_row(claim)["state"] == "FILLED"
        assert stage.desk.position(claim)["state"] == "MONITORING"
        assert stage.desk.position(claim)["bought_shares"] == stage.fills()[0]["shares"]
        proofs = stage.desk.all(
            "SELECT kind, proves FROM order_evidence WHERE source = 'reconciler' ORDER BY id"
        )
        assert [(row["kind"], row["proves"]) for row in proofs] == [
            ("TRADE", "PLACED"),
            ("RESOLUTION", "TERMINAL"),
        ]
        assert stage.reasons() == ["ORDER_UNKNOWN"]

    await on_stage(act)


async def test_an_unknown_that_never_arrived_stays_held_until_the_closed_market_proves_it(on_stage):
    async def act(stage: Stage) -> None:
        _, claim = stage.write()
        stage.desk.record(claim.order_id, "LOST", reason="TIMEOUT")
        for _ in range(2):
            await stage.compare()
        assert stage.desk.order_row(claim)["state"] == "UNKNOWN"
        assert stage.desk.buckets()["RESERVED"] == Decimal("5.35")
        kept = stage.desk.all("SELECT proves FROM order_evidence WHERE source = 'reconciler'")
        assert [row["proves"] for row in kept] == ["NOTHING"], "a repeated look is one row"
        stage.close_window()
        await stage.compare()
        assert stage.desk.order_row(claim)["state"] == "UNKNOWN", "our clock alone proves nothing"
        stage.running.jump(90)
        run = await stage.compare()
        assert stage.desk.order_row(claim)["state"] == "NEVER_PLACED"
        assert stage.desk.buckets()["CASH"] == 100
        assert stage.desk.position(claim)["state"] == "VOID"
        assert run.differences == ()

    await on_stage(act)


async def test_a_send_of_this_epoch_is_left_alone_for_a_quarter_of_a_minute(on_stage):
    async def act(stage: Stage) -> None:
        prepared, claim = stage.write()
        await stage.send(prepared)
        run = await stage.compare()
        assert (stage.desk.order_row(claim)["state"], stage.fills(), run.differences) == (
            "SUBMITTING",
            [],
            (),
        )
        stage.desk.owner.execute("UPDATE orders SET claimed_at = claimed_at - interval '16 seconds'")
        await stage.compare()
        assert stage.desk.order_row(claim)["state"] == "FILLED"
        assert len(stage.fills()) == 1

    await on_stage(act)


async def test_an_order_we_never_wrote_trips_at_once_and_stays_until_it_is_adopted(on_stage):
    async def act(stage: Stage) -> None:
        prepared, claim = stage.write()
        stage.answer(claim, await stage.send(prepared))
        ghost = stage.me.trading.prepare(stage.me.intent(stage.listing, amount=Decimal(3)))
        await stage.send(ghost)
        run = await stage.compare()
        assert {(each.kind, each.subject) for each in run.differences} >= {
            ("TRADE_UNWRITTEN", ghost.order_id)
        }
        assert stage.reasons() == ["RECONCILIATION_MISMATCH"]
        stage.running.jump(3)
        await stage.compare()
        open_now = stage.desk.all(
            "SELECT * FROM discrepancies WHERE kind = 'TRADE_UNWRITTEN' AND resolved_at IS NULL"
        )
        assert len(open_now) == 1, "seen again is the same discrepancy"
        assert len(stage.desk.all("SELECT * FROM alerts WHERE kind = 'discrepancy'")) >= 1

    await on_stage(act)


async def test_money_nobody_explains_trips_once_it_is_no_race(on_stage):
    async def act(stage: Stage) -> None:
        prepared, claim = stage.write()
        stage.answer(claim, await stage.send(prepared))
        stage.running.jump(6)
        await stage.running.tell(
            "accounts",
            address=stage.me.signer.address,
            signature_type=3,
            wallet=stage.me.signer.wallet,
            usdc="7",
        )
        run = await stage.compare()
        assert [(each.kind, each.subject) for each in run.differences] == [("CASH_MORE", "USDC")]
        assert stage.reasons() == []
        stage.desk.owner.execute(
            "UPDATE discrepancies SET first_seen_at = first_seen_at - interval '3 seconds'"
        )
        await stage.compare()
        assert stage.reasons() == ["RECONCILIATION_MISMATCH"]

    await on_stage(act)


async def test_at_the_start_money_nobody_explains_trips_at_once(on_stage):
    async def act(stage: Stage) -> None:
        await stage.running.tell(
            "accounts",
            address=stage.me.signer.address,
            signature_type=3,
            wallet=stage.me.signer.wallet,
            usdc="7",
        )
        await stage.compare(epoch=1)
        assert stage.reasons() == ["RECONCILIATION_MISMATCH"]

    await on_stage(act)


async def test_a_difference_that_goes_is_closed_and_says_so(on_stage):
    async def act(stage: Stage) -> None:
        await stage.running.tell(
            "accounts",
            address=stage.me.signer.address,
            signature_type=3,
            wallet=stage.me.signer.wallet,
            usdc="7",
        )
        assert len((await stage.compare()).differences) == 1
        stage.desk.do("operator", "SELECT book_external('desk', 'LIVE', 'DEPOSIT', 7, 'by hand')")
        assert (await stage.compare()).differences == ()
        row = stage.desk.one("SELECT * FROM discrepancies")
        assert row["resolved_at"] is not None
        assert row["resolution"] == "they agree again"

    await on_stage(act)


async def test_the_rounding_of_a_fee_is_booked_with_the_balance_that_shows_it(on_stage):
    async def act(stage: Stage) -> None:
        prepared, claim = stage.write(amount=Decimal("4.93"))
        stage.answer(claim, await stage.send(prepared))
        stage.running.jump(6)
        for _ in range(2):
            run = await stage.compare()
        assert run.differences == ()
        collateral = (await stage.me.account.balances([], refresh=True)).collateral
        assert stage.desk.buckets()["CASH"] == collateral
        residues = stage.desk.all("SELECT amount FROM external_movements WHERE kind = 'FEE_ROUNDING'")
        assert [row["amount"] for row in residues] == [Decimal("-0.00001")]

    await on_stage(act, fee_rounding="up")


async def test_a_venue_that_does_not_answer_is_a_run_with_an_error_and_no_difference(on_stage):
    async def act(stage: Stage) -> None:
        prepared, claim = stage.write()
        stage.answer(claim, await stage.send(prepared))
        credentials, clock = stage.me.credentials, stage.running.clock
        async with AccountReading(NOWHERE, credentials, clock, signature_type=3) as deaf:
            stage.comparison.desk = replace(stage.comparison.desk, accounts={ACCOUNT: deaf})
            run = await stage.compare()
        assert run.error is not None
        assert stage.reasons() == []
        assert await stage.comparison.problems() == ["desk/LIVE was not compared"]

    await on_stage(act)
