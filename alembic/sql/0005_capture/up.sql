-- Where a batch waits that is stored after all: nothing stays here beyond a transaction.
CREATE UNLOGGED TABLE price_ticks_staging (
  failed_id bigint NOT NULL,
  timestamp timestamptz NOT NULL,
  symbol varchar(10) NOT NULL,
  source varchar(30) NOT NULL,
  price numeric(20, 8) NOT NULL,
  token_id varchar(100),
  source_timestamp timestamptz,
  trade_id text
);
COMMENT ON TABLE price_ticks_staging IS 'Ticks of a failed batch on their way to price_ticks, within one transaction (C3).';
CREATE INDEX capture_batches_by_time ON capture_batches USING brin (committed_at);

CREATE TABLE window_close_samples (
  window_id text NOT NULL,
  at timestamptz NOT NULL,
  ms_to_close integer NOT NULL,
  oracle_price numeric(20, 8),
  oracle_average numeric(20, 8),
  binance_price numeric(20, 8),
  pyth_price numeric(20, 8),
  up_bid numeric(10, 4), up_ask numeric(10, 4),
  down_bid numeric(10, 4), down_ask numeric(10, 4),
  PRIMARY KEY (window_id, ms_to_close)
);
COMMENT ON TABLE window_close_samples IS 'Every feed and both tokens up to ten times a second from 90 s before a close (C9).';

CREATE TABLE clock_offsets (
  source text PRIMARY KEY,
  offset_ms numeric NOT NULL,
  error_ms numeric NOT NULL,
  measured_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE clock_offsets IS 'Each exchange''s clock minus the database''s, milliseconds, give or take error_ms (C13).';

CREATE TABLE archive_policy (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  address text,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE archive_policy IS 'Where days of ticks go before they are dropped; while it is set, no day goes without its archive (B16).';
ALTER TABLE tick_archives ADD COLUMN content_sha256 text, ADD COLUMN bytes bigint;

-- Promise: a failed batch is stored once, whoever asks, however often; what can never be stored stays behind with its reason,
-- and batch_data is always exactly what is still not stored (C3).
CREATE FUNCTION replay_batch(p_id bigint, OUT stored integer, OUT known integer, OUT rejected integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
  b failed_batches%ROWTYPE;
  v_row jsonb;
  v_bad jsonb := '[]';
  v_error text;
  v_staged integer;
  v_first timestamptz;
  v_last timestamptz;
BEGIN
  stored := 0; known := 0; rejected := 0;
  PERFORM pg_advisory_xact_lock_shared(hashtextextended('tick_archive', 0));  -- no day becomes archived meanwhile
  SELECT * INTO b FROM failed_batches WHERE id = p_id AND replayed_at IS NULL FOR UPDATE;
  IF NOT FOUND THEN RETURN; END IF;
  FOR v_row IN SELECT * FROM jsonb_array_elements(b.batch_data) LOOP
    BEGIN
      IF EXISTS (SELECT FROM tick_archives WHERE day = ((v_row ->> 'timestamp')::timestamptz AT TIME ZONE 'UTC')::date) THEN
        RAISE EXCEPTION 'its day is archived' USING ERRCODE = 'data_exception';
      END IF;
      INSERT INTO price_ticks_staging VALUES (p_id, (v_row ->> 'timestamp')::timestamptz, v_row ->> 'symbol', v_row ->> 'source',
        (v_row ->> 'price')::numeric, v_row ->> 'token_id', (v_row ->> 'source_timestamp')::timestamptz, v_row ->> 'trade_id');
    EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
      v_bad := v_bad || v_row;
      v_error := SQLERRM;
    END;
  END LOOP;
  PERFORM ensure_partitions(0, day)
    FROM (SELECT DISTINCT (timestamp AT TIME ZONE 'UTC')::date AS day FROM price_ticks_staging WHERE failed_id = p_id) days;
  SELECT count(*), min(timestamp), max(timestamp) INTO v_staged, v_first, v_last FROM price_ticks_staging WHERE failed_id = p_id;
  INSERT INTO price_ticks (timestamp, symbol, source, price, token_id, source_timestamp, trade_id)
  SELECT * FROM (
    SELECT timestamp, symbol, source, price, token_id, source_timestamp, trade_id FROM price_ticks_staging WHERE failed_id = p_id
    EXCEPT ALL
    SELECT timestamp, symbol, source, price, token_id, source_timestamp, trade_id FROM price_ticks
    WHERE timestamp BETWEEN v_first AND v_last) AS new
  -- What a lost COMMIT had stored after all goes first, row for row. Another collector may have heard the same at another
  -- moment: by the exchange's id, else by the source's own time.
  WHERE NOT EXISTS (
    SELECT FROM price_ticks t WHERE t.symbol = new.symbol AND t.source = new.source AND t.trade_id = new.trade_id
      AND t.timestamp BETWEEN v_first - interval '5 minutes' AND v_last + interval '5 minutes')
  AND NOT EXISTS (
    SELECT FROM price_ticks t WHERE t.symbol = new.symbol AND t.source = new.source AND t.source_timestamp = new.source_timestamp
      AND t.price = new.price AND coalesce(t.token_id, '') = coalesce(new.token_id, '')
      AND (t.trade_id IS NULL) AND (new.trade_id IS NULL)
      AND t.timestamp BETWEEN v_first - interval '5 minutes' AND v_last + interval '5 minutes')
  ORDER BY new.timestamp;
  GET DIAGNOSTICS stored = ROW_COUNT;
  known := v_staged - stored;
  rejected := jsonb_array_length(v_bad);
  UPDATE failed_batches SET retry_count = b.retry_count + 1,
    replayed_at = CASE WHEN rejected = 0 THEN clock_timestamp() END,
    batch_data = CASE WHEN rejected = 0 THEN b.batch_data ELSE v_bad END,
    error_message = coalesce(v_error, b.error_message) WHERE id = p_id;
  DELETE FROM price_ticks_staging WHERE failed_id = p_id;
END $$;

-- Promise: a day goes only when it is past retention, and where days are archived only when this one was. Returns the names
-- of the partitions dropped.
CREATE OR REPLACE FUNCTION drop_partitions(p_keep_days integer DEFAULT 7, p_today date DEFAULT (clock_timestamp() AT TIME ZONE 'UTC')::date) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE v_name text;
BEGIN
  IF p_keep_days < 1 THEN RAISE EXCEPTION 'at least one day is kept, not %', p_keep_days USING ERRCODE = 'OB105'; END IF;
  FOR v_name IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'price_ticks'::regclass
                 AND to_date(right(c.relname, 8), 'YYYYMMDD') < p_today - p_keep_days
                 AND (NOT EXISTS (SELECT FROM archive_policy WHERE address IS NOT NULL)
                   OR EXISTS (SELECT FROM tick_archives a WHERE a.day = to_date(right(c.relname, 8), 'YYYYMMDD'))) ORDER BY 1 LOOP
    EXECUTE format('DROP TABLE public.%I', v_name);
    RETURN NEXT v_name;
  END LOOP;
END $$;

REVOKE ALL ON FUNCTION replay_batch(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION replay_batch(bigint) TO onebook_operator, onebook_feed_collector;
GRANT SELECT ON price_ticks_staging, window_close_samples, clock_offsets, archive_policy TO onebook_feed_collector, onebook_signal_engine,
  onebook_execution, onebook_risk_monitor, onebook_reconciler, onebook_dashboard, onebook_operator, onebook_backtesting;
GRANT INSERT, UPDATE ON window_close_samples, clock_offsets, archive_policy, lag_analysis, lag_signals TO onebook_feed_collector;
GRANT DELETE ON capture_batches TO onebook_feed_collector;
