-- A claim tells nobody: the order is not out yet, and whoever were told would run on the processors its sender needs. Its
-- answer tells, some 0.1 s later; of a claim without an answer the next epoch tells.
CREATE OR REPLACE FUNCTION _claim_entry(p_epoch bigint, p_signal text, p_order jsonb, p_body text, p_evidence jsonb) RETURNS timestamptz LANGUAGE plpgsql AS $$
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
  v_at := clock_timestamp();
  RETURN v_at;
END $$;

-- Promise: one exit at a time, of shares that are ours on chain, by the leader; while the breaker is open only where we can still see (D20, E19).
CREATE OR REPLACE FUNCTION claim_exit(p_epoch bigint, p_position text, p_order jsonb, p_body text, p_evidence jsonb)
RETURNS TABLE (refused text, claimed_at timestamptz) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
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
  RETURN QUERY SELECT NULL::text, clock_timestamp();
END $$;
