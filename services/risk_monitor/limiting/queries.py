"""Profit and loss, realised and unrealised, of everyone with a session or a result of today."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from sqlalchemy import text

from services.risk_monitor.queries import Account
from shared.db.engine import Tx
from shared.domain.controls import ControlInvalid, Controls, parse_controls
from shared.domain.ids import AccountId, StrategyId
from shared.domain.losses import Loss, Mark, Realized, Scope, losses
from shared.domain.modes import Mode
from shared.domain.money import ZERO


@dataclass(slots=True)
class Standing:
    """Where one account stands in one mode, USDC."""

    account: Account
    session_id: int | None
    controls: Controls | None
    """None where nobody can read them."""
    day_start_usdc: Decimal
    """Equity without what today made: what the daily drawdown is a fraction of."""
    realized: Realized
    drawn: bool
    """The breaker is open for this already."""
    stops: set[tuple[StrategyId, Scope, Decimal]] = field(default_factory=set)
    """Strategies stopped already, over what, and the limit they lost."""
    by_strategy: dict[StrategyId, Realized] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)

    def losses(self) -> tuple[Loss, ...]:
        """Return the account's own; none while nobody can read its limits."""
        if self.controls is None:
            return ()
        return losses(
            self.realized,
            tuple(self.marks),
            session_limit_usdc=self.controls.max_session_loss_usdc,
            day_limit_usdc=self.day_start_usdc * self.controls.daily_drawdown,
        )

    def strategy_losses(self) -> Iterator[tuple[StrategyId, Loss]]:
        """Yield each strategy's."""
        if self.controls is None:
            return
        limit = self.controls.max_strategy_loss_usdc
        for strategy, realized in sorted(self.by_strategy.items()):
            marks = tuple(mark for mark in self.marks if mark.strategy_id == strategy)
            for loss in losses(realized, marks, session_limit_usdc=limit, day_limit_usdc=limit):
                yield strategy, loss


# The running session only: the day's own ends with the day, whether or not anybody has closed it yet.
_STANDINGS = text("""
SELECT g.account_id, g.mode, z.session_id, coalesce(z.realized_usdc, 0) AS session_usdc, coalesce(d.realized, 0) AS day_usdc,
       l.equity - coalesce(d.realized, 0) AS day_start,
       EXISTS (SELECT FROM breaker_history h WHERE h.account_id = g.account_id AND h.mode = g.mode AND g.breaker = 'OPEN'
                  AND h.reason = 'DRAWDOWN' AND h.at >= g.breaker_since) AS drawn,
       (SELECT jsonb_object_agg(key, value) FROM runtime_controls c WHERE c.account_id = g.account_id) AS controls
  FROM trading_gate g
  JOIN LATERAL (SELECT sum(balance) FILTER (WHERE bucket IN ('CASH', 'RESERVED', 'POSITIONS', 'RECEIVABLE')) AS equity
                  FROM ledger_balances b WHERE b.account_id = g.account_id AND b.mode = g.mode) l ON true
  LEFT JOIN sessions z ON z.account_id = g.account_id AND z.mode = g.mode AND z.closed_at IS NULL
        AND (z.opened_by <> 'day' OR z.day = (clock_timestamp() AT TIME ZONE 'UTC')::date)
  LEFT JOIN LATERAL (
    SELECT sum(CASE WHEN from_bucket IN ('PNL', 'FEES') THEN amount ELSE -amount END) AS realized
      FROM ledger_entries x WHERE x.account_id = g.account_id AND x.mode = g.mode
       AND (from_bucket IN ('PNL', 'FEES') OR to_bucket IN ('PNL', 'FEES'))
       AND (from_bucket IN ('PNL', 'FEES')) <> (to_bucket IN ('PNL', 'FEES'))
       AND at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC') d ON true
 WHERE g.mode <> 'BACKTEST' AND (z.session_id IS NOT NULL OR d.realized IS NOT NULL OR EXISTS (
       SELECT FROM positions p WHERE p.account_id = g.account_id AND p.mode = g.mode AND p.state NOT IN ('CLOSED', 'VOID')))
 ORDER BY g.account_id, g.mode""")
_SESSION = text("""
SELECT p.account_id, p.mode, p.strategy_id, sum(-booked_pnl - booked_fees) AS usdc
  FROM positions p JOIN sessions z USING (session_id)
 WHERE z.closed_at IS NULL AND (z.opened_by <> 'day' OR z.day = (clock_timestamp() AT TIME ZONE 'UTC')::date) GROUP BY 1, 2, 3""")
_DAY = text("""
SELECT x.account_id, x.mode, p.strategy_id, sum(CASE WHEN from_bucket IN ('PNL', 'FEES') THEN amount ELSE -amount END) AS usdc
  FROM trading_gate g JOIN ledger_entries x ON x.account_id = g.account_id AND x.mode = g.mode JOIN positions p USING (position_id)
 WHERE (from_bucket IN ('PNL', 'FEES') OR to_bucket IN ('PNL', 'FEES'))
   AND (from_bucket IN ('PNL', 'FEES')) <> (to_bucket IN ('PNL', 'FEES'))
   AND x.at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' GROUP BY 1, 2, 3""")
# A book marks a position while its window trades, is whole, and was heard of as lately as the venue's own threshold asks.
_MARKS = text("""
SELECT p.account_id, p.mode, p.strategy_id, p.session_id, p.bought_shares - p.sold_shares AS held, p.booked_positions AS cost,
       CASE WHEN w.closes_at > clock_timestamp() AND b.continuous
                 AND greatest(b.received_at, f.last_received_at) > clock_timestamp() - interval '10 seconds'
            THEN coalesce((b.bids->0->>0)::numeric, 0) END AS bid
  FROM positions p JOIN windows w USING (window_id) LEFT JOIN books_now b ON b.token_id = p.token_id
  LEFT JOIN feed_status f ON f.feed = 'polymarket' AND f.symbol = p.instrument
 WHERE p.mode <> 'BACKTEST' AND p.bought_shares > p.sold_shares
   AND p.state NOT IN ('CLOSED', 'VOID', 'SETTLEMENT', 'REDEEMING')""")

_STOPS = text("""
SELECT t.account_id, t.mode, t.strategy_id, t.session_id, t.limit_usdc FROM strategy_stops t LEFT JOIN sessions z USING (session_id)
 WHERE t.day = (clock_timestamp() AT TIME ZONE 'UTC')::date OR (t.session_id IS NOT NULL AND z.closed_at IS NULL)""")


async def standings(tx: Tx) -> list[Standing]:
    """Return where everybody stands who has a session, a result of today or an open position."""
    found = {}
    for row in await tx.execute(_STANDINGS):
        account = AccountId(row.account_id), Mode(row.mode)
        found[account] = Standing(
            account,
            row.session_id,
            _controls(row.controls),
            row.day_start,
            Realized(row.session_usdc, row.day_usdc),
            drawn=row.drawn,
        )
    session: dict[tuple[AccountId, Mode, StrategyId], Decimal] = defaultdict(lambda: ZERO)
    day: dict[tuple[AccountId, Mode, StrategyId], Decimal] = defaultdict(lambda: ZERO)
    for sums, statement in ((session, _SESSION), (day, _DAY)):
        for row in await tx.execute(statement):
            sums[AccountId(row.account_id), Mode(row.mode), StrategyId(row.strategy_id)] = row.usdc
    for account_id, mode, strategy in {**session, **day}:
        if (account_id, mode) in found:
            key = account_id, mode, strategy
            found[account_id, mode].by_strategy[strategy] = Realized(session[key], day[key])
    for row in await tx.execute(_MARKS):
        standing = found.get((AccountId(row.account_id), Mode(row.mode)))
        if standing is None:
            continue  # it was opened since the first statement: the next look sees it
        standing.marks.append(
            Mark(
                row.strategy_id, row.held, row.cost, row.bid, in_session=row.session_id == standing.session_id
            )
        )
        standing.by_strategy.setdefault(StrategyId(row.strategy_id), Realized())
    for row in await tx.execute(_STOPS):
        standing = found.get((AccountId(row.account_id), Mode(row.mode)))
        if standing is not None:
            scope = Scope.DAY if row.session_id is None else Scope.SESSION
            standing.stops.add((StrategyId(row.strategy_id), scope, row.limit_usdc))
    return list(found.values())


def _controls(rows: Mapping[str, str] | None) -> Controls | None:
    try:
        return parse_controls(rows or {})
    except ControlInvalid:
        return None
