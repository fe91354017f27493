"""No secret leaves the process, in whatever spelling or place (B2)."""

import json
from urllib.parse import quote

import pytest

from shared.observability.redaction import REDACTED, redact, redact_text, redact_value

KEY = "0x" + "ab12" * 16


@pytest.mark.parametrize(
    "spelling",
    [KEY, KEY.removeprefix("0x"), KEY.removeprefix("0x").upper(), f"key={KEY};", f"tail of a URL /{KEY[2:]}"],
)
def test_a_known_secret_is_found_in_every_spelling(spelling):
    redact(KEY)
    assert KEY[2:].lower() not in redact_text(spelling).lower()
    assert REDACTED in redact_text(spelling)


@pytest.mark.parametrize("spell", [str, lambda s: quote(s, safe=""), json.dumps, repr])
def test_a_password_with_awkward_letters_is_found_quoted_and_escaped(spell):
    secret = "p@ss\"w'\u00f6r\\d/1"
    redact(secret)
    told = redact_text(f"it is {spell(secret)} here")
    assert REDACTED in told
    assert not any(part in told for part in ("p@ss", "p%40ss", "d/1", "d%2F1"))


def test_an_order_hash_is_no_secret_although_it_looks_like_a_key():
    redact(KEY)
    order_id = "0x" + "cd34" * 16
    assert redact_text(order_id) == order_id


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://user:hunter22@db:5432/book",
        "postgres://user:hunter22@db/book",
        "failed for postgresql+psycopg://user:hunter22@db:5432/book?sslmode=require.",
        "host=db user=u password=hunter22 dbname=b",
        "host=db password='hunter22' dbname=b",
        "PASSWORD = hunter22",
    ],
)
def test_addresses_and_passwords_are_known_by_their_shape(text):
    assert "hunter22" not in redact_text(text)


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "db_password",
        "signing_keys",
        "private_key",
        "POLY_API_KEY",
        "POLY_SIGNATURE",
        "POLY_PASSPHRASE",
        "api-secret",
        "Authorization",
        "signed_body",
        "database_url",
        "alert_webhook_url",
    ],
)
def test_values_under_the_name_of_a_secret_are_never_shown(key):
    assert redact_value({"deep": [{key: "whatever"}]}) == {"deep": [{key: REDACTED}]}


@pytest.mark.parametrize("key", ["token_id", "order_id", "instrument", "epoch", "salt", "signal_id", "keys"])
def test_ordinary_names_keep_their_values(key):
    assert redact_value({key: "value-1"}) == {key: "value-1"}


def test_a_short_secret_does_not_blot_out_ordinary_words():
    redact("LIVE")
    assert redact_text("mode LIVE") == "mode LIVE"


def test_objects_are_told_by_their_text_and_redacted():
    redact("canary-value")

    class Thing:
        def __str__(self):
            return "holds canary-value"

    assert redact_value({"thing": Thing(), "set": {"canary-value"}, 3: ("canary-value",)}) == {
        "thing": f"holds {REDACTED}",
        "set": [REDACTED],
        "3": [REDACTED],
    }
