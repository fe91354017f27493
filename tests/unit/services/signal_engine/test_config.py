"""Settings of the engine."""

import pytest

from services.signal_engine.config import EngineSettings
from shared.runtime.settings import load_settings


@pytest.fixture
def load(monkeypatch):
    def with_accounts(accounts):
        monkeypatch.setenv("DATABASE_URL", "postgresql://onebook_signal_engine@127.0.0.1:5432/onebook")
        if accounts is not None:
            monkeypatch.setenv("ACCOUNTS", accounts)
        return load_settings(EngineSettings)

    return with_accounts


def test_an_account_may_run_several_strategies(load):
    settings = load("canary:always-trade-canary, oracle:oracle-average,oracle:always-trade-canary")
    assert settings.by_account == {
        "canary": ("always-trade-canary",),
        "oracle": ("oracle-average", "always-trade-canary"),
    }


@pytest.mark.parametrize(
    ("accounts", "said"),
    [
        (None, "ACCOUNTS is not set: which strategy runs for which account"),
        ("canary", "write it as ACCOUNT:STRATEGY"),
        ("canary:", "write it as ACCOUNT:STRATEGY"),
        ("a:b,a:b", "names a strategy twice"),
        (",", "ACCOUNTS is wrong"),
    ],
)
def test_what_names_no_strategy_stops_the_start_and_says_how_to_write_it(load, capsys, accounts, said):
    with pytest.raises(SystemExit) as stopped:
        load(accounts)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
