-- What the gate looks up of the past, found by its place and not by reading all of it.
CREATE INDEX orders_entries_by_time ON orders (account_id, mode, instrument, claimed_at) WHERE purpose = 'ENTRY';
CREATE INDEX positions_by_time ON positions (account_id, mode, instrument, opened_at);
CREATE INDEX fills_by_time ON fills (account_id, mode, recorded_at);

-- Promise: nothing of it stays. A claim of an account nobody has is made and undone, so that this session has planned what a
-- claim runs before its first order, which may wait a tenth of a second at most (E3). Returns what went wrong, NULL when nothing.
CREATE FUNCTION warm_claims() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_warm constant text := '~warm';
  v_now constant timestamptz := clock_timestamp();
BEGIN
  BEGIN
    PERFORM open_account(v_warm, '0x');
    UPDATE ledger_balances SET balance = 10 WHERE account_id = v_warm AND mode = 'PAPER' AND bucket = 'CASH';
    INSERT INTO runtime_controls (account_id, key, value, set_by, reason)
      SELECT v_warm, k, '*', v_warm, v_warm FROM unnest(ARRAY['allowed_instruments', 'allowed_strategies']) k;
    INSERT INTO heartbeats (service, instance, at, healthy, details)
      SELECT s, v_warm, v_now, true, '{}' FROM unnest(ARRAY['feed_collector', 'risk_monitor', 'reconciler']) s;
    INSERT INTO windows (window_id, instrument, series, interval_s, condition_id, up_token, down_token, opens_at, closes_at, state, rule, lookback_s, version)
      VALUES (v_warm, v_warm, v_warm, 60, v_warm, '1', '2', v_now - interval '30 seconds', v_now + interval '30 seconds', 'OPEN', 'CHAINLINK_TWAP', 1, 'v1');
    INSERT INTO strategy_instances (instance_id, account_id, strategy_id, code_hash, parameters, enabled_by) VALUES (v_warm, v_warm, v_warm, '', '{}', v_warm);
    INSERT INTO signals (signal_id, account_id, mode, strategy_id, instance_id, window_id, instrument, side, token_id, price, amount_usdc, confidence, risk,
        evidence, ordinal, made_at, expires_at)
      VALUES (v_warm, v_warm, 'PAPER', v_warm, v_warm, v_warm, v_warm, 'UP', '1', 0.5, 1, 1, '{}', '{}', 0, v_now, v_now + interval '30 seconds');
    PERFORM _claim_entry((SELECT max(epoch) FROM executor_epochs), v_warm, jsonb_build_object('order_id', '0x' || repeat('0', 64), 'position_id', v_warm,
      'token_id', '1', 'order_type', 'FAK', 'limit_price', '0.5', 'maker_amount', '1', 'taker_amount', '2', 'salt', 0, 'timestamp_ms', 0,
      'reserved_usdc', '2', 'cap_usdc', '2'), v_warm, '{}');
    SET CONSTRAINTS ALL IMMEDIATE;
    RAISE EXCEPTION 'undo' USING ERRCODE = 'OB000';
  EXCEPTION
    WHEN SQLSTATE 'OB000' THEN RETURN NULL;
    WHEN query_canceled THEN RAISE;
    WHEN OTHERS THEN RETURN SQLERRM;
  END;
END $$;
ALTER FUNCTION warm_claims() SECURITY DEFINER SET search_path = pg_catalog, public;
REVOKE ALL ON FUNCTION warm_claims() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION warm_claims() TO onebook_execution;
