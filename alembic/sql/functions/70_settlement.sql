-- Promise: a window is resolved by the venue's word, once; its positions become a receivable or are written off (E21, X3).
-- False: it was resolved before with the same payouts. Different payouts are refused: that is a person's to look at.
CREATE FUNCTION settle(p_window text, p_payout_up numeric, p_payout_down numeric, p_source text, p_resolved_at timestamptz, p_our_direction text, p_evidence jsonb DEFAULT '{}')
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  w windows;
  r record;
BEGIN
  FOR r IN SELECT DISTINCT account_id FROM positions WHERE window_id = p_window ORDER BY account_id LOOP
    PERFORM _lock_account(r.account_id);
  END LOOP;
  SELECT * INTO w FROM windows WHERE window_id = p_window FOR NO KEY UPDATE;
  IF NOT FOUND THEN RAISE EXCEPTION 'no window %', p_window USING ERRCODE = 'OB103'; END IF;
  IF w.state = 'RESOLVED' THEN
    IF (w.payout_up, w.payout_down) IS DISTINCT FROM (p_payout_up, p_payout_down) THEN
      RAISE EXCEPTION 'window % is resolved %/% already, % now says %/%', p_window, w.payout_up, w.payout_down, p_source, p_payout_up, p_payout_down USING ERRCODE = 'OB109';
    END IF;
    RETURN false;
  END IF;
  IF w.closes_at > clock_timestamp() THEN RAISE EXCEPTION 'window % is not over', p_window USING ERRCODE = 'OB109'; END IF;
  IF w.state = 'DISCOVERED' THEN UPDATE windows SET state = 'OPEN' WHERE window_id = p_window; w.state := 'OPEN'; END IF;
  IF w.state = 'OPEN' THEN UPDATE windows SET state = 'CLOSED' WHERE window_id = p_window; END IF;
  UPDATE windows SET state = 'RESOLVED', payout_up = p_payout_up, payout_down = p_payout_down, resolved_at = p_resolved_at, resolution_source = p_source,
    our_direction = p_our_direction, accepting = false, changed_at = clock_timestamp() WHERE window_id = p_window;
  FOR r IN SELECT position_id, account_id, mode, signal_id FROM positions WHERE window_id = p_window ORDER BY account_id, position_id LOOP
    PERFORM _settle_facts(r.position_id, 'settlement');
    PERFORM _audit(r.account_id, r.mode, 'window_resolved', p_evidence || jsonb_build_object('payout_up', p_payout_up::text, 'source', p_source, 'ours', p_our_direction),
      r.signal_id, p_window, NULL, r.position_id);
  END LOOP;
  PERFORM pg_notify('window_changed', p_window);
  RETURN true;
END $$;

-- Promise: a redemption ends PAID only with the cash the balance proves; FAILED gives the positions back; LOST waits and stops trading (E21, P4).
-- Events: SUBMITTED {ticket}, PAID {paid_usdc}, FAILED {reason}, LOST {reason}. Returns the redemption's state.
CREATE FUNCTION record_redemption(p_redemption text, p_event text, p_details jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  r redemptions;
  v_next text;
  v_account text;
  v_extra numeric;
  v_owed numeric;
  v_waiting text[];
  v_position text;
BEGIN
  SELECT account_id INTO v_account FROM redemptions WHERE redemption_id = p_redemption;
  IF NOT FOUND THEN RAISE EXCEPTION 'no redemption %', p_redemption USING ERRCODE = 'OB103'; END IF;
  PERFORM _lock_account(v_account);
  SELECT * INTO STRICT r FROM redemptions WHERE redemption_id = p_redemption FOR UPDATE;
  v_next := _next_state('redemption', r.state, p_event);
  IF v_next IS NULL THEN RETURN r.state; END IF;
  UPDATE redemptions SET state = v_next, reason = coalesce(p_details->>'reason', reason), ticket = coalesce(p_details->>'ticket', ticket),
    paid_usdc = (p_details->>'paid_usdc')::numeric, finished_at = CASE WHEN v_next IN ('PAID', 'FAILED') THEN clock_timestamp() END WHERE redemption_id = p_redemption;
  PERFORM _audit(r.account_id, r.mode, 'redemption_' || lower(v_next), p_details || jsonb_build_object('redemption_id', p_redemption), NULL, r.window_id);
  IF v_next = 'UNKNOWN' THEN
    PERFORM _trip(r.account_id, r.mode, 'ORDER_UNKNOWN', jsonb_build_object('redemption_id', p_redemption, 'reason', p_details->>'reason'));
  ELSIF v_next IN ('PAID', 'FAILED') THEN
    SELECT array_agg(position_id ORDER BY position_id), coalesce(sum(_value(q)), 0) INTO v_waiting, v_owed FROM positions q
     WHERE account_id = r.account_id AND mode = r.mode AND window_id = r.window_id AND state = 'REDEEMING';
    -- More or less cash than is owed is booked as it came, on the first position, and left to the reconciler as a difference.
    v_extra := CASE WHEN v_next = 'PAID' THEN (p_details->>'paid_usdc')::numeric - v_owed END;
    FOREACH v_position IN ARRAY coalesce(v_waiting, '{}') LOOP
      IF v_next = 'PAID' THEN
        PERFORM _pay(v_position, (SELECT _value(q) FROM positions q WHERE position_id = v_position) + v_extra);
        v_extra := 0;
        PERFORM _position_event(v_position, 'PAID');
      ELSE
        PERFORM _position_event(v_position, 'REDEEM_FAILED');
      END IF;
    END LOOP;
    FOREACH v_position IN ARRAY coalesce(v_waiting, '{}') LOOP
      PERFORM _settle_facts(v_position, 'redemption');
    END LOOP;
  END IF;
  RETURN v_next;
END $$;
