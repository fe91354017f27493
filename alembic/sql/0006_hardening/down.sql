ALTER TABLE redemptions DROP CONSTRAINT redemptions_paid_not_below_zero;
ALTER TABLE orders DROP CONSTRAINT orders_reported_not_below_zero;
ALTER DOMAIN shares DROP CONSTRAINT shares_finite;
ALTER DOMAIN usdc DROP CONSTRAINT usdc_finite;
DO $$
DECLARE f record;
BEGIN
  FOR f IN SELECT oid::regprocedure AS signature FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proowner = 'onebook_owner'::regrole
            AND (prosecdef OR prorettype = 'trigger'::regtype) ORDER BY 1 LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, public', f.signature);
  END LOOP;
END $$;
