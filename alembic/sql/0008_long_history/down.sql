DROP INDEX windows_unresolved, signals_by_time, orders_by_time, orders_unexplained, orders_dry_runs, positions_by_opening,
  positions_by_session, positions_closed, positions_held, positions_orphaned, positions_by_side, positions_unfinished,
  position_verifications_verified, reconciliation_runs_exact, settlement_checks_by_time, settlement_checks_pending,
  external_movements_by_kind;
CREATE INDEX positions_by_time ON positions (account_id, mode, instrument, opened_at);
CREATE INDEX positions_active ON positions (account_id, mode) WHERE state NOT IN ('CLOSED', 'VOID');

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
  FOR p IN SELECT * FROM positions WHERE account_id = p_account AND mode = p_mode AND (orphaned OR token_id = ANY (p_tokens))
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