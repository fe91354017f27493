"""Statements only the risk monitor needs: what is held and at which price it stands, holdings, results, standing."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text

from services.risk_monitor.decide import BookView, Watched, exit_rules
from shared.db.engine import Tx
from shared.db.queries import status
from shared.domain.breaker import KillSwitch, TripReason
from shared.domain.controls import parse_controls
from shared.domain.exits import ExitFacts
from shared.domain.ids import AccountId, PositionId
from shared.domain.modes import Mode
from shared.domain.positions import ExitReason, PositionState

Account = tuple[AccountId, Mode]

_WATCHED = text("""
SELECT p.position_id, p.account_id, p.mode, p.state, p.exit_reason, p.risk, p.bought_shares, p.bought_usdc,
       p.sold_shares, p.peak_bid, w.closes_at, g.kill_switch, g.breaker_reason, b.token_id IS NOT NULL AS has_book,
       (b.bids->0->>0)::numeric AS best_bid, b.continuous, b.received_at,
       greatest(b.received_at, f.last_received_at) AS heard_at, v.at AS verified_at, c.controls,
       clock_timestamp() AS now
  FROM positions p
  JOIN windows w USING (window_id)
  JOIN trading_gate g ON g.account_id = p.account_id AND g.mode = p.mode
  LEFT JOIN books_now b ON b.token_id = p.token_id
  LEFT JOIN feed_status f ON f.feed = 'polymarket' AND f.symbol = p.instrument
  LEFT JOIN LATERAL (SELECT at FROM position_verifications
                      WHERE account_id = p.account_id AND mode = p.mode AND verified ORDER BY at DESC LIMIT 1) v ON true
  LEFT JOIN LATERAL (SELECT jsonb_object_agg(key, value) AS controls FROM runtime_controls
                      WHERE account_id = p.account_id AND key IN ('stop_loss', 'take_profit', 'trailing_stop')) c ON true
 WHERE p.state IN ('MONITORING', 'STOP_TRIGGERED', 'TAKE_PROFIT_TRIGGERED', 'FLATTEN_TRIGGERED', 'EXIT_PENDING')
   AND p.mode <> 'BACKTEST'
 ORDER BY p.account_id, p.position_id""")


async def watched(tx: Tx) -> list[Watched]:
    """Return every position that may have to be left, in one read with its book, its gate and its clock.

    Raises ControlInvalid or ValueError for figures nobody can read: guessing a stop would be worse (P3).
    """
    found = []
    for row in await tx.execute(_WATCHED):
        stop, profit, trailing = exit_rules(row.risk, parse_controls(row.controls or {}))
        facts = ExitFacts(
            state=PositionState(row.state),
            held_shares=row.bought_shares - row.sold_shares,
            bought_shares=row.bought_shares,
            bought_usdc=row.bought_usdc,
            peak_bid=row.peak_bid,
            closes_at=row.closes_at,
            stop_loss=stop,
            take_profit=profit,
            trailing=trailing,
        )
        book = BookView(row.best_bid, row.continuous, row.received_at, row.heard_at) if row.has_book else None
        found.append(
            Watched(
                position_id=PositionId(row.position_id),
                account_id=AccountId(row.account_id),
                mode=Mode(row.mode),
                facts=facts,
                exit_reason=ExitReason(row.exit_reason) if row.exit_reason else None,
                kill_switch=KillSwitch(row.kill_switch),
                book=book,
                verified_at=row.verified_at,
                breaker_reason=TripReason(row.breaker_reason) if row.breaker_reason else None,
                now=row.now,
            )
        )
    return found


_GATES = text("SELECT account_id, mode FROM trading_gate WHERE mode <> 'BACKTEST' ORDER BY account_id, mode")


async def gates(tx: Tx) -> list[Account]:
    """Return every account and mode that may trade."""
    return [(AccountId(row.account_id), Mode(row.mode)) for row in await tx.execute(_GATES)]


@dataclass(frozen=True, slots=True)
class DueCancel:
    """A LIVE account whose orders are to be cancelled: EMERGENCY, or its breaker has been open too long."""

    account_id: AccountId
    switched: str
    """When that was last said, written so that later ones sort after earlier ones."""


_DUE_CANCELS = text("""
SELECT d.account_id, d.switched FROM (
  SELECT g.account_id, g.kill_switch = 'EMERGENCY' AS emergency, e.done_at,
         lpad(ceil(extract(epoch FROM greatest(g.changed_at, e.done_at)))::bigint::text, 12, '0') AS switched
    FROM trading_gate g LEFT JOIN LATERAL (
         SELECT max(done_at) AS done_at FROM escalations x WHERE g.breaker = 'OPEN' AND x.account_id = g.account_id AND x.mode = g.mode
            AND x.tripped_at = g.breaker_since AND x.stage IN ('CANCEL', 'HALT')) e ON true
   WHERE g.mode = 'LIVE') d
 WHERE (d.emergency OR d.done_at IS NOT NULL) AND (
       d.emergency AND EXISTS (SELECT FROM orders o WHERE o.account_id = d.account_id AND o.mode = 'LIVE'
                  AND o.state IN ('SUBMITTING', 'LIVE', 'DELAYED', 'CANCELLING', 'UNKNOWN'))
    OR NOT EXISTS (SELECT FROM scheduled_work s WHERE s.work = 'cancelled_all:' || d.account_id AND s.done_for >= d.switched))
 ORDER BY 1""")


async def due_cancels(tx: Tx) -> list[DueCancel]:
    """Return the accounts whose cancelling has not been carried out, or may not have caught everything."""
    return [DueCancel(AccountId(row.account_id), row.switched) for row in await tx.execute(_DUE_CANCELS)]


@dataclass(frozen=True, slots=True)
class Standing:
    """What /health says besides this process: the breakers, the primary feed, the executor."""

    open_breakers: tuple[str, ...]
    primary_feed_age_s: Decimal | None
    epoch: int | None
    holder: str | None
    epoch_reconciled: bool | None
    last_verification_at: datetime | None


_STANDING = text("""
SELECT ARRAY(SELECT account_id || '/' || mode || ' ' || breaker_reason FROM trading_gate
              WHERE breaker = 'OPEN' AND mode <> 'BACKTEST' ORDER BY 1) AS open_breakers,
       (SELECT max(at) FROM position_verifications WHERE verified) AS verified_at,
       e.epoch, e.instance, e.reconciled_at IS NOT NULL AS reconciled
  FROM (SELECT 1) one LEFT JOIN LATERAL (SELECT * FROM executor_epochs ORDER BY epoch DESC LIMIT 1) e ON true""")


async def standing(tx: Tx) -> Standing:
    """Return how the deployment stands."""
    row = (await tx.execute(_STANDING)).one()
    return Standing(
        open_breakers=tuple(row.open_breakers),
        primary_feed_age_s=await status.primary_feed_age_s(tx),
        epoch=row.epoch,
        holder=row.instance,
        epoch_reconciled=row.reconciled if row.epoch is not None else None,
        last_verification_at=row.verified_at,
    )


_PERFORMANCE = text("""
WITH closed AS (
  SELECT account_id, mode, strategy_id, (closed_at AT TIME ZONE 'UTC')::date AS day, closed_at, position_id,
         booked_fees AS fees, -booked_pnl AS gross, -booked_pnl - booked_fees AS net
    FROM positions WHERE state = 'CLOSED' AND mode <> 'BACKTEST'
     AND closed_at >= (date_trunc('day', now() AT TIME ZONE 'UTC') - interval '1 day') AT TIME ZONE 'UTC'),
running AS (
  SELECT *, sum(net) OVER (PARTITION BY account_id, mode, strategy_id, day ORDER BY closed_at, position_id) AS sofar FROM closed),
fallen AS (
  SELECT *, greatest(max(sofar) OVER (PARTITION BY account_id, mode, strategy_id, day ORDER BY closed_at, position_id), 0)
            - sofar AS below FROM running)
INSERT INTO daily_performance (account_id, mode, strategy_id, day, trades, wins, fees_usdc, gross_usdc, net_usdc, drawdown_usdc,
                               assertion_pass_rate)
SELECT account_id, mode, strategy_id, day, count(*), count(*) FILTER (WHERE net > 0), sum(fees), sum(gross), sum(net), max(below),
       (SELECT round(avg(held::integer), 6) FROM assertion_results a WHERE a.account_id = fallen.account_id AND a.mode = fallen.mode
           AND a.at >= fallen.day::timestamp AT TIME ZONE 'UTC' AND a.at < (fallen.day + 1)::timestamp AT TIME ZONE 'UTC')
  FROM fallen GROUP BY account_id, mode, strategy_id, day
ON CONFLICT (account_id, mode, strategy_id, day) DO UPDATE SET trades = excluded.trades, wins = excluded.wins,
  fees_usdc = excluded.fees_usdc, gross_usdc = excluded.gross_usdc, net_usdc = excluded.net_usdc,
  drawdown_usdc = excluded.drawdown_usdc, assertion_pass_rate = excluded.assertion_pass_rate""")


async def upsert_daily_performance(tx: Tx) -> None:
    """Bring today's and yesterday's rows up to the positions that have closed (B17)."""
    await tx.execute(_PERFORMANCE)
