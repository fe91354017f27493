"""A dry run is set beside what happened, once, when its window is over (E12)."""

from decimal import Decimal

import pytest

from shared.db.queries import dry_runs
from tests.conftest import Connect
from tests.factories import UP_TOKEN, Desk

pytestmark = pytest.mark.integration


def book_after(desk: Desk, ask: str) -> None:
    desk.do(
        "feed_collector",
        "INSERT INTO order_book_snapshots (timestamp, symbol, token_id, best_bid, best_ask) VALUES (clock_timestamp(), 'BTC', %s, 0.4, %s)",
        UP_TOKEN,
        ask,
    )


@pytest.mark.parametrize(("ask", "could"), [("0.52", True), ("0.53", False)])
async def test_it_says_whether_the_next_book_would_have_filled_it(
    desk: Desk, db: Connect, ask: str, could: bool
) -> None:
    desk.mode = "DRY_RUN"
    desk.do("reconciler", "SELECT book_external(%s, 'DRY_RUN', 'DEPOSIT', 100, 'x')", desk.account)
    window = desk.window(closes_in_s=20)
    claim = desk.hold(window)
    book_after(desk, ask)
    book_after(desk, "0.01")
    database = await db(role="execution")

    async def compare() -> int:
        async with database.begin() as tx:
            return await dry_runs.compare(tx)

    assert await compare() == 0, "the window is not over"
    desk.owner.execute("UPDATE windows SET closes_at = clock_timestamp() WHERE window_id = %s", [window])
    desk.do("reconciler", "SELECT settle(%s, 0, 1, 'data', now(), 'DOWN')", window)
    assert await compare() == 1
    assert await compare() == 0, "once"
    row = desk.one("SELECT * FROM dry_run_comparisons WHERE order_id = %s", claim.order_id)
    assert (row["simulated"]["shares"], row["simulated"]["usdc"]) == ("4", "2")
    assert row["happened"]["could_have_filled"] is could
    assert Decimal(row["happened"]["pnl_usdc"]) == Decimal("-2.05")
    assert row["happened"]["payout"] == "0"


async def test_paper_and_live_are_not_compared(desk: Desk, db: Connect) -> None:
    window = desk.window(closes_in_s=20)
    desk.hold(window)
    desk.owner.execute("UPDATE windows SET closes_at = clock_timestamp() WHERE window_id = %s", [window])
    desk.do("reconciler", "SELECT settle(%s, 0, 1, 'data', now(), 'DOWN')", window)
    database = await db(role="execution")
    async with database.begin() as tx:
        assert await dry_runs.compare(tx) == 0
