"""The page of one recorded window: whole, self-contained, and saying what it shows."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.operator.capture import page
from services.operator.capture.queries import DivergenceSpan, Points, Recorded, WindowFacts

OPENS = datetime(2026, 10, 5, 23, 0, tzinfo=UTC)
CLOSES = OPENS + timedelta(seconds=900)
D = Decimal


def recorded(**fields):
    window = {
        "window_id": "btc-updown-15m-1", "instrument": "BTC", "rule": "CHAINLINK_TWAP", "opens_at": OPENS,
        "closes_at": CLOSES, "up_token": "1", "down_token": "2", "strike": D("60000.5"), "strike_source": "venue",
        "state": "RESOLVED", "our_direction": "UP", "tainted": False, "resolved_direction": "UP",
        "resolution_source": "gamma", "resolved_at": CLOSES, "consensus": "UP", "confidence": D("0.97"), "surprise": False,
    } | fields  # fmt: skip
    at = [OPENS + timedelta(seconds=second) for second in range(3)]
    prices = Points(at, {"price": [D(60000), D(60001), D(60002)]})
    book = {"bid": [D("0.5"), None, D("0.6")], "ask": [D("0.52"), D("0.6"), None]}
    depths = {"bid_depth": [D(10)] * 3, "ask_depth": [D(20)] * 3}
    return Recorded(
        window=WindowFacts(**window),
        feeds={"binance_spot": prices, "chainlink": prices, "chainlink_twap": prices},
        books={side: Points(at, book | depths) for side in ("UP", "DOWN")},
        divergences=[DivergenceSpan("binance_spot", "chainlink", at[0], None, D("0.06"))],
        gaps=[("chainlink", at[1], at[2])],
        completeness=[("binance_spot", 99, 100)],
    )


@pytest.fixture(scope="module")
def drawn():
    return page.draw(recorded())


@pytest.mark.parametrize(
    "shown",
    [
        "binance_spot", "chainlink_twap", "UP bid", "DOWN ask", "resolved UP by gamma", "ours UP",
        "97% sure of UP", "strike 60,000.50 (venue)", "binance_spot 99 of 100", "1 divergences, 1 gaps", "gap: chainlink",
    ],
)  # fmt: skip
def test_the_page_says_what_was_recorded(drawn, shown):
    assert shown in drawn


def test_the_page_needs_nothing_from_outside(drawn):
    assert re.findall(r'<(?:script|link)[^>]+(?:src|href)="', drawn) == []
    assert "Plotly.newPlot" in drawn


def test_a_surprise_a_taint_and_a_window_nobody_resolved_are_said():
    odd = page.draw(recorded(surprise=True, tainted=True, resolved_direction=None, resolution_source=None))
    assert "a surprise" in odd
    assert "tainted by a gap" in odd
    assert "not resolved" in odd


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(page, "import_module", missing)
    with pytest.raises(page.NoPlots, match="make setup"):
        page.draw(recorded())
