-- Who wants a resting order gone: carried out by execution, which writes CANCELLING before it sends (E16, R6).
CREATE TABLE cancel_requests (
  order_id text PRIMARY KEY REFERENCES orders,
  reason text NOT NULL,
  requested_by text NOT NULL,
  requested_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE cancel_requests IS 'A wish, not an act: who asked first stands. What rests later, asked for while it was under way, is cancelled then.';

CREATE TABLE venue_heartbeats (
  account_id text PRIMARY KEY REFERENCES accounts,
  heartbeat_id text NOT NULL DEFAULT '',
  beaten_at timestamptz,
  armed boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE venue_heartbeats IS 'The venue''s dead-man switch of an account''s API key: armed only while something rests (E20). heartbeat_id is what the next one must name.';

-- Promise: asking changes no state; the one executor acts on it. False: the order is over, or was asked for before.
CREATE FUNCTION request_cancel(p_order text, p_reason text, p_by text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE o orders;
BEGIN
  IF coalesce(p_by, '') = '' OR coalesce(p_reason, '') = '' THEN
    RAISE EXCEPTION 'asking for a cancel needs a name and a reason' USING ERRCODE = 'OB104';
  END IF;
  SELECT * INTO o FROM orders WHERE order_id = p_order;
  IF NOT FOUND THEN RAISE EXCEPTION 'no order %', p_order USING ERRCODE = 'OB103'; END IF;
  PERFORM _lock_account(o.account_id);
  IF NOT EXISTS (SELECT FROM orders WHERE order_id = p_order AND state IN ('SUBMITTING', 'LIVE', 'DELAYED', 'CANCELLING', 'UNKNOWN')) THEN
    RETURN false;
  END IF;
  INSERT INTO cancel_requests (order_id, reason, requested_by) VALUES (p_order, p_reason, p_by) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN RETURN false; END IF;
  PERFORM _audit(o.account_id, o.mode, 'cancel_requested', jsonb_build_object('reason', p_reason), o.signal_id, o.window_id, p_order, o.position_id, p_by);
  PERFORM pg_notify('order_changed', p_order);
  RETURN true;
END $$;

-- The same for everything of an account and mode that may rest. Returns how many were asked for now.
CREATE FUNCTION request_cancels(p_account text, p_mode text, p_reason text, p_by text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_count integer := 0;
  v_order text;
BEGIN
  PERFORM _lock_account(p_account);
  FOR v_order IN SELECT order_id FROM orders WHERE account_id = p_account AND mode = p_mode
      AND state IN ('SUBMITTING', 'LIVE', 'DELAYED', 'CANCELLING', 'UNKNOWN') ORDER BY order_id LOOP
    IF request_cancel(v_order, p_reason, p_by) THEN v_count := v_count + 1; END IF;
  END LOOP;
  RETURN v_count;
END $$;

-- Promise: the answer to a cancel never ends an order. That it rests no more does not say how much had filled: the order's own
-- reading and its trades end it. A cancel that certainly did not happen leaves it resting; a lost answer is Unknown (E16).
-- Returns the order's state.
CREATE FUNCTION record_cancel(p_order text, p_answer text, p_details jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  o orders;
  v_account text;
BEGIN
  IF p_answer NOT IN ('CANCELLED', 'NOT_CANCELLED', 'REFUSED', 'NOT_SENT', 'LOST') THEN
    RAISE EXCEPTION 'no answer to a cancel is called %', p_answer USING ERRCODE = 'OB105';
  END IF;
  SELECT account_id INTO v_account FROM orders WHERE order_id = p_order;
  IF NOT FOUND THEN RAISE EXCEPTION 'no order %', p_order USING ERRCODE = 'OB103'; END IF;
  PERFORM _lock_account(v_account);
  SELECT * INTO STRICT o FROM orders WHERE order_id = p_order FOR UPDATE;
  INSERT INTO order_evidence (order_id, kind, proves, source, details)
  VALUES (p_order, 'CANCEL_ANSWER', CASE p_answer WHEN 'CANCELLED' THEN 'TERMINAL' WHEN 'REFUSED' THEN 'REFUSED' WHEN 'NOT_SENT' THEN 'NEVER_SENT'
    ELSE 'NOTHING' END, 'DELETE /order', p_details || jsonb_build_object('answer', p_answer));
  PERFORM _audit(o.account_id, o.mode, 'cancel_answered', p_details || jsonb_build_object('answer', p_answer), o.signal_id, o.window_id, p_order, o.position_id);
  IF o.state = 'CANCELLING' AND p_answer IN ('REFUSED', 'NOT_SENT', 'LOST') THEN
    PERFORM _order_event(p_order, CASE p_answer WHEN 'LOST' THEN 'LOST' ELSE 'RESTS' END, p_details);
  END IF;
  IF coalesce((p_details->>'trips')::boolean, false) THEN
    PERFORM _trip(o.account_id, o.mode, 'VENUE_REFUSES', jsonb_build_object('order_id', p_order, 'reason', p_details->>'reason'));
  END IF;
  RETURN (SELECT state FROM orders WHERE order_id = p_order);
END $$;

CREATE FUNCTION _adopted_entry(p_account text, p_mode text, p_order jsonb, p_state text, w windows, p_actor text, p_reason text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  v_order text := p_order->>'order_id';
  v_signal text := 'adopted-' || v_order;
  v_position text := 'pos-' || v_signal;
  v_instance text := p_account || '-adopted';
  v_side text := CASE p_order->>'token_id' WHEN w.up_token THEN 'UP' ELSE 'DOWN' END;
  v_spent numeric := (p_order->>'maker_amount')::numeric;
BEGIN
  INSERT INTO strategy_instances (instance_id, account_id, strategy_id, code_hash, parameters, hypothesis, enabled, enabled_by)
  VALUES (v_instance, p_account, 'adopted', '', '{}', 'orders made elsewhere, taken over by a person', false, p_actor) ON CONFLICT DO NOTHING;
  INSERT INTO signals (signal_id, account_id, mode, strategy_id, instance_id, window_id, instrument, side, token_id, price, amount_usdc, confidence,
      risk, evidence, ordinal, state, verdict, made_at, expires_at, decided_at)
  VALUES (v_signal, p_account, p_mode, 'adopted', v_instance, w.window_id, w.instrument, v_side, p_order->>'token_id', (p_order->>'limit_price')::numeric,
      v_spent, 0, jsonb_build_object('max_position_usdc', v_spent::text, 'max_slippage', '0', 'stop_loss', NULL, 'take_profit', NULL),
      jsonb_build_object('by', p_actor, 'reason', p_reason),
      (SELECT count(*) FROM signals s WHERE s.account_id = p_account AND s.mode = p_mode AND s.strategy_id = 'adopted' AND s.window_id = w.window_id),
      'ORDERED', '{}', clock_timestamp(), clock_timestamp(), clock_timestamp());
  -- A fact takes no place that a claim could have refused it: where entry, slot or market are taken, it counts all the same (P9).
  INSERT INTO window_entries (account_id, mode, window_id, strategy_id, order_id, epoch)
  VALUES (p_account, p_mode, w.window_id, 'adopted', v_order, (SELECT max(epoch) FROM executor_epochs)) ON CONFLICT DO NOTHING;
  INSERT INTO entry_slots (account_id, mode, window_id, instrument, slot, order_id)
  SELECT p_account, p_mode, w.window_id, w.instrument, count(*) + 1, v_order FROM entry_slots s
   WHERE s.account_id = p_account AND s.mode = p_mode AND s.window_id = w.window_id AND s.instrument = w.instrument HAVING count(*) < 2;
  INSERT INTO active_positions VALUES (p_account, p_mode, w.window_id, v_position) ON CONFLICT DO NOTHING;
  INSERT INTO instrument_exposure (account_id, mode, instrument) VALUES (p_account, p_mode, w.instrument) ON CONFLICT DO NOTHING;
  UPDATE position_counters SET open_count = open_count + 1, intended_count = least(intended_count + 1, 50) WHERE account_id = p_account AND mode = p_mode;
  INSERT INTO positions (position_id, account_id, mode, session_id, signal_id, strategy_id, window_id, instrument, side, token_id, risk, intended_price)
  SELECT v_position, p_account, p_mode, _session(p_account, p_mode), v_signal, 'adopted', w.window_id, w.instrument, v_side, s.token_id, s.risk, s.price
    FROM signals s WHERE s.signal_id = v_signal;
  INSERT INTO orders (order_id, account_id, mode, purpose, signal_id, position_id, window_id, instrument, token_id, side, order_type, limit_price,
      maker_amount, taker_amount, salt, timestamp_ms, state, epoch, reserved_usdc, gate_evidence)
  VALUES (v_order, p_account, p_mode, 'ENTRY', v_signal, v_position, w.window_id, w.instrument, p_order->>'token_id', 'BUY', p_order->>'order_type',
      (p_order->>'limit_price')::numeric, v_spent, (p_order->>'taker_amount')::numeric, 0, (p_order->>'timestamp_ms')::bigint, p_state,
      (SELECT max(epoch) FROM executor_epochs), (p_order->>'reserved_usdc')::numeric, jsonb_build_object('adopted_by', p_actor, 'reason', p_reason));
  RETURN v_position;
END $$;

CREATE FUNCTION _adopted_exit(p_account text, p_mode text, p_order jsonb, p_state text, w windows, p_actor text, p_reason text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE p positions;
BEGIN
  SELECT * INTO p FROM positions q WHERE q.account_id = p_account AND q.mode = p_mode AND q.window_id = w.window_id AND q.token_id = p_order->>'token_id'
   ORDER BY q.state IN ('CLOSED', 'VOID'), q.opened_at DESC LIMIT 1;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'no position of % holds what order % sold: adopt the order that bought it first', p_account, p_order->>'order_id' USING ERRCODE = 'OB110';
  END IF;
  IF p_state IN ('LIVE', 'DELAYED') AND EXISTS (SELECT FROM orders o WHERE o.position_id = p.position_id AND o.purpose = 'EXIT'
      AND o.state IN ('SUBMITTING', 'LIVE', 'DELAYED', 'CANCELLING', 'UNKNOWN')) THEN
    RAISE EXCEPTION 'position % is being sold already: adopt order % when that sale has ended', p.position_id, p_order->>'order_id' USING ERRCODE = 'OB110';
  END IF;
  INSERT INTO orders (order_id, account_id, mode, purpose, position_id, window_id, instrument, token_id, side, order_type, limit_price,
      maker_amount, taker_amount, salt, timestamp_ms, state, epoch, attempt, gate_evidence)
  VALUES (p_order->>'order_id', p_account, p_mode, 'EXIT', p.position_id, w.window_id, w.instrument, p.token_id, 'SELL', p_order->>'order_type',
      (p_order->>'limit_price')::numeric, (p_order->>'maker_amount')::numeric, (p_order->>'taker_amount')::numeric, 0, (p_order->>'timestamp_ms')::bigint,
      p_state, (SELECT max(epoch) FROM executor_epochs), p.exit_attempts, jsonb_build_object('adopted_by', p_actor, 'reason', p_reason));
  RETURN p.position_id;
END $$;

CREATE FUNCTION _adopt_order(p_account text, p_mode text, p_order jsonb, p_event text, p_trades jsonb, p_actor text, p_reason text) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  w windows;
  v_order text := p_order->>'order_id';
  v_state text := CASE p_event WHEN 'RESTS' THEN 'LIVE' WHEN 'DELAYED' THEN 'DELAYED' WHEN 'MATCHED' THEN 'FILLED' WHEN 'KILLED' THEN 'KILLED'
    WHEN 'EXPIRED' THEN 'EXPIRED' END;
  v_position text;
  v_cash numeric;
  v_trade jsonb;
  v_closed integer;
BEGIN
  IF v_state IS NULL THEN RAISE EXCEPTION 'no order is adopted as %', p_event USING ERRCODE = 'OB105'; END IF;
  IF EXISTS (SELECT FROM orders WHERE order_id = v_order) THEN RAISE EXCEPTION 'the Book has order % already', v_order USING ERRCODE = 'OB110'; END IF;
  IF NOT EXISTS (SELECT FROM executor_epochs) THEN RAISE EXCEPTION 'nobody ever held the executor''s lock: start execution first' USING ERRCODE = 'OB110'; END IF;
  SELECT * INTO w FROM windows WHERE window_id = p_order->>'window_id' AND p_order->>'token_id' IN (up_token, down_token);
  IF NOT FOUND THEN RAISE EXCEPTION 'no window of the Book has the token of order %', v_order USING ERRCODE = 'OB103'; END IF;
  SELECT balance INTO v_cash FROM ledger_balances WHERE account_id = p_account AND mode = p_mode AND bucket = 'CASH' FOR UPDATE;
  IF p_order->>'side' = 'BUY' THEN
    v_position := _adopted_entry(p_account, p_mode, p_order, v_state, w, p_actor, p_reason);
  ELSE
    v_position := _adopted_exit(p_account, p_mode, p_order, v_state, w, p_actor, p_reason);
  END IF;
  INSERT INTO order_evidence (order_id, kind, proves, source, details)
  VALUES (v_order, 'ADOPTION', CASE WHEN v_state IN ('LIVE', 'DELAYED') THEN 'PLACED' ELSE 'TERMINAL' END, 'operator',
    p_order || jsonb_build_object('event', p_event, 'by', p_actor, 'reason', p_reason));
  PERFORM _audit(p_account, p_mode, 'order_adopted', p_order || jsonb_build_object('state', v_state, 'reason', p_reason),
    (SELECT signal_id FROM positions WHERE position_id = v_position), w.window_id, v_order, v_position, p_actor);
  FOR v_trade IN SELECT * FROM jsonb_array_elements(p_trades) LOOP
    PERFORM apply_trade(v_trade || jsonb_build_object('order_id', v_order), 'adoption');
  END LOOP;
  PERFORM _settle_facts(v_position, 'order_adopted', v_order);
  UPDATE alerts SET closed_at = clock_timestamp() WHERE closed_at IS NULL AND dedup_key IN (SELECT 'discrepancy:' || discrepancy_id FROM discrepancies
    WHERE account_id = p_account AND mode = p_mode AND kind IN ('ORDER_UNWRITTEN', 'TRADE_UNWRITTEN') AND subject = v_order AND resolved_at IS NULL);
  UPDATE discrepancies SET resolved_at = clock_timestamp(), resolution = format('adopted by %s: %s', p_actor, p_reason)
   WHERE account_id = p_account AND mode = p_mode AND kind IN ('ORDER_UNWRITTEN', 'TRADE_UNWRITTEN') AND subject = v_order AND resolved_at IS NULL;
  GET DIAGNOSTICS v_closed = ROW_COUNT;
  PERFORM pg_notify('order_changed', v_order);
  PERFORM pg_notify('position_changed', v_position);
  RETURN (SELECT jsonb_build_object('order_state', v_state, 'position_id', v_position, 'position_state', p.state, 'shares', (p.bought_shares - p.sold_shares)::text,
      'cash_before', v_cash::text, 'cash_after', b.balance::text, 'discrepancies_closed', v_closed, 'breaker', g.breaker, 'breaker_reason', g.breaker_reason)
    FROM positions p, ledger_balances b, trading_gate g WHERE p.position_id = v_position AND b.account_id = p_account AND b.mode = p_mode AND b.bucket = 'CASH'
     AND g.account_id = p_account AND g.mode = p_mode);
END $$;

-- Promise: an order the Book never wrote becomes one of ours with a name and a reason, through the same functions as every fact; a dry
-- run does all of it, says what came of it, and undoes it (X2). Its breaker stays as it is: resetting is another decision.
CREATE FUNCTION adopt_order(p_account text, p_mode text, p_order jsonb, p_event text, p_trades jsonb, p_actor text, p_reason text,
  p_dry_run boolean DEFAULT true) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE v_told jsonb;
BEGIN
  IF coalesce(p_actor, '') = '' OR coalesce(p_reason, '') = '' THEN
    RAISE EXCEPTION 'an adoption needs a name and a reason' USING ERRCODE = 'OB104';
  END IF;
  PERFORM _lock_account(p_account);
  BEGIN
    v_told := _adopt_order(p_account, p_mode, p_order, p_event, p_trades, p_actor, p_reason);
    IF p_dry_run THEN RAISE EXCEPTION 'a dry run' USING ERRCODE = 'OB002'; END IF;
  EXCEPTION WHEN SQLSTATE 'OB002' THEN NULL;  -- what was done is undone, what was said is kept
  END;
  RETURN v_told;
END $$;

DO $$
DECLARE
  g record;
  r text;
  f regprocedure;
BEGIN
  FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace
      AND proname IN ('request_cancel', 'request_cancels', 'record_cancel', 'adopt_order', '_adopt_order', '_adopted_entry', '_adopted_exit') LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
  END LOOP;
  FOR g IN SELECT * FROM (VALUES ('request_cancel(text, text, text)', 'operator,risk_monitor'), ('request_cancels(text, text, text, text)', 'operator,risk_monitor'),
      ('record_cancel(text, text, jsonb)', 'execution'), ('adopt_order(text, text, jsonb, text, jsonb, text, text, boolean)', 'operator')) AS t (signature, roles) LOOP
    EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = pg_catalog, public', g.signature);
    FOREACH r IN ARRAY string_to_array(g.roles, ',') LOOP
      EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', g.signature, 'onebook_' || r);
    END LOOP;
  END LOOP;
  FOREACH r IN ARRAY ARRAY['feed_collector', 'signal_engine', 'execution', 'risk_monitor', 'reconciler', 'dashboard', 'operator', 'backtesting'] LOOP
    EXECUTE format('GRANT SELECT ON cancel_requests, venue_heartbeats TO %I', 'onebook_' || r);
  END LOOP;
END $$;
GRANT INSERT, UPDATE ON venue_heartbeats TO onebook_execution;

-- The chain and its head are read at one moment: between two statements of a volatile function somebody may write, and a
-- history nobody touched looked broken. A check that is wrong stops trading for nothing (B14, CAPITAL_INVARIANT).
ALTER FUNCTION verify_audit_chain(text) STABLE;
