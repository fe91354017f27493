DROP FUNCTION prove_ledger(text, text, interval);
DROP FUNCTION _ledger_now(text, text, bigint, jsonb);
DROP FUNCTION prove_audit_chain(text, integer);
DROP TABLE integrity_marks;

-- Returns the id of the first event whose hash does not follow from the one before; NULL when the chain is whole.
CREATE OR REPLACE FUNCTION verify_audit_chain(p_account text) RETURNS bigint LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  v_previous bytea;
  e audit_events;
BEGIN
  FOR e IN SELECT * FROM audit_events WHERE account_id = p_account ORDER BY event_id LOOP
    IF e.previous_hash IS DISTINCT FROM v_previous OR e.hash IS DISTINCT FROM _audit_hash(v_previous, e.account_id, e.mode, e.at,
        e.kind, e.actor, e.correlation_id, e.window_id, e.order_id, e.position_id, e.details) THEN
      RETURN e.event_id;
    END IF;
    v_previous := e.hash;
  END LOOP;
  IF v_previous IS DISTINCT FROM (SELECT audit_head FROM accounts WHERE account_id = p_account) THEN RETURN 0; END IF;
  RETURN NULL;
END $$;

-- Returns one row for each bucket or position whose stored figure is not the fold of its entries: empty when the books agree.
CREATE OR REPLACE FUNCTION verify_ledger(p_account text, p_mode text) RETURNS TABLE (what text, stored numeric, folded numeric) LANGUAGE sql
VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH folded AS (
    SELECT bucket, sum(amount) AS balance FROM (
      SELECT to_bucket AS bucket, amount::numeric FROM ledger_entries WHERE account_id = p_account AND mode = p_mode
      UNION ALL SELECT from_bucket, -amount FROM ledger_entries WHERE account_id = p_account AND mode = p_mode) x GROUP BY bucket)
  SELECT coalesce(b.bucket, f.bucket), b.balance::numeric, f.balance FROM folded f
    FULL JOIN (SELECT bucket, balance FROM ledger_balances WHERE account_id = p_account AND mode = p_mode) b USING (bucket)
   WHERE coalesce(b.balance, 0) <> coalesce(f.balance, 0)
  UNION ALL
  SELECT 'positions:' || x.bucket, x.booked, coalesce(b.balance, 0) FROM (
      SELECT unnest(ARRAY['RESERVED', 'POSITIONS', 'RECEIVABLE']) AS bucket,
             unnest(ARRAY[coalesce(sum(booked_reserved), 0), coalesce(sum(booked_positions), 0), coalesce(sum(booked_receivable), 0)]) AS booked
        FROM positions WHERE account_id = p_account AND mode = p_mode) x
    LEFT JOIN ledger_balances b ON b.account_id = p_account AND b.mode = p_mode AND b.bucket = x.bucket
   WHERE x.booked <> coalesce(b.balance, 0)
  UNION ALL
  SELECT 'counters:exposure', c.exposure_usdc::numeric, x.booked FROM position_counters c,
    (SELECT coalesce(sum(booked_reserved + booked_positions), 0) AS booked, count(*) FILTER (WHERE counted) AS open
       FROM positions WHERE account_id = p_account AND mode = p_mode) x
   WHERE c.account_id = p_account AND c.mode = p_mode AND (c.exposure_usdc <> x.booked OR c.open_count <> x.open)
$$;

DROP FUNCTION verify_audit_chain(text, bigint, bytea, integer);
DROP FUNCTION verify_ledger(text, text, bigint, jsonb);
DROP INDEX windows_unresolved, signals_by_time, orders_by_time, orders_unexplained, orders_dry_runs, positions_by_opening,
  positions_by_session, positions_closed, positions_held, positions_orphaned, positions_by_side, positions_unfinished,
  position_verifications_verified, reconciliation_runs_exact, settlement_checks_by_time, settlement_checks_pending,
  external_movements_by_kind, positions_carrying;
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