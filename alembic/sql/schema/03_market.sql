-- The markets, and what the venue and the feeds say of them.
CREATE TABLE windows (
  window_id text PRIMARY KEY,
  instrument text NOT NULL,
  series text NOT NULL,
  interval_s integer NOT NULL CHECK (interval_s > 0),
  condition_id text,
  up_token text,
  down_token text,
  opens_at timestamptz NOT NULL,
  closes_at timestamptz NOT NULL CHECK (closes_at > opens_at),
  state text NOT NULL DEFAULT 'DISCOVERED' CHECK (state IN ('DISCOVERED', 'OPEN', 'CLOSED', 'UNRESOLVED', 'RESOLVED')),
  rule text NOT NULL CHECK (rule IN ('CHAINLINK_TWAP', 'CHAINLINK_SPOT', 'BINANCE_CANDLE')),
  lookback_s integer NOT NULL CHECK (lookback_s >= 0),
  tick token_price,
  min_size shares,
  fee_rate numeric,
  fee_exponent integer,
  fee_taker_only boolean,
  neg_risk boolean NOT NULL DEFAULT false,
  version text NOT NULL,
  accepting boolean NOT NULL DEFAULT false,
  strike numeric(20, 8),
  strike_source text,
  payout_up numeric,
  payout_down numeric,
  resolved_at timestamptz,
  resolution_source text,
  our_direction text CHECK (our_direction IN ('UP', 'DOWN', 'UNDECIDED')),
  tainted boolean NOT NULL DEFAULT false,
  discovered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK (state = 'DISCOVERED' OR (condition_id IS NOT NULL AND up_token IS NOT NULL AND down_token IS NOT NULL)),
  CHECK ((state = 'RESOLVED') = (payout_up IS NOT NULL AND payout_down IS NOT NULL)),
  CHECK (payout_up IS NULL OR (payout_up, payout_down) IN ((1, 0), (0, 1), (0.5, 0.5)))
);
COMMENT ON TABLE windows IS 'One up/down market. No resolved window without the venue''s direction, no open one without its tokens (C5, C10).';
CREATE INDEX windows_by_state ON windows (state, closes_at);
CREATE INDEX windows_by_time ON windows (instrument, opens_at DESC);
CREATE TRIGGER windows_transition BEFORE UPDATE OF state ON windows
  FOR EACH ROW EXECUTE FUNCTION _enforce_transition('window');

CREATE TABLE books_now (
  token_id text PRIMARY KEY,
  window_id text NOT NULL,
  bids jsonb NOT NULL,
  asks jsonb NOT NULL,
  source_at timestamptz NOT NULL,
  received_at timestamptz NOT NULL,
  snapshot_at timestamptz NOT NULL,
  continuous boolean NOT NULL,
  updates bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE books_now IS 'The newest book of each token, [[price, shares], …] as text, best first (C6).';

CREATE TABLE feed_status (
  feed text NOT NULL,
  symbol text NOT NULL,
  last_source_at timestamptz,
  last_received_at timestamptz,
  stale_since timestamptz,
  ticks bigint NOT NULL DEFAULT 0,
  duplicates bigint NOT NULL DEFAULT 0,
  out_of_order bigint NOT NULL DEFAULT 0,
  malformed bigint NOT NULL DEFAULT 0,
  offset_ms numeric,
  last_trade_id text,
  last_price numeric(20, 8),
  PRIMARY KEY (feed, symbol)
);
COMMENT ON COLUMN feed_status.offset_ms IS 'Source clock minus ours, smoothed, milliseconds (C13).';

CREATE TABLE market_facts (
  window_id text PRIMARY KEY,
  read_at timestamptz NOT NULL,
  accepting boolean NOT NULL,
  tick token_price NOT NULL,
  min_size shares NOT NULL,
  fee_rate numeric NOT NULL,
  fee_exponent integer NOT NULL,
  fee_taker_only boolean NOT NULL,
  neg_risk boolean NOT NULL,
  version text NOT NULL,
  up_token text NOT NULL,
  down_token text NOT NULL
);
COMMENT ON TABLE market_facts IS 'The market row as execution last read it at the venue, to be no older than 30 s before an order (E10).';
CREATE TABLE venue_balances (
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  asset text NOT NULL,
  balance numeric NOT NULL CHECK (min_scale(balance) <= 6),
  read_at timestamptz NOT NULL,
  PRIMARY KEY (account_id, mode, asset)
);
COMMENT ON TABLE venue_balances IS 'What the venue last said we hold: asset USDC or a token id.';
CREATE TABLE venue_clock (
  source text PRIMARY KEY,
  offset_ms numeric NOT NULL,
  measured_at timestamptz NOT NULL
);
COMMENT ON COLUMN venue_clock.offset_ms IS 'Their clock minus the database''s, milliseconds.';
