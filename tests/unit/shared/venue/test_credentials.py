from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from shared.venue.credentials import RelayerKey, sign_request
from shared.venue.refusals import Malformed
from tests.unit.shared.venue.venue_values import API_KEY, CREDENTIALS, OWNER

SECRET = SecretStr("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")


@pytest.mark.parametrize(
    ("timestamp", "method", "path", "body", "signature"),
    [
        (
            "1000000",
            "test-sign",
            "/orders",
            '{"hash": "0x123"}',
            "ZwAdJKvoYRlEKDkNMwd5BuwNNtg93kNaR_oU2HrfVvc=",
        ),
        ("1700000000", "GET", "/data/orders", "", "m6lGS9WyES7JjpAYNd7zIdW5bfHxAAI_pIa1St9vLO4="),
        ("1700000000", "POST", "/order", '{"a":1}', "cLK0Q2Ed2O7DADp_5dDi2ytUgLoAal-l_plGYO-Tnzs="),
    ],
)
def test_requests_are_signed_as_published(timestamp, method, path, body, signature):
    assert sign_request(SECRET, timestamp, method, path, body) == signature


def test_headers_carry_time_signature_and_names_the_venue_knows():
    headers = CREDENTIALS.headers("GET", "/data/orders", "", datetime.fromtimestamp(1700000000.9, UTC))
    assert headers == {
        "POLY_ADDRESS": OWNER,
        "POLY_SIGNATURE": "m6lGS9WyES7JjpAYNd7zIdW5bfHxAAI_pIa1St9vLO4=",
        "POLY_TIMESTAMP": "1700000000",
        "POLY_API_KEY": API_KEY,
        "POLY_PASSPHRASE": "the-passphrase",
    }


def test_secrets_are_in_no_text():
    shown = f"{CREDENTIALS!r} {RelayerKey(SecretStr('relayer-secret'), OWNER)!r}"
    assert not any(secret in shown for secret in (API_KEY, "the-passphrase", "AAAA", "relayer-secret"))


def test_a_secret_that_is_no_base64_is_refused_without_repeating_it():
    with pytest.raises(Malformed) as raised:
        sign_request(SecretStr("geheim!é"), "1", "GET", "/", "")
    assert "geheim" not in str(raised.value)
