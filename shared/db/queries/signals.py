"""signals and strategy_instances: what strategies said, and who they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text

from shared.db.engine import Tx
from shared.db.queries.documents import dump
from shared.domain.ids import AccountId, InstanceId, StrategyId, WindowId
from shared.domain.modes import Mode
from shared.domain.signals import RiskParameters, Signal


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """A strategy at one code hash with one set of parameters, for one account."""

    instance_id: InstanceId
    account_id: AccountId
    strategy_id: StrategyId
    code_hash: str
    parameters: Mapping[str, str]
    hypothesis: str


@dataclass(frozen=True, slots=True)
class SignalRow:
    """How one signal stands."""

    account_id: AccountId
    strategy_id: StrategyId
    window_id: WindowId
    ordinal: int
    state: str
    refusal: str | None
    decided_at: datetime | None


def risk_as_json(risk: RiskParameters) -> dict[str, str | None]:
    """Return risk parameters as the column ``risk`` holds them, for ``rows.read_risk`` to read: numbers as text."""
    return {name: _number(getattr(risk, name)) for name in RiskParameters.__dataclass_fields__}


async def register_once(tx: Tx, row: InstanceRow, *, by: str) -> bool:
    """Insert an instance; False when it stands already, with whatever an operator made of it."""
    statement = text(
        """INSERT INTO strategy_instances (instance_id, account_id, strategy_id, code_hash, parameters, hypothesis, enabled_by)
        VALUES (:id, :account, :strategy, :hash, CAST(:parameters AS jsonb), :hypothesis, :by)
        ON CONFLICT (instance_id) DO NOTHING RETURNING instance_id"""
    )
    parameters = {
        "id": row.instance_id,
        "account": row.account_id,
        "strategy": row.strategy_id,
        "hash": row.code_hash,
        "parameters": dump(dict(row.parameters)),
        "hypothesis": row.hypothesis,
        "by": by,
    }
    return (await tx.execute(statement, parameters)).one_or_none() is not None


async def insert_once(tx: Tx, signal: Signal, *, ordinal: int) -> bool:
    """Insert a signal as NEW; False when it is there, or when another of its strategy and window is still undecided."""
    statement = text(
        """INSERT INTO signals (signal_id, account_id, mode, strategy_id, instance_id, window_id, instrument, side, token_id,
          price, amount_usdc, confidence, risk, evidence, ordinal, made_at, expires_at)
        SELECT :signal_id, :account, CAST(:mode AS trading_mode), :strategy, :instance, :window, :instrument, :side, :token,
          :price, :amount, :confidence, CAST(:risk AS jsonb), CAST(:evidence AS jsonb), :ordinal, :made_at, :expires_at
        WHERE NOT EXISTS (SELECT FROM signals WHERE account_id = :account AND mode = CAST(:mode AS trading_mode) AND strategy_id = :strategy
          AND window_id = :window AND state = 'NEW')
        ON CONFLICT DO NOTHING RETURNING signal_id"""
    )
    parameters = {
        "signal_id": signal.signal_id,
        "account": signal.account_id,
        "mode": signal.mode.value,
        "strategy": signal.strategy_id,
        "instance": signal.instance_id,
        "window": signal.window_id,
        "instrument": signal.instrument,
        "side": signal.side.value,
        "token": signal.token_id,
        "price": signal.price,
        "amount": signal.amount_usdc,
        "confidence": signal.confidence,
        "risk": dump(risk_as_json(signal.risk)),
        "evidence": dump(dict(signal.evidence)),
        "ordinal": ordinal,
        "made_at": signal.made_at,
        "expires_at": signal.expires_at,
    }
    return (await tx.execute(statement, parameters)).one_or_none() is not None


def _number(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


async def refused_lately(tx: Tx, account: AccountId, mode: Mode, *, reason: str) -> int:
    """Return how many signals of an account and mode were refused for this reason within the last minute."""
    statement = text(
        "SELECT count(*) FROM signals WHERE account_id = :account AND mode = :mode AND refusal = :reason"
        " AND decided_at > clock_timestamp() - interval '1 minute'"
    )
    count: int = await tx.scalar(statement, {"account": account, "mode": mode, "reason": reason})
    return count
