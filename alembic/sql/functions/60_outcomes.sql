-- Moves an order by what we learnt. Returns its new state; NULL when the event changes nothing.
CREATE FUNCTION _order_event(p_order text, p_event text, p_details jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  o orders;
  v_next text;
BEGIN
  SELECT * INTO STRICT o FROM orders WHERE order_id = p_order FOR UPDATE;
  v_next := _next_state('order', o.state, p_event);
  IF v_next IS NULL THEN RETURN NULL; END IF;
  UPDATE orders SET state = v_next, reason = coalesce(p_details->>'reason', reason), recorded_at = clock_timestamp() WHERE order_id = p_order;
  PERFORM _audit(o.account_id, o.mode, 'order_' || lower(v_next), p_details || jsonb_build_object('from', o.state), o.signal_id, o.window_id, p_order, o.position_id);
  -- Not knowing stops everything, in the transaction that records it (P4).
  IF v_next = 'UNKNOWN' THEN
    PERFORM _trip(o.account_id, o.mode, 'ORDER_UNKNOWN', jsonb_build_object('order_id', p_order, 'reason', p_details->>'reason'));
  END IF;
  PERFORM _settle_facts(o.position_id, 'order_' || lower(v_next), p_order);
  PERFORM pg_notify('order_changed', p_order);
  RETURN v_next;
END $$;

-- Promise: what the venue answered is recorded, whatever it is and whoever leads by now. Totals of a match open the position at
-- once and are explained by trades, never added to them (E8). A refusal frees entry and reservation here, but not its slot (E5).
-- Details: reason, shares, usdc, fee_usdc, trade_ids, sent_at, answered_at, trips. Returns the order's state afterwards.
CREATE FUNCTION record_outcome(p_order text, p_event text, p_details jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  o orders;
  v_account text;
BEGIN
  IF p_event NOT IN ('RESTS', 'DELAYED', 'MATCHED', 'KILLED', 'REFUSED', 'NOT_SENT', 'LOST') THEN
    RAISE EXCEPTION 'no answer to a send is called %', p_event USING ERRCODE = 'OB105';
  END IF;
  SELECT account_id INTO v_account FROM orders WHERE order_id = p_order;
  IF NOT FOUND THEN RAISE EXCEPTION 'no order %', p_order USING ERRCODE = 'OB103'; END IF;
  PERFORM _lock_account(v_account);
  SELECT * INTO STRICT o FROM orders WHERE order_id = p_order FOR UPDATE;
  UPDATE orders SET sent_at = coalesce((p_details->>'sent_at')::timestamptz, sent_at), answered_at = coalesce((p_details->>'answered_at')::timestamptz, answered_at),
    recorded_at = clock_timestamp() WHERE order_id = p_order;
  IF coalesce((p_details->>'shares')::numeric, 0) > 0 AND o.reported_shares = 0 THEN
    UPDATE orders SET reported_shares = (p_details->>'shares')::numeric, reported_usdc = (p_details->>'usdc')::numeric,
      reported_fee_usdc = coalesce((p_details->>'fee_usdc')::numeric, 0),
      reported_trade_ids = ARRAY(SELECT jsonb_array_elements_text(coalesce(p_details->'trade_ids', '[]')))
      WHERE order_id = p_order;
    PERFORM _explain(p_order);
  END IF;
  INSERT INTO order_evidence (order_id, kind, proves, source, details)
  VALUES (p_order, 'ANSWER', CASE p_event WHEN 'NOT_SENT' THEN 'NEVER_SENT' WHEN 'REFUSED' THEN 'REFUSED' WHEN 'LOST' THEN 'NOTHING'
    WHEN 'RESTS' THEN 'PLACED' WHEN 'DELAYED' THEN 'PLACED' ELSE 'TERMINAL' END, 'POST /order', p_details);
  IF _order_event(p_order, p_event, p_details) IS NULL THEN
    PERFORM _settle_facts(o.position_id, 'order_answer', p_order);
  END IF;
  IF coalesce((p_details->>'trips')::boolean, false) THEN
    PERFORM _trip(o.account_id, o.mode, 'VENUE_REFUSES', jsonb_build_object('order_id', p_order, 'reason', p_details->>'reason'));
  END IF;
  RETURN (SELECT state FROM orders WHERE order_id = p_order);
END $$;

-- An order is explained once every trade its answer named is here, or its trades reach what the answer claimed.
CREATE FUNCTION _explain(p_order text) RETURNS void LANGUAGE sql AS $$
  UPDATE orders o SET explained = CASE
    WHEN o.reported_shares = 0 THEN o.traded_shares > 0 OR o.failed_shares > 0
    WHEN cardinality(o.reported_trade_ids) > 0 THEN NOT EXISTS (SELECT FROM unnest(o.reported_trade_ids) t
      WHERE NOT EXISTS (SELECT FROM fills f WHERE f.order_id = o.order_id AND f.trade_id = t))
    ELSE o.traded_shares + o.failed_shares >= o.reported_shares END
  WHERE o.order_id = p_order
$$;

-- Promise: a venue trade is recorded once per (order, trade, token), whichever channel brings it, however often, in whatever order;
-- FAILED reverses it; a trade on an order we held for dead is kept and trips LATE_FILL (E8, E23).
-- Returns NEW, CHANGED or SAME.
CREATE FUNCTION apply_trade(p_trade jsonb, p_source text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  o orders;
  f fills;
  v_order text := p_trade->>'order_id';
  v_state text := p_trade->>'state';
  v_account text;
  v_new boolean;
BEGIN
  SELECT account_id INTO v_account FROM orders WHERE order_id = v_order;
  IF NOT FOUND THEN RAISE EXCEPTION 'no order % for trade %', v_order, p_trade->>'trade_id' USING ERRCODE = 'OB103'; END IF;
  PERFORM _lock_account(v_account);
  SELECT * INTO STRICT o FROM orders WHERE order_id = v_order FOR UPDATE;
  INSERT INTO fills (order_id, trade_id, token_id, account_id, mode, position_id, side, shares, price, usdc, fee_usdc, is_taker, state, transaction_hash, matched_at)
  VALUES (v_order, p_trade->>'trade_id', p_trade->>'token_id', o.account_id, o.mode, o.position_id, p_trade->>'side', (p_trade->>'shares')::numeric,
    (p_trade->>'price')::numeric, (p_trade->>'usdc')::numeric, (p_trade->>'fee_usdc')::numeric, coalesce((p_trade->>'is_taker')::boolean, true), v_state,
    coalesce(p_trade->>'transaction_hash', ''), (p_trade->>'matched_at')::timestamptz)
  ON CONFLICT DO NOTHING RETURNING * INTO f;
  v_new := FOUND;
  IF NOT v_new THEN
    SELECT * INTO STRICT f FROM fills WHERE order_id = v_order AND trade_id = p_trade->>'trade_id' AND token_id = p_trade->>'token_id' FOR UPDATE;
    -- A status already passed, or one the table does not lead to, is a repeat or a latecomer: it changes nothing.
    IF f.state = v_state OR _next_state('fill', f.state, v_state) IS NULL THEN RETURN 'SAME'; END IF;
    UPDATE fills SET state = v_state, changed_at = clock_timestamp(),
      transaction_hash = coalesce(nullif(p_trade->>'transaction_hash', ''), transaction_hash)
      WHERE order_id = f.order_id AND trade_id = f.trade_id AND token_id = f.token_id;
  END IF;
  INSERT INTO fill_history (order_id, trade_id, token_id, state, source) VALUES (f.order_id, f.trade_id, f.token_id, v_state, p_source);
  IF v_new AND v_state <> 'FAILED' THEN
    UPDATE orders SET traded_shares = traded_shares + f.shares, traded_usdc = traded_usdc + f.usdc, traded_fee_usdc = traded_fee_usdc + f.fee_usdc WHERE order_id = v_order;
  ELSIF v_state = 'FAILED' THEN
    UPDATE orders SET failed_shares = failed_shares + f.shares, failed_usdc = failed_usdc + f.usdc, failed_fee_usdc = failed_fee_usdc + f.fee_usdc,
      traded_shares = traded_shares - CASE WHEN v_new THEN 0 ELSE f.shares END, traded_usdc = traded_usdc - CASE WHEN v_new THEN 0 ELSE f.usdc END,
      traded_fee_usdc = traded_fee_usdc - CASE WHEN v_new THEN 0 ELSE f.fee_usdc END WHERE order_id = v_order;
  END IF;
  PERFORM _explain(v_order);
  INSERT INTO order_evidence (order_id, kind, proves, source, details) VALUES (v_order, 'TRADE', 'PLACED', p_source, p_trade);
  PERFORM _audit(o.account_id, o.mode, 'trade_' || lower(v_state), jsonb_build_object('trade_id', f.trade_id, 'side', f.side, 'shares', f.shares::text, 'price', f.price::text,
    'usdc', f.usdc::text, 'fee_usdc', f.fee_usdc::text, 'source', p_source), o.signal_id, o.window_id, v_order, o.position_id);
  IF v_new AND v_state <> 'FAILED' AND o.state IN ('KILLED', 'REJECTED', 'NOT_SENT', 'EXPIRED', 'NEVER_PLACED') THEN
    PERFORM _trip(o.account_id, o.mode, 'LATE_FILL', jsonb_build_object('order_id', v_order, 'trade_id', f.trade_id, 'state', o.state));
  END IF;
  PERFORM _settle_facts(o.position_id, 'trade_' || lower(v_state), v_order);
  PERFORM pg_notify('order_changed', v_order);
  PERFORM pg_notify('position_changed', o.position_id);
  RETURN CASE WHEN v_new THEN 'NEW' ELSE 'CHANGED' END;
END $$;

-- Promise: a match that failed on chain is undone in shares, cost, fee and ledger, and stays in the history (D4, E23).
CREATE FUNCTION reverse_trade(p_order text, p_trade text, p_token text, p_source text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE f fills;
BEGIN
  SELECT * INTO f FROM fills WHERE order_id = p_order AND trade_id = p_trade AND token_id = p_token;
  IF NOT FOUND THEN RAISE EXCEPTION 'no trade % of order %', p_trade, p_order USING ERRCODE = 'OB103'; END IF;
  RETURN apply_trade(jsonb_build_object('order_id', f.order_id, 'trade_id', f.trade_id, 'token_id', f.token_id, 'side', f.side, 'shares', f.shares, 'price', f.price,
    'usdc', f.usdc, 'fee_usdc', f.fee_usdc, 'state', 'FAILED', 'matched_at', f.matched_at), p_source);
END $$;

-- Promise: every observation of an order is kept with what it proves; it moves the order only where the table allows (E6).
-- p_event NULL: it proves nothing that changes the state. Returns the order's state.
CREATE FUNCTION apply_order_evidence(p_order text, p_kind text, p_proves text, p_source text, p_event text, p_details jsonb DEFAULT '{}')
RETURNS text LANGUAGE plpgsql AS $$
DECLARE v_account text;
BEGIN
  SELECT account_id INTO v_account FROM orders WHERE order_id = p_order;
  IF NOT FOUND THEN RAISE EXCEPTION 'no order %', p_order USING ERRCODE = 'OB103'; END IF;
  PERFORM _lock_account(v_account);
  IF p_event IN ('PROVED_ABSENT', 'NOT_SENT', 'REFUSED') THEN
    RAISE EXCEPTION '% is not for an observation to prove: use resolve_unknown', p_event USING ERRCODE = 'OB108';
  END IF;
  -- An observation repeated every few seconds is one row, not a thousand.
  IF NOT EXISTS (SELECT FROM order_evidence WHERE order_id = p_order AND kind = p_kind AND proves = p_proves AND source = p_source AND details = p_details) THEN
    INSERT INTO order_evidence (order_id, kind, proves, source, details) VALUES (p_order, p_kind, p_proves, p_source, p_details);
  END IF;
  IF p_event IS NOT NULL AND p_proves IN ('PLACED', 'TERMINAL') THEN PERFORM _order_event(p_order, p_event, p_details); END IF;
  RETURN (SELECT state FROM orders WHERE order_id = p_order);
END $$;

-- Promise: an Unknown ends as adopted with what the venue shows, or as NEVER_PLACED by the four proofs of D3 and nothing less.
CREATE FUNCTION resolve_unknown(p_order text, p_event text, p_source text, p_details jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  o orders;
  v_account text;
BEGIN
  SELECT account_id INTO v_account FROM orders WHERE order_id = p_order;
  IF NOT FOUND THEN RAISE EXCEPTION 'no order %', p_order USING ERRCODE = 'OB103'; END IF;
  PERFORM _lock_account(v_account);
  SELECT * INTO STRICT o FROM orders WHERE order_id = p_order FOR UPDATE;
  IF o.state <> 'UNKNOWN' THEN RETURN o.state; END IF;
  IF p_event NOT IN ('RESTS', 'DELAYED', 'MATCHED', 'KILLED', 'EXPIRED', 'PROVED_ABSENT') THEN
    RAISE EXCEPTION 'an Unknown is not resolved by %', p_event USING ERRCODE = 'OB108';
  END IF;
  IF p_event = 'PROVED_ABSENT' AND NOT (
      coalesce((p_details->>'venue_closed')::boolean, false) AND coalesce((p_details->>'order_unknown')::boolean, false)
      AND coalesce((p_details->>'no_trade')::boolean, false) AND coalesce((p_details->>'balance_equal')::boolean, false)
      AND (SELECT closes_at FROM windows WHERE window_id = o.window_id) <= clock_timestamp()
      AND o.traded_shares = 0) THEN
    RAISE EXCEPTION 'order % is not proved absent: the venue must have closed the market and then know neither order nor trade, and the balance must equal the Book', p_order
      USING ERRCODE = 'OB108';
  END IF;
  INSERT INTO order_evidence (order_id, kind, proves, source, details)
  VALUES (p_order, 'RESOLUTION', CASE WHEN p_event = 'PROVED_ABSENT' THEN 'NEVER_PLACED' WHEN p_event IN ('RESTS', 'DELAYED') THEN 'PLACED' ELSE 'TERMINAL' END, p_source, p_details);
  RETURN _order_event(p_order, p_event, p_details);
END $$;
