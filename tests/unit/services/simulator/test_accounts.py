from services.simulator.accounts import COLLATERAL, Movement, Wallet


def wallet(cash=100):
    made = Wallet("0xw", "0xo", 3)
    made.deposit(cash)
    made.refresh(COLLATERAL)
    return made


BOUGHT = Movement(cash=-40, token="up", shares=90)


def test_a_match_moves_nothing_until_it_is_mined():
    mine = wallet()
    mine.match("t", BOUGHT)
    assert (mine.cash, mine.balance("up"), mine.unmined("up"), mine.pending_cash()) == (100, 0, 90, -40)
    assert mine.spendable(COLLATERAL) == 60
    assert mine.spendable("up") == 0
    mine.mine("t")
    assert (mine.cash, mine.balance("up"), mine.unmined("up"), mine.pending_cash()) == (60, 90, 0, 0)
    assert mine.spendable("up") == 90


def test_a_failed_match_leaves_everything_as_it_was():
    mine = wallet()
    mine.match("t", BOUGHT)
    mine.fail("t")
    assert (mine.cash, mine.tokens, mine.spendable(COLLATERAL), mine.on_the_way) == (100, {}, 100, {})


def test_sold_tokens_cannot_be_sold_twice_before_they_are_mined():
    mine = wallet()
    mine.tokens["up"] = 90
    mine.refresh("up")
    mine.match("t", Movement(cash=30, token="up", shares=-50))
    assert mine.spendable("up") == 40
    assert mine.spendable(COLLATERAL) == 100
    mine.reserve("o", "up", 25)
    assert mine.spendable("up") == 15
    assert mine.spendable("up", but="o") == 40


def test_the_venue_misses_a_redemption_until_it_refreshes():
    mine = wallet()
    mine.tokens |= {"up": 7, "down": 5}
    mine.refresh("up")
    payouts = {"up": 1_000_000, "down": 0}
    assert mine.redeem(payouts, {"up": 7, "down": 5}) == (7, {"up": 7, "down": 5})
    assert (mine.cash, mine.seen[COLLATERAL], mine.seen["up"]) == (107, 100, 7)
    mine.refresh(COLLATERAL)
    mine.refresh("up")
    assert (mine.seen[COLLATERAL], mine.seen["up"]) == (107, 0)


def test_only_what_the_venue_has_seen_can_be_spent():
    mine = wallet()
    mine.deposit(50)
    assert (mine.cash, mine.spendable(COLLATERAL)) == (150, 100)
    mine.refresh(COLLATERAL)
    assert mine.spendable(COLLATERAL) == 150


def test_redeeming_an_emptied_position_pays_nothing():
    assert wallet().redeem({"up": 1_000_000, "down": 0}, {"up": 0, "down": 0}) == (0, {})


def test_a_part_of_a_position_can_be_redeemed():
    mine = wallet()
    mine.tokens["up"] = 7
    assert mine.redeem({"up": 1_000_000}, {"up": 3}) == (3, {"up": 3})
    assert (mine.tokens, mine.cash) == ({"up": 4}, 103)


def test_an_older_view_is_shown_as_it_was_and_the_first_before_it():
    mine = wallet()
    assert mine.seen_at(COLLATERAL, 5) == 0
    mine.remember(10)
    mine.deposit(50)
    mine.refresh(COLLATERAL)
    mine.remember(20)
    assert [mine.seen_at(COLLATERAL, at_ms) for at_ms in (5, 10, 19, 20, 99)] == [100, 100, 100, 150, 150]


def test_a_reservation_ends_at_zero():
    mine = wallet()
    mine.reserve("o", COLLATERAL, 30)
    mine.reserve("o", COLLATERAL, 0)
    assert mine.spendable(COLLATERAL) == 100
