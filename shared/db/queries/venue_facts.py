"""What execution last read at the venue: balances, market rows, the clock. Its own to write (E10)."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text

from shared.db.engine import Tx
from shared.domain.facts import MarketFacts
from shared.domain.ids import AccountId, ConditionId, WindowId
from shared.domain.modes import Mode


@dataclass(frozen=True, slots=True)
class MarketDue:
    """A window whose market row is to be read (again)."""

    window_id: WindowId
    condition_id: ConditionId


async def markets_due(tx: Tx, *, older_than_s: int) -> list[MarketDue]:
    """Return the windows that trade now or within a minute and whose row was not read for ``older_than_s`` seconds."""
    statement = text("""
        SELECT w.window_id, w.condition_id FROM windows w LEFT JOIN market_facts m USING (window_id)
         WHERE w.condition_id IS NOT NULL AND w.state <> 'RESOLVED' AND w.closes_at > clock_timestamp()
           AND w.opens_at < clock_timestamp() + interval '60 seconds'
           AND (m.read_at IS NULL OR m.read_at < clock_timestamp() - make_interval(secs => :age))
         ORDER BY m.read_at NULLS FIRST, w.opens_at LIMIT 20""")
    rows = await tx.execute(statement, {"age": older_than_s})
    return [MarketDue(WindowId(row.window_id), ConditionId(row.condition_id)) for row in rows]


async def store_market(
    tx: Tx, window: WindowId, facts: MarketFacts, *, neg_risk: bool, age_s: Decimal
) -> None:
    """Keep a market row as read ``age_s`` seconds ago by our clock: the time stored is Postgres's."""
    await tx.execute(
        text("""
        INSERT INTO market_facts AS m (window_id, read_at, accepting, tick, min_size, fee_rate, fee_exponent, fee_taker_only,
                                  neg_risk, version, up_token, down_token)
        VALUES (:window, clock_timestamp() - make_interval(secs => :age), :accepting, :tick, :min_size, :fee_rate, :fee_exponent,
                :fee_taker_only, :neg_risk, :version, :up_token, :down_token)
        ON CONFLICT (window_id) DO UPDATE SET read_at = excluded.read_at, accepting = excluded.accepting, tick = excluded.tick,
          min_size = excluded.min_size, fee_rate = excluded.fee_rate, fee_exponent = excluded.fee_exponent,
          fee_taker_only = excluded.fee_taker_only, neg_risk = excluded.neg_risk, version = excluded.version,
          up_token = excluded.up_token, down_token = excluded.down_token
         WHERE m.read_at < excluded.read_at"""),
        {
            "window": window,
            "age": age_s,
            "accepting": facts.accepting,
            "tick": facts.tick,
            "min_size": facts.min_size,
            "fee_rate": facts.fee.rate,
            "fee_exponent": facts.fee.exponent,
            "fee_taker_only": facts.fee.taker_only,
            "neg_risk": neg_risk,
            "version": facts.version,
            "up_token": facts.up_token,
            "down_token": facts.down_token,
        },
    )


async def store_balance(
    tx: Tx, account: AccountId, mode: Mode, *, asset: str, balance: Decimal, age_s: Decimal
) -> None:
    """Keep a balance whose question was sent ``age_s`` seconds ago; an older reading never replaces a newer one."""
    await tx.execute(
        text("""
        INSERT INTO venue_balances AS v (account_id, mode, asset, balance, read_at)
        VALUES (:account, :mode, :asset, :balance, clock_timestamp() - make_interval(secs => :age))
        ON CONFLICT (account_id, mode, asset) DO UPDATE SET balance = excluded.balance, read_at = excluded.read_at
         WHERE v.read_at < excluded.read_at"""),
        {"account": account, "mode": mode, "asset": asset, "balance": balance, "age": age_s},
    )


async def store_clock(tx: Tx, source: str, *, offset_ms: Decimal) -> None:
    """Keep a clock's offset from Postgres's, milliseconds."""
    await tx.execute(
        text("""
        INSERT INTO venue_clock (source, offset_ms, measured_at) VALUES (:source, :offset, clock_timestamp())
        ON CONFLICT (source) DO UPDATE SET offset_ms = excluded.offset_ms, measured_at = excluded.measured_at"""),
        {"source": source, "offset": offset_ms},
    )


async def database_now(tx: Tx) -> datetime:
    """Return Postgres's clock."""
    now: datetime = await tx.scalar(text("SELECT clock_timestamp()"))
    return now
