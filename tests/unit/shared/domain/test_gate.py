"""The gate: one row a rule, breaking that rule alone; the first broken one names the refusal."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from shared.db.queries.documents import dump
from shared.domain.amounts import EntryProposal
from shared.domain.breaker import BreakerState, KillSwitch
from shared.domain.controls import Controls
from shared.domain.facts import (
    BalanceFacts,
    BookFacts,
    CounterFacts,
    DeadmanFacts,
    GateFacts,
    GuardFacts,
    HistoryFacts,
    Limits,
    LossFacts,
    MarketFacts,
)
from shared.domain.gate import RULES, gate, position_cap, propose
from shared.domain.modes import Mode
from shared.domain.refusals import Refusal
from shared.domain.signals import RiskParameters, Signal, SignalState
from shared.domain.windows import FeeSchedule, SettlementRule, Side, Window, WindowState

NOW = datetime(2026, 10, 5, 23, 14, 10, tzinfo=UTC)
FEE = FeeSchedule(Decimal("0.07"), 1)
LIMITS = Limits()


def ago(**span):
    return NOW - timedelta(**span)


SIGNAL = Signal(
    signal_id="sig-1",
    account_id="main",
    mode=Mode.PAPER,
    strategy_id="canary",
    instance_id="ins-1",
    window_id="btc-updown-15m-1791241200",
    instrument="BTC",
    side=Side.UP,
    token_id="111",
    price=Decimal("0.50"),
    amount_usdc=Decimal(1),
    confidence=Decimal("0.6"),
    made_at=ago(milliseconds=200),
    expires_at=NOW + timedelta(seconds=4),
    risk=RiskParameters(),
)
WINDOW = Window(
    window_id="btc-updown-15m-1791241200",
    instrument="BTC",
    series="btc-up-or-down-15m",
    interval_s=900,
    opens_at=ago(minutes=14),
    closes_at=NOW + timedelta(seconds=50),
    state=WindowState.OPEN,
    rule=SettlementRule.CHAINLINK_TWAP,
    lookback_s=60,
    up_token="111",
    down_token="222",
)
PASSING = GateFacts(
    now=NOW,
    signal=SIGNAL,
    signal_state=SignalState.NEW,
    window=WINDOW,
    guard=GuardFacts(
        leader=True,
        reconciled=True,
        breaker=BreakerState.CLOSED,
        kill_switch=KillSwitch.OFF,
        halted=False,
        effective_mode=Mode.PAPER,
    ),
    controls=Controls(
        allowed_instruments=frozenset({"BTC"}), allowed_strategies=frozenset({"*"}), cooldown_s=Decimal(60)
    ),
    venue_offset=timedelta(milliseconds=100),
    own_offset=timedelta(milliseconds=-100),
    primary_feed_at=ago(seconds=5),
    book=BookFacts(continuous=True, received_at=ago(seconds=10), best_ask=Decimal("0.52")),
    market=MarketFacts(
        read_at=ago(seconds=30),
        accepting=True,
        tick=Decimal("0.01"),
        min_size=Decimal(5),
        fee=FEE,
        version="v1",
        up_token="111",
        down_token="222",
    ),
    history=HistoryFacts(
        last_entry_at=ago(seconds=60), last_opposite_entry_at=ago(seconds=300), last_trade_at=ago(seconds=11)
    ),
    counters=CounterFacts(
        entered=False,
        window_blocked=False,
        window_orders=1,
        position_exists=False,
        open_positions=4,
        exposure_usdc=Decimal("23.93"),
        instrument_usdc=Decimal("8.93"),
        deployed_usdc=Decimal("18.93"),
        held_usdc=Decimal("3.93"),
        free_capital_usdc=Decimal("1.07"),
    ),
    losses=LossFacts(
        session_pnl_usdc=Decimal("-19.99"),
        daily_pnl_usdc=Decimal("-4.99"),
        day_start_usdc=Decimal(100),
        strategy_stop_usdc=Decimal("9.99"),
    ),
    balance=BalanceFacts(amount_usdc=Decimal("1.07"), read_at=ago(seconds=10)),
    deadman=DeadmanFacts(resting=True, beaten_at=ago(seconds=10)),
    stage_cap_usdc=Decimal(5),
    proposal=EntryProposal(
        limit_price=Decimal("0.52"),
        amount_usdc=Decimal(1),
        fee_max_usdc=Decimal("0.07"),
        maker_micro=1_000_000,
        taker_micro=1_923_000,
    ),
    heartbeats={name: ago(seconds=10) for name in LIMITS.watchdogs},
)


def with_(part, **changes):
    """The passing facts with one part changed."""
    return replace(PASSING, **{part: replace(getattr(PASSING, part), **changes)})


def order(**changes):
    return with_("proposal", **changes)


def test_at_every_limit_and_not_past_it_the_entry_passes():
    verdict = gate(PASSING, LIMITS)
    assert verdict.refused is None, [check.name for check in verdict.checks if not check.passed]
    assert verdict.passed
    assert len(verdict.checks) == len(RULES)


TICK = timedelta(microseconds=1)
MICRO = Decimal("0.000001")
# One row a rule: the facts that break this rule and no other.
BROKEN = [
    ("leader", with_("guard", leader=False)),
    ("reconciled", with_("guard", reconciled=False)),
    ("breaker", with_("guard", breaker=BreakerState.OPEN)),
    ("kill_switch", with_("guard", kill_switch=KillSwitch.PAUSE)),
    ("kill_switch", with_("guard", kill_switch=KillSwitch.FLATTEN)),
    ("kill_switch", with_("guard", kill_switch=KillSwitch.EMERGENCY)),
    ("mode", with_("guard", effective_mode=Mode.LIVE)),
    ("mode", with_("guard", effective_mode=Mode.BACKTEST)),
    ("halted", with_("guard", halted=True)),
    ("signal_state", replace(PASSING, signal_state=SignalState.ORDERED)),
    ("signal_age", with_("signal", expires_at=NOW)),
    ("signal_age", with_("signal", made_at=ago(seconds=5) - TICK)),
    ("window_begun", with_("window", opens_at=PASSING.venue_now + TICK)),
    ("window_state", with_("window", state=WindowState.DISCOVERED)),
    ("window_left", with_("window", closes_at=PASSING.venue_now + timedelta(seconds=3) - TICK)),
    ("instrument", with_("signal", instrument="ETH")),
    ("instrument", with_("controls", allowed_instruments=frozenset())),
    ("strategy", with_("controls", allowed_strategies=frozenset({"other"}))),
    ("strategy", with_("controls", allowed_strategies=frozenset())),
    ("strategy_loss", with_("losses", strategy_stop_usdc=Decimal(10))),
    ("strategy_loss", with_("controls", max_strategy_loss_usdc=Decimal("9.99"))),
    ("clock", replace(PASSING, own_offset=timedelta(milliseconds=250) + TICK)),
    ("clock", replace(PASSING, own_offset=timedelta(milliseconds=-250) - TICK)),
    ("clock", replace(PASSING, venue_offset=timedelta(milliseconds=900) + TICK)),
    ("primary_feed", replace(PASSING, primary_feed_at=ago(seconds=5) - TICK)),
    ("primary_feed", replace(PASSING, primary_feed_at=NOW + timedelta(seconds=1) + TICK)),
    ("book_feed", with_("book", received_at=ago(seconds=10) - TICK)),
    ("book", with_("book", continuous=False)),
    ("market_age", with_("market", read_at=ago(seconds=30) - TICK)),
    ("market_tokens", with_("market", up_token="222", down_token="111")),
    ("market_tokens", with_("signal", token_id="222")),
    ("market_tokens", with_("window", up_token=None)),
    ("market_kind", with_("market", version="v3")),
    ("market_kind", with_("market", tick=Decimal("0.02"))),
    ("market_kind", with_("market", fee=FeeSchedule(Decimal("0.07"), 5))),
    ("accepting", with_("market", accepting=False)),
    ("cooldown", with_("history", last_entry_at=ago(seconds=60) + TICK)),
    ("anti_flip", with_("history", last_opposite_entry_at=ago(seconds=300) + TICK)),
    ("window_unknown", with_("counters", window_blocked=True)),
    ("entered", with_("counters", entered=True)),
    ("window_orders", with_("counters", window_orders=2)),
    ("position", with_("counters", position_exists=True)),
    ("position_cap", with_("counters", held_usdc=Decimal("3.93") + MICRO)),
    ("position_cap", with_("controls", max_position_usdc=Decimal("4.99"))),
    ("position_cap", with_("signal", risk=RiskParameters(max_position_usdc=Decimal("4.99")))),
    ("position_cap", replace(PASSING, stage_cap_usdc=Decimal("4.99"))),
    ("order", order(amount_usdc=Decimal("0.99"))),
    ("open_positions", with_("counters", open_positions=5)),
    ("exposure", with_("counters", exposure_usdc=Decimal("23.93") + MICRO)),
    ("instrument_exposure", with_("counters", instrument_usdc=Decimal("8.93") + MICRO)),
    ("deployed", with_("counters", deployed_usdc=Decimal("18.93") + MICRO)),
    ("session_loss", with_("losses", session_pnl_usdc=Decimal(-20))),
    ("daily_loss", with_("losses", daily_pnl_usdc=Decimal(-5))),
    ("capital", with_("counters", free_capital_usdc=Decimal("1.07") - MICRO)),
    ("balance_age", with_("balance", read_at=ago(seconds=10) - TICK)),
    ("balance_age", with_("history", last_trade_at=ago(seconds=10))),  # not newer than our last trade
    ("balance", with_("balance", amount_usdc=Decimal("1.07") - MICRO)),
    ("watchdogs", replace(PASSING, heartbeats={**PASSING.heartbeats, "reconciler": ago(seconds=10) - TICK})),
    ("watchdogs", replace(PASSING, heartbeats={"risk_monitor": NOW, "feed_collector": NOW})),
    ("deadman", with_("deadman", beaten_at=ago(seconds=10) - TICK)),
    ("deadman", with_("deadman", beaten_at=None)),
    ("price", with_("book", best_ask=Decimal("0.53"))),
    # nobody reads these: what could not be read is a failed check
    ("leader", with_("guard", leader=None)),
    ("reconciled", with_("guard", reconciled=None)),
    ("breaker", with_("guard", breaker=None)),
    ("kill_switch", with_("guard", kill_switch=None)),
    ("mode", with_("guard", effective_mode=None)),
    ("halted", with_("guard", halted=None)),
    ("signal_state", replace(PASSING, signal_state=None)),
    ("clock", replace(PASSING, own_offset=None)),
    ("primary_feed", replace(PASSING, primary_feed_at=None)),
    ("watchdogs", replace(PASSING, heartbeats={})),
    ("deadman", replace(PASSING, deadman=None)),
    ("position_cap", replace(PASSING, stage_cap_usdc=None)),
]
# A part that several rules read: every one of them fails, the first names the refusal.
BROKEN_PARTS = [
    ("window", ["window_begun", "window_state", "window_left", "market_tokens"]),
    (
        "controls",
        [
            *(
                "signal_age",
                "instrument",
                "strategy",
                "strategy_loss",
                "cooldown",
                "anti_flip",
                "position_cap",
                "open_positions",
                "exposure",
            ),
            *("instrument_exposure", "deployed", "session_loss", "daily_loss"),
        ],
    ),
    ("venue_offset", ["window_begun", "window_left", "clock"]),
    ("book", ["book_feed", "book", "liquidity", "price"]),
    ("market", ["market_age", "market_tokens", "market_kind", "accepting"]),
    ("history", ["cooldown", "anti_flip", "balance_age"]),
    (
        "counters",
        [
            *(
                "window_unknown",
                "entered",
                "window_orders",
                "position",
                "position_cap",
                "open_positions",
                "exposure",
            ),
            *("instrument_exposure", "deployed", "capital"),
        ],
    ),
    ("losses", ["strategy_loss", "session_loss", "daily_loss"]),
    ("balance", ["balance_age", "balance"]),
    ("proposal", ["order", "exposure", "instrument_exposure", "deployed", "capital", "balance", "price"]),
]


def broken(facts):
    return [check.name for check in gate(facts, LIMITS).checks if not check.passed]


@pytest.mark.parametrize(("name", "facts"), BROKEN, ids=[f"{i}-{name}" for i, (name, _) in enumerate(BROKEN)])
def test_a_broken_rule_refuses_under_its_own_name(name, facts):
    verdict = gate(facts, LIMITS)
    assert broken(facts) == [name]
    assert not verdict.passed
    assert verdict.refused is {rule: refusal for rule, refusal, _ in RULES}[name]


def test_an_empty_ask_side_is_no_liquidity_before_it_is_a_moved_price():
    facts = with_("book", best_ask=None)
    assert broken(facts) == ["liquidity", "price"]
    assert gate(facts, LIMITS).refused is Refusal.NO_LIQUIDITY


@pytest.mark.parametrize(("part", "names"), BROKEN_PARTS, ids=[part for part, _ in BROKEN_PARTS])
def test_a_part_that_could_not_be_read_fails_every_rule_that_reads_it(part, names):
    facts = replace(PASSING, **{part: None})
    assert broken(facts) == names
    assert gate(facts, LIMITS).refused is {rule: refusal for rule, refusal, _ in RULES}[names[0]]


def test_every_rule_is_broken_by_a_row_above():
    seen = {name for name, _ in BROKEN} | {name for _, names in BROKEN_PARTS for name in names}
    assert seen == {name for name, _, _ in RULES}


def test_every_refusal_but_the_claims_own_has_a_rule():
    assert {refusal for _, refusal, _ in RULES} == set(Refusal) - {
        Refusal.SERIALIZATION_CONFLICT, Refusal.FACTS_UNREADABLE,
    }  # fmt: skip


def test_with_everything_broken_the_order_of_the_rules_decides():
    everything = replace(
        PASSING,
        guard=GuardFacts(),
        signal_state=None,
        **dict.fromkeys([part for part, _ in BROKEN_PARTS]),
        own_offset=None,
        primary_feed_at=None,
        deadman=None,
        stage_cap_usdc=None,
        heartbeats={},
    )
    assert broken(everything) == [name for name, _, _ in RULES]
    assert gate(everything, LIMITS).refused is Refusal.NOT_LEADER


def test_never_having_entered_or_traded_holds_nothing_back():
    assert gate(replace(PASSING, history=HistoryFacts()), LIMITS).passed


def test_a_strategy_that_was_never_stopped_is_not_held_back():
    assert gate(with_("losses", strategy_stop_usdc=None), LIMITS).passed


def test_nothing_resting_needs_no_dead_man():
    assert gate(replace(PASSING, deadman=DeadmanFacts(resting=False)), LIMITS).passed


def test_the_window_is_timed_by_the_venues_clock():
    ahead = replace(PASSING, venue_offset=timedelta(milliseconds=500), own_offset=timedelta(0))
    window = replace(WINDOW, closes_at=NOW + timedelta(milliseconds=3400))
    assert broken(replace(ahead, window=window)) == ["window_left"]
    assert broken(replace(ahead, window=window, venue_offset=timedelta(0))) == []


def test_the_cap_is_the_lowest_of_control_strategy_and_stage():
    assert position_cap(SIGNAL, Controls(max_position_usdc=Decimal(4)), Decimal(5)) == 4
    assert position_cap(SIGNAL, Controls(), Decimal(3)) == 3
    assert position_cap(SIGNAL, Controls(max_position_usdc=Decimal(9)), Decimal(9)) == 5
    assert position_cap(SIGNAL, None, Decimal(9)) is None
    assert position_cap(SIGNAL, Controls(), None) is None


def test_the_proposal_follows_signal_market_and_caps():
    def proposed(**changes):
        values = {
            "market": PASSING.market,
            "controls": Controls(),
            "stage_cap_usdc": Decimal(5),
            "held_usdc": Decimal(0),
            **changes,
        }
        return propose(replace(SIGNAL, amount_usdc=Decimal(100)), **values)

    assert proposed().limit_price == Decimal("0.52")
    assert proposed().amount_usdc == Decimal("4.67")
    assert proposed(controls=Controls(entry_slippage=Decimal("0.01"))).limit_price == Decimal("0.51")
    assert proposed(held_usdc=Decimal(3)).amount_usdc == Decimal("1.86")
    for unread in ("market", "controls", "stage_cap_usdc", "held_usdc"):
        assert proposed(**{unread: None}) is None
    assert proposed(market=replace(PASSING.market, fee=FeeSchedule(Decimal("0.07"), 5))) is None


@pytest.mark.parametrize(
    "facts",
    [
        PASSING,
        *(facts for _, facts in BROKEN),
        *(replace(PASSING, **{part: None}) for part, _ in BROKEN_PARTS),
    ],
)
def test_the_evidence_is_json_and_names_every_check(facts):
    evidence = json.loads(dump(gate(facts, LIMITS).evidence()))
    assert [check["name"] for check in evidence["checks"]] == [name for name, _, _ in RULES]
    assert evidence["passed"] == (evidence["refused"] is None)


def test_the_evidence_holds_inputs_and_limits_exactly():
    evidence = json.loads(dump(gate(PASSING, LIMITS).evidence()))
    checks = {check["name"]: check for check in evidence["checks"]}
    assert (checks["exposure"]["input"], checks["exposure"]["limit"]) == ("25.00", "25")
    assert (checks["primary_feed"]["input"], checks["primary_feed"]["limit"]) == ("PT5S", "PT5S")
    assert checks["market_kind"]["input"] == {"version": "v1", "tick": "0.01", "fee": ["0.07", 1, True]}
    assert datetime.fromisoformat(checks["window_begun"]["limit"]) == WINDOW.opens_at
