"""Settings of signal_engine."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from shared.domain.ids import AccountId, StrategyId
from shared.runtime.settings import TradingSettings


def _pairs(value: Any) -> Any:
    """Return (account, strategy) pairs of ``account:strategy,…``; an account may stand in several."""
    if not isinstance(value, str):
        return value
    pairs = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        account, separator, strategy = (each.strip() for each in part.partition(":"))
        if not (account and separator and strategy):
            raise ValueError(
                "write it as ACCOUNT:STRATEGY,ACCOUNT:STRATEGY, for example canary:always-trade-canary"
            )
        pairs.append((account, strategy))
    if len(set(pairs)) != len(pairs):
        raise ValueError("an account names a strategy twice")
    return tuple(pairs)


class EngineSettings(TradingSettings):
    """Which strategies run, and for which accounts."""

    accounts: Annotated[tuple[tuple[AccountId, StrategyId], ...], NoDecode, BeforeValidator(_pairs)] = Field(
        min_length=1, description="which strategy runs for which account, ACCOUNT:STRATEGY,ACCOUNT:STRATEGY"
    )
    instance: str = Field(
        default="signal_engine", min_length=1, description="name of this process in the Book"
    )

    @property
    def by_account(self) -> Mapping[AccountId, tuple[StrategyId, ...]]:
        """Return the strategies of each account."""
        return {
            account: tuple(strategy for each, strategy in self.accounts if each == account)
            for account, _ in self.accounts
        }
