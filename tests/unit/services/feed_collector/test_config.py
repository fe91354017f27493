"""Settings of the collector: what cannot be watched is refused by name, and the way out is said."""

import pytest

from services.feed_collector.config import CollectorSettings
from shared.runtime.settings import load_settings

URL = "postgresql://onebook_feed_collector@127.0.0.1:5432/onebook"
FEED_KEY = {
    "FEED_API_KEY": "k",
    "FEED_API_SECRET": "c2VjcmV0LXNlY3JldA==",
    "FEED_API_PASSPHRASE": "p",
    "FEED_API_ADDRESS": "0xabc",
}


@pytest.fixture
def load(monkeypatch):
    def with_variables(**variables):
        monkeypatch.setenv("DATABASE_URL", URL)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return load_settings(CollectorSettings)

    return with_variables


def refusal(load, capsys, **variables):
    with pytest.raises(SystemExit) as stopped:
        load(**variables)
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_names_are_read_in_any_case_and_once(load):
    settings = load(INSTRUMENTS="btc, ETH,btc", INTERVALS="15M,1h")
    assert settings.instruments == ("BTC", "ETH")
    assert settings.intervals == ("15m", "1h")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("INSTRUMENTS", "BTC,FOO", "FOO cannot be watched: name some of BNB, BTC"),
        ("INSTRUMENTS", ",", "nothing cannot be watched"),
        ("INTERVALS", "7m", "7m is no interval: name some of 15m"),
    ],
)
def test_what_cannot_be_watched_is_refused_by_name(load, capsys, variable, value, said):
    assert said in refusal(load, capsys, **{variable: value})


def test_the_oracles_credentials_come_together_or_not_at_all(load, capsys):
    said = refusal(load, capsys, FEED_API_KEY="k")
    assert "set all of FEED_API_KEY" in said


def test_without_credentials_a_person_is_told(load):
    settings = load()
    assert settings.feed_credentials is None
    assert any("FEED_API_KEY" in warning for warning in settings.warnings())


def test_with_credentials_the_secrets_are_known_for_redaction(load):
    settings = load(**FEED_KEY)
    assert settings.feed_credentials is not None
    assert settings.warnings() == []
    assert {"k", "p", FEED_KEY["FEED_API_SECRET"]} <= set(settings.secrets())


def test_a_signing_key_stops_the_start(load, capsys):
    assert "only execution may hold a signing key" in refusal(load, capsys, SIGNING_KEYS='{"a": {}}')
