"""What is so that a person should hear of, which alerts are open, and which of them have lost their cause."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from services.risk_monitor.limiting.queries import standings
from services.risk_monitor.queries import Account
from shared.db.engine import Tx
from shared.domain.ids import AccountId
from shared.domain.losses import Loss
from shared.domain.modes import Mode

KINDS = (
    "half_loss_limit",
    "refusals_in_a_row",
    "service_silent",
    "pool_nearly_full",
    "connections_nearly_full",
    "primary_feed_stale",
)
"""The alerts that mirror what is so: opened when it begins, closed when it ends."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is so now."""

    kind: str
    subject: str
    severity: str
    account: Account | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return the alert's dedup key."""
        return f"{self.kind}:{self.subject}"


async def conditions(tx: Tx) -> list[Condition]:
    """Return all that is so."""
    found: list[Condition] = []
    for standing in await standings(tx):
        for loss in standing.losses():
            found += _half(standing.account, loss, None)
        for strategy, loss in standing.strategy_losses():
            found += _half(standing.account, loss, strategy)
    found += await _refusals(tx)
    found += await _services(tx)
    found += await _feeds(tx)
    return found


def _half(account: Account, loss: Loss, strategy: str | None) -> Iterator[Condition]:
    if loss.is_half_used:
        who = "/".join(account) if strategy is None else f"{'/'.join(account)}/{strategy}"
        details = {
            "scope": loss.scope,
            "strategy_id": strategy,
            "pnl_usdc": loss.pnl_usdc,
            "limit_usdc": loss.limit_usdc,
        }
        yield Condition("half_loss_limit", f"{loss.scope}:{who}", "WARNING", account, details)


# A signal the gate let pass and the venue refused was refused, too; one that expired says nothing.
_REFUSALS = text("""
SELECT account_id, mode, array_agg(why) AS reasons FROM (
  SELECT g.account_id, g.mode, s.refused, s.why
    FROM trading_gate g CROSS JOIN LATERAL (
         SELECT x.state = 'REFUSED' OR o.state = 'REJECTED' AS refused, coalesce(x.refusal, o.reason, o.state) AS why
           FROM signals x LEFT JOIN orders o ON o.signal_id = x.signal_id
          WHERE x.account_id = g.account_id AND x.mode = g.mode AND x.state IN ('ORDERED', 'REFUSED')
            AND x.decided_at > clock_timestamp() - interval '1 hour'
          ORDER BY x.decided_at DESC LIMIT 3) s
   WHERE g.mode <> 'BACKTEST') newest
 GROUP BY account_id, mode HAVING count(*) = 3 AND bool_and(refused)""")


async def _refusals(tx: Tx) -> list[Condition]:
    return [
        Condition(
            "refusals_in_a_row",
            f"{row.account_id}/{row.mode}",
            "WARNING",
            (AccountId(row.account_id), Mode(row.mode)),
            {"reasons": list(row.reasons)},
        )
        for row in await tx.execute(_REFUSALS)
    ]


# Who has never beaten was never started: the doctor says so.
_SILENT = text("""
SELECT service, extract(epoch FROM clock_timestamp() - max(at)) AS age_s FROM heartbeats
 WHERE service IN ('feed_collector', 'signal_engine', 'execution', 'reconciler') GROUP BY service
HAVING max(at) < clock_timestamp() - interval '10 seconds'""")
_FULL_POOLS = text("""
SELECT service || '/' || instance AS who, details->>'pool' AS pool FROM heartbeats
 WHERE details ? 'pool' AND at > clock_timestamp() - interval '10 seconds'""")
_CONNECTIONS = text("""
SELECT sum(numbackends) AS used, current_setting('max_connections')::integer AS most FROM pg_stat_database""")
CONNECTIONS_USE_MAX = Decimal("0.8")


async def _services(tx: Tx) -> list[Condition]:
    found = [
        Condition("service_silent", row.service, "CRITICAL", details={"age_s": row.age_s})
        for row in await tx.execute(_SILENT)
    ]
    found += [
        Condition("pool_nearly_full", row.who, "WARNING", details={"connections": row.pool})
        for row in await tx.execute(_FULL_POOLS)
    ]
    server = (await tx.execute(_CONNECTIONS)).one()
    if server.used > CONNECTIONS_USE_MAX * server.most:
        details = {"used": server.used, "most": server.most}
        found.append(Condition("connections_nearly_full", "server", "WARNING", details=details))
    return found


_STALE = text("""
SELECT DISTINCT w.instrument, extract(epoch FROM clock_timestamp() - f.last_received_at) AS age_s
  FROM windows w LEFT JOIN feed_status f ON f.feed = 'binance_spot' AND f.symbol = w.instrument
 WHERE w.opens_at <= clock_timestamp() AND w.closes_at > clock_timestamp()
   AND coalesce(f.last_received_at, '-infinity') < clock_timestamp() - interval '5 seconds'""")


async def _feeds(tx: Tx) -> list[Condition]:
    return [
        Condition("primary_feed_stale", row.instrument, "ERROR", details={"age_s": row.age_s})
        for row in await tx.execute(_STALE)
    ]


async def open_keys(tx: Tx) -> set[str]:
    """Return the keys of the open alerts that mirror conditions."""
    statement = text("SELECT dedup_key FROM alerts WHERE closed_at IS NULL AND kind = ANY (:kinds)")
    return {row.dedup_key for row in await tx.execute(statement, {"kinds": list(KINDS)})}


_GONE = text("""
WITH still AS (SELECT kind, dedup_key, split_part(dedup_key, ':', 2) AS subject, account_id, mode, details FROM alerts WHERE closed_at IS NULL)
SELECT dedup_key FROM still a WHERE
   (kind = 'breaker_escalated' AND EXISTS (SELECT FROM trading_gate g WHERE g.account_id = a.account_id AND g.mode = a.mode
        AND (g.breaker = 'CLOSED' OR g.breaker_since <> (a.details->>'tripped_at')::timestamptz)))
OR (kind = 'settlement_slow' AND NOT EXISTS (SELECT FROM fills f WHERE f.order_id = a.subject AND f.state IN ('MATCHED', 'RETRYING')))
OR (kind = 'discrepancy' AND EXISTS (SELECT FROM discrepancies d WHERE d.discrepancy_id::text = a.subject AND d.resolved_at IS NOT NULL))
OR (kind = 'exit_blind' AND EXISTS (SELECT FROM positions p WHERE p.position_id = a.subject AND p.state <> 'MONITORING'))
OR (kind = 'position_orphaned' AND EXISTS (SELECT FROM positions p WHERE p.position_id = a.subject AND NOT p.orphaned))
OR (kind = 'position_unsellable' AND EXISTS (SELECT FROM positions p WHERE p.position_id = a.subject
        AND p.state NOT IN ('STOP_TRIGGERED', 'TAKE_PROFIT_TRIGGERED', 'FLATTEN_TRIGGERED')))
OR (kind = 'payout_unpaid' AND EXISTS (SELECT FROM positions p WHERE p.position_id = a.subject AND p.state = 'CLOSED'))
OR (kind = 'redemption_unpaid' AND EXISTS (SELECT FROM redemptions r WHERE r.redemption_id = a.subject AND r.state IN ('PAID', 'FAILED')))
OR (kind = 'window_unresolved' AND EXISTS (SELECT FROM windows w WHERE w.window_id = a.subject AND w.state = 'RESOLVED'))
OR (kind = 'cancel_all_failed' AND EXISTS (SELECT FROM scheduled_work s WHERE s.work = 'cancelled_all:' || a.subject
        AND s.done_for >= split_part(a.dedup_key, ':', 3)))
OR (kind = 'strategy_stopped' AND NOT EXISTS (SELECT FROM strategy_stops t LEFT JOIN sessions z USING (session_id)
        WHERE t.account_id = a.account_id AND t.mode = a.mode AND t.strategy_id = a.details->>'strategy_id'
          AND (t.day = (clock_timestamp() AT TIME ZONE 'UTC')::date OR (t.session_id IS NOT NULL AND z.closed_at IS NULL))))""")


async def causeless(tx: Tx) -> list[str]:
    """Return the keys of open alerts, of whoever raised them, whose rows say that their cause is gone."""
    return [row.dedup_key for row in await tx.execute(_GONE)]


@dataclass(frozen=True, slots=True)
class Silence:
    """Somebody without whom money is not watched has said nothing for a minute, and there is money to watch."""

    account: Account
    services: tuple[str, ...]


_SILENCES = text("""
SELECT g.account_id, g.mode, silent.services
  FROM trading_gate g CROSS JOIN (SELECT array_agg(service ORDER BY service) AS services FROM (
         SELECT service FROM heartbeats WHERE service IN ('feed_collector', 'execution', 'reconciler') GROUP BY service
         HAVING max(at) < clock_timestamp() - interval '1 minute') x) silent
 WHERE silent.services IS NOT NULL AND g.mode <> 'BACKTEST' AND g.breaker = 'CLOSED' AND (
       EXISTS (SELECT FROM positions p WHERE p.account_id = g.account_id AND p.mode = g.mode AND p.state NOT IN ('CLOSED', 'VOID'))
    OR EXISTS (SELECT FROM orders o WHERE o.account_id = g.account_id AND o.mode = g.mode
                  AND o.state IN ('SUBMITTING', 'LIVE', 'DELAYED', 'CANCELLING', 'UNKNOWN')))""")


async def silences(tx: Tx) -> list[Silence]:
    """Return the accounts that have something at stake while somebody is silent, and trade."""
    return [
        Silence((AccountId(row.account_id), Mode(row.mode)), tuple(row.services))
        for row in await tx.execute(_SILENCES)
    ]
