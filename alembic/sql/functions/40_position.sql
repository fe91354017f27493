CREATE FUNCTION _position_event(p_position text, p_event text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  p positions;
  v_next text;
  v_was_out boolean;
  v_is_out boolean;
BEGIN
  SELECT * INTO STRICT p FROM positions WHERE position_id = p_position FOR UPDATE;
  v_next := _next_state('position', p.state, p_event);
  IF v_next IS NULL THEN RETURN NULL; END IF;
  v_was_out := p.state IN ('CLOSED', 'VOID');
  v_is_out := v_next IN ('CLOSED', 'VOID');
  UPDATE positions SET state = v_next, counted = NOT v_is_out,
    closed_at = CASE WHEN v_is_out THEN clock_timestamp() END,
    exit_reason = CASE WHEN p_event IN ('SELL_FAILED', 'MATCHED') THEN NULL ELSE exit_reason END
    WHERE position_id = p_position;
  IF v_is_out AND NOT v_was_out THEN
    DELETE FROM active_positions WHERE position_id = p_position;
    UPDATE position_counters SET open_count = open_count - 1, intended_count = greatest(intended_count - 1, 0)
     WHERE account_id = p.account_id AND mode = p.mode;
  ELSIF v_was_out AND NOT v_is_out THEN
    -- A fact reopened it: it counts, but it claims no place that the schema could refuse (P9).
    INSERT INTO active_positions VALUES (p.account_id, p.mode, p.window_id, p_position) ON CONFLICT DO NOTHING;
    UPDATE position_counters SET open_count = open_count + 1, intended_count = least(intended_count + 1, 50)
     WHERE account_id = p.account_id AND mode = p.mode;
    -- It was entered after all, so the strategy has used its entry; unless it has another one by now, which is a fact, too.
    UPDATE window_entries w SET released_at = NULL, release_reason = NULL FROM orders o
     WHERE o.position_id = p_position AND o.purpose = 'ENTRY' AND w.order_id = o.order_id AND w.released_at IS NOT NULL
       AND NOT EXISTS (SELECT FROM window_entries x WHERE x.account_id = w.account_id AND x.mode = w.mode AND x.window_id = w.window_id
                       AND x.strategy_id = w.strategy_id AND x.released_at IS NULL);
  END IF;
  IF v_next = 'VOID' THEN
    UPDATE window_entries w SET released_at = clock_timestamp(), release_reason = 'nothing was bought' FROM orders o
     WHERE o.position_id = p_position AND o.purpose = 'ENTRY' AND w.order_id = o.order_id AND w.released_at IS NULL;
  END IF;
  PERFORM _audit(p.account_id, p.mode, 'position_' || lower(v_next), jsonb_build_object('from', p.state, 'event', p_event),
    p.signal_id, p.window_id, NULL, p_position);
  PERFORM pg_notify('position_changed', p_position);
  RETURN v_next;
END $$;

-- Cash proved for all that a position was owed.
CREATE FUNCTION _pay(p_position text, p_usdc numeric) RETURNS void LANGUAGE sql AS $$
  UPDATE positions SET paid_usdc = coalesce(paid_usdc, 0) + p_usdc,
    paid_shares = paid_shares + greatest(bought_shares - sold_shares - paid_shares, 0) WHERE position_id = p_position
$$;

-- What a settled position is owed, floored as the venue pays.
CREATE FUNCTION _value(p positions) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
  SELECT trunc(greatest(p.bought_shares - p.sold_shares - p.paid_shares, 0) * coalesce(p.payout, 0), 6)
$$;

-- Promise: a position stands where its facts put it: its orders, its shares, its window. Called after every fact.
CREATE FUNCTION _advance_position(p_position text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  p positions;
  w windows;
  v_remaining numeric;
  v_owed numeric;
  v_entry_live boolean;
  v_any_live boolean;
  v_over boolean;
  v_event text;
BEGIN
  FOR i IN 1..12 LOOP
    SELECT * INTO STRICT p FROM positions WHERE position_id = p_position FOR UPDATE;
    SELECT * INTO STRICT w FROM windows WHERE window_id = p.window_id;
    SELECT coalesce(bool_or(possibly_live) FILTER (WHERE purpose = 'ENTRY'), false), coalesce(bool_or(possibly_live), false)
      INTO v_entry_live, v_any_live FROM order_effects WHERE position_id = p_position;
    v_remaining := p.bought_shares - p.sold_shares;
    v_owed := greatest(v_remaining - p.paid_shares, 0);
    v_over := w.closes_at <= clock_timestamp();
    v_event := CASE
      WHEN p.state IN ('OPENING', 'MONITORING', 'STOP_TRIGGERED', 'TAKE_PROFIT_TRIGGERED', 'FLATTEN_TRIGGERED', 'EXPIRED', 'SETTLEMENT', 'CLOSED')
           AND p.bought_shares = 0 AND NOT v_entry_live THEN 'ENTRY_DEAD'
      WHEN p.state = 'OPENING' AND p.bought_shares > 0 THEN 'MATCHED'
      WHEN p.state = 'VOID' AND p.bought_shares > 0 THEN CASE WHEN v_over THEN 'WINDOW_OVER' ELSE 'MATCHED' END
      WHEN p.state IN ('MONITORING', 'STOP_TRIGGERED', 'TAKE_PROFIT_TRIGGERED', 'FLATTEN_TRIGGERED') AND v_over THEN 'WINDOW_OVER'
      WHEN p.state = 'EXIT_PENDING' AND NOT v_any_live THEN CASE
        WHEN v_remaining <= 0 THEN 'SOLD'
        WHEN v_over OR v_remaining < 0.01 THEN 'WINDOW_OVER'  -- the venue sells in hundredths: less is dust, left to settlement
        WHEN p.exit_reason IN ('STOP_LOSS', 'TRAILING_STOP') THEN 'STOP'
        WHEN p.exit_reason = 'TAKE_PROFIT' THEN 'TAKE_PROFIT' ELSE 'FLATTEN' END
      WHEN p.state = 'EXPIRED' AND v_owed <= 0 AND NOT v_any_live THEN 'SOLD'
      WHEN p.state = 'EXPIRED' AND w.state = 'RESOLVED' AND NOT v_any_live THEN 'RESOLVED'
      WHEN p.state = 'SETTLEMENT' AND trunc(v_owed * p.payout, 6) <= 0 THEN 'PAID'
      WHEN p.state = 'CLOSED' AND v_owed > 0 THEN CASE WHEN v_over THEN 'WINDOW_OVER' ELSE 'SELL_FAILED' END
    END;
    EXIT WHEN v_event IS NULL;
    IF v_event = 'RESOLVED' THEN
      UPDATE positions SET payout = CASE p.side WHEN 'UP' THEN w.payout_up ELSE w.payout_down END WHERE position_id = p_position;
    ELSIF v_event = 'PAID' THEN
      PERFORM _pay(p_position, 0);
    END IF;
    EXIT WHEN _position_event(p_position, v_event) IS NULL;
  END LOOP;
  RETURN p.state;
END $$;

-- Promise: booked, advanced, and booked again where the step changed what the ledger must carry.
CREATE FUNCTION _settle_facts(p_position text, p_kind text, p_order text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE v_state text;
BEGIN
  PERFORM _rebook_position(p_position, p_kind, p_order);
  v_state := _advance_position(p_position);
  PERFORM _rebook_position(p_position, p_kind, p_order);
  RETURN v_state;
END $$;

-- Promise: one exit decision becomes one sticky trigger; a stronger reason only sharpens it (R4). False: nothing changed.
CREATE FUNCTION request_exit(p_position text, p_reason text, p_trigger numeric, p_observed numeric, p_evidence jsonb DEFAULT '{}')
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  p positions;
  v_event text := CASE p_reason WHEN 'EMERGENCY' THEN 'FLATTEN' WHEN 'FLATTEN' THEN 'FLATTEN' WHEN 'STOP_LOSS' THEN 'STOP'
    WHEN 'TRAILING_STOP' THEN 'STOP' WHEN 'TAKE_PROFIT' THEN 'TAKE_PROFIT' WHEN 'EXPIRY' THEN 'WINDOW_OVER' END;
  v_account text;
  v_state text;
BEGIN
  IF v_event IS NULL THEN RAISE EXCEPTION 'unknown exit reason %', p_reason USING ERRCODE = 'OB105'; END IF;
  SELECT account_id INTO v_account FROM positions WHERE position_id = p_position;
  IF NOT FOUND THEN RAISE EXCEPTION 'no position %', p_position USING ERRCODE = 'OB103'; END IF;
  PERFORM _lock_account(v_account);
  SELECT * INTO STRICT p FROM positions WHERE position_id = p_position FOR UPDATE;
  IF p_reason = 'EXPIRY' THEN
    v_state := _settle_facts(p_position, 'expiry');
    RETURN v_state <> p.state;
  END IF;
  IF p.state IN ('STOP_TRIGGERED', 'TAKE_PROFIT_TRIGGERED', 'FLATTEN_TRIGGERED', 'EXIT_PENDING')
     AND p_reason IN ('FLATTEN', 'EMERGENCY') AND p.exit_reason IS DISTINCT FROM 'EMERGENCY' AND p.exit_reason IS DISTINCT FROM p_reason THEN
    UPDATE positions SET exit_reason = p_reason WHERE position_id = p_position;
  ELSIF p.state = 'MONITORING' THEN
    UPDATE positions SET exit_reason = p_reason, exit_trigger_price = round(p_trigger, 6), exit_observed_price = p_observed,
      exit_requested_at = clock_timestamp() WHERE position_id = p_position;
    PERFORM _position_event(p_position, v_event);
  ELSE
    RETURN false;
  END IF;
  PERFORM _audit(p.account_id, p.mode, 'exit_requested', p_evidence || jsonb_build_object('reason', p_reason, 'trigger_price', p_trigger::text,
    'observed_price', p_observed::text), p.signal_id, p.window_id, NULL, p_position);
  PERFORM pg_notify('exit_requested', p_position);
  RETURN true;
END $$;

-- The highest bid seen since the entry: what a trailing stop trails. It only rises.
CREATE FUNCTION note_peak(p_position text, p_bid numeric) RETURNS void LANGUAGE sql AS $$
  UPDATE positions SET peak_bid = p_bid WHERE position_id = p_position AND (peak_bid IS NULL OR peak_bid < p_bid)
$$;
