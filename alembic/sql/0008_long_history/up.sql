-- What is read again and again is found, not searched for: none of it gets dearer with the age of the Book.
CREATE INDEX windows_unresolved ON windows (closes_at) WHERE state <> 'RESOLVED';
CREATE INDEX signals_by_time ON signals (created_at);
CREATE INDEX orders_by_time ON orders (claimed_at);
CREATE INDEX orders_unexplained ON orders (account_id, mode) WHERE NOT explained AND (state = 'FILLED' OR reported_shares > 0);
CREATE INDEX orders_dry_runs ON orders (claimed_at) WHERE mode = 'DRY_RUN';
CREATE INDEX positions_by_opening ON positions (opened_at);
CREATE INDEX positions_by_session ON positions (session_id);
CREATE INDEX positions_closed ON positions (closed_at) WHERE state = 'CLOSED';
CREATE INDEX positions_held ON positions (account_id, mode) WHERE payout IS NULL AND bought_shares > sold_shares;
CREATE INDEX positions_orphaned ON positions (account_id, mode) WHERE orphaned;
-- The last entry on the other side, and the oldest of what is held: one step each.
CREATE INDEX positions_by_side ON positions (account_id, mode, instrument, side, opened_at);
DROP INDEX positions_by_time;
CREATE INDEX positions_unfinished ON positions (account_id, mode, opened_at) WHERE state NOT IN ('CLOSED', 'VOID');
DROP INDEX positions_active;
CREATE INDEX position_verifications_verified ON position_verifications (at) WHERE verified;
CREATE INDEX reconciliation_runs_exact ON reconciliation_runs (account_id, mode, started_at) WHERE compared @> '{"cash_exact": 1}';
CREATE INDEX external_movements_by_kind ON external_movements (account_id, mode, kind, at);
CREATE INDEX settlement_checks_by_time ON settlement_checks (account_id, mode, at);
CREATE INDEX settlement_checks_pending ON settlement_checks (window_id) WHERE balance_delta_usdc IS NULL;

-- Promise: a position the venue does not show is flagged with the moment it was first missed, and its flag falls when it is seen
-- again; unexplained for two minutes it stops trading (R3, D19). p_tokens: every token of which the venue shows too little now.
-- Returns the positions that are flagged after it.
CREATE OR REPLACE FUNCTION flag_orphans(p_account text, p_mode text, p_tokens text[]) RETURNS text[] LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  p positions;
  v_missed boolean;
  v_flagged text[] := '{}';
BEGIN
  PERFORM _lock_account(p_account);
  FOR p IN SELECT * FROM positions WHERE position_id IN (
             SELECT position_id FROM positions WHERE account_id = p_account AND mode = p_mode AND orphaned
             UNION SELECT position_id FROM positions WHERE account_id = p_account AND mode = p_mode AND state NOT IN ('CLOSED', 'VOID')
                AND token_id = ANY (p_tokens))
           ORDER BY position_id FOR UPDATE LOOP
    v_missed := p.token_id = ANY (p_tokens) AND p.state NOT IN ('CLOSED', 'VOID') AND p.bought_shares - p.sold_shares - p.paid_shares > 0;
    IF v_missed <> p.orphaned THEN
      UPDATE positions SET orphaned = v_missed, orphaned_since = CASE WHEN v_missed THEN clock_timestamp() END WHERE position_id = p.position_id;
      PERFORM _audit(p_account, p_mode, CASE WHEN v_missed THEN 'position_orphaned' ELSE 'position_found' END,
        jsonb_build_object('token_id', p.token_id, 'shares', (p.bought_shares - p.sold_shares - p.paid_shares)::text),
        p.signal_id, p.window_id, NULL, p.position_id);
    END IF;
    CONTINUE WHEN NOT v_missed;
    v_flagged := v_flagged || p.position_id;
    IF p.orphaned_since <= clock_timestamp() - interval '2 minutes' THEN
      PERFORM _trip(p_account, p_mode, 'RECONCILIATION_MISMATCH', jsonb_build_object('kind', 'POSITION_ORPHANED', 'position_id', p.position_id,
        'orphaned_since', p.orphaned_since));
    END IF;
  END LOOP;
  RETURN v_flagged;
END $$;