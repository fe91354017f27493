-- The one advisory key of the one executor.
CREATE FUNCTION executor_lock_key() RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT 5712041998443917312 $$;

-- Promise: an epoch is taken only by the session that holds the advisory lock; the one before it can claim nothing more (E2).
-- What its predecessor may have been sending is Unknown from now on; a paper order was never sent anywhere (D5).
CREATE FUNCTION take_epoch(p_instance text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  v_epoch bigint;
  o record;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted
                 AND classid = (executor_lock_key() >> 32)::oid AND objid = (executor_lock_key() & 4294967295)::oid
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) THEN
    RAISE EXCEPTION 'this session does not hold the executor lock' USING ERRCODE = 'OB107';
  END IF;
  INSERT INTO executor_epochs (epoch, instance, backend_pid)
  SELECT coalesce(max(epoch), 0) + 1, p_instance, pg_backend_pid() FROM executor_epochs RETURNING epoch INTO v_epoch;
  FOR o IN SELECT order_id, account_id, mode FROM orders WHERE state = 'SUBMITTING' ORDER BY account_id, order_id LOOP
    IF o.mode = 'LIVE' THEN
      PERFORM _order_event(o.order_id, 'LOST', jsonb_build_object('reason', 'EXECUTOR_CHANGED', 'epoch', v_epoch));
    ELSE
      PERFORM _order_event(o.order_id, 'NOT_SENT', jsonb_build_object('reason', 'EXECUTOR_CHANGED', 'epoch', v_epoch));
    END IF;
  END LOOP;
  FOR o IN SELECT account_id FROM accounts ORDER BY account_id LOOP
    PERFORM _audit(o.account_id, '*', 'epoch_taken', jsonb_build_object('epoch', v_epoch, 'instance', p_instance));
  END LOOP;
  PERFORM pg_notify('gate_changed', '*');
  RETURN v_epoch;
END $$;

-- The reconciler's word that Book and venue agree since this epoch began: before it nothing is claimed (X1).
CREATE FUNCTION mark_reconciled(p_epoch bigint, p_summary jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  UPDATE executor_epochs SET reconciled_at = clock_timestamp(), reconciled_summary = p_summary WHERE epoch = p_epoch AND reconciled_at IS NULL;
  IF FOUND THEN PERFORM pg_notify('gate_changed', '*'); RETURN true; END IF;
  RETURN false;
END $$;

-- Returns why this session may not claim; NULL when it may.
CREATE FUNCTION _claim_bar(p_epoch bigint) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN e.epoch IS DISTINCT FROM p_epoch OR e.backend_pid <> pg_backend_pid() THEN 'NOT_LEADER'
              WHEN e.reconciled_at IS NULL THEN 'RECONCILIATION_PENDING' END
    FROM (SELECT 1) one LEFT JOIN LATERAL (SELECT * FROM executor_epochs ORDER BY epoch DESC LIMIT 1) e ON true
$$;

CREATE FUNCTION _refuse(p_reason text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%', p_reason USING ERRCODE = 'OB001';
END $$;

-- Promise: a refused signal says why, with every input the refusal was made on (S4).
CREATE FUNCTION refuse_signal(p_signal text, p_reason text, p_verdict jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  s signals;
  v_state text := CASE WHEN p_reason = 'SIGNAL_EXPIRED' THEN 'EXPIRED' ELSE 'REFUSED' END;
BEGIN
  SELECT * INTO s FROM signals WHERE signal_id = p_signal;
  IF NOT FOUND THEN RETURN false; END IF;
  PERFORM _lock_account(s.account_id);
  UPDATE signals SET state = v_state, refusal = CASE WHEN v_state = 'REFUSED' THEN p_reason END, verdict = p_verdict, decided_at = clock_timestamp()
   WHERE signal_id = p_signal AND state = 'NEW';
  IF NOT FOUND THEN RETURN false; END IF;
  PERFORM _audit(s.account_id, s.mode, 'signal_refused', jsonb_build_object('reason', p_reason), p_signal, s.window_id);
  RETURN true;
END $$;

-- Promise: a claim is one statement. Leader, gate, signal, window, limits, entry, slot, position, capital, order and body are
-- taken together under the account's lock, or nothing is and the signal says why (D15, D18, P5).
CREATE FUNCTION claim_entry(p_epoch bigint, p_signal text, p_order jsonb, p_body text, p_evidence jsonb)
RETURNS TABLE (refused text, position_id text, claimed_at timestamptz) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  s signals;
  v_refused text;
  v_position text := p_order->>'position_id';
  v_at timestamptz;
BEGIN
  v_refused := _claim_bar(p_epoch);
  IF v_refused IS NOT NULL THEN
    RETURN QUERY SELECT v_refused, NULL::text, NULL::timestamptz;
    RETURN;
  END IF;
  SELECT * INTO s FROM signals WHERE signal_id = p_signal;
  IF NOT FOUND THEN RAISE EXCEPTION 'no signal %', p_signal USING ERRCODE = 'OB103'; END IF;
  PERFORM _lock_account(s.account_id);
  BEGIN
    v_at := _claim_entry(p_epoch, p_signal, p_order, p_body, p_evidence);
  EXCEPTION
    WHEN SQLSTATE 'OB001' THEN v_refused := SQLERRM;
    WHEN unique_violation THEN
      GET STACKED DIAGNOSTICS v_refused = CONSTRAINT_NAME;
      v_refused := CASE v_refused WHEN 'window_entries_one' THEN 'ALREADY_ENTERED' WHEN 'active_positions_pkey' THEN 'POSITION_EXISTS'
        WHEN 'orders_one_entry_per_signal' THEN 'SIGNAL_NOT_NEW' WHEN 'orders_pkey' THEN 'SIGNAL_NOT_NEW' WHEN 'positions_pkey' THEN 'SIGNAL_NOT_NEW'
        ELSE 'SERIALIZATION_CONFLICT' END;
  END;
  IF v_refused IS NOT NULL THEN
    PERFORM refuse_signal(p_signal, v_refused, p_evidence || jsonb_build_object('claim', v_refused));
    RETURN QUERY SELECT v_refused, NULL::text, NULL::timestamptz;
    RETURN;
  END IF;
  RETURN QUERY SELECT NULL::text, v_position, v_at;
END $$;

CREATE FUNCTION _mode_rank(p_mode text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
  SELECT array_position(ARRAY['BACKTEST', 'PAPER', 'DRY_RUN', 'LIVE'], p_mode)
$$;

-- What a person or the machine has stopped; the row is locked, so a switch committed before this is seen, one after waits.
CREATE FUNCTION _check_entry_gate(s signals) RETURNS void LANGUAGE plpgsql AS $$
DECLARE g trading_gate;
BEGIN
  SELECT * INTO STRICT g FROM trading_gate WHERE account_id = s.account_id AND mode = s.mode FOR SHARE;
  IF g.breaker = 'OPEN' THEN PERFORM _refuse('BREAKER_OPEN'); END IF;
  IF g.kill_switch <> 'OFF' THEN PERFORM _refuse('KILL_SWITCH'); END IF;
  IF g.halted THEN PERFORM _refuse('HALTED'); END IF;
  IF _mode_rank(s.mode) > _mode_rank(g.mode_ceiling) THEN PERFORM _refuse('MODE_NOT_ALLOWED'); END IF;
  IF s.mode <> 'BACKTEST' AND (SELECT count(DISTINCT service) FROM heartbeats WHERE service IN ('feed_collector', 'risk_monitor', 'reconciler')
      AND healthy AND at > clock_timestamp() - interval '10 seconds') < 3 THEN PERFORM _refuse('WATCHDOG_SILENT'); END IF;
END $$;

CREATE FUNCTION _check_entry_window(s signals, p_order jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  w windows;
  v_now timestamptz := clock_timestamp();
BEGIN
  IF s.state <> 'NEW' THEN PERFORM _refuse('SIGNAL_NOT_NEW'); END IF;
  IF s.expires_at <= v_now THEN PERFORM _refuse('SIGNAL_EXPIRED'); END IF;
  SELECT * INTO STRICT w FROM windows WHERE window_id = s.window_id;
  IF w.opens_at > v_now THEN PERFORM _refuse('FUTURE_WINDOW'); END IF;
  IF w.state <> 'OPEN' THEN PERFORM _refuse('WINDOW_NOT_OPEN'); END IF;
  IF w.closes_at - interval '3 seconds' < v_now THEN PERFORM _refuse('WINDOW_CLOSING'); END IF;
  IF s.token_id <> (CASE s.side WHEN 'UP' THEN w.up_token ELSE w.down_token END) OR s.token_id <> p_order->>'token_id' THEN PERFORM _refuse('MARKET_MISMATCH'); END IF;
  IF NOT _allows(_control(s.account_id, 'allowed_instruments'), s.instrument) THEN PERFORM _refuse('INSTRUMENT_NOT_ALLOWED'); END IF;
  IF NOT _allows(_control(s.account_id, 'allowed_strategies'), s.strategy_id) THEN PERFORM _refuse('STRATEGY_NOT_ALLOWED'); END IF;
  IF NOT (SELECT enabled FROM strategy_instances WHERE instance_id = s.instance_id) THEN PERFORM _refuse('STRATEGY_NOT_ALLOWED'); END IF;
  IF EXISTS (SELECT FROM orders WHERE account_id = s.account_id AND mode = s.mode AND window_id = s.window_id AND state = 'UNKNOWN') THEN PERFORM _refuse('WINDOW_BLOCKED'); END IF;
  -- The price the signal was made on bounds the order for ever (E11); the last place is the venue's own rounding of shares.
  IF (p_order->>'limit_price')::numeric > s.price + coalesce((s.risk->>'max_slippage')::numeric, 0)
     OR (p_order->>'maker_amount')::numeric > (p_order->>'limit_price')::numeric * ((p_order->>'taker_amount')::numeric + 0.0001) THEN PERFORM _refuse('PRICE_MOVED'); END IF;
END $$;

-- Limits bind by conditional writes, never by a look before (B8). Returns the cap in force.
CREATE FUNCTION _take_limits(s signals, p_reserved numeric, p_cap numeric, p_session bigint) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
  v_cap numeric := least(_control(s.account_id, 'max_position_usd')::numeric, coalesce((s.risk->>'max_position_usdc')::numeric, p_cap), p_cap);
  v_loss numeric := _control(s.account_id, 'max_session_loss')::numeric;
BEGIN
  IF p_reserved > v_cap THEN PERFORM _refuse('POSITION_CAP'); END IF;
  IF (SELECT -realized_usdc FROM sessions WHERE session_id = p_session) >= v_loss THEN PERFORM _refuse('SESSION_LOSS'); END IF;
  UPDATE position_counters SET open_count = open_count + 1, intended_count = intended_count + 1
   WHERE account_id = s.account_id AND mode = s.mode AND greatest(open_count, intended_count) < least(_control(s.account_id, 'max_open_positions')::integer, 50);
  IF NOT FOUND THEN PERFORM _refuse('MAX_OPEN_POSITIONS'); END IF;
  UPDATE position_counters SET exposure_usdc = exposure_usdc + p_reserved, intended_usdc = intended_usdc + p_reserved
   WHERE account_id = s.account_id AND mode = s.mode AND greatest(exposure_usdc, intended_usdc) + p_reserved <= least(_control(s.account_id, 'max_exposure_usd')::numeric, 1000);
  IF NOT FOUND THEN PERFORM _refuse('MAX_EXPOSURE'); END IF;
  IF (SELECT exposure_usdc FROM position_counters WHERE account_id = s.account_id AND mode = s.mode) > v_loss THEN PERFORM _refuse('SESSION_DEPLOYED'); END IF;
  INSERT INTO instrument_exposure (account_id, mode, instrument) VALUES (s.account_id, s.mode, s.instrument) ON CONFLICT DO NOTHING;
  UPDATE instrument_exposure SET exposure_usdc = exposure_usdc + p_reserved, intended_usdc = intended_usdc + p_reserved
   WHERE account_id = s.account_id AND mode = s.mode AND instrument = s.instrument
     AND greatest(exposure_usdc, intended_usdc) + p_reserved <= least(_control(s.account_id, 'max_instrument_usd')::numeric, 1000);
  IF NOT FOUND THEN PERFORM _refuse('MAX_INSTRUMENT'); END IF;
  RETURN v_cap;
END $$;

CREATE FUNCTION _claim_entry(p_epoch bigint, p_signal text, p_order jsonb, p_body text, p_evidence jsonb) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
  s signals;
  v_order text := p_order->>'order_id';
  v_position text := p_order->>'position_id';
  v_reserved numeric := (p_order->>'reserved_usdc')::numeric;
  v_session bigint;
  v_slot integer;
  v_cap numeric;
  v_at timestamptz;
BEGIN
  SELECT * INTO STRICT s FROM signals WHERE signal_id = p_signal FOR UPDATE;
  PERFORM _check_entry_gate(s);
  PERFORM _check_entry_window(s, p_order);
  IF v_reserved < (p_order->>'maker_amount')::numeric THEN PERFORM _refuse('INSUFFICIENT_CAPITAL'); END IF;
  INSERT INTO window_entries (account_id, mode, window_id, strategy_id, order_id, epoch) VALUES (s.account_id, s.mode, s.window_id, s.strategy_id, v_order, p_epoch);
  SELECT count(*) + 1 INTO v_slot FROM entry_slots WHERE account_id = s.account_id AND mode = s.mode AND window_id = s.window_id AND instrument = s.instrument;
  IF v_slot > 2 THEN PERFORM _refuse('ORDER_CAP'); END IF;
  INSERT INTO entry_slots (account_id, mode, window_id, instrument, slot, order_id) VALUES (s.account_id, s.mode, s.window_id, s.instrument, v_slot, v_order);
  INSERT INTO active_positions (account_id, mode, window_id, position_id) VALUES (s.account_id, s.mode, s.window_id, v_position);
  v_session := _session(s.account_id, s.mode);
  v_cap := _take_limits(s, v_reserved, coalesce((p_order->>'cap_usdc')::numeric, v_reserved), v_session);
  PERFORM FROM ledger_balances WHERE account_id = s.account_id AND mode = s.mode AND bucket = 'CASH' AND balance >= v_reserved FOR UPDATE;
  IF NOT FOUND THEN PERFORM _refuse('INSUFFICIENT_CAPITAL'); END IF;
  INSERT INTO positions (position_id, account_id, mode, session_id, signal_id, strategy_id, window_id, instrument, side, token_id, risk, intended_price,
      booked_reserved, intended_usdc)
  VALUES (v_position, s.account_id, s.mode, v_session, p_signal, s.strategy_id, s.window_id, s.instrument, s.side, s.token_id, s.risk,
      s.price, v_reserved, v_reserved);
  PERFORM _post(s.account_id, s.mode, 'CASH', 'RESERVED', v_reserved, 'claim', true, v_order, v_position, NULL);
  INSERT INTO orders (order_id, account_id, mode, purpose, signal_id, position_id, window_id, instrument, token_id, side, order_type, limit_price,
      maker_amount, taker_amount, salt, timestamp_ms, epoch, cap_usdc, reserved_usdc, gate_evidence, book_evidence)
  VALUES (v_order, s.account_id, s.mode, 'ENTRY', p_signal, v_position, s.window_id, s.instrument, s.token_id, 'BUY', p_order->>'order_type',
      (p_order->>'limit_price')::numeric, (p_order->>'maker_amount')::numeric, (p_order->>'taker_amount')::numeric, (p_order->>'salt')::bigint,
      (p_order->>'timestamp_ms')::bigint, p_epoch, v_cap, v_reserved, p_evidence, p_order->'book');
  INSERT INTO order_bodies (order_id, body) VALUES (v_order, p_body);
  UPDATE signals SET state = 'ORDERED', verdict = p_evidence, decided_at = clock_timestamp() WHERE signal_id = p_signal;
  PERFORM _audit(s.account_id, s.mode, 'entry_claimed', jsonb_build_object('reserved_usdc', v_reserved::text, 'limit_price', p_order->>'limit_price',
    'slot', v_slot, 'epoch', p_epoch), p_signal, s.window_id, v_order, v_position);
  PERFORM pg_notify('order_changed', v_order);
  v_at := clock_timestamp();
  RETURN v_at;
END $$;

-- Promise: one exit at a time, of shares that are ours on chain, by the leader; while the breaker is open only where we can still see (D20, E19).
CREATE FUNCTION claim_exit(p_epoch bigint, p_position text, p_order jsonb, p_body text, p_evidence jsonb)
RETURNS TABLE (refused text, claimed_at timestamptz) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  p positions;
  g trading_gate;
  v_refused text := _claim_bar(p_epoch);
  v_shares numeric := (p_order->>'maker_amount')::numeric;
  v_sellable numeric;
  v_order text := p_order->>'order_id';
  v_account text;
  v_forced boolean;
BEGIN
  IF v_refused IS NOT NULL THEN RETURN QUERY SELECT v_refused, NULL::timestamptz; RETURN; END IF;
  SELECT account_id INTO v_account FROM positions WHERE position_id = p_position;
  IF NOT FOUND THEN RAISE EXCEPTION 'no position %', p_position USING ERRCODE = 'OB103'; END IF;
  PERFORM _lock_account(v_account);
  SELECT * INTO STRICT p FROM positions WHERE position_id = p_position FOR UPDATE;
  SELECT * INTO STRICT g FROM trading_gate WHERE account_id = p.account_id AND mode = p.mode FOR SHARE;
  v_forced := p.exit_reason IN ('FLATTEN', 'EMERGENCY') AND g.kill_switch IN ('FLATTEN', 'EMERGENCY');
  SELECT coalesce(sum(shares) FILTER (WHERE side = 'BUY' AND state IN ('MINED', 'CONFIRMED')), 0) INTO v_sellable FROM fills WHERE position_id = p_position;
  SELECT v_sellable - coalesce(sum(CASE WHEN e.possibly_live THEN greatest(o.maker_amount, e.eff_shares) ELSE e.eff_shares END), 0) INTO v_sellable
    FROM order_effects e JOIN orders o USING (order_id) WHERE e.position_id = p_position AND e.side = 'SELL';
  v_refused := CASE
    WHEN p.state NOT IN ('STOP_TRIGGERED', 'TAKE_PROFIT_TRIGGERED', 'FLATTEN_TRIGGERED') THEN 'POSITION_NOT_TRIGGERED'
    WHEN (SELECT closes_at FROM windows w WHERE w.window_id = p.window_id) <= clock_timestamp() THEN 'WINDOW_CLOSING'
    WHEN EXISTS (SELECT FROM order_effects e WHERE e.position_id = p_position AND e.side = 'SELL' AND e.possibly_live) THEN 'EXIT_IN_FLIGHT'
    WHEN p_order->>'token_id' <> p.token_id THEN 'MARKET_MISMATCH'
    WHEN g.breaker = 'OPEN' AND NOT v_forced AND g.breaker_reason IN ('STOP_LOSS_BLIND', 'TAKE_PROFIT_BLIND', 'VERIFICATION_RATE_LIMITED', 'POSITION_TRACKING_FAILED') THEN 'BREAKER_OPEN'
    WHEN g.breaker = 'OPEN' AND NOT v_forced AND EXISTS (SELECT FROM orders o WHERE o.account_id = p.account_id AND o.mode = p.mode AND o.window_id = p.window_id AND o.state = 'UNKNOWN') THEN 'BREAKER_OPEN'
    WHEN g.breaker = 'OPEN' AND NOT v_forced AND NOT EXISTS (SELECT FROM position_verifications v WHERE v.account_id = p.account_id AND v.mode = p.mode
         AND v.verified AND v.at > clock_timestamp() - interval '10 seconds') THEN 'BREAKER_OPEN'
    WHEN v_sellable < v_shares THEN 'NOT_SELLABLE'
  END;
  IF v_refused IS NOT NULL THEN RETURN QUERY SELECT v_refused, NULL::timestamptz; RETURN; END IF;
  INSERT INTO orders (order_id, account_id, mode, purpose, position_id, window_id, instrument, token_id, side, order_type, limit_price,
      maker_amount, taker_amount, salt, timestamp_ms, epoch, attempt, gate_evidence, book_evidence)
  VALUES (v_order, p.account_id, p.mode, 'EXIT', p_position, p.window_id, p.instrument, p.token_id, 'SELL', p_order->>'order_type',
      (p_order->>'limit_price')::numeric, v_shares, (p_order->>'taker_amount')::numeric, (p_order->>'salt')::bigint,
      (p_order->>'timestamp_ms')::bigint, p_epoch, p.exit_attempts + 1, p_evidence, p_order->'book');
  INSERT INTO order_bodies (order_id, body) VALUES (v_order, p_body);
  UPDATE positions SET exit_attempts = exit_attempts + 1 WHERE position_id = p_position;
  PERFORM _position_event(p_position, 'EXIT_CLAIMED');
  PERFORM _audit(p.account_id, p.mode, 'exit_claimed', jsonb_build_object('shares', v_shares::text, 'limit_price', p_order->>'limit_price', 'reason', p.exit_reason,
    'attempt', p.exit_attempts + 1, 'epoch', p_epoch), p.signal_id, p.window_id, v_order, p_position);
  PERFORM pg_notify('order_changed', v_order);
  RETURN QUERY SELECT NULL::text, clock_timestamp();
END $$;

-- Promise: the cancel is written before it is sent (E16).
CREATE FUNCTION claim_cancel(p_epoch bigint, p_order text, p_reason text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_bar text := _claim_bar(p_epoch);
  v_account text;
BEGIN
  IF v_bar = 'NOT_LEADER' THEN RETURN v_bar; END IF;
  SELECT account_id INTO v_account FROM orders WHERE order_id = p_order;
  IF NOT FOUND THEN RAISE EXCEPTION 'no order %', p_order USING ERRCODE = 'OB103'; END IF;
  PERFORM _lock_account(v_account);
  IF _order_event(p_order, 'CANCEL_SENT', jsonb_build_object('reason', p_reason, 'epoch', p_epoch)) IS NULL THEN RETURN 'NOT_CANCELLABLE'; END IF;
  RETURN NULL;
END $$;

-- Promise: one redemption of a window's tokens at a time; its positions wait in REDEEMING until the balance proves the cash (E21).
CREATE FUNCTION claim_redeem(p_epoch bigint, p_account text, p_mode text, p_window text, p_redemption text, p_attempt integer, p_cash_before numeric)
RETURNS TABLE (refused text, expected_usdc numeric) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_refused text := _claim_bar(p_epoch);
  v_expected numeric;
  p record;
BEGIN
  IF v_refused IS NOT NULL THEN RETURN QUERY SELECT v_refused, NULL::numeric; RETURN; END IF;
  PERFORM _lock_account(p_account);
  PERFORM FROM trading_gate WHERE account_id = p_account AND mode = p_mode FOR SHARE;
  SELECT sum(_value(q)) INTO v_expected FROM positions q
   WHERE account_id = p_account AND mode = p_mode AND window_id = p_window AND state = 'SETTLEMENT';
  IF v_expected IS NULL THEN RETURN QUERY SELECT 'NOTHING_TO_REDEEM', NULL::numeric; RETURN; END IF;
  IF EXISTS (SELECT FROM fills f JOIN positions q USING (position_id) WHERE q.account_id = p_account AND q.mode = p_mode AND q.window_id = p_window
             AND f.state IN ('MATCHED', 'RETRYING')) THEN
    RETURN QUERY SELECT 'NOT_MINED', NULL::numeric; RETURN;  -- the tokens are not on chain yet
  END IF;
  INSERT INTO redemptions (redemption_id, account_id, mode, window_id, attempt, expected_usdc, cash_before, epoch)
  VALUES (p_redemption, p_account, p_mode, p_window, p_attempt, v_expected, p_cash_before, p_epoch) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN RETURN QUERY SELECT 'REDEMPTION_IN_FLIGHT', NULL::numeric; RETURN; END IF;
  FOR p IN SELECT position_id, signal_id FROM positions WHERE account_id = p_account AND mode = p_mode AND window_id = p_window AND state = 'SETTLEMENT' ORDER BY position_id LOOP
    PERFORM _position_event(p.position_id, 'REDEEM_CLAIMED');
    PERFORM _audit(p_account, p_mode, 'redeem_claimed', jsonb_build_object('redemption_id', p_redemption, 'expected_usdc', v_expected::text), p.signal_id, p_window, NULL, p.position_id);
  END LOOP;
  RETURN QUERY SELECT NULL::text, v_expected;
END $$;
