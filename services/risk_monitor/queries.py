"""Statements only the risk monitor needs: what is held and at which price it stands, holdings, results, standing."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text

from services.risk_monitor.decide import BookView, Holdings, Verdict, Watched, exit_rules, token_fold
from shared.db.engine import Tx
from shared.db.queries import status
from shared.db.queries.lifecycle import dump
from shared.domain.assertions import AssertionResult, EntryFacts, FillFacts, OrderFacts
from shared.domain.breaker import KillSwitch
from shared.domain.controls import parse_controls
from shared.domain.exits import ExitFacts
from shared.domain.ids import AccountId, ConditionId, PositionId, TokenId
from shared.domain.modes import Mode
from shared.domain.money import ZERO
from shared.domain.orders import OrderSide, OrderState
from shared.domain.positions import ExitReason, PositionState
from shared.domain.trades import FillState
from shared.domain.windows import FeeSchedule

Account = tuple[AccountId, Mode]

_WATCHED = text("""
SELECT p.position_id, p.account_id, p.mode, p.state, p.exit_reason, p.risk, p.bought_shares, p.bought_usdc,
       p.sold_shares, p.peak_bid, w.closes_at, g.kill_switch, b.token_id IS NOT NULL AS has_book,
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
                now=row.now,
            )
        )
    return found


_HOLDERS = text("""
SELECT DISTINCT account_id, mode FROM positions
 WHERE state NOT IN ('CLOSED', 'VOID') AND mode <> 'BACKTEST' ORDER BY account_id, mode""")


async def holders(tx: Tx) -> list[Account]:
    """Return every account and mode with a position that is not over."""
    return [(AccountId(row.account_id), Mode(row.mode)) for row in await tx.execute(_HOLDERS)]


@dataclass(frozen=True, slots=True)
class HeldMarket:
    """An unresolved market with orders of ours: whose trades and tokens to ask the venue for."""

    condition_id: ConditionId
    fee: FeeSchedule
    tokens: tuple[TokenId, ...]
    """Those ordered: each token asked for costs the venue a renewal of its view."""


_MARKETS = text("""
SELECT w.condition_id, w.fee_rate, w.fee_exponent, w.fee_taker_only,
       array_agg(DISTINCT o.token_id) AS tokens, min(o.claimed_at) AS first
  FROM windows w JOIN orders o USING (window_id)
 WHERE o.account_id = :account AND o.mode = :mode AND w.state <> 'RESOLVED'
 GROUP BY w.window_id ORDER BY first""")


async def held_markets(tx: Tx, account: Account) -> list[HeldMarket]:
    """Return the unresolved markets an account has ever ordered in."""
    rows = await tx.execute(_MARKETS, {"account": account[0], "mode": account[1]})
    return [
        HeldMarket(
            ConditionId(row.condition_id),
            FeeSchedule(row.fee_rate, row.fee_exponent, row.fee_taker_only),
            tuple(TokenId(token) for token in row.tokens),
        )
        for row in rows
    ]


_FILLS = text("""
SELECT f.token_id, f.side, f.state, f.shares FROM fills f JOIN orders o USING (order_id) JOIN windows w USING (window_id)
 WHERE f.account_id = :account AND f.mode = :mode AND w.state <> 'RESOLVED' AND f.state <> 'FAILED'""")
_UNEXPLAINED = text("""
SELECT o.token_id, sum(CASE o.side WHEN 'BUY' THEN 1 ELSE -1 END * (e.eff_shares - o.traded_shares)) AS shares
  FROM orders o JOIN order_effects e USING (order_id) JOIN windows w USING (window_id)
 WHERE o.account_id = :account AND o.mode = :mode AND w.state <> 'RESOLVED' AND NOT o.explained GROUP BY o.token_id""")
_BROKEN = text("""
SELECT p.position_id FROM positions p LEFT JOIN LATERAL (
    SELECT coalesce(sum(eff_shares) FILTER (WHERE side = 'BUY'), 0) AS bought,
           coalesce(sum(eff_shares) FILTER (WHERE side = 'SELL'), 0) AS sold
      FROM order_effects e WHERE e.position_id = p.position_id) x ON true
 WHERE p.account_id = :account AND p.mode = :mode AND p.state NOT IN ('CLOSED', 'VOID')
   AND (p.bought_shares <> x.bought OR p.sold_shares <> x.sold)""")
_BLIND_SINCE = text("""
SELECT min(at) AS since, clock_timestamp() AS now FROM position_verifications
 WHERE account_id = :account AND mode = :mode AND venue @> '{"blind": true}' AND at > coalesce((
       SELECT max(at) FROM position_verifications
        WHERE account_id = :account AND mode = :mode AND NOT venue @> '{"blind": true}'), '-infinity')""")


async def holdings(tx: Tx, account: Account) -> Holdings:
    """Return the Book's side of a verification of one account and mode."""
    who = {"account": account[0], "mode": account[1]}
    fills: dict[TokenId, list[tuple[OrderSide, FillState, Decimal]]] = defaultdict(list)
    for row in await tx.execute(_FILLS, who):
        fills[TokenId(row.token_id)].append((OrderSide(row.side), FillState(row.state), row.shares))
    unexplained = {TokenId(row.token_id): row.shares for row in await tx.execute(_UNEXPLAINED, who)}
    broken = tuple(row.position_id for row in await tx.execute(_BROKEN, who))
    blind = (await tx.execute(_BLIND_SINCE, who)).one()
    return Holdings(
        account_id=account[0],
        mode=account[1],
        tokens={
            token: token_fold(tuple(fills[token]), unexplained.get(token, ZERO))
            for token in [*fills, *unexplained]
        },
        broken=broken,
        blind_since=blind.since,
        now=blind.now,
    )


_GATES = text("SELECT account_id, mode FROM trading_gate WHERE mode <> 'BACKTEST' ORDER BY account_id, mode")


async def gates(tx: Tx) -> list[Account]:
    """Return every account and mode that may trade."""
    return [(AccountId(row.account_id), Mode(row.mode)) for row in await tx.execute(_GATES)]


@dataclass(frozen=True, slots=True)
class DueCancel:
    """A LIVE account under EMERGENCY whose orders are to be cancelled."""

    account_id: AccountId
    switched: str
    """When the gate last changed, written so that later ones sort after earlier ones."""


_DUE_CANCELS = text("""
SELECT g.account_id, lpad(ceil(extract(epoch FROM g.changed_at))::bigint::text, 12, '0') AS switched
  FROM trading_gate g
 WHERE g.mode = 'LIVE' AND g.kill_switch = 'EMERGENCY' AND (
       EXISTS (SELECT FROM orders o WHERE o.account_id = g.account_id AND o.mode = 'LIVE'
                  AND o.state IN ('SUBMITTING', 'LIVE', 'DELAYED', 'CANCELLING', 'UNKNOWN'))
    OR NOT EXISTS (SELECT FROM scheduled_work s WHERE s.work = 'cancelled_all:' || g.account_id
                      AND s.done_for >= lpad(ceil(extract(epoch FROM g.changed_at))::bigint::text, 12, '0')))
 ORDER BY 1""")


async def due_cancels(tx: Tx) -> list[DueCancel]:
    """Return the accounts whose EMERGENCY has not been carried out, or may not have caught everything."""
    return [DueCancel(AccountId(row.account_id), row.switched) for row in await tx.execute(_DUE_CANCELS)]


@dataclass(frozen=True, slots=True)
class AssertedFacts:
    """What the assertions that need no history look at, of one account and mode."""

    orders: Sequence[OrderFacts]
    fills: Sequence[FillFacts]
    entries: Sequence[EntryFacts]


_RECENT_ORDERS = text("""
SELECT o.order_id, o.state, o.claimed_at, o.position_id, o.instrument, o.purpose, w.opens_at
  FROM orders o JOIN windows w USING (window_id)
 WHERE o.account_id = :account AND o.mode = :mode AND o.claimed_at > clock_timestamp() - interval '10 minutes'""")
_RECENT_FILLS = text("""
SELECT p.position_id, p.bought_shares AS recorded, coalesce(x.folded, 0) AS folded
  FROM positions p LEFT JOIN LATERAL (SELECT sum(f.shares) FILTER (WHERE f.state <> 'FAILED' AND f.side = 'BUY') AS folded,
                                             bool_and(o.explained) AS explained
                                        FROM orders o LEFT JOIN fills f USING (order_id)
                                       WHERE o.position_id = p.position_id AND o.side = 'BUY') x ON true
 WHERE p.account_id = :account AND p.mode = :mode AND x.explained
   AND p.opened_at > clock_timestamp() - interval '10 minutes'""")


async def asserted_facts(tx: Tx, account: Account) -> AssertedFacts:
    """Return the facts of the last ten minutes; each was checked many times while it was younger than that."""
    who = {"account": account[0], "mode": account[1]}
    orders = (await tx.execute(_RECENT_ORDERS, who)).all()
    return AssertedFacts(
        orders=[OrderFacts(row.order_id, OrderState(row.state), row.claimed_at) for row in orders],
        fills=[
            FillFacts(row.position_id, row.folded, row.recorded)
            for row in await tx.execute(_RECENT_FILLS, who)
        ],
        entries=[
            EntryFacts(row.position_id, row.instrument, frozenset(), row.claimed_at, row.opens_at)
            for row in orders
            if row.purpose == "ENTRY"
        ],
    )


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


async def insert_verification(tx: Tx, account: Account, verdict: Verdict, *, skipped: bool) -> None:
    """Keep what a verification found; ``blind`` marks one that shows shares the Book has none of."""
    statement = text(
        "INSERT INTO position_verifications (account_id, mode, verified, skipped, book, venue) VALUES"
        " (:account, :mode, :verified, :skipped, CAST(:book AS jsonb), CAST(:venue AS jsonb))"
    )
    parameters = {
        "account": account[0],
        "mode": account[1],
        "verified": verdict.verified,
        "skipped": skipped,
        "book": dump({"differences": verdict.differences}),
        "venue": dump({**verdict.venue, "blind": bool(verdict.unknown)}),
    }
    await tx.execute(statement, parameters)


async def insert_assertion(tx: Tx, account: Account, result: AssertionResult) -> None:
    """Keep the result of one runtime assertion (R10)."""
    statement = text(
        "INSERT INTO assertion_results (assertion, account_id, mode, held, details) VALUES"
        " (:number, :account, :mode, :held, CAST(:details AS jsonb))"
    )
    parameters = {
        "number": result.number,
        "account": account[0],
        "mode": account[1],
        "held": result.passed,
        "details": dump({"broken": result.broken}),
    }
    await tx.execute(statement, parameters)


_PERFORMANCE = text("""
WITH closed AS (
  SELECT account_id, mode, strategy_id, (closed_at AT TIME ZONE 'UTC')::date AS day, closed_at, position_id,
         booked_fees AS fees, -booked_pnl AS gross, -booked_pnl - booked_fees AS net
    FROM positions WHERE state = 'CLOSED' AND mode <> 'BACKTEST'
     AND closed_at >= (date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC') - interval '1 day') AT TIME ZONE 'UTC'),
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
