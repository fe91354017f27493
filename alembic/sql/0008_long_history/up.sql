-- What is read again and again is found, not searched for: none of it gets dearer with the age of the Book.
CREATE INDEX windows_unresolved ON windows (closes_at) WHERE state <> 'RESOLVED';
CREATE INDEX signals_by_time ON signals (created_at);
CREATE INDEX orders_by_time ON orders (claimed_at);
CREATE INDEX orders_unexplained ON orders (account_id, mode) WHERE NOT explained AND (state = 'FILLED' OR reported_shares > 0);
CREATE INDEX orders_dry_runs ON orders (claimed_at) WHERE mode = 'DRY_RUN';
CREATE INDEX positions_by_opening ON positions (opened_at);
CREATE INDEX positions_by_session ON positions (session_id);
CREATE INDEX positions_closed ON positions (closed_at, position_id) WHERE state = 'CLOSED';
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
-- What was proved of an account, and up to where: the next proof begins there, and goes over the old part by part.
CREATE TABLE integrity_marks (
  account_id text NOT NULL REFERENCES accounts,
  what text NOT NULL,
  up_to bigint NOT NULL,
  state jsonb NOT NULL,
  whole_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (account_id, what)
);
COMMENT ON COLUMN integrity_marks.state IS 'audit, audit_again: the hash of event up_to. ledger:<mode>: the fold of the entries up to up_to, by bucket.';
COMMENT ON COLUMN integrity_marks.whole_at IS 'When the fold last began at the first entry.';
GRANT SELECT ON integrity_marks TO onebook_feed_collector, onebook_signal_engine, onebook_execution, onebook_risk_monitor, onebook_reconciler,
  onebook_dashboard, onebook_operator, onebook_backtesting;

-- Follows the chain from an event that was proved (0: from the first), p_most events at most (NULL: all). One moment of it: between
-- two statements of a volatile function somebody may write, and a history nobody touched would look broken (B14).
-- Returns the first event that does not follow (0: the end is cut off; NULL: none), how far it came, and whether that is the end.
CREATE FUNCTION verify_audit_chain(p_account text, p_after bigint, p_hash bytea, p_most integer, OUT broken bigint, OUT up_to bigint,
  OUT hash bytea, OUT ended boolean) LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  e audit_events;
  v_seen integer := 0;
BEGIN
  up_to := p_after;
  hash := p_hash;
  IF p_after > 0 AND NOT EXISTS (SELECT FROM audit_events x WHERE x.event_id = p_after AND x.account_id = p_account AND x.hash = p_hash) THEN
    broken := p_after;
    RETURN;
  END IF;
  FOR e IN SELECT * FROM audit_events x WHERE x.account_id = p_account AND x.event_id > p_after ORDER BY x.event_id LIMIT p_most LOOP
    IF e.previous_hash IS DISTINCT FROM hash OR e.hash IS DISTINCT FROM _audit_hash(hash, e.account_id, e.mode, e.at,
        e.kind, e.actor, e.correlation_id, e.window_id, e.order_id, e.position_id, e.details) THEN
      broken := e.event_id;
      RETURN;
    END IF;
    up_to := e.event_id;
    hash := e.hash;
    v_seen := v_seen + 1;
  END LOOP;
  ended := p_most IS NULL OR v_seen < p_most;
  IF ended AND hash IS DISTINCT FROM (SELECT audit_head FROM accounts WHERE account_id = p_account) THEN broken := 0; END IF;
END $$;

-- Returns the id of the first event whose hash does not follow from the one before; NULL when the chain is whole.
CREATE OR REPLACE FUNCTION verify_audit_chain(p_account text) RETURNS bigint LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT broken FROM verify_audit_chain(p_account, 0, NULL, NULL)
$$;

-- Promise: what is new in a chain is proved at once, what is old again and again, p_most events of each a call: however long a
-- history is, a proof is short, and nothing of it is taken on trust for longer than it takes to go through it (B14).
-- Returns as verify_audit_chain; what is broken stays so until a person has looked.
CREATE FUNCTION prove_audit_chain(p_account text, p_most integer DEFAULT 20000) RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  v_what text;
  m integrity_marks;
  v record;
BEGIN
  FOREACH v_what IN ARRAY ARRAY['audit', 'audit_again'] LOOP
    SELECT * INTO m FROM integrity_marks WHERE account_id = p_account AND what = v_what;
    SELECT * INTO v FROM verify_audit_chain(p_account, coalesce(m.up_to, 0), decode(m.state->>'hash', 'hex'), p_most);
    IF v.broken IS NOT NULL THEN RETURN v.broken; END IF;
    IF v_what = 'audit_again' AND v.ended THEN
      DELETE FROM integrity_marks WHERE account_id = p_account AND what = v_what;
    ELSIF v.up_to > 0 THEN
      INSERT INTO integrity_marks (account_id, what, up_to, state) VALUES (p_account, v_what, v.up_to, jsonb_build_object('hash', encode(v.hash, 'hex')))
        ON CONFLICT (account_id, what) DO UPDATE SET up_to = excluded.up_to, state = excluded.state, at = excluded.at;
    END IF;
  END LOOP;
  RETURN NULL;
END $$;

-- What a position no longer carries need not be added up.
CREATE INDEX positions_carrying ON positions (account_id, mode)
  WHERE booked_reserved <> 0 OR booked_positions <> 0 OR booked_receivable <> 0 OR counted;

-- Returns as verify_ledger, with the entries up to p_after taken as p_base, their fold by bucket. One statement: one moment.
CREATE FUNCTION verify_ledger(p_account text, p_mode text, p_after bigint, p_base jsonb)
RETURNS TABLE (what text, stored numeric, folded numeric) LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH folded AS (
    SELECT bucket, sum(amount) AS balance FROM (
      SELECT key AS bucket, value::numeric AS amount FROM jsonb_each_text(p_base)
      UNION ALL SELECT to_bucket, amount::numeric FROM ledger_entries WHERE account_id = p_account AND mode = p_mode AND entry_id > p_after
      UNION ALL SELECT from_bucket, -amount FROM ledger_entries WHERE account_id = p_account AND mode = p_mode AND entry_id > p_after) x GROUP BY bucket),
  carried AS (
    SELECT coalesce(sum(booked_reserved), 0) AS reserved, coalesce(sum(booked_positions), 0) AS positions,
           coalesce(sum(booked_receivable), 0) AS receivable, count(*) FILTER (WHERE counted) AS open
      FROM positions WHERE account_id = p_account AND mode = p_mode
       AND (booked_reserved <> 0 OR booked_positions <> 0 OR booked_receivable <> 0 OR counted))
  SELECT coalesce(b.bucket, f.bucket), b.balance::numeric, f.balance FROM folded f
    FULL JOIN (SELECT bucket, balance FROM ledger_balances WHERE account_id = p_account AND mode = p_mode) b USING (bucket)
   WHERE coalesce(b.balance, 0) <> coalesce(f.balance, 0)
  UNION ALL
  SELECT 'positions:' || x.bucket, x.booked, coalesce(b.balance, 0)
    FROM carried CROSS JOIN LATERAL (VALUES ('RESERVED', reserved), ('POSITIONS', positions), ('RECEIVABLE', receivable)) x (bucket, booked)
    LEFT JOIN ledger_balances b ON b.account_id = p_account AND b.mode = p_mode AND b.bucket = x.bucket
   WHERE x.booked <> coalesce(b.balance, 0)
  UNION ALL
  SELECT 'counters:exposure', c.exposure_usdc::numeric, x.reserved + x.positions FROM position_counters c, carried x
   WHERE c.account_id = p_account AND c.mode = p_mode AND (c.exposure_usdc <> x.reserved + x.positions OR c.open_count <> x.open)
$$;

-- Returns one row for each bucket or position whose stored figure is not the fold of its entries: empty when the books agree.
CREATE OR REPLACE FUNCTION verify_ledger(p_account text, p_mode text) RETURNS TABLE (what text, stored numeric, folded numeric) LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT * FROM verify_ledger(p_account, p_mode, 0, '{}')
$$;

-- Returns the differences, the newest entry and the balances of one moment: what a mark is made of.
CREATE FUNCTION _ledger_now(p_account text, p_mode text, p_after bigint, p_base jsonb, OUT differences jsonb, OUT up_to bigint, OUT balances jsonb)
LANGUAGE sql STABLE AS $$
  SELECT (SELECT jsonb_agg(to_jsonb(d)) FROM verify_ledger(p_account, p_mode, p_after, p_base) d),
         (SELECT max(entry_id) FROM ledger_entries WHERE account_id = p_account AND mode = p_mode),
         (SELECT jsonb_object_agg(bucket, balance) FROM ledger_balances WHERE account_id = p_account AND mode = p_mode)
$$;

-- Promise: the ledger is folded from where it was last proved, and from its first entry once in p_whole (R9).
-- Entries of one account are numbered under its lock, so nothing older comes after a mark (D27). Returns as verify_ledger.
CREATE FUNCTION prove_ledger(p_account text, p_mode text, p_whole interval DEFAULT '1 hour')
RETURNS TABLE (what text, stored numeric, folded numeric) LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  m integrity_marks;
  v record;
  v_whole boolean;
BEGIN
  SELECT * INTO m FROM integrity_marks x WHERE x.account_id = p_account AND x.what = 'ledger:' || p_mode;
  v_whole := m.whole_at IS NULL OR m.whole_at <= clock_timestamp() - p_whole;
  IF v_whole THEN
    SELECT * INTO v FROM _ledger_now(p_account, p_mode, 0, '{}');
  ELSE
    SELECT * INTO v FROM _ledger_now(p_account, p_mode, m.up_to, m.state);
  END IF;
  IF v.differences IS NULL AND v.up_to IS NOT NULL THEN
    INSERT INTO integrity_marks AS x (account_id, what, up_to, state) VALUES (p_account, 'ledger:' || p_mode, v.up_to, v.balances)
      ON CONFLICT (account_id, what) DO UPDATE SET up_to = excluded.up_to, state = excluded.state, at = excluded.at,
        whole_at = CASE WHEN v_whole THEN excluded.whole_at ELSE x.whole_at END;
  END IF;
  RETURN QUERY SELECT d.what, d.stored, d.folded FROM jsonb_to_recordset(coalesce(v.differences, '[]')) d (what text, stored numeric, folded numeric);
END $$;

DO $$
DECLARE f record;
BEGIN
  FOR f IN SELECT oid::regprocedure AS signature, proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
            AND proname IN ('verify_audit_chain', 'verify_ledger', 'prove_audit_chain', 'prove_ledger', '_ledger_now') LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f.signature);
    IF f.proname LIKE 'verify%' THEN
      EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO onebook_reconciler, onebook_risk_monitor, onebook_operator, onebook_dashboard', f.signature);
    ELSIF f.proname LIKE 'prove%' THEN
      EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO onebook_risk_monitor', f.signature);
    END IF;
  END LOOP;
END $$;
