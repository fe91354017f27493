-- Escalation, orphans, loss limits of a strategy, and alerts that end with their cause.

-- Promise: a stage is due by the trip's own time and done once, whoever ticks and however often (R2, T5). A breaker that was
-- reset meanwhile, or tripped anew, is not escalated for the old trip.
-- ALERT tells a person; CANCEL has cancelled what rests; HALT also stops entries until a reset and lowers the account to PAPER.
-- The alert's key is this trip's and this stage's alone, so no open alert can hold the stage up.
CREATE FUNCTION escalate(p_account text, p_mode text, p_stage text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  g trading_gate;
  v_after interval := CASE p_stage WHEN 'ALERT' THEN interval '5 minutes' WHEN 'CANCEL' THEN interval '15 minutes'
    WHEN 'HALT' THEN interval '30 minutes' END;
  v_details jsonb;
BEGIN
  IF v_after IS NULL THEN RAISE EXCEPTION 'unknown stage %', p_stage USING ERRCODE = 'OB105'; END IF;
  PERFORM _lock_account(p_account);
  SELECT * INTO STRICT g FROM trading_gate WHERE account_id = p_account AND mode = p_mode FOR NO KEY UPDATE;
  IF g.breaker <> 'OPEN' OR clock_timestamp() < g.breaker_since + v_after THEN RETURN false; END IF;
  v_details := jsonb_build_object('event', 'circuit_breaker_escalation', 'stage', extract(epoch FROM v_after)::integer / 60 || 'min',
    'reason', g.breaker_reason, 'timestamp', clock_timestamp(), 'trading_mode', p_mode, 'tripped_at', g.breaker_since);
  INSERT INTO escalations (account_id, mode, tripped_at, stage, details)
  VALUES (p_account, p_mode, g.breaker_since, p_stage, v_details) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN RETURN false; END IF;
  IF p_stage = 'HALT' THEN
    UPDATE trading_gate SET halted = true, changed_at = clock_timestamp() WHERE account_id = p_account AND mode = p_mode;
    IF _mode_rank(p_mode) > _mode_rank('PAPER') AND _mode_rank(_control(p_account, 'trading_mode')) > _mode_rank('PAPER') THEN
      PERFORM set_control(p_account, 'trading_mode', 'PAPER', session_user::text,
        format('the breaker of %s has been open for %s minutes: %s', p_mode, extract(epoch FROM v_after)::integer / 60, g.breaker_reason));
    END IF;
  END IF;
  PERFORM raise_alert('CRITICAL', 'breaker_escalated', format('escalation:%s:%s:%s:%s', p_account, p_mode, p_stage,
    extract(epoch FROM g.breaker_since)), p_account, p_mode, v_details);
  PERFORM _audit(p_account, p_mode, 'breaker_escalated', v_details);
  PERFORM pg_notify('gate_changed', p_account || '/' || p_mode);
  RETURN true;
END $$;

ALTER TABLE positions ADD COLUMN orphaned_since timestamptz;
COMMENT ON COLUMN positions.orphaned_since IS 'Since when, without a break, the venue shows less of its token than the Book holds (R3).';

-- Promise: a position the venue does not show is flagged with the moment it was first missed, and its flag falls when it is seen
-- again; unexplained for two minutes it stops trading (R3, D19). p_tokens: every token of which the venue shows too little now.
-- Returns the positions that are flagged after it.
CREATE FUNCTION flag_orphans(p_account text, p_mode text, p_tokens text[]) RETURNS text[] LANGUAGE plpgsql AS $$
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

INSERT INTO control_definitions (key, kind, default_value, minimum, maximum, choices, meaning) VALUES
  ('max_strategy_loss', 'usdc', '10', 0, 1000, NULL, 'USDC one strategy may lose in a session or a day before it is stopped');

CREATE TABLE strategy_stops (
  stop_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  strategy_id text NOT NULL,
  session_id bigint REFERENCES sessions,
  day date,
  pnl_usdc usdc NOT NULL CHECK (pnl_usdc < 0),
  limit_usdc usdc NOT NULL,
  stopped_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK ((session_id IS NULL) <> (day IS NULL)),
  UNIQUE NULLS NOT DISTINCT (account_id, mode, strategy_id, session_id, day, limit_usdc)
);
COMMENT ON TABLE strategy_stops IS 'A strategy that lost its limit enters no more while its session, or its day, lasts; a higher limit, set by a person, lifts it (R8).';

-- Returns whether a session is still the one to trade in: a person's until a person closes it, the day's own for the day (R8).
CREATE FUNCTION _is_running(z sessions) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT z.closed_at IS NULL AND (z.opened_by <> 'day' OR z.day = (clock_timestamp() AT TIME ZONE 'UTC')::date)
$$;

-- Promise: a strategy that has lost its limit is stopped by a row every later claim sees, once a scope and limit (R8).
-- p_scope is SESSION or DAY, p_pnl what the strategy made in it, realised and unrealised. False: nothing to stop, or stopped already.
CREATE FUNCTION stop_strategy(p_account text, p_mode text, p_strategy text, p_scope text, p_pnl numeric) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  v_limit numeric;
  v_session bigint;
  v_day date;
  v_details jsonb;
BEGIN
  IF p_scope NOT IN ('SESSION', 'DAY') THEN RAISE EXCEPTION 'unknown scope %', p_scope USING ERRCODE = 'OB105'; END IF;
  PERFORM _lock_account(p_account);
  v_limit := _control(p_account, 'max_strategy_loss')::numeric;
  IF p_pnl >= 0 OR -p_pnl < v_limit THEN RETURN false; END IF;
  IF p_scope = 'SESSION' THEN
    SELECT session_id INTO v_session FROM sessions z WHERE account_id = p_account AND mode = p_mode AND _is_running(z);
    IF NOT FOUND THEN RETURN false; END IF;
  ELSE
    v_day := (clock_timestamp() AT TIME ZONE 'UTC')::date;
  END IF;
  -- The trip's own lock: a claim that waits for the gate row sees the stop, as it sees a trip (D18).
  PERFORM FROM trading_gate WHERE account_id = p_account AND mode = p_mode FOR NO KEY UPDATE;
  INSERT INTO strategy_stops (account_id, mode, strategy_id, session_id, day, pnl_usdc, limit_usdc)
  VALUES (p_account, p_mode, p_strategy, v_session, v_day, p_pnl, v_limit) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN RETURN false; END IF;
  v_details := jsonb_build_object('strategy_id', p_strategy, 'scope', p_scope, 'pnl_usdc', p_pnl::text, 'limit_usdc', v_limit::text);
  PERFORM raise_alert('ERROR', 'strategy_stopped', format('strategy_stopped:%s:%s:%s:%s', p_account, p_mode, p_strategy,
    coalesce('session ' || v_session, 'day ' || v_day)), p_account, p_mode, v_details);
  PERFORM _audit(p_account, p_mode, 'strategy_stopped', v_details);
  PERFORM pg_notify('gate_changed', p_account || '/' || p_mode);
  RETURN true;
END $$;

-- Promise: the day's own session ends with its day, so that what it lost binds no entry of the next (R8). Returns how many ended.
CREATE FUNCTION end_days() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  z sessions;
  v_ended integer := 0;
BEGIN
  FOR z IN SELECT * FROM sessions s WHERE closed_at IS NULL AND NOT _is_running(s) ORDER BY account_id, mode LOOP
    PERFORM _lock_account(z.account_id);
    UPDATE sessions SET closed_at = clock_timestamp() WHERE session_id = z.session_id AND closed_at IS NULL;
    CONTINUE WHEN NOT FOUND;
    UPDATE trading_gate SET session_id = NULL WHERE account_id = z.account_id AND mode = z.mode AND session_id = z.session_id;
    PERFORM _audit(z.account_id, z.mode, 'session_closed', jsonb_build_object('session_id', z.session_id, 'realized_usdc', z.realized_usdc::text));
    v_ended := v_ended + 1;
  END LOOP;
  RETURN v_ended;
END $$;

-- Promise: an alert ends when its cause does; raised again, it is a new one (O4). False: none was open.
CREATE FUNCTION close_alert(p_dedup_key text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  UPDATE alerts SET closed_at = clock_timestamp() WHERE dedup_key = p_dedup_key AND closed_at IS NULL;
  RETURN FOUND;
END $$;

-- What a person or the machine has stopped; the row is locked, so a switch committed before this is seen, one after waits.
CREATE OR REPLACE FUNCTION _check_entry_gate(s signals) RETURNS void LANGUAGE plpgsql AS $$
DECLARE g trading_gate;
BEGIN
  SELECT * INTO STRICT g FROM trading_gate WHERE account_id = s.account_id AND mode = s.mode FOR SHARE;
  IF g.breaker = 'OPEN' THEN PERFORM _refuse('BREAKER_OPEN'); END IF;
  IF g.kill_switch <> 'OFF' THEN PERFORM _refuse('KILL_SWITCH'); END IF;
  IF g.halted THEN PERFORM _refuse('HALTED'); END IF;
  IF _mode_rank(s.mode) > _mode_rank(g.mode_ceiling) THEN PERFORM _refuse('MODE_NOT_ALLOWED'); END IF;
  IF s.mode <> 'BACKTEST' AND (SELECT count(DISTINCT service) FROM heartbeats WHERE service IN ('feed_collector', 'risk_monitor', 'reconciler')
      AND healthy AND at > clock_timestamp() - interval '10 seconds') < 3 THEN PERFORM _refuse('WATCHDOG_SILENT'); END IF;
  IF EXISTS (SELECT FROM strategy_stops t LEFT JOIN sessions z ON z.session_id = t.session_id
      WHERE t.account_id = s.account_id AND t.mode = s.mode AND t.strategy_id = s.strategy_id
        AND (t.day = (clock_timestamp() AT TIME ZONE 'UTC')::date OR _is_running(z))
        AND t.limit_usdc >= _control(s.account_id, 'max_strategy_loss')::numeric) THEN PERFORM _refuse('STRATEGY_STOPPED'); END IF;
END $$;

REVOKE ALL ON FUNCTION escalate(text, text, text), flag_orphans(text, text, text[]), stop_strategy(text, text, text, text, numeric), end_days(),
  close_alert(text), _is_running(sessions) FROM PUBLIC;
ALTER FUNCTION escalate(text, text, text) SECURITY DEFINER SET search_path = pg_catalog, public;
ALTER FUNCTION flag_orphans(text, text, text[]) SECURITY DEFINER SET search_path = pg_catalog, public;
ALTER FUNCTION stop_strategy(text, text, text, text, numeric) SECURITY DEFINER SET search_path = pg_catalog, public;
ALTER FUNCTION end_days() SECURITY DEFINER SET search_path = pg_catalog, public;
ALTER FUNCTION close_alert(text) SECURITY DEFINER SET search_path = pg_catalog, public;
GRANT EXECUTE ON FUNCTION escalate(text, text, text), flag_orphans(text, text, text[]), stop_strategy(text, text, text, text, numeric), end_days()
  TO onebook_risk_monitor;
GRANT EXECUTE ON FUNCTION close_alert(text) TO onebook_feed_collector, onebook_signal_engine, onebook_execution, onebook_risk_monitor,
  onebook_reconciler, onebook_dashboard, onebook_operator;
GRANT SELECT ON strategy_stops TO onebook_feed_collector, onebook_signal_engine, onebook_execution, onebook_risk_monitor, onebook_reconciler,
  onebook_dashboard, onebook_operator, onebook_backtesting;
-- Stages are done by escalate alone.
REVOKE INSERT, UPDATE ON escalations FROM onebook_risk_monitor;

-- The day's pass rate is summed every few seconds.
CREATE INDEX assertion_results_by_account ON assertion_results (account_id, mode, at);
