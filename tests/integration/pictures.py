"""The picture of an account's books: taken of the database by SQL, and computed from the model's facts."""

from typing import Any

from shared.domain.model import book as facts
from shared.domain.model import claims

SNAPSHOT = """
SELECT jsonb_build_object(
  'gate', (SELECT jsonb_build_array(breaker, breaker_reason, kill_switch, mode_ceiling, halted)
             FROM trading_gate WHERE account_id = a AND mode = m),
  'ever', (SELECT coalesce(jsonb_agg(DISTINCT reason), '[]') FROM breaker_history
            WHERE account_id = a AND mode = m AND state = 'OPEN'),
  'signals', (SELECT coalesce(jsonb_object_agg(signal_id, jsonb_build_array(state, refusal)), '{}')
                FROM signals WHERE account_id = a AND mode = m),
  'orders', (SELECT coalesce(jsonb_object_agg(order_id, jsonb_build_array(state, eff_shares, eff_usdc, eff_fee)), '{}')
               FROM order_effects WHERE account_id = a AND mode = m),
  'fills', (SELECT coalesce(jsonb_object_agg(order_id || trade_id, state), '{}')
              FROM fills WHERE account_id = a AND mode = m),
  'positions', (SELECT coalesce(jsonb_object_agg(position_id, jsonb_build_array(state, exit_reason, payout, paid_usdc,
                    bought_shares - sold_shares, booked_reserved, booked_positions, booked_receivable, booked_pnl,
                    booked_fees)), '{}') FROM positions WHERE account_id = a AND mode = m),
  'balances', (SELECT jsonb_object_agg(bucket, balance) FROM ledger_balances WHERE account_id = a AND mode = m),
  'open', (SELECT jsonb_build_array(open_count, exposure_usdc) FROM position_counters WHERE account_id = a AND mode = m),
  'intended', (SELECT intended_usdc <= exposure_usdc AND intended_count <= open_count
                 FROM position_counters WHERE account_id = a AND mode = m),
  'instruments', (SELECT coalesce(jsonb_object_agg(instrument, exposure_usdc), '{}')
                    FROM instrument_exposure WHERE account_id = a AND mode = m AND exposure_usdc <> 0),
  'entered', (SELECT coalesce(jsonb_agg(window_id || strategy_id ORDER BY window_id || strategy_id COLLATE "C"), '[]')
                FROM window_entries e WHERE account_id = a AND mode = m AND released_at IS NULL AND (SELECT count(*)
                  FROM entry_slots s WHERE s.account_id = a AND s.mode = m AND s.window_id = e.window_id) < 2),
  'slots', (SELECT coalesce(jsonb_object_agg(window_id, n), '{}')
              FROM (SELECT window_id, count(*) AS n FROM entry_slots WHERE account_id = a AND mode = m GROUP BY 1) s),
  'active', (SELECT coalesce(jsonb_agg(window_id ORDER BY window_id COLLATE "C"), '[]')
               FROM active_positions p WHERE account_id = a AND mode = m AND (SELECT count(*)
                 FROM entry_slots s WHERE s.account_id = a AND s.mode = m AND s.window_id = p.window_id) < 2),
  'orphans', (SELECT coalesce(jsonb_agg(position_id ORDER BY position_id COLLATE "C"), '[]')
                FROM positions WHERE account_id = a AND mode = m AND orphaned AND orphaned_since IS NOT NULL),
  'escalated', (SELECT coalesce(jsonb_agg(stage ORDER BY stage COLLATE "C"), '[]') FROM escalations e JOIN trading_gate g USING (account_id, mode)
                 WHERE account_id = a AND mode = m AND e.tripped_at = g.breaker_since),
  'stopped', (SELECT coalesce(jsonb_object_agg(strategy_id || limit_usdc, true), '{}') FROM strategy_stops WHERE account_id = a AND mode = m),
  'redemptions', (SELECT coalesce(jsonb_object_agg(redemption_id, jsonb_build_array(state, expected_usdc)), '{}')
                    FROM redemptions WHERE account_id = a AND mode = m),
  'unwanted', (SELECT coalesce(jsonb_agg(order_id ORDER BY order_id COLLATE "C"), '[]')
                 FROM cancel_requests JOIN orders USING (order_id) WHERE account_id = a AND mode = m),
  'realized', (SELECT coalesce(sum(realized_usdc), 0) FROM sessions WHERE account_id = a AND mode = m),
  'unbalanced', (SELECT coalesce(jsonb_agg(what), '[]') FROM verify_ledger(a, m)))
FROM (SELECT %s AS a, %s AS m) x
"""


def snapshot(book: facts.ModelBook) -> dict[str, Any]:
    """The picture SNAPSHOT takes of the database, computed from the model's facts."""
    instruments = {window.instrument for window in book.windows.values()}
    # A fact may reopen a position whose place a later entry has taken. Both orders of the window are then spent, so who
    # holds the place decides nothing any more.
    free = {name for name in book.windows if facts.slots_used(book, name) < claims.SLOTS}
    entered = {
        (each.window_id, each.strategy_id) for each in book.positions.values() if each.window_id in free
    }
    active = {each.window_id for name, each in book.positions.items() if facts.is_active(book, name)}
    return {
        "gate": [
            *(book.gate.breaker, book.gate.reason, book.kill_switch),
            *(book.in_force.trading_mode, book.gate.halted),
        ],
        "ever": sorted(book.gate.ever),
        "signals": {name: [each.state, each.refusal] for name, each in book.signals.items()},
        "orders": {
            name: [order.state, moved.shares, moved.usdc, moved.fee_usdc]
            for name, order in book.orders.items()
            for moved in (facts.effect(book, name),)
        },
        "fills": {order + trade: fill.state for (order, trade, _), fill in book.fills.items()},
        "positions": {
            name: [
                *(each.state, each.exit_reason, each.payout, each.paid_usdc, facts.shares_held(book, name)),
                *(booked.reserved, booked.positions, booked.receivable, booked.pnl, booked.fees),
            ]
            for name, each in book.positions.items()
            for booked in (facts.booking(book, name),)
        },
        "balances": {str(bucket): amount for bucket, amount in facts.balances(book).items()},
        "open": [facts.open_count(book), facts.exposure(book)],
        "intended": True,
        "instruments": {
            name: facts.exposure(book, name) for name in instruments if facts.exposure(book, name)
        },
        "entered": sorted(
            window + strategy for window, strategy in entered if facts.is_entered(book, window, strategy)
        ),
        # An adopted order takes a slot while one is free; a third is a fact and takes none.
        "slots": {
            name: min(used, claims.SLOTS) for name in book.windows if (used := facts.slots_used(book, name))
        },
        "active": sorted(active & free),
        "orphans": sorted(name for name, each in book.positions.items() if each.orphaned_for is not None),
        "escalated": sorted(book.gate.escalated),
        "stopped": {f"{name}{limit}": True for name, limit in book.stopped},
        "redemptions": {name: [each.state, each.expected_usdc] for name, each in book.redemptions.items()},
        "unwanted": sorted(book.unwanted),
        "realized": facts.realized(book),
        "unbalanced": [],
    }
