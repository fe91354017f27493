"""Loss limits: what counts as a loss, when half of a limit is used, and when all of it."""

from decimal import Decimal

import pytest

from shared.domain.losses import Loss, Mark, Realized, Scope, losses, unrealized

D = Decimal


def mark(**changes):
    values = {
        "strategy_id": "canary",
        "held_shares": D(4),
        "cost_usdc": D(2),
        "best_bid": D("0.4"),
        "in_session": True,
    }
    return Mark(**(values | changes))


def test_a_position_is_worth_what_selling_brings():
    assert unrealized(mark()) == D("-0.4")
    assert unrealized(mark(best_bid=D("0.75"))) == D(1)
    assert unrealized(mark(best_bid=D(0))) == D(-2)


def test_what_cannot_be_seen_is_not_called_a_loss():
    assert unrealized(mark(best_bid=None)) == 0


def test_realised_and_unrealised_count_together_each_in_its_scope():
    marks = (mark(), mark(in_session=False, best_bid=D("0.1")))
    session, day = losses(Realized(D("-1"), D("-3")), marks, session_limit_usdc=D(20), day_limit_usdc=D(5))
    assert session == Loss(Scope.SESSION, D("-1.4"), D(20))
    assert day == Loss(Scope.DAY, D("-5.0"), D(5))


@pytest.mark.parametrize(
    ("pnl", "limit", "half", "reached"),
    [
        ("0", "20", False, False),
        ("-9.999999", "20", False, False),
        ("-10", "20", True, False),
        ("-19.999999", "20", True, False),
        ("-20", "20", True, True),
        ("-25", "20", True, True),
        ("25", "20", False, False),
        ("0", "0", False, False),  # nothing may be lost, and nothing was
        ("-0.000001", "0", True, True),
    ],
)
def test_a_limit_is_half_used_and_used_up(pnl, limit, half, reached):
    loss = Loss(Scope.DAY, D(pnl), D(limit))
    assert (loss.is_half_used, loss.is_reached) == (half, reached)
