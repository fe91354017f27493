"""Every answer the venue is known to give, and what it proves (E5, AC5.3)."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, strategies

from shared.domain.orders import OrderSide
from shared.domain.outcomes import KnownFailure, Success, Unknown
from shared.venue.order_struct import build_order, prepared_order
from shared.venue.outcome import (
    TransportFault,
    classify_cancel_answer,
    classify_fault,
    classify_order_answer,
    classify_relayer_answer,
)
from tests.unit.shared.venue.venue_values import OWNER, intent, order_id_of


def prepared(**changes):
    made = intent(**changes)
    order = build_order(made, maker=OWNER, signer=OWNER, signature_type=0)
    return prepared_order(made, order, signature="0x", owner="key")


BUY = prepared()  # 1.20 USDC at 0.55
JSON = {"content-type": "application/json"}
HTML = {"content-type": "text/html; charset=UTF-8"}


def judge(status, body, headers=JSON, expected=BUY):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify_order_answer(status, headers, content, None, began_send=True, expected=expected)


def accepted(**changes):
    return {
        "success": True,
        "errorMsg": "",
        "orderID": BUY.order_id,
        "status": "matched",
        "makingAmount": "1.199999",
        "takingAmount": "2.181817",
        "transactionsHashes": ["0xabc"],
        "tradeIDs": ["t-1"],
    } | changes


# text, reason, whether the account itself is refused
REFUSALS = [
    ("Invalid order payload", "INVALID_PAYLOAD", False),
    ("the order owner has to be the owner of the API KEY", "OWNER_MISMATCH", True),
    ("the order signer address has to be the address of the API KEY", "SIGNER_MISMATCH", True),
    ("maker address not allowed, please use the deposit wallet flow", "MAKER_NOT_ALLOWED", True),
    ("'0x1234' address banned", "BANNED", True),
    ("'0x1234' address in closed only mode", "CLOSED_ONLY", True),
    ("Too many orders in payload: 16, max allowed: 15", "TOO_MANY_ORDERS", False),
    ("invalid post-only order: order crosses book", "POST_ONLY_CROSSES", False),
    ("order 0xab is invalid. Price (0.555) breaks minimum tick size rule: 0.01", "OFF_TICK", False),
    ("order 0xab is invalid. Size (1) lower than the minimum: 5", "TOO_SMALL", False),
    ("order 0xab crosses the book", "CROSSES_BOOK", False),
    ("not enough balance / allowance", "NOT_ENOUGH_BALANCE", False),
    (
        "not enough balance / allowance: the balance is not enough -> balance: 49, order amount: 51, sum of matched orders: 7",
        "NOT_ENOUGH_BALANCE",
        False,
    ),
    ("invalid expiration", "INVALID_EXPIRATION", False),
    ("invalid nonce", "INVALID_NONCE", False),
    ("invalid signature", "INVALID_SIGNATURE", True),
    ("order_version_mismatch", "VERSION_MISMATCH", True),
    ("invalid order version, please use the latest clob-client", "VERSION_MISMATCH", True),
    ("order canceled in the CTF exchange contract", "CANCELLED_ON_CHAIN", False),
    ("order match delayed due to market conditions", "MATCH_DELAYED", False),
    ("order couldn't be fully filled. FOK orders are fully filled or killed.", "FOK_NOT_FILLED", False),
    (
        "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found.",
        "FAK_NOT_FILLED",
        False,
    ),
    ("the market is not yet ready to process new orders", "MARKET_NOT_READY", False),
    ("invalid amount for a marketable BUY order ($0.5), min size: $1", "TOO_SMALL", False),
    (
        "invalid amounts, the market buy orders maker amount supports a max accuracy of 2 decimals",
        "INVALID_AMOUNTS",
        False,
    ),
]


@pytest.mark.parametrize(("text", "reason", "trips"), REFUSALS)
def test_a_listed_refusal_is_known_to_have_done_nothing(text, reason, trips):
    outcome = judge(400, {"error": text})
    assert isinstance(outcome, KnownFailure)
    assert (outcome.reason, outcome.trips) == (reason, trips)
    assert outcome.detail["text"] == text


@pytest.mark.parametrize(
    ("status", "headers", "body", "reason", "trips"),
    [
        (401, JSON, {"error": "Unauthorized/Invalid api key"}, "UNAUTHORIZED", True),
        (401, JSON, b"", "UNAUTHORIZED", True),
        (403, HTML, b"<!DOCTYPE html><html>Attention Required! | Cloudflare</html>", "BLOCKED", True),
        (403, {}, b"\n<html>Sorry, you have been blocked</html>", "BLOCKED", True),
        (
            403,
            JSON,
            {"error": "Trading restricted in your region, please refer to available regions"},
            "BLOCKED",
            True,
        ),
        (425, JSON, {"error": "service not ready"}, "ENGINE_RESTARTING", False),
        (425, {}, b"order manager not ready", "ENGINE_RESTARTING", False),
        (429, JSON | {"retry-after": "3"}, {"error": "Too Many Requests"}, "RATE_LIMITED", False),
        (503, JSON, {"error": "Trading is currently disabled. Please try later"}, "RESTRICTED", False),
        (
            503,
            JSON,
            {
                "error": "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed."
            },
            "RESTRICTED",
            False,
        ),
        (503, JSON, {"error": "trading is disabled"}, "RESTRICTED", False),
        (503, JSON, {"error": "?", "code": "post_only_mode", "retry_after_seconds": 79}, "RESTRICTED", False),
    ],
)
def test_a_listed_status_is_known_to_have_done_nothing(status, headers, body, reason, trips):
    outcome = judge(status, body, headers)
    assert isinstance(outcome, KnownFailure)
    assert (outcome.reason, outcome.trips) == (reason, trips)
    assert outcome.detail.get("retry_after") == headers.get("retry-after")


@pytest.mark.parametrize(
    ("status", "headers", "body", "reason"),
    [
        (400, JSON, {"error": "order timed out"}, "UNLISTED_TEXT"),
        (400, JSON, {"error": "order 0xab is invalid. Duplicated."}, "DUPLICATED"),
        (400, JSON, {"error": "context canceled"}, "UNLISTED_TEXT"),
        (400, JSON, {"error": "something new"}, "UNLISTED_TEXT"),
        (400, HTML, b"<html>bad request</html>", "UNLISTED_TEXT"),
        (400, JSON, b"", "UNLISTED_TEXT"),
        (403, JSON, {"error": "something new"}, "HTTP_403"),
        (404, JSON, {"error": "not found"}, "HTTP_404"),
        (408, {}, b"", "HTTP_408"),
        (429, HTML, b"<html>slow down</html>", "HTTP_429"),  # not the CLOB's own
        (500, JSON, {"error": "could not insert order"}, "HTTP_500"),
        (500, JSON, {"error": "there are no matching orders"}, "HTTP_500"),
        (500, JSON, {"error": "FOK orders are filled or killed"}, "HTTP_500"),
        (500, JSON, {"error": "the trade contains rounding issues"}, "HTTP_500"),
        (500, JSON, {"error": "the price of the taker's order has a discrepancy greater than allowed"}, "HTTP_500"),
        (500, {}, b"OOM", "HTTP_500"),
        (502, HTML, b"<html>bad gateway</html>", "HTTP_502"),
        (503, HTML, b"<html>unavailable</html>", "HTTP_503"),  # not the CLOB's own
        (503, JSON, {"error": "upstream request timeout"}, "HTTP_503"),
        (504, HTML, b"", "HTTP_504"),
        (201, JSON, {"orderID": "0xab"}, "HTTP_201"),
        (302, {}, b"", "HTTP_302"),
        (200, JSON, b"", "UNREADABLE"),
        (200, HTML, b"<html>ok</html>", "UNREADABLE"),
        (200, JSON, b'{"success":tr', "UNREADABLE"),
        (200, JSON, b"[1]", "UNREADABLE"),
        (200, JSON, b"\xff\xfe", "UNREADABLE"),
        (200, JSON, b'{"makingAmount":1e99999999999999999999}', "UNREADABLE"),
        (200, JSON, b"[" * 100_000, "UNREADABLE"),
        (200, JSON, accepted(orderID=""), "NO_ORDER_ID"),
        (200, JSON, {"success": False, "errorMsg": "not enough balance / allowance", "orderID": ""}, "NO_ORDER_ID"),
        (200, JSON, accepted(orderID=order_id_of("b")), "OTHER_ORDER_ID"),
        (200, JSON, accepted(orderID=7), "OTHER_ORDER_ID"),
        (200, JSON, accepted(success=False), "NOT_CLEAR"),
        (200, JSON, accepted(success="true"), "NOT_CLEAR"),
        (200, JSON, accepted(errorMsg="hm"), "NOT_CLEAR"),
        (200, JSON, accepted(status="unmatched"), "NOT_CLEAR"),
        (200, JSON, accepted(status="new word"), "NOT_CLEAR"),
        (200, JSON, accepted(status=["matched"]), "NOT_CLEAR"),
        (200, JSON, accepted(makingAmount="abc"), "UNREADABLE"),
        (200, JSON, accepted(makingAmount="NaN"), "UNREADABLE"),
        (200, JSON, accepted(makingAmount=[]), "UNREADABLE"),
        (200, JSON, accepted(makingAmount="-1"), "UNREADABLE"),
        (200, JSON, accepted(makingAmount="1e999999", takingAmount="1e999999"), "AMOUNTS_NOT_UNDERSTOOD"),
        (200, JSON, accepted(makingAmount="1199999", takingAmount="2181817"), "AMOUNTS_NOT_UNDERSTOOD"),  # base units
        (200, JSON, accepted(takingAmount="1e30"), "AMOUNTS_NOT_UNDERSTOOD"),
        (200, JSON, accepted(makingAmount="1.1", takingAmount="1.0"), "AMOUNTS_NOT_UNDERSTOOD"),  # over $1 a share
        (200, JSON, accepted(makingAmount="", takingAmount=""), "AMOUNTS_NOT_UNDERSTOOD"),  # a match without totals
    ],
)  # fmt: skip
def test_everything_else_is_unknown(status, headers, body, reason):
    outcome = judge(status, body, headers)
    assert isinstance(outcome, Unknown)
    assert outcome.reason == reason


@pytest.mark.parametrize("fault", list(TransportFault))
def test_once_a_byte_may_have_left_a_failure_below_http_is_unknown(fault):
    assert isinstance(classify_fault(fault, began_send=True), Unknown)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (TransportFault.NOT_SENT, "NOT_SENT"),
        (TransportFault.CONNECT, "CONNECT_FAILED"),
        (TransportFault.POOL, "POOL_FAILED"),
    ],
)
def test_before_the_first_byte_nothing_happened(fault, reason):
    assert classify_order_answer(None, {}, b"", fault, began_send=False, expected=BUY) == KnownFailure(reason)


@pytest.mark.parametrize(
    "fault", [TransportFault.TIMEOUT, TransportFault.LOST, TransportFault.UNREADABLE, None]
)
def test_a_failure_that_comes_only_after_sending_is_unknown_whatever_the_sender_believes(fault):
    assert isinstance(classify_order_answer(None, {}, b"", fault, began_send=False, expected=BUY), Unknown)


def test_a_match_is_a_success_with_whole_units():
    outcome = judge(200, accepted())
    assert isinstance(outcome, Success)
    value = outcome.value
    assert (value.status, str(value.shares), str(value.usdc)) == ("matched", "2.181817", "1.199999")
    assert (value.trade_ids, value.transaction_hashes) == (("t-1",), ("0xabc",))


def test_a_sale_gives_shares_and_gets_dollars():
    sale = prepared(side=OrderSide.SELL, amount=Decimal("2.25"), limit_price=BUY.intent.limit_price)
    outcome = judge(
        200, accepted(orderID=sale.order_id, makingAmount="2.25", takingAmount="1.2375"), expected=sale
    )
    assert isinstance(outcome, Success)
    assert (str(outcome.value.shares), str(outcome.value.usdc)) == ("2.25", "1.2375")


@pytest.mark.parametrize("status", ["live", "delayed"])
@pytest.mark.parametrize("nothing", ["", "0", None])
def test_an_order_that_has_not_matched_is_a_success_with_nothing(status, nothing):
    outcome = judge(200, accepted(status=status, makingAmount=nothing, takingAmount=nothing, tradeIDs=None))
    assert isinstance(outcome, Success)
    assert (outcome.value.status, outcome.value.shares, outcome.value.usdc) == (status, 0, 0)


JSON_VALUES = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(),
    lambda inner: (
        strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(
    status=strategies.sampled_from([200, 400, 401, 403, 425, 429, 500, 503]),
    body=strategies.dictionaries(
        strategies.sampled_from([*accepted(), "error", "code", "message"]), JSON_VALUES, max_size=9
    ),
)
def test_no_answer_is_too_strange_to_judge_and_none_without_our_id_is_a_success(status, body):
    outcome = judge(status, body)
    assert isinstance(outcome, KnownFailure | Unknown)


def test_the_id_is_compared_without_regard_to_case():
    assert isinstance(judge(200, accepted(orderID=BUY.order_id.upper().replace("0X", "0x"))), Success)


def test_a_cancel_says_what_it_did_and_what_not():
    body = json.dumps({"canceled": ["0x1"], "not_canceled": {"0x2": "already canceled or matched"}}).encode()
    outcome = classify_cancel_answer(200, JSON, body, None, began_send=True)
    assert isinstance(outcome, Success)
    assert outcome.value.cancelled == ("0x1",)
    assert outcome.value.not_cancelled == {"0x2": "already canceled or matched"}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"canceled":"0x1"}', b'{"canceled":[],"not_canceled":[]}', b"{}"]
)
def test_a_cancel_answered_unreadably_is_unknown(body):
    assert isinstance(classify_cancel_answer(200, JSON, body, None, began_send=True), Unknown)


@pytest.mark.parametrize(
    ("status", "kind"), [(401, KnownFailure), (425, KnownFailure), (400, Unknown), (500, Unknown)]
)
def test_a_refused_cancel_is_judged_by_its_status(status, kind):
    body = (
        b'{"error":"not enough balance / allowance"}'  # a text on the orders' list proves nothing of a cancel
    )
    assert isinstance(classify_cancel_answer(status, JSON, body, None, began_send=True), kind)


def test_a_lost_cancel_is_unknown():
    outcome = classify_cancel_answer(None, {}, b"", TransportFault.TIMEOUT, began_send=True)
    assert isinstance(outcome, Unknown)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, {"transactionID": "t", "state": "STATE_NEW", "transactionHash": ""}, Success),
        (200, {"state": "STATE_NEW"}, Unknown),
        (200, {"transactionID": ""}, Unknown),
        (400, {"error": "wallet busy: 0x has an active action"}, KnownFailure),
        (400, b"<html>", Unknown),
        (401, {"error": "invalid authorization"}, KnownFailure),
        (429, {"error": "too many"}, KnownFailure),
        (500, {"error": "?"}, Unknown),
    ],
)
def test_the_relayers_answers_are_judged_by_the_same_rule(status, body, kind):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert isinstance(classify_relayer_answer(status, JSON, content, None, began_send=True), kind)
