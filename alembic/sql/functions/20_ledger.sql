-- Promise: money moves between two buckets or not at all; the balances are the fold of the entries (R9).
CREATE FUNCTION _post(p_account text, p_mode text, p_from text, p_to text, p_amount numeric, p_kind text,
  p_provisional boolean, p_order text, p_position text, p_reference text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO ledger_entries (account_id, mode, from_bucket, to_bucket, amount, kind, provisional, order_id, position_id, reference)
  VALUES (p_account, p_mode, p_from, p_to, p_amount, p_kind, p_provisional, p_order, p_position, p_reference);
  INSERT INTO ledger_balances AS b (account_id, mode, bucket, balance)
  VALUES (p_account, p_mode, p_from, -p_amount), (p_account, p_mode, p_to, p_amount)
  ON CONFLICT (account_id, mode, bucket) DO UPDATE SET balance = b.balance + excluded.balance;
END $$;

-- Promise: the buckets change by exactly these amounts, CASH by what is missing to zero. Sources pay sinks in a fixed order.
CREATE FUNCTION _book_deltas(p_account text, p_mode text, p_kind text, p_provisional boolean, p_order text, p_position text,
  p_reserved numeric, p_positions numeric, p_fees numeric, p_pnl numeric, p_receivable numeric) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_names constant text[] := ARRAY['RESERVED', 'POSITIONS', 'RECEIVABLE', 'PNL', 'CASH', 'FEES'];
  v_deltas numeric[] := ARRAY[p_reserved, p_positions, p_receivable, p_pnl, -(p_reserved + p_positions + p_fees + p_pnl + p_receivable), p_fees];
  v_amount numeric;
  v_from integer;
  v_to integer;
BEGIN
  FOR v_from IN 1..6 LOOP
    FOR v_to IN 1..6 LOOP
      EXIT WHEN v_deltas[v_from] >= 0;
      CONTINUE WHEN v_deltas[v_to] <= 0;
      v_amount := least(-v_deltas[v_from], v_deltas[v_to]);
      PERFORM _post(p_account, p_mode, v_names[v_from], v_names[v_to], v_amount, p_kind, p_provisional, p_order, p_position, NULL);
      v_deltas[v_from] := v_deltas[v_from] + v_amount;
      v_deltas[v_to] := v_deltas[v_to] - v_amount;
    END LOOP;
  END LOOP;
END $$;

-- Promise: the ledger carries for a position exactly what its facts say, however often and in whatever order they came.
--   bought, sold, fees   folds of its orders: what trades explain, else what the answer claimed
--   owed        bought - sold - the shares a proved payment was for, not below 0
--   RESERVED    what orders that may still match keep: reservation - effective cost - effective fee, not below 0
--   POSITIONS   while unresolved: bought_usdc * owed / bought, rounded half up to a micro-unit
--   RECEIVABLE  once resolved: floor(owed * payout)
--   PNL         bought - sold - paid - POSITIONS - RECEIVABLE: negative is profit; cash that was seen stays, whatever is said of its shares later
CREATE FUNCTION _rebook_position(p_position text, p_kind text, p_order text DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  p positions;
  f record;
  v_owed numeric;
  v_positions numeric := 0;
  v_receivable numeric := 0;
  v_pnl numeric;
  v_exposure numeric;
  v_exposure_delta numeric;
  v_intended_delta numeric;
  v_cash numeric;
BEGIN
  SELECT * INTO STRICT p FROM positions WHERE position_id = p_position FOR UPDATE;
  SELECT coalesce(sum(e.eff_shares) FILTER (WHERE e.side = 'BUY'), 0) AS bought_shares,
         coalesce(sum(e.eff_usdc) FILTER (WHERE e.side = 'BUY'), 0) AS bought_usdc,
         coalesce(sum(e.eff_fee) FILTER (WHERE e.side = 'BUY'), 0) AS buy_fees,
         coalesce(sum(e.eff_shares) FILTER (WHERE e.side = 'SELL'), 0) AS sold_shares,
         coalesce(sum(e.eff_usdc) FILTER (WHERE e.side = 'SELL'), 0) AS sold_usdc,
         coalesce(sum(e.eff_fee) FILTER (WHERE e.side = 'SELL'), 0) AS sell_fees,
         coalesce(sum(greatest(e.reserved_usdc - e.eff_usdc - e.eff_fee, 0)) FILTER (WHERE e.possibly_live AND e.side = 'BUY'), 0) AS reserved,
         coalesce(sum(e.reserved_usdc) FILTER (WHERE e.side = 'BUY'), 0) AS allowed,
         coalesce(bool_or(NOT e.explained), false) AS provisional
    INTO f FROM order_effects e WHERE e.position_id = p_position;
  v_owed := greatest(f.bought_shares - f.sold_shares - p.paid_shares, 0);
  IF p.payout IS NOT NULL AND p.state IN ('SETTLEMENT', 'REDEEMING', 'CLOSED') THEN
    v_receivable := trunc(v_owed * p.payout, 6);
  ELSIF f.bought_shares > 0 THEN
    v_positions := round(f.bought_usdc * v_owed / f.bought_shares, 6);
  END IF;
  v_pnl := f.bought_usdc - f.sold_usdc - coalesce(p.paid_usdc, 0) - v_positions - v_receivable;
  PERFORM _book_deltas(p.account_id, p.mode, p_kind, f.provisional, p_order, p_position,
    f.reserved - p.booked_reserved, v_positions - p.booked_positions, f.buy_fees + f.sell_fees - p.booked_fees,
    v_pnl - p.booked_pnl, v_receivable - p.booked_receivable);
  v_exposure := f.reserved + v_positions;
  v_exposure_delta := v_exposure - (p.booked_reserved + p.booked_positions);
  v_intended_delta := least(p.intended_usdc, v_exposure) - p.intended_usdc;
  UPDATE positions SET bought_shares = f.bought_shares, bought_usdc = f.bought_usdc, buy_fees_usdc = f.buy_fees,
    sold_shares = f.sold_shares, sold_usdc = f.sold_usdc, sell_fees_usdc = f.sell_fees,
    booked_reserved = f.reserved, booked_positions = v_positions, booked_fees = f.buy_fees + f.sell_fees,
    booked_pnl = v_pnl, booked_receivable = v_receivable, intended_usdc = p.intended_usdc + v_intended_delta
    WHERE position_id = p_position;
  UPDATE position_counters SET exposure_usdc = exposure_usdc + v_exposure_delta, intended_usdc = intended_usdc + v_intended_delta
    WHERE account_id = p.account_id AND mode = p.mode;
  UPDATE instrument_exposure SET exposure_usdc = exposure_usdc + v_exposure_delta, intended_usdc = intended_usdc + v_intended_delta
    WHERE account_id = p.account_id AND mode = p.mode AND instrument = p.instrument;
  UPDATE sessions SET realized_usdc = realized_usdc - (v_pnl - p.booked_pnl) - (f.buy_fees + f.sell_fees - p.booked_fees)
    WHERE session_id = p.session_id;
  -- A fact is recorded whatever limit it breaks; then it trips (P9).
  IF f.bought_usdc + f.buy_fees > f.allowed THEN
    PERFORM _trip(p.account_id, p.mode, 'LIMIT_EXCEEDED_BY_FACT', jsonb_build_object('position_id', p_position,
      'paid_usdc', (f.bought_usdc + f.buy_fees)::text, 'reserved_usdc', f.allowed::text));
  END IF;
  SELECT balance INTO v_cash FROM ledger_balances WHERE account_id = p.account_id AND mode = p.mode AND bucket = 'CASH';
  IF v_cash < 0 THEN
    PERFORM _trip(p.account_id, p.mode, 'CAPITAL_INVARIANT', jsonb_build_object('position_id', p_position, 'cash_usdc', v_cash::text));
  END IF;
END $$;

-- What each order has moved: trades where they explain it, the answer's totals where they do not yet (E8).
CREATE VIEW order_effects AS
SELECT o.order_id, o.position_id, o.account_id, o.mode, o.purpose, o.side, o.state, o.reserved_usdc, o.explained,
       o.state IN ('SUBMITTING', 'LIVE', 'DELAYED', 'CANCELLING', 'UNKNOWN') AS possibly_live,
       x.eff_shares,
       o.traded_usdc + CASE WHEN x.eff_shares > o.traded_shares THEN greatest(o.reported_usdc - o.failed_usdc - o.traded_usdc, 0) ELSE 0 END AS eff_usdc,
       o.traded_fee_usdc + CASE WHEN x.eff_shares > o.traded_shares THEN greatest(o.reported_fee_usdc - o.failed_fee_usdc - o.traded_fee_usdc, 0) ELSE 0 END AS eff_fee
  FROM orders o
 CROSS JOIN LATERAL (SELECT CASE WHEN o.explained THEN o.traded_shares
                            ELSE greatest(o.reported_shares - o.failed_shares, o.traded_shares) END AS eff_shares) x;

-- Returns one row for each bucket or position whose stored figure is not the fold of its entries: empty when the books agree.
CREATE FUNCTION verify_ledger(p_account text, p_mode text) RETURNS TABLE (what text, stored numeric, folded numeric) LANGUAGE sql AS $$
  WITH folded AS (
    SELECT bucket, sum(amount) AS balance FROM (
      SELECT to_bucket AS bucket, amount::numeric FROM ledger_entries WHERE account_id = p_account AND mode = p_mode
      UNION ALL SELECT from_bucket, -amount FROM ledger_entries WHERE account_id = p_account AND mode = p_mode) x GROUP BY bucket)
  SELECT coalesce(b.bucket, f.bucket), b.balance::numeric, f.balance FROM folded f
    FULL JOIN (SELECT bucket, balance FROM ledger_balances WHERE account_id = p_account AND mode = p_mode) b USING (bucket)
   WHERE coalesce(b.balance, 0) <> coalesce(f.balance, 0)
  UNION ALL
  SELECT 'positions:' || x.bucket, x.booked, coalesce(b.balance, 0) FROM (
      SELECT unnest(ARRAY['RESERVED', 'POSITIONS', 'RECEIVABLE']) AS bucket,
             unnest(ARRAY[coalesce(sum(booked_reserved), 0), coalesce(sum(booked_positions), 0), coalesce(sum(booked_receivable), 0)]) AS booked
        FROM positions WHERE account_id = p_account AND mode = p_mode) x
    LEFT JOIN ledger_balances b ON b.account_id = p_account AND b.mode = p_mode AND b.bucket = x.bucket
   WHERE x.booked <> coalesce(b.balance, 0)
  UNION ALL
  SELECT 'counters:exposure', c.exposure_usdc::numeric, x.booked FROM position_counters c,
    (SELECT coalesce(sum(booked_reserved + booked_positions), 0) AS booked, count(*) FILTER (WHERE counted) AS open
       FROM positions WHERE account_id = p_account AND mode = p_mode) x
   WHERE c.account_id = p_account AND c.mode = p_mode AND (c.exposure_usdc <> x.booked OR c.open_count <> x.open)
$$;

-- Promise: money that came or went outside trading is booked once per reference. A positive amount came to us (E18).
CREATE FUNCTION book_external(p_account text, p_mode text, p_kind text, p_amount numeric, p_reference text, p_evidence jsonb DEFAULT '{}')
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE v_other text;
BEGIN
  PERFORM _lock_account(p_account);
  INSERT INTO external_movements (account_id, mode, reference, kind, amount, evidence)
  VALUES (p_account, p_mode, p_reference, p_kind, p_amount, p_evidence) ON CONFLICT DO NOTHING;
  IF NOT FOUND OR p_amount = 0 THEN RETURN false; END IF;
  -- A fee that was rounded the other way is a fee; everything else came from, or went to, the outside.
  v_other := CASE WHEN p_kind = 'FEE_ROUNDING' THEN 'FEES' ELSE 'EXTERNAL' END;
  IF p_amount > 0 THEN
    PERFORM _post(p_account, p_mode, v_other, 'CASH', p_amount, p_kind, false, NULL, NULL, p_reference);
  ELSE
    PERFORM _post(p_account, p_mode, 'CASH', v_other, -p_amount, p_kind, false, NULL, NULL, p_reference);
  END IF;
  IF p_amount < 0 AND (SELECT balance FROM ledger_balances WHERE account_id = p_account AND mode = p_mode AND bucket = 'CASH') < 0 THEN
    PERFORM _trip(p_account, p_mode, 'CAPITAL_INVARIANT', jsonb_build_object('reference', p_reference, 'amount_usdc', p_amount::text));
  END IF;
  PERFORM _audit(p_account, p_mode, 'external_booked', jsonb_build_object('kind', p_kind, 'amount_usdc', p_amount::text, 'reference', p_reference));
  RETURN true;
END $$;

-- Promise: a correction is a new entry with a name and a reason, shown first as a dry run (B14). Returns what it moves.
CREATE FUNCTION correct(p_account text, p_mode text, p_amount numeric, p_reference text, p_actor text, p_reason text, p_dry_run boolean DEFAULT true)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  IF coalesce(p_actor, '') = '' OR coalesce(p_reason, '') = '' THEN
    RAISE EXCEPTION 'a correction needs a name and a reason' USING ERRCODE = 'OB104';
  END IF;
  IF p_dry_run THEN RETURN format('would book %s USDC to CASH of %s/%s as %s', p_amount, p_account, p_mode, p_reference); END IF;
  IF NOT book_external(p_account, p_mode, 'CORRECTION', p_amount, p_reference, jsonb_build_object('by', p_actor, 'reason', p_reason)) THEN
    RETURN format('already booked as %s', p_reference);
  END IF;
  RETURN format('booked %s USDC to CASH of %s/%s as %s', p_amount, p_account, p_mode, p_reference);
END $$;
