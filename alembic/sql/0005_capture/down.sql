-- As 80_partitions.sql and 90_grants.sql made it.
CREATE OR REPLACE FUNCTION drop_partitions(p_keep_days integer DEFAULT 7, p_today date DEFAULT (clock_timestamp() AT TIME ZONE 'UTC')::date) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE v_name text;
BEGIN
  IF p_keep_days < 1 THEN RAISE EXCEPTION 'at least one day is kept, not %', p_keep_days USING ERRCODE = 'OB105'; END IF;
  FOR v_name IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'price_ticks'::regclass
                 AND to_date(right(c.relname, 8), 'YYYYMMDD') < p_today - p_keep_days ORDER BY 1 LOOP
    EXECUTE format('DROP TABLE public.%I', v_name);
    RETURN NEXT v_name;
  END LOOP;
END $$;
REVOKE DELETE ON capture_batches FROM onebook_feed_collector;
REVOKE INSERT, UPDATE ON lag_analysis, lag_signals FROM onebook_feed_collector;
DROP FUNCTION replay_batch(bigint);
ALTER TABLE tick_archives DROP COLUMN content_sha256, DROP COLUMN bytes;
DROP TABLE archive_policy;
DROP TABLE clock_offsets;
DROP TABLE window_close_samples;
DROP INDEX capture_batches_by_time;
DROP TABLE price_ticks_staging;
