-- From a wish to the money: changed by the lifecycle functions alone (D15).
CREATE TABLE executor_epochs (
  epoch bigint PRIMARY KEY,
  instance text NOT NULL,
  backend_pid integer NOT NULL,
  taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  reconciled_at timestamptz,
  reconciled_summary jsonb
);
COMMENT ON TABLE executor_epochs IS 'Who has held the lock, in order. Only the newest epoch claims, from its own session, once reconciled (E2, X1).';

CREATE TABLE signals (
  signal_id text PRIMARY KEY,
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  strategy_id text NOT NULL,
  instance_id text NOT NULL REFERENCES strategy_instances,
  window_id text NOT NULL REFERENCES windows,
  instrument text NOT NULL,
  side outcome_side NOT NULL,
  token_id text NOT NULL,
  price token_price NOT NULL,
  amount_usdc usdc NOT NULL CHECK (amount_usdc > 0),
  confidence numeric NOT NULL,
  risk jsonb NOT NULL,
  evidence jsonb NOT NULL,
  ordinal integer NOT NULL CHECK (ordinal >= 0),
  state text NOT NULL DEFAULT 'NEW' CHECK (state IN ('NEW', 'ORDERED', 'REFUSED', 'EXPIRED')),
  refusal text,
  verdict jsonb,
  made_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  decided_at timestamptz,
  UNIQUE (account_id, mode, strategy_id, window_id, ordinal),
  CHECK ((state = 'REFUSED') = (refusal IS NOT NULL))
);
COMMENT ON COLUMN signals.verdict IS 'Every input and verdict of the gate, whether it let the signal pass or not (S4).';
CREATE INDEX signals_new ON signals (created_at) WHERE state = 'NEW';
CREATE INDEX signals_by_window ON signals (window_id);
CREATE TRIGGER signals_transition BEFORE UPDATE OF state ON signals
  FOR EACH ROW EXECUTE FUNCTION _enforce_transition('signal');

CREATE TABLE positions (
  position_id text PRIMARY KEY,
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  session_id bigint REFERENCES sessions,
  signal_id text NOT NULL UNIQUE REFERENCES signals,
  strategy_id text NOT NULL,
  window_id text NOT NULL REFERENCES windows,
  instrument text NOT NULL,
  side outcome_side NOT NULL,
  token_id text NOT NULL,
  state text NOT NULL DEFAULT 'OPENING' CHECK (state IN ('OPENING', 'MONITORING', 'STOP_TRIGGERED',
    'TAKE_PROFIT_TRIGGERED', 'FLATTEN_TRIGGERED', 'EXIT_PENDING', 'EXPIRED', 'SETTLEMENT', 'REDEEMING', 'CLOSED', 'VOID')),
  risk jsonb NOT NULL,
  intended_price token_price NOT NULL,
  opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  closed_at timestamptz,
  -- facts: folds of its orders' fills
  bought_shares shares NOT NULL DEFAULT 0,
  bought_usdc usdc NOT NULL DEFAULT 0,
  buy_fees_usdc usdc NOT NULL DEFAULT 0,
  sold_shares shares NOT NULL DEFAULT 0,
  sold_usdc usdc NOT NULL DEFAULT 0,
  sell_fees_usdc usdc NOT NULL DEFAULT 0,
  payout numeric,
  paid_usdc usdc,
  paid_shares shares NOT NULL DEFAULT 0,
  peak_bid token_price,
  -- what the ledger carries for it now; the next booking posts the difference to what it should carry
  booked_reserved usdc NOT NULL DEFAULT 0,
  booked_positions usdc NOT NULL DEFAULT 0,
  booked_fees usdc NOT NULL DEFAULT 0,
  booked_pnl usdc NOT NULL DEFAULT 0,
  booked_receivable usdc NOT NULL DEFAULT 0,
  intended_usdc usdc NOT NULL DEFAULT 0,
  counted boolean NOT NULL DEFAULT true,
  -- the exit
  exit_reason text CHECK (exit_reason IN ('EMERGENCY', 'FLATTEN', 'STOP_LOSS', 'TRAILING_STOP', 'TAKE_PROFIT', 'EXPIRY')),
  exit_trigger_price numeric,
  exit_observed_price token_price,
  exit_requested_at timestamptz,
  exit_attempts integer NOT NULL DEFAULT 0,
  orphaned boolean NOT NULL DEFAULT false
);
COMMENT ON COLUMN positions.booked_pnl IS 'PNL bucket: negative is profit, as the profit left that bucket for CASH.';
COMMENT ON COLUMN positions.paid_shares IS 'Shares that proved cash was paid for; what is held beyond them is owed (E21).';
COMMENT ON COLUMN positions.exit_trigger_price IS 'The threshold that was reached: a fraction of the cost, not a price on the grid.';
COMMENT ON COLUMN positions.counted IS 'It is in position_counters.open_count.';
CREATE INDEX positions_active ON positions (account_id, mode) WHERE state NOT IN ('CLOSED', 'VOID');
CREATE INDEX positions_by_window ON positions (window_id);
CREATE TRIGGER positions_transition BEFORE UPDATE OF state ON positions
  FOR EACH ROW EXECUTE FUNCTION _enforce_transition('position');

CREATE TABLE active_positions (
  account_id text NOT NULL,
  mode trading_mode NOT NULL,
  window_id text NOT NULL,
  position_id text NOT NULL REFERENCES positions DEFERRABLE INITIALLY DEFERRED,
  PRIMARY KEY (account_id, mode, window_id)
);
COMMENT ON TABLE active_positions IS 'One active position per account, mode and market, whichever side. Bound at the claim: a late fill needs no row here, so no fact is refused (B12, P9).';

CREATE TABLE orders (
  order_id text PRIMARY KEY CHECK (order_id ~ '^0x[0-9a-f]{64}$'),
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  purpose text NOT NULL CHECK (purpose IN ('ENTRY', 'EXIT')),
  signal_id text REFERENCES signals,
  position_id text NOT NULL REFERENCES positions DEFERRABLE INITIALLY DEFERRED,
  window_id text NOT NULL REFERENCES windows,
  instrument text NOT NULL,
  token_id text NOT NULL,
  side text NOT NULL CHECK (side IN ('BUY', 'SELL')),
  order_type text NOT NULL CHECK (order_type IN ('FAK', 'FOK', 'GTC', 'GTD')),
  limit_price token_price NOT NULL,
  maker_amount usdc NOT NULL CHECK (maker_amount > 0),
  taker_amount usdc NOT NULL CHECK (taker_amount > 0),
  salt bigint NOT NULL,
  timestamp_ms bigint NOT NULL,
  state text NOT NULL DEFAULT 'SUBMITTING' CHECK (state IN ('SUBMITTING', 'LIVE', 'DELAYED', 'CANCELLING', 'UNKNOWN',
    'FILLED', 'KILLED', 'REJECTED', 'NOT_SENT', 'EXPIRED', 'NEVER_PLACED')),
  reason text,
  epoch bigint NOT NULL REFERENCES executor_epochs,
  attempt integer NOT NULL DEFAULT 0,
  cap_usdc usdc,
  reserved_usdc usdc NOT NULL DEFAULT 0 CHECK (reserved_usdc >= 0),
  gate_evidence jsonb NOT NULL,
  book_evidence jsonb,
  claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  sent_at timestamptz,
  answered_at timestamptz,
  recorded_at timestamptz,
  -- what the answer to the POST claimed; trades explain it and never add to it (E8)
  reported_shares shares NOT NULL DEFAULT 0,
  reported_usdc usdc NOT NULL DEFAULT 0,
  reported_fee_usdc usdc NOT NULL DEFAULT 0,
  reported_trade_ids text[] NOT NULL DEFAULT '{}',
  -- folds of its fills
  traded_shares shares NOT NULL DEFAULT 0,
  traded_usdc usdc NOT NULL DEFAULT 0,
  traded_fee_usdc usdc NOT NULL DEFAULT 0,
  failed_shares shares NOT NULL DEFAULT 0,
  failed_usdc usdc NOT NULL DEFAULT 0,
  failed_fee_usdc usdc NOT NULL DEFAULT 0,
  explained boolean NOT NULL DEFAULT false,
  CHECK ((purpose = 'ENTRY') = (signal_id IS NOT NULL)),
  CHECK (purpose = 'EXIT' OR side = 'BUY'),
  CHECK (purpose = 'ENTRY' OR side = 'SELL')
);
COMMENT ON COLUMN orders.order_id IS 'The venue''s own id: the EIP-712 hash, known before the order is sent (D3).';
COMMENT ON COLUMN orders.explained IS 'The trades account for everything the answer claimed.';
CREATE UNIQUE INDEX orders_one_entry_per_signal ON orders (signal_id) WHERE purpose = 'ENTRY';
CREATE UNIQUE INDEX orders_one_unfinished_exit ON orders (position_id)
  WHERE purpose = 'EXIT' AND state IN ('SUBMITTING', 'LIVE', 'DELAYED', 'CANCELLING', 'UNKNOWN');
CREATE INDEX orders_unfinished ON orders (account_id, mode)
  WHERE state IN ('SUBMITTING', 'LIVE', 'DELAYED', 'CANCELLING', 'UNKNOWN');
CREATE INDEX orders_by_position ON orders (position_id);
CREATE INDEX orders_by_window ON orders (window_id);
CREATE TRIGGER orders_transition BEFORE UPDATE OF state ON orders
  FOR EACH ROW EXECUTE FUNCTION _enforce_transition('order');

CREATE TABLE order_bodies (
  order_id text PRIMARY KEY REFERENCES orders,
  body text NOT NULL
);
COMMENT ON TABLE order_bodies IS 'The exact signed bytes. SELECT is execution''s alone (D3).';

CREATE TABLE window_entries (
  entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  window_id text NOT NULL REFERENCES windows,
  strategy_id text NOT NULL,
  order_id text NOT NULL REFERENCES orders DEFERRABLE INITIALLY DEFERRED,
  epoch bigint NOT NULL,
  entered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  released_at timestamptz,
  release_reason text,
  CHECK ((released_at IS NULL) = (release_reason IS NULL))
);
COMMENT ON TABLE window_entries IS 'The right to be in a window, once per strategy. Released only by proof that nothing was bought (B9, T3).';
CREATE UNIQUE INDEX window_entries_one ON window_entries (account_id, mode, window_id, strategy_id) WHERE released_at IS NULL;

CREATE TABLE entry_slots (
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  window_id text NOT NULL REFERENCES windows,
  instrument text NOT NULL,
  slot integer NOT NULL CHECK (slot IN (1, 2)),
  order_id text NOT NULL UNIQUE REFERENCES orders DEFERRABLE INITIALLY DEFERRED,
  PRIMARY KEY (account_id, mode, window_id, instrument, slot)
);
COMMENT ON TABLE entry_slots IS 'Two entry orders per window and instrument, for ever: a refusal is not refunded (B10, E5).';

CREATE TABLE fills (
  order_id text NOT NULL REFERENCES orders,
  trade_id text NOT NULL CHECK (trade_id <> ''),
  token_id text NOT NULL,
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  position_id text NOT NULL REFERENCES positions,
  side text NOT NULL CHECK (side IN ('BUY', 'SELL')),
  shares shares NOT NULL CHECK (shares > 0),
  price token_price NOT NULL,
  usdc usdc NOT NULL CHECK (usdc >= 0),
  fee_usdc usdc NOT NULL CHECK (fee_usdc >= 0),
  fee_provisional boolean NOT NULL DEFAULT true,
  is_taker boolean NOT NULL DEFAULT true,
  state text NOT NULL CHECK (state IN ('MATCHED', 'MINED', 'RETRYING', 'CONFIRMED', 'FAILED')),
  transaction_hash text NOT NULL DEFAULT '',
  matched_at timestamptz NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (order_id, trade_id, token_id)
);
CREATE INDEX fills_by_position ON fills (position_id);
CREATE INDEX fills_unsettled ON fills (account_id, mode) WHERE state IN ('MATCHED', 'MINED', 'RETRYING');
CREATE TRIGGER fills_transition BEFORE UPDATE OF state ON fills
  FOR EACH ROW EXECUTE FUNCTION _enforce_transition('fill');

CREATE TABLE redemptions (
  redemption_id text PRIMARY KEY,
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  window_id text NOT NULL REFERENCES windows,
  attempt integer NOT NULL,
  expected_usdc usdc NOT NULL,
  state text NOT NULL DEFAULT 'CLAIMED' CHECK (state IN ('CLAIMED', 'SUBMITTED', 'PAID', 'FAILED', 'UNKNOWN')),
  reason text,
  ticket text,
  cash_before usdc,
  paid_usdc usdc,
  epoch bigint NOT NULL REFERENCES executor_epochs,
  claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at timestamptz,
  UNIQUE (account_id, mode, window_id, attempt)
);
CREATE UNIQUE INDEX redemptions_one_unfinished ON redemptions (account_id, mode, window_id)
  WHERE state IN ('CLAIMED', 'SUBMITTED', 'UNKNOWN');
CREATE TRIGGER redemptions_transition BEFORE UPDATE OF state ON redemptions
  FOR EACH ROW EXECUTE FUNCTION _enforce_transition('redemption');
