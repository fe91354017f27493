"""What the lifecycle's property test does with orders that rest: asks for cancels, answers them, adopts what it finds."""

from decimal import Decimal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from psycopg.types.json import Jsonb

from shared.domain.cancels import CancelAnswer
from shared.domain.ledger import Bucket
from shared.domain.model import book as facts
from shared.domain.model import cancels
from shared.domain.model.adoption import ADOPTED_AS, FoundOrder, adopt_order
from shared.domain.orders import TERMINAL, OrderEvent, OrderSide
from shared.domain.trades import FillState
from shared.domain.windows import Side
from tests.factories import order_hash
from tests.integration.both_books import BothBooks

Trades = dict[tuple[str, str], facts.ModelFill]
FILLS = st.builds(
    facts.ModelFill,
    st.sampled_from([Decimal(4), Decimal(1)]),
    st.sampled_from([Decimal(2), Decimal("0.5")]),
    st.just(Decimal("0.05")),
    st.sampled_from(FillState),
)


def record_cancel(both: BothBooks, order: str, answer: CancelAnswer, *, trips: bool = False) -> None:
    both.book = cancels.record_cancel(both.book, order, answer, trips=trips)
    told = Jsonb({"reason": "test", "trips": trips})
    said = both.real.do("SELECT record_cancel(%s, %s, %s)", order, answer, told)
    both.agree(said, both.book.orders[order].state)


def request_cancel(both: BothBooks, order: str, by: str = "alice") -> None:
    asked: list[bool] = []

    def step() -> facts.ModelBook:
        book, new = cancels.request_cancel(both.book, order, by=by)
        asked.append(new)
        return book

    refused = both.move(step)
    said = both.real.do("SELECT request_cancel(%s, 'test', %s)", order, by)
    both.agree(said, refused or asked[0])


def adopt(
    both: BothBooks, found: FoundOrder, event: OrderEvent, trades: Trades, *, actor: str, dry_run: bool
) -> None:
    """Adopt in both books; a dry run says the same and leaves both as they were."""
    before = both.book
    refused = both.move(lambda: adopt_order(both.book, found, event, trades, actor=actor))
    said = both.real.do(
        "SELECT adopt_order(%s, %s, %s, %s, %s, %s, 'test', %s)",
        *(both.account, both.book.mode, Jsonb(told_of(both, found)), event, Jsonb(legs_of(found, trades))),
        *(actor, dry_run),
    )
    if refused is None:
        order = both.book.orders[found.order_id]
        assert said["position_id"] == order.position_id
        assert said["position_state"] == both.book.positions[order.position_id].state
        assert Decimal(said["cash_after"]) == facts.balances(both.book)[Bucket.CASH]
        assert said["breaker_reason"] == both.book.gate.reason
        said = None
    if dry_run:
        both.book = before
    both.agree(said, refused)


def told_of(both: BothBooks, found: FoundOrder) -> dict[str, object]:
    spends = found.reserved_usdc if found.side is OrderSide.BUY else found.shares
    return {
        "order_id": found.order_id,
        "window_id": found.window_id,
        "token_id": both.token(found.outcome),
        "side": found.side,
        "order_type": "GTC",
        "limit_price": str(found.price),
        "maker_amount": str(spends),
        "taker_amount": "4",
        "reserved_usdc": str(found.reserved_usdc),
        "timestamp_ms": "1",
    }


def legs_of(found: FoundOrder, trades: Trades) -> list[dict[str, object]]:
    return [
        {
            "trade_id": trade,
            "token_id": token,
            "side": found.side,
            "price": "0.5",
            "shares": str(fill.shares),
            "usdc": str(fill.usdc),
            "fee_usdc": str(fill.fee_usdc),
            "state": fill.state,
            "matched_at": "2026-10-05T23:00:00Z",
        }
        for (trade, token), fill in trades.items()
    ]


class RestingRules(RuleBasedStateMachine):
    """Rules the lifecycle machine inherits."""

    both: BothBooks

    def an_order(self, data: st.DataObject) -> str:
        live = [name for name, each in self.both.book.orders.items() if each.state not in TERMINAL]
        return data.draw(st.sampled_from(live * 3 + [*self.both.book.orders]))

    @precondition(lambda self: self.both.book.orders)
    @rule(
        data=st.data(),
        answer=st.sampled_from(CancelAnswer),
        trips=st.sampled_from([False] * 9 + [True]),
        claimed=st.booleans(),
    )
    def record_cancel(self, data: st.DataObject, answer: CancelAnswer, *, trips: bool, claimed: bool) -> None:
        order = self.an_order(data)
        if claimed:
            self.both.claim_cancel(order)
        record_cancel(self.both, order, answer, trips=trips)

    @precondition(lambda self: self.both.book.orders)
    @rule(data=st.data(), by=st.sampled_from(["alice"] * 4 + [""]))
    def request_cancel(self, data: st.DataObject, by: str) -> None:
        request_cancel(self.both, self.an_order(data), by)

    @precondition(lambda self: len(self.both.book.signals) < 12)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(Side),
        side=st.sampled_from([OrderSide.BUY, OrderSide.BUY, OrderSide.SELL]),
        event=st.sampled_from([*ADOPTED_AS, *ADOPTED_AS, OrderEvent.LOST]),
        fills=st.lists(FILLS, max_size=2),
    )
    def adopt_order(
        self,
        data: st.DataObject,
        outcome: Side,
        side: OrderSide,
        event: OrderEvent,
        fills: list[facts.ModelFill],
    ) -> None:
        window = data.draw(st.sampled_from([*self.both.book.windows][:3]))
        number = data.draw(st.sampled_from([len(self.both.book.orders), 0]))
        name = order_hash((self.both.account, "found", number))
        reserved = Decimal("2.14") if side is OrderSide.BUY else Decimal(0)
        found = FoundOrder(name, window, outcome, side, Decimal("0.5"), Decimal(4), reserved)
        trades = {(f"a{place}", self.both.token(outcome)): fill for place, fill in enumerate(fills)}
        actor = data.draw(st.sampled_from(["alice"] * 6 + [""]))
        adopt(self.both, found, event, trades, actor=actor, dry_run=data.draw(st.booleans()))
