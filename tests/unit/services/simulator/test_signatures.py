"""The published vectors: orders of both domains, wallet wrapper, login, HMAC, deposit wallet."""

import pytest

from services.simulator import signatures
from services.simulator.signatures import (
    DOMAIN_NEG_RISK,
    DOMAIN_STANDARD,
    DOMAIN_V3,
    SignedFields,
    batch_signer,
    deposit_wallet_of,
    domain_for,
    login_signer,
    order_id,
    order_signer,
    recover,
    request_signature,
)

OWNER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
ONES = "0x" + "11" * 20
TOKEN = 71321045679252212594626385532706912750332728571942532289631379312455583992563
POSITION = 663574927012476832975694178961957910328055987427402067619466963999000625152
ZERO = "0x" + "00" * 32
ONE = "0x" + "00" * 31 + "01"
AT = 1713398400000
SIGNED_BUY = "0x89f178136333c8ebb32a19146cb891233e3202d474be6ef730c24dbc06ae4d2a0c99948a86d9b57de0f2c0bb8ec6964aa244ecf17cfa3a95b86878d0b64ad78a1b"


def fields(salt, maker, amounts, side, kind, *, token=TOKEN, at=AT, builder=ZERO):
    return SignedFields(salt, maker, maker, token, *amounts, side, kind, at, ZERO, builder)


BUY = (100_000_000, 50_000_000)
VECTORS = [
    (
        fields(123456789, OWNER, BUY, "BUY", 0),
        DOMAIN_STANDARD,
        "0x32961c48ddac87ed3582f8e02097cd0eff4fcf80460306bd44b3710438dfa64c",
        SIGNED_BUY,
    ),
    (
        fields(987654321, OWNER, BUY[::-1], "SELL", 0),
        DOMAIN_NEG_RISK,
        "0x8b878404bd92dea2bfea9975c9fcd816ec70a57ae431cb20d67bb773744aaef3",
        "0xf7d60d64364e2615b08d9f69f3ea9afd3b4f83ecfbf05ddd3ca83f4916277fb97d2d080758d17c8e91c928aceb8ff252477ebaec051b672832500f63b4d36b061c",
    ),
    (
        fields(1, OWNER, BUY, "BUY", 0, at=1713398500000, builder=ONE),
        DOMAIN_STANDARD,
        "0x3df0b6f6ddfca837bc36964cae968b34ad35640b5d98f557c104da97e804e36a",
        "0xf4d2b34659e8bc07a9572d40ee5a1639a1157409613b4c21566b1f33fd8fe11a364b3f306668cae7248ca7cdf72378f9266bc5628585aa939644400030671e081c",
    ),
    (
        fields(333333333, ONES, BUY, "BUY", 3),
        DOMAIN_STANDARD,
        "0x48cfd4c03dcee72230750e2dc5ea71048e91244c2a9fec2ed6ef790a74869596",
        None,
    ),
    (
        fields(123456789, OWNER, BUY, "BUY", 0, token=POSITION),
        DOMAIN_V3,
        "0xb7f66f00523a4330d63307641765f4127d3bcbdcffbc7b9065466cba5c63825c",
        None,
    ),
    (
        fields(123456789, OWNER, BUY, "BUY", 0),
        DOMAIN_V3,
        "0xebbc5881e0995ce4d28b2725b16c901917e02c9288525024b4cf64d23d1c5ec0",
        "0x342b617601b5766f2fe6ef71c534f4f85ccdf4f1efc55c8cd18179381542f8605b30ac945b462d32265f06a26b47c8a2e15e5f907db303d464daec69a3d049681c",
    ),
]


@pytest.mark.parametrize(("order", "domain", "identity", "signature"), VECTORS)
def test_an_order_has_the_published_id_and_signer(order, domain, identity, signature):
    assert order_id(order, domain) == identity
    if signature is not None:
        assert order_signer(order, domain, signature) == OWNER


def test_domain_separators_are_the_published_ones():
    assert (
        DOMAIN_STANDARD.separator.hex() == "3264e159346253e26a64e00b69032db0e7d32f94628de3e6eecb50304d7af3d2"
    )
    assert (
        DOMAIN_NEG_RISK.separator.hex() == "9b858f53327b0bd13af8ec14cfb35234fb9eb7b0504d1a4e61f433840d30e81a"
    )
    assert DOMAIN_V3.separator.hex() == "466c63910185bbd55e8679264200c4e0abdcbb0c6264eb3d41d13326022e095b"


def test_a_position_id_is_told_from_a_token_by_its_reserved_bits():
    assert domain_for(POSITION, neg_risk=False) == DOMAIN_V3
    assert domain_for(TOKEN, neg_risk=False) == DOMAIN_STANDARD
    assert domain_for(TOKEN, neg_risk=True) == DOMAIN_NEG_RISK


WRAPPED_AMOY = (
    "0xa3a093c83b6c20c83355c16ce94c92e6e9fcbdeb840618cc74f6c57a42ad145b2b98db73d2c73cbf1f2b6af288566ae81960ddbc3a13921027358a8bff3be6ff1c"
    "a440cbd865bc0c6243d7a8df9a8bf48a8827b0a4abbb61c30e96d305423af148d23d42d3ad94e65d78258cecaf8dcbaddac0f73dc085040f2c12bb595dd83804"
    + signatures._ORDER_TYPE.encode().hex()
    + "00ba"
)


def test_a_deposit_wallets_wrapper_names_its_owner(monkeypatch):
    monkeypatch.setattr(signatures, "CHAIN_ID", 80002)  # the published vector is of the test network
    order = SignedFields(479249096354, ONES, ONES, 1234, *BUY, "BUY", 3, 1710000000000, ZERO, ZERO)
    assert order_signer(order, DOMAIN_STANDARD, WRAPPED_AMOY) == OWNER


def test_a_wrapper_for_another_order_or_without_its_trailer_is_no_signature(monkeypatch):
    monkeypatch.setattr(signatures, "CHAIN_ID", 80002)
    other = SignedFields(479249096355, ONES, ONES, 1234, *BUY, "BUY", 3, 1710000000000, ZERO, ZERO)
    assert order_signer(other, DOMAIN_STANDARD, WRAPPED_AMOY) is None
    right = SignedFields(479249096354, ONES, ONES, 1234, *BUY, "BUY", 3, 1710000000000, ZERO, ZERO)
    assert order_signer(right, DOMAIN_STANDARD, WRAPPED_AMOY[:132]) is None


@pytest.mark.parametrize("text", ["", "0x", "0xzz", "89f1", "0x" + "ff" * 65, "0x" + "00" * 64 + "05"])
def test_bytes_that_are_no_signature_have_no_signer(text):
    assert order_signer(VECTORS[0][0], DOMAIN_STANDARD, text) is None


def test_recovery_ids_zero_and_one_are_read_like_27_and_28():
    raw = bytes.fromhex(SIGNED_BUY[2:])
    digest = bytes.fromhex(VECTORS[0][2][2:])
    assert recover(digest, raw) == recover(digest, raw[:64] + bytes([raw[64] - 27])) == OWNER


def test_a_login_is_signed_by_its_address(monkeypatch):
    signature = "0x659ed4b28ae28e0f038fdf0023c00863c9559caacb9ebc83f44eea87059a099a36f1e1dee110e7faa1c4f65d17489b2da1333ebef78bbe2116d81207b975052d1c"
    assert login_signer(OWNER, "1700000000", 0, signature) == OWNER
    assert login_signer(OWNER, "1700000001", 0, signature) != OWNER
    monkeypatch.setattr(signatures, "CHAIN_ID", 80002)
    on_amoy = "0xf62319a987514da40e57e2f4d7529f7bac38f0355bd88bb5adbb3768d80de6c1682518e0af677d5260366425f4361e7b70c25ae232aff0ab2331e2b164a1aedc1b"
    assert login_signer(OWNER, "10000000", 23, on_amoy) == OWNER


SECRET = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


@pytest.mark.parametrize(
    ("timestamp", "method", "path", "body", "expected"),
    [
        (
            "1000000",
            "test-sign",
            "/orders",
            b'{"hash": "0x123"}',
            "ZwAdJKvoYRlEKDkNMwd5BuwNNtg93kNaR_oU2HrfVvc=",
        ),
        ("1700000000", "GET", "/data/orders", b"", "m6lGS9WyES7JjpAYNd7zIdW5bfHxAAI_pIa1St9vLO4="),
        ("1700000000", "POST", "/order", b'{"a":1}', "cLK0Q2Ed2O7DADp_5dDi2ytUgLoAal-l_plGYO-Tnzs="),
    ],
)
def test_a_request_has_the_published_hmac(timestamp, method, path, body, expected):
    assert request_signature(SECRET, timestamp, method, path, body) == expected


def test_the_deposit_wallet_is_derived_from_its_owner():
    # Computed with polymarket-client 0.14.0.
    assert deposit_wallet_of(OWNER) == "0xBc0fF067b7740Eff76C1ca93c875Ba6B890d6B50"


def test_a_batch_without_a_signature_has_no_signer():
    assert batch_signer(ONES, 0, 1, [(ONES, 0, b"")], "0x") is None
