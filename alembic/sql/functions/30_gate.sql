-- Promise: a trip is one row write that every later claim sees, for it locks that row (D18). Idempotent while open.
CREATE FUNCTION _trip(p_account text, p_mode text, p_reason text, p_context jsonb DEFAULT '{}') RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE v_changed boolean;
BEGIN
  UPDATE trading_gate SET breaker = 'OPEN', breaker_reason = p_reason, breaker_since = clock_timestamp(), changed_at = clock_timestamp()
   WHERE account_id = p_account AND mode = p_mode AND breaker = 'CLOSED';
  v_changed := FOUND;
  -- A further reason while open is history, too, but once: a fact repeated by every loop must not fill the book.
  IF v_changed OR NOT EXISTS (SELECT FROM breaker_history h, trading_gate g WHERE g.account_id = p_account AND g.mode = p_mode
      AND h.account_id = p_account AND h.mode = p_mode AND h.reason = p_reason AND h.context = p_context AND h.at >= g.breaker_since) THEN
    INSERT INTO breaker_history (account_id, mode, state, reason, actor, context) VALUES (p_account, p_mode, 'OPEN', p_reason, session_user, p_context);
    PERFORM _audit(p_account, p_mode, 'breaker_tripped', p_context || jsonb_build_object('reason', p_reason));
    PERFORM raise_alert('CRITICAL', 'breaker_tripped', format('breaker:%s:%s:%s', p_account, p_mode, p_reason), p_account, p_mode, p_context);
    PERFORM pg_notify('gate_changed', p_account || '/' || p_mode);
  END IF;
  RETURN v_changed;
END $$;

CREATE FUNCTION trip_breaker(p_account text, p_mode text, p_reason text, p_context jsonb DEFAULT '{}') RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF p_reason NOT IN ('STOP_LOSS_BLIND', 'TAKE_PROFIT_BLIND', 'POSITION_TRACKING_FAILED', 'VERIFICATION_RATE_LIMITED', 'DATA_CAPTURE_UNRECOVERABLE',
      'SERIALIZATION_CONFLICT', 'MANUAL_TRIP', 'ORDER_UNKNOWN', 'RECONCILIATION_MISMATCH', 'ASSERTION_FAILED', 'DRAWDOWN', 'CAPITAL_INVARIANT',
      'LIMIT_EXCEEDED_BY_FACT', 'LATE_FILL', 'ORPHANED_MODE', 'HEALTH_SILENT', 'VENUE_REFUSES') THEN
    RAISE EXCEPTION 'unknown trip reason %', p_reason USING ERRCODE = 'OB105';
  END IF;
  PERFORM _lock_account(p_account);
  RETURN _trip(p_account, p_mode, p_reason, p_context);
END $$;

-- Promise: only a named person closes the breaker, and not while any order may be live or Unknown (R1).
CREATE FUNCTION reset_breaker(p_account text, p_mode text, p_operator text, p_reason text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_orders text;
BEGIN
  IF coalesce(p_operator, '') = '' OR coalesce(p_reason, '') = '' THEN
    RAISE EXCEPTION 'a reset needs the operator''s id and a reason' USING ERRCODE = 'OB104';
  END IF;
  PERFORM _lock_account(p_account);
  SELECT string_agg(order_id || ' ' || state, ', ') INTO v_orders FROM orders WHERE account_id = p_account AND mode = p_mode
     AND state IN ('SUBMITTING', 'LIVE', 'DELAYED', 'CANCELLING', 'UNKNOWN');
  IF v_orders IS NOT NULL THEN
    RAISE EXCEPTION 'the breaker of %/% stays open: orders may be live: %', p_account, p_mode, v_orders USING ERRCODE = 'OB102';
  END IF;
  UPDATE trading_gate SET breaker = 'CLOSED', breaker_reason = NULL, breaker_since = NULL, halted = false, changed_at = clock_timestamp()
   WHERE account_id = p_account AND mode = p_mode AND breaker = 'OPEN';
  IF NOT FOUND THEN RETURN; END IF;
  INSERT INTO breaker_history (account_id, mode, state, reason, actor, context)
  VALUES (p_account, p_mode, 'CLOSED', p_reason, p_operator, jsonb_build_object('role', session_user));
  UPDATE alerts SET closed_at = clock_timestamp() WHERE closed_at IS NULL AND kind = 'breaker_tripped' AND account_id = p_account AND mode = p_mode;
  PERFORM _audit(p_account, p_mode, 'breaker_reset', jsonb_build_object('reason', p_reason), p_actor => p_operator);
  PERFORM pg_notify('gate_changed', p_account || '/' || p_mode);
END $$;

CREATE FUNCTION _control(p_account text, p_key text) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT coalesce((SELECT value FROM runtime_controls WHERE account_id = p_account AND key = p_key),
                  (SELECT default_value FROM control_definitions WHERE key = p_key))
$$;

CREATE FUNCTION _allows(p_list text, p_name text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT p_list = '*' OR p_name = ANY (string_to_array(replace(p_list, ' ', ''), ','))
$$;

-- Promise: a control that is not defined, not of its kind or out of bounds is refused; every change has who and why (R7).
CREATE FUNCTION set_control(p_account text, p_key text, p_value text, p_actor text, p_reason text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  d control_definitions;
  v_old text;
  v_number numeric;
BEGIN
  SELECT * INTO d FROM control_definitions WHERE key = p_key;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'no control %; there are: %', p_key, (SELECT string_agg(key, ', ' ORDER BY key) FROM control_definitions) USING ERRCODE = 'OB106';
  END IF;
  IF coalesce(p_actor, '') = '' OR coalesce(p_reason, '') = '' THEN RAISE EXCEPTION 'a control change needs a name and a reason' USING ERRCODE = 'OB104'; END IF;
  IF d.kind <> 'choice' AND p_value = ANY (d.choices) THEN NULL;  -- the rule does not apply
  ELSIF d.kind IN ('usdc', 'integer', 'seconds', 'fraction') THEN
    BEGIN v_number := p_value::numeric; EXCEPTION WHEN invalid_text_representation THEN
      RAISE EXCEPTION '% must be a number, not "%"', p_key, p_value USING ERRCODE = 'OB106'; END;
    IF v_number = 'NaN' OR v_number < d.minimum OR v_number > d.maximum OR (d.kind = 'integer' AND v_number <> trunc(v_number)) THEN
      RAISE EXCEPTION '% must be %between % and %, not %', p_key, CASE WHEN d.kind = 'integer' THEN 'whole and ' ELSE '' END, d.minimum, d.maximum, p_value USING ERRCODE = 'OB106';
    END IF;
  ELSIF d.kind = 'choice' AND NOT p_value = ANY (d.choices) THEN
    RAISE EXCEPTION '% must be one of %, not %', p_key, array_to_string(d.choices, ', '), p_value USING ERRCODE = 'OB106';
  END IF;
  PERFORM _lock_account(p_account);
  v_old := _control(p_account, p_key);
  INSERT INTO runtime_controls (account_id, key, value, set_by, reason) VALUES (p_account, p_key, p_value, p_actor, p_reason)
  ON CONFLICT (account_id, key) DO UPDATE SET value = excluded.value, set_by = excluded.set_by, reason = excluded.reason, set_at = clock_timestamp();
  INSERT INTO control_history (account_id, key, old_value, new_value, actor, reason) VALUES (p_account, p_key, v_old, p_value, p_actor, p_reason);
  IF p_key = 'kill_switch' THEN
    UPDATE trading_gate SET kill_switch = p_value, changed_at = clock_timestamp() WHERE account_id = p_account;
  ELSIF p_key = 'trading_mode' THEN
    UPDATE trading_gate SET mode_ceiling = p_value, changed_at = clock_timestamp() WHERE account_id = p_account;
  END IF;
  PERFORM _audit(p_account, '*', 'control_set', jsonb_build_object('key', p_key, 'old', v_old, 'new', p_value, 'reason', p_reason), p_actor => p_actor);
  PERFORM pg_notify('gate_changed', p_account || '/*');
  RETURN v_old;
END $$;

-- Promise: an account has its gate, counters and balances in every mode from its first moment. Idempotent.
CREATE FUNCTION open_account(p_account text, p_paper_wallet text, p_wallet text DEFAULT NULL) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE v_new boolean;
BEGIN
  INSERT INTO accounts (account_id, paper_wallet, wallet) VALUES (p_account, p_paper_wallet, p_wallet) ON CONFLICT DO NOTHING;
  v_new := FOUND;
  PERFORM _lock_account(p_account);
  IF NOT v_new AND p_wallet IS NOT NULL THEN UPDATE accounts SET wallet = p_wallet WHERE account_id = p_account AND wallet IS DISTINCT FROM p_wallet; END IF;
  INSERT INTO trading_gate (account_id, mode) SELECT p_account, m FROM unnest(ARRAY['BACKTEST', 'PAPER', 'DRY_RUN', 'LIVE']) m ON CONFLICT DO NOTHING;
  INSERT INTO position_counters (account_id, mode) SELECT p_account, m FROM unnest(ARRAY['BACKTEST', 'PAPER', 'DRY_RUN', 'LIVE']) m ON CONFLICT DO NOTHING;
  INSERT INTO ledger_balances (account_id, mode, bucket) SELECT p_account, m, b FROM unnest(ARRAY['BACKTEST', 'PAPER', 'DRY_RUN', 'LIVE']) m,
    unnest(ARRAY['CASH', 'RESERVED', 'POSITIONS', 'FEES', 'PNL', 'RECEIVABLE', 'EXTERNAL']) b ON CONFLICT DO NOTHING;
  IF v_new THEN PERFORM _audit(p_account, '*', 'account_opened'); END IF;
  RETURN v_new;
END $$;

CREATE FUNCTION _session(p_account text, p_mode text, p_by text DEFAULT 'day') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  v_id bigint;
  v_day date;
  v_by text;
  v_today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
BEGIN
  SELECT session_id, day, opened_by INTO v_id, v_day, v_by FROM sessions WHERE account_id = p_account AND mode = p_mode AND closed_at IS NULL;
  -- A session a person opened lasts until a person closes it; the day's own ends with the day (R8).
  IF v_id IS NOT NULL AND (v_by <> 'day' OR v_day = v_today) THEN RETURN v_id; END IF;
  UPDATE sessions SET closed_at = clock_timestamp() WHERE session_id = v_id;
  INSERT INTO sessions (account_id, mode, day, opened_by) VALUES (p_account, p_mode, v_today, p_by) RETURNING session_id INTO v_id;
  UPDATE trading_gate SET session_id = v_id WHERE account_id = p_account AND mode = p_mode;
  RETURN v_id;
END $$;

CREATE FUNCTION open_session(p_account text, p_mode text, p_operator text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE v_id bigint;
BEGIN
  PERFORM _lock_account(p_account);
  UPDATE sessions SET closed_at = clock_timestamp() WHERE account_id = p_account AND mode = p_mode AND closed_at IS NULL;
  v_id := _session(p_account, p_mode, p_operator);
  PERFORM _audit(p_account, p_mode, 'session_opened', jsonb_build_object('session_id', v_id), p_actor => p_operator);
  RETURN v_id;
END $$;

CREATE FUNCTION close_session(p_account text, p_mode text, p_operator text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM _lock_account(p_account);
  UPDATE sessions SET closed_at = clock_timestamp() WHERE account_id = p_account AND mode = p_mode AND closed_at IS NULL;
  IF NOT FOUND THEN RETURN false; END IF;
  UPDATE trading_gate SET session_id = NULL WHERE account_id = p_account AND mode = p_mode;
  PERFORM _audit(p_account, p_mode, 'session_closed', p_actor => p_operator);
  RETURN true;
END $$;

CREATE FUNCTION request_command(p_account text, p_kind text, p_arguments jsonb, p_by text, p_reason text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE v_id bigint;
BEGIN
  INSERT INTO commands (account_id, kind, arguments, requested_by, reason) VALUES (p_account, p_kind, p_arguments, p_by, p_reason) RETURNING command_id INTO v_id;
  PERFORM pg_notify('command_created', v_id::text);
  RETURN v_id;
END $$;
