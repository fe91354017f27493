import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from rich.console import Console

from services.operator.explain.chain import as_data, render, since_ms, tell
from services.operator.explain.queries import Happening, Leg, Subject
from shared.domain.ids import OrderId

MADE = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
SUBJECT = Subject(
    order_id=OrderId("0x" + "ab" * 32),
    account="desk",
    mode="PAPER",
    purpose="ENTRY",
    state="FILLED",
    position_id="pos-1",
    signal_id="sig-1",
    strategy="canary",
    window_id="btc-updown-15m-1",
    instrument="BTC",
    outcome="UP",
    token_id="1",
    decided_from=MADE,
    position_state="CLOSED",
    bought_shares=Decimal("4.000000"),
    bought_usdc=Decimal("2.100000"),
    sold_shares=Decimal(0),
    sold_usdc=Decimal(0),
    fees_usdc=Decimal("0.010001"),
    payout=Decimal(1),
    paid_usdc=Decimal(4),
    gross_pnl=Decimal("1.900000"),
)
LATER = Happening(MADE + timedelta(milliseconds=12), "orders", "entry sent", {"limit_price": "0.52"})
SIGNAL = Happening(MADE, "signals", "signal made", {"evidence": {"mid": "0.51", "none": None}})
TICK = Happening(
    MADE - timedelta(microseconds=500), "price_ticks", "tick of binance_spot", {"price": "76000"}
)
VERDICT = {
    "passed": False,
    "checks": [{"name": "spread", "passed": False, "input": "0.2", "limit": ["0.1", "0.3"]}],
}
LEG = Leg(MADE, "CASH", "RESERVED", Decimal("2.500000"), "claim", provisional=True)
STORY = tell(SUBJECT, [LATER, SIGNAL, TICK], VERDICT, [LEG])


def test_what_happened_is_told_in_the_order_it_happened():
    assert [each.what for each in STORY.happenings] == ["tick of binance_spot", "signal made", "entry sent"]


def test_milliseconds_keep_the_microseconds_of_the_rows_on_both_sides_of_the_signal():
    assert since_ms(TICK.at, MADE) == "-0.500"
    assert since_ms(LATER.at, MADE) == "+12.000"
    assert since_ms(MADE + timedelta(days=1, microseconds=1), MADE) == "+86400000.001"


def test_net_profit_is_what_is_left_after_fees():
    assert SUBJECT.net_pnl == Decimal("1.889999")


def test_as_data_survives_json_with_money_as_exact_text():
    data = json.loads(json.dumps(as_data(STORY)))
    assert data["net_pnl"] == "1.889999"
    assert data["bought_usdc"] == "2.100000"
    assert data["ledger"][0]["amount_usdc"] == "2.500000"
    assert data["chain"][0]["since_signal_ms"] == "-0.500"
    assert data["gate"] == VERDICT


def shown(story) -> str:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    console.print(render(story))
    return console.file.getvalue()


def test_the_page_shows_evidence_gate_ledger_and_result():
    page = shown(STORY)
    for words in (
        "mid=0.51",
        "REFUSED",
        "0.1,0.3",
        "claim (provisional)",
        "+1.889999",
        "settled at 1 a share, paid",
    ):
        assert words in page
    assert "none=" not in page


def test_a_verdict_of_another_shape_is_shown_as_it_is():
    assert '{"claim": "KILL_SWITCH"}' in shown(tell(SUBJECT, [], {"claim": "KILL_SWITCH"}, []))
