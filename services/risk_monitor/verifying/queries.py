"""Both sides of a verification: what the Book holds, whose trades and tokens to ask for, and what was seen last."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text

from services.risk_monitor.decide import Holdings, LastAnswer, Sighting, Verdict, token_fold
from services.risk_monitor.queries import Account
from shared.db.engine import Tx
from shared.db.queries.documents import dump
from shared.domain.ids import AccountId, ConditionId, TokenId
from shared.domain.modes import Mode
from shared.domain.money import ZERO
from shared.domain.orders import OrderSide
from shared.domain.trades import FillState
from shared.domain.windows import FeeSchedule

_HOLDERS = text("""
SELECT account_id, mode FROM positions WHERE state NOT IN ('CLOSED', 'VOID') AND mode <> 'BACKTEST'
 UNION SELECT o.account_id, o.mode FROM orders o JOIN windows w USING (window_id) WHERE o.mode = 'LIVE' AND w.state <> 'RESOLVED'
 ORDER BY account_id, mode""")


async def holders(tx: Tx) -> list[Account]:
    """Return every account and mode that holds anything, or may hold what the Book does not know of."""
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
    return [
        HeldMarket(
            ConditionId(row.condition_id),
            FeeSchedule(row.fee_rate, row.fee_exponent, row.fee_taker_only),
            tuple(TokenId(token) for token in row.tokens),
        )
        for row in await tx.execute(_MARKETS, _who(account))
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
# A mark lasts from the first of an unbroken row of looks at the venue that bore it; looks at an old answer neither bear nor break.
_SIGHTINGS = text("""
WITH looks AS (SELECT at, venue FROM position_verifications
                WHERE account_id = :account AND mode = :mode AND NOT venue ? 'cached' AND at > now() - interval '10 minutes')
SELECT clock_timestamp() AS now,
       EXISTS (SELECT FROM positions WHERE account_id = :account AND mode = :mode AND orphaned) AS flagged,
       (SELECT min(at) FROM looks WHERE venue @> '{"blind": true}'
           AND at > coalesce((SELECT max(at) FROM looks WHERE NOT venue @> '{"blind": true}'), '-infinity')) AS blind_since,
       (SELECT min(at) FROM looks WHERE venue @> '{"short": true}'
           AND at > coalesce((SELECT max(at) FROM looks WHERE NOT venue @> '{"short": true}'), '-infinity')) AS short_since
  FROM (SELECT 1) one""")


async def sighting(tx: Tx, account: Account) -> tuple[Sighting, datetime]:
    """Return what the looks at the venue have seen without a break, and Postgres's clock."""
    row = (await tx.execute(_SIGHTINGS, _who(account))).one()
    return Sighting(row.blind_since, row.short_since, flagged=row.flagged), row.now


async def holdings(tx: Tx, account: Account) -> Holdings:
    """Return the Book's side of a verification of one account and mode."""
    who = _who(account)
    fills: dict[TokenId, list[tuple[OrderSide, FillState, Decimal]]] = defaultdict(list)
    for row in await tx.execute(_FILLS, who):
        fills[TokenId(row.token_id)].append((OrderSide(row.side), FillState(row.state), row.shares))
    unexplained = {TokenId(row.token_id): row.shares for row in await tx.execute(_UNEXPLAINED, who)}
    broken = tuple(row.position_id for row in await tx.execute(_BROKEN, who))
    before, now = await sighting(tx, account)
    return Holdings(
        account_id=account[0],
        mode=account[1],
        tokens={
            token: token_fold(tuple(fills[token]), unexplained.get(token, ZERO))
            for token in [*fills, *unexplained]
        },
        broken=broken,
        before=before,
        now=now,
    )


_LAST = text("""
SELECT clock_timestamp() AS now, v.at, v.venue,
       (SELECT min(opened_at) FROM positions WHERE account_id = :account AND mode = :mode AND state NOT IN ('CLOSED', 'VOID')) AS held_since
  FROM (SELECT 1) one LEFT JOIN LATERAL (
       SELECT at, venue FROM position_verifications WHERE account_id = :account AND mode = :mode AND NOT skipped AND NOT venue ? 'cached'
        ORDER BY at DESC LIMIT 1) v ON true""")


async def last_answer(tx: Tx, account: Account) -> LastAnswer:
    """Return what the venue showed when it last answered, and since when there has been something to see."""
    row = (await tx.execute(_LAST, _who(account))).one()
    venue = row.venue or {}
    return LastAnswer(
        at=row.at,
        traded=_shares(venue.get("trades", {})),
        balances=_shares(venue.get("balances", {})),
        held_since=row.held_since,
        now=row.now,
    )


def _shares(said: Mapping[str, str]) -> dict[TokenId, Decimal]:
    return {TokenId(token): Decimal(shares) for token, shares in said.items()}


async def sell_rules(tx: Tx, account: AccountId) -> dict[str, str]:
    """Return the exit rules a person has set for an account, as text under their keys."""
    statement = text(
        "SELECT key, value FROM runtime_controls WHERE account_id = :account"
        " AND key IN ('stop_loss', 'take_profit', 'trailing_stop')"
    )
    return {row.key: row.value for row in await tx.execute(statement, {"account": account})}


async def insert_verification(
    tx: Tx, account: Account, verdict: Verdict, *, skipped: bool, answered_at: datetime | None
) -> None:
    """Keep what a verification found; one by an older answer of the venue says from when that was."""
    statement = text(
        "INSERT INTO position_verifications (account_id, mode, verified, skipped, book, venue) VALUES"
        " (:account, :mode, :verified, :skipped, CAST(:book AS jsonb), CAST(:venue AS jsonb))"
    )
    marks = {"blind": bool(verdict.unknown), "short": bool(verdict.short)}
    parameters = _who(account) | {
        "verified": verdict.verified,
        "skipped": skipped,
        "book": dump({"differences": verdict.differences}),
        "venue": dump({**verdict.venue, **(marks if answered_at is None else {"cached": answered_at})}),
    }
    await tx.execute(statement, parameters)


def _who(account: Account) -> dict[str, object]:
    return {"account": account[0], "mode": account[1]}
