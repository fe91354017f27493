-- Promise: whoever writes about an account holds that account's row first, so its events are ordered by id (D27).
CREATE FUNCTION _lock_account(p_account text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM accounts WHERE account_id = p_account FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'no account %: open it with the operator command "account open"', p_account USING ERRCODE = 'OB103';
  END IF;
END $$;

CREATE FUNCTION _audit_hash(p_previous bytea, p_account text, p_mode text, p_at timestamptz, p_kind text, p_actor text,
  p_correlation text, p_window text, p_order text, p_position text, p_details jsonb) RETURNS bytea
LANGUAGE sql IMMUTABLE AS $$
  SELECT sha256(coalesce(p_previous, ''::bytea) || convert_to(jsonb_build_array(p_account, p_mode,
    to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), p_kind, p_actor, p_correlation, p_window, p_order,
    p_position, p_details)::text, 'UTF8'))
$$;

-- Promise: each event is hashed over the one before, so a row changed behind our back breaks the chain (B14).
CREATE FUNCTION _audit(p_account text, p_mode text, p_kind text, p_details jsonb DEFAULT '{}', p_correlation text DEFAULT NULL,
  p_window text DEFAULT NULL, p_order text DEFAULT NULL, p_position text DEFAULT NULL, p_actor text DEFAULT session_user)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_previous bytea;
  v_at timestamptz := clock_timestamp();
  v_details jsonb := coalesce(jsonb_strip_nulls(p_details), '{}');
  v_hash bytea;
BEGIN
  SELECT audit_head INTO v_previous FROM accounts WHERE account_id = p_account FOR NO KEY UPDATE;
  v_hash := _audit_hash(v_previous, p_account, p_mode, v_at, p_kind, p_actor, p_correlation, p_window, p_order, p_position, v_details);
  INSERT INTO audit_events (account_id, mode, at, kind, actor, correlation_id, window_id, order_id, position_id, details, previous_hash, hash)
  VALUES (p_account, p_mode, v_at, p_kind, p_actor, p_correlation, p_window, p_order, p_position, v_details, v_previous, v_hash);
  UPDATE accounts SET audit_head = v_hash WHERE account_id = p_account;
END $$;

-- Returns the id of the first event whose hash does not follow from the one before; NULL when the chain is whole.
CREATE FUNCTION verify_audit_chain(p_account text) RETURNS bigint LANGUAGE plpgsql AS $$
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

-- Returns the state an event leads to; NULL where the table has no such step: the event changes nothing.
CREATE FUNCTION _next_state(p_entity text, p_state text, p_event text) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT to_state FROM state_transitions WHERE entity = p_entity AND from_state = p_state AND event = p_event
$$;

-- Promise: one alert per cause while it lasts; a repeat only counts (O4).
CREATE FUNCTION raise_alert(p_severity text, p_kind text, p_dedup_key text, p_account text DEFAULT NULL, p_mode text DEFAULT NULL,
  p_details jsonb DEFAULT '{}') RETURNS bigint LANGUAGE sql AS $$
  INSERT INTO alerts (account_id, mode, severity, kind, dedup_key, details, raised_by)
  VALUES (p_account, p_mode, p_severity, p_kind, p_dedup_key, p_details, session_user)
  ON CONFLICT (dedup_key) WHERE closed_at IS NULL DO UPDATE SET repeats = alerts.repeats + 1
  RETURNING alert_id
$$;

CREATE FUNCTION beat(p_service text, p_instance text, p_healthy boolean, p_details jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
  INSERT INTO heartbeats (service, instance, at, healthy, details) VALUES (p_service, p_instance, clock_timestamp(), p_healthy, p_details)
  ON CONFLICT (service, instance) DO UPDATE SET at = excluded.at, healthy = excluded.healthy, details = excluded.details
$$;
