-- Promise: today's ticks and the next days' have a place; one that exists is left alone (C12). Returns how many were made.
CREATE FUNCTION ensure_partitions(p_days_ahead integer DEFAULT 7, p_today date DEFAULT (clock_timestamp() AT TIME ZONE 'UTC')::date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_day date;
  v_made integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(5712041998443917313);
  FOR v_day IN SELECT generate_series(p_today, p_today + p_days_ahead, '1 day')::date LOOP
    IF to_regclass('public.price_ticks_' || to_char(v_day, 'YYYYMMDD')) IS NULL THEN
      EXECUTE format('CREATE TABLE public.%I PARTITION OF price_ticks FOR VALUES FROM (%L) TO (%L)', 'price_ticks_' || to_char(v_day, 'YYYYMMDD'),
        to_char(v_day, 'YYYY-MM-DD') || ' 00:00:00+00', to_char(v_day + 1, 'YYYY-MM-DD') || ' 00:00:00+00');
      v_made := v_made + 1;
    END IF;
  END LOOP;
  RETURN v_made;
END $$;

-- Promise: a day goes only when it is past retention. Returns the names of the partitions dropped.
CREATE FUNCTION drop_partitions(p_keep_days integer DEFAULT 7, p_today date DEFAULT (clock_timestamp() AT TIME ZONE 'UTC')::date) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE v_name text;
BEGIN
  IF p_keep_days < 1 THEN RAISE EXCEPTION 'at least one day is kept, not %', p_keep_days USING ERRCODE = 'OB105'; END IF;
  FOR v_name IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'price_ticks'::regclass
                 AND to_date(right(c.relname, 8), 'YYYYMMDD') < p_today - p_keep_days ORDER BY 1 LOOP
    EXECUTE format('DROP TABLE public.%I', v_name);
    RETURN NEXT v_name;
  END LOOP;
END $$;
