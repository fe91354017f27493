-- Promise: what a session made for itself is never taken for the Book. A temporary table hides a real one of its name unless pg_temp
-- stands last in the path: whoever may claim could show the claim a gate of his own, with the breaker closed.
DO $$
DECLARE f record;
BEGIN
  FOR f IN SELECT oid::regprocedure AS signature FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proowner = 'onebook_owner'::regrole
            AND (prosecdef OR prorettype = 'trigger'::regtype) ORDER BY 1 LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, public, pg_temp', f.signature);
  END LOOP;
END $$;

-- Promise: an amount is a number. NaN is greater than every limit's balance and Infinity covers every claim, and neither has too many decimals.
ALTER DOMAIN usdc ADD CONSTRAINT usdc_finite CHECK (VALUE > '-Infinity' AND VALUE < 'Infinity');
ALTER DOMAIN shares ADD CONSTRAINT shares_finite CHECK (VALUE > '-Infinity' AND VALUE < 'Infinity');

-- Promise: an answer reports what was bought or sold; a total below zero would be cash from nowhere.
ALTER TABLE orders ADD CONSTRAINT orders_reported_not_below_zero CHECK (reported_shares >= 0 AND reported_usdc >= 0 AND reported_fee_usdc >= 0);
ALTER TABLE redemptions ADD CONSTRAINT redemptions_paid_not_below_zero CHECK (paid_usdc >= 0);
