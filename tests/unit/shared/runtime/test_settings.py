"""Settings: one clear line a problem, exit status 2, and no value repeated (B1, B2, E14, E17)."""

import pytest
from pydantic import Field, SecretStr, ValidationError

from shared.domain.modes import Mode
from shared.runtime.settings import BaseServiceSettings, TradingSettings, load_settings

LOCAL = "postgresql://u:canary@127.0.0.1:5432/d"


class PlainSettings(BaseServiceSettings):
    own_prefix = "PLAIN_"
    plain_limit: int = Field(default=3, ge=1, le=5)
    plain_token: SecretStr | None = None


class SigningSettings(TradingSettings):
    may_sign = True
    signing_keys: SecretStr


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in (
        "DATABASE_URL",
        "TRADING_MODE",
        "CONFIRM_LIVE_TRADING",
        "SIGNING_KEYS",
        "HTTP_PORT",
        "HTTP_PORT_FILE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", LOCAL)
    return monkeypatch


def refused(cls, capsys):
    """Return the lines on stderr of a start that was refused with status 2."""
    with pytest.raises(SystemExit) as caught:
        load_settings(cls)
    assert caught.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert not any("canary" in line for line in lines)
    return lines


def test_settings_are_read_from_the_environment_and_frozen(environment):
    environment.setenv("PLAIN_LIMIT", "5")
    settings = load_settings(PlainSettings)
    assert settings.plain_limit == 5
    with pytest.raises(ValidationError):
        settings.plain_limit = 1


def test_a_missing_database_url_is_named(environment, capsys):
    environment.delenv("DATABASE_URL")
    (line,) = refused(PlainSettings, capsys)
    assert "DATABASE_URL is not set" in line


def test_an_empty_variable_is_a_missing_one(environment, capsys):
    environment.setenv("DATABASE_URL", "")
    (line,) = refused(PlainSettings, capsys)
    assert "DATABASE_URL is not set" in line


def test_a_malformed_database_url_says_what_to_do_and_hides_the_value(environment, capsys):
    environment.setenv("DATABASE_URL", "postgresql://u:canary@host/d")
    (line,) = refused(PlainSettings, capsys)
    assert "DATABASE_URL is wrong: it names no port" in line


def test_every_problem_has_its_line(environment, capsys):
    environment.delenv("DATABASE_URL")
    environment.setenv("PLAIN_LIMIT", "9")
    environment.setenv("HTTP_PORT", "canary")
    lines = refused(PlainSettings, capsys)
    assert [next(n for n in ("DATABASE_URL", "HTTP_PORT", "PLAIN_LIMIT") if n in line) for line in lines] == [
        "DATABASE_URL",
        "HTTP_PORT",
        "PLAIN_LIMIT",
    ]


@pytest.mark.parametrize("mode", ["PAPER", "paper", " Paper "])
def test_the_mode_is_trimmed_and_of_any_case(environment, mode):
    environment.setenv("TRADING_MODE", mode)
    settings = load_settings(TradingSettings)
    assert settings.trading_mode is Mode.PAPER
    assert settings.warnings() == []


def test_a_missing_mode_is_paper_with_a_warning():
    settings = load_settings(TradingSettings)
    assert settings.trading_mode is Mode.PAPER
    assert "PAPER is assumed" in settings.warnings()[0]


@pytest.mark.parametrize("mode", ["BACKTEST", "REAL", "LIVE!", "canary"])
def test_an_unknown_mode_is_refused(environment, capsys, mode):
    environment.setenv("TRADING_MODE", mode)
    (line,) = refused(TradingSettings, capsys)
    assert "TRADING_MODE is wrong: it must be PAPER, LIVE or DRY_RUN" in line


@pytest.mark.parametrize("confirmation", [None, "", "yes", "1", "false", "truee"])
def test_live_without_the_exact_confirmation_is_refused(environment, capsys, confirmation):
    environment.setenv("TRADING_MODE", "LIVE")
    if confirmation is not None:
        environment.setenv("CONFIRM_LIVE_TRADING", confirmation)
    (line,) = refused(TradingSettings, capsys)
    assert "CONFIRM_LIVE_TRADING" in line


@pytest.mark.parametrize("confirmation", ["true", "TRUE", " True "])
def test_live_with_its_confirmation_starts(environment, confirmation):
    environment.setenv("TRADING_MODE", "live")
    environment.setenv("CONFIRM_LIVE_TRADING", confirmation)
    assert load_settings(TradingSettings).trading_mode is Mode.LIVE


def test_live_in_plain_text_to_another_machine_is_refused(environment, capsys):
    environment.setenv("TRADING_MODE", "LIVE")
    environment.setenv("CONFIRM_LIVE_TRADING", "true")
    environment.setenv("DATABASE_URL", "postgresql://u:canary@db.example:5432/d?sslmode=prefer")
    (line,) = refused(TradingSettings, capsys)
    assert "sslmode=require" in line


@pytest.mark.parametrize(
    ("mode", "url"),
    [
        ("LIVE", "postgresql://u@db.example:5432/d?sslmode=require"),
        ("PAPER", "postgresql://u@db.example:5432/d"),
    ],
)
def test_tls_is_asked_of_live_only(environment, mode, url):
    environment.setenv("TRADING_MODE", mode)
    environment.setenv("CONFIRM_LIVE_TRADING", "true")
    environment.setenv("DATABASE_URL", url)
    assert load_settings(TradingSettings).trading_mode == mode


@pytest.mark.parametrize(
    "variable", ["SIGNING_KEYS", "SIGNING_KEY", "POLYMARKET_PRIVATE_KEY", "PRIVATE_KEYS"]
)
def test_a_service_that_finds_a_signing_key_refuses_to_start(environment, capsys, variable):
    environment.setenv(variable, "0xcanary")
    (line,) = refused(PlainSettings, capsys)
    assert variable in line
    assert "only execution" in line


def test_the_service_that_signs_may_hold_it(environment):
    environment.setenv("SIGNING_KEYS", "0xcanary")
    settings = load_settings(SigningSettings)
    assert settings.signing_keys.get_secret_value() == "0xcanary"
    assert "canary" not in repr(settings)


def test_a_variable_of_our_own_that_names_no_setting_is_refused(environment, capsys):
    environment.setenv("PLAIN_LIMITT", "canary")
    (line,) = refused(PlainSettings, capsys)
    assert "PLAIN_LIMITT" in line


@pytest.mark.parametrize(
    "typo", ["TRADING_MOD", "TRADING_MODEE", "TRADIGN_MODE", "TRADING-MODE", "CONFIRM_LIVE_TRADNG"]
)
def test_a_typo_of_a_setting_is_refused_with_the_name_that_was_meant(environment, capsys, typo):
    environment.setenv(typo, "canary")
    (line,) = refused(TradingSettings, capsys)
    assert "rename it to" in line


@pytest.mark.parametrize("foreign", ["HTTPS_PORT", "HTTP_PROXY", "LOG_LEVELS", "DATABASE", "TRADING_VIEW"])
def test_variables_of_others_are_left_alone(environment, foreign):
    environment.setenv(foreign, "whatever")
    assert load_settings(TradingSettings).http_port == 0


def test_the_secrets_of_the_settings_are_known_for_redaction(environment):
    environment.setenv("PLAIN_TOKEN", "token-canary")
    assert set(load_settings(PlainSettings).secrets()) == {LOCAL, "token-canary", "canary"}


def test_the_secrets_inside_a_json_setting_are_known_one_by_one(environment):
    environment.setenv(
        "SIGNING_KEYS", '{"main": {"private_key": "0xcanary-key", "wallet": "0xpublic", "nonce": 3}}'
    )
    secrets = set(load_settings(SigningSettings).secrets())
    assert "0xcanary-key" in secrets
    assert "0xpublic" not in secrets


def test_an_error_nobody_catches_does_not_show_the_value_either(environment):
    environment.setenv("DATABASE_URL", "postgresql://u:canary@host/d")
    with pytest.raises(ValidationError) as caught:
        PlainSettings()
    assert "canary" not in str(caught.value)
