"""Ids are functions of what they name."""

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.ids import SALT_BITS, digest, order_salt, position_id, redemption_id, signal_id


def test_the_same_intent_has_the_same_id_anywhere():
    first = signal_id("main", "PAPER", "canary", "btc-1", ordinal=0)
    assert first == signal_id("main", "PAPER", "canary", "btc-1", ordinal=0)
    assert position_id(first) == position_id(first)
    assert first != signal_id("main", "LIVE", "canary", "btc-1", ordinal=0)
    assert first != signal_id("main", "PAPER", "canary", "btc-1", ordinal=1)
    assert redemption_id("main", "LIVE", "w", attempt=1) != redemption_id("main", "LIVE", "w", attempt=2)


@given(st.lists(st.text(max_size=3), max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_different_parts_never_share_a_digest(one, other):
    assert (digest(*one) == digest(*other)) == (one == other)


@given(st.text(max_size=40))
def test_a_salt_survives_a_json_number(intent):
    assert 0 <= order_salt(intent) < 2**SALT_BITS
    assert order_salt(intent) == order_salt(intent)
