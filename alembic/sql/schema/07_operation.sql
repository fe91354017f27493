-- Who is alive, what was found, what people asked for.
CREATE TABLE heartbeats (
  service text NOT NULL,
  instance text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  healthy boolean NOT NULL,
  details jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (service, instance)
);
COMMENT ON TABLE heartbeats IS 'Who cannot report must not trade (R11).';

CREATE TABLE commands (
  command_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account_id text REFERENCES accounts,
  kind text NOT NULL,
  arguments jsonb NOT NULL DEFAULT '{}',
  requested_by text NOT NULL,
  reason text NOT NULL,
  requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  state text NOT NULL DEFAULT 'NEW' CHECK (state IN ('NEW', 'DONE', 'REFUSED')),
  answer text,
  done_at timestamptz
);
CREATE TABLE alerts (
  alert_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account_id text REFERENCES accounts,
  mode text,
  severity text NOT NULL CHECK (severity IN ('INFO', 'WARNING', 'ERROR', 'CRITICAL')),
  kind text NOT NULL,
  dedup_key text NOT NULL,
  details jsonb NOT NULL DEFAULT '{}',
  raised_by text NOT NULL,
  raised_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  repeats integer NOT NULL DEFAULT 0,
  closed_at timestamptz
);
CREATE UNIQUE INDEX alerts_one_open ON alerts (dedup_key) WHERE closed_at IS NULL;
CREATE TABLE alert_deliveries (
  alert_id bigint NOT NULL REFERENCES alerts,
  channel text NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  delivered_at timestamptz,
  last_error text,
  PRIMARY KEY (alert_id, channel)
);

CREATE TABLE reconciliation_runs (
  run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account_id text REFERENCES accounts,
  mode trading_mode,
  kind text NOT NULL CHECK (kind IN ('STARTUP', 'CONTINUOUS')),
  epoch bigint,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at timestamptz,
  compared jsonb NOT NULL DEFAULT '{}',
  mismatches integer NOT NULL DEFAULT 0,
  error text
);
CREATE INDEX reconciliation_runs_newest ON reconciliation_runs (account_id, mode, finished_at DESC);
CREATE TABLE discrepancies (
  discrepancy_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  kind text NOT NULL,
  subject text NOT NULL,
  book jsonb NOT NULL DEFAULT '{}',
  venue jsonb NOT NULL DEFAULT '{}',
  first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  resolved_at timestamptz,
  resolution text
);
CREATE UNIQUE INDEX discrepancies_one_open ON discrepancies (account_id, mode, kind, subject) WHERE resolved_at IS NULL;
CREATE TABLE position_verifications (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  verified boolean NOT NULL,
  skipped boolean NOT NULL DEFAULT false,
  book jsonb NOT NULL DEFAULT '{}',
  venue jsonb NOT NULL DEFAULT '{}',
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX position_verifications_newest ON position_verifications (account_id, mode, at DESC);
CREATE TABLE settlement_checks (
  window_id text NOT NULL REFERENCES windows,
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  our_direction text,
  venue_direction text,
  book_pnl_usdc usdc,
  balance_delta_usdc usdc,
  agrees boolean NOT NULL,
  details jsonb NOT NULL DEFAULT '{}',
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (account_id, mode, window_id)
);
CREATE TABLE dry_run_comparisons (
  order_id text PRIMARY KEY REFERENCES orders,
  simulated jsonb NOT NULL,
  happened jsonb,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE assertion_results (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  assertion integer NOT NULL CHECK (assertion BETWEEN 1 AND 10),
  account_id text REFERENCES accounts,
  mode trading_mode,
  held boolean NOT NULL,
  details jsonb NOT NULL DEFAULT '{}',
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX assertion_results_newest ON assertion_results (assertion, at DESC);
CREATE TABLE escalations (
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  tripped_at timestamptz NOT NULL,
  stage text NOT NULL,
  done_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  details jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (account_id, mode, tripped_at, stage)
);
CREATE TABLE scheduled_work (
  work text PRIMARY KEY,
  done_for text NOT NULL,
  done_by text NOT NULL,
  done_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE scheduled_work IS 'Two instances ticking at once do a unit of work once, by a conditional write (T5).';
CREATE TABLE stages (
  stage integer PRIMARY KEY CHECK (stage BETWEEN 0 AND 7),
  name text NOT NULL, criteria text NOT NULL, depends_on integer[] NOT NULL DEFAULT '{}',
  evidence jsonb NOT NULL DEFAULT '{}', passed_at timestamptz, passed_by text
);
CREATE TABLE registrations (
  strategy_id text PRIMARY KEY, null_hypothesis text NOT NULL, hypothesis text NOT NULL, required_sample integer NOT NULL,
  kill_criterion jsonb NOT NULL, registered_by text NOT NULL, registered_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE _backups (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  revision text NOT NULL, table_name text NOT NULL, row_data jsonb NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE _backups IS 'Rows as they were before a migration changed them (B6).';
CREATE TABLE code_floor (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  oldest_code text NOT NULL
);
COMMENT ON TABLE code_floor IS 'The oldest code that may run on this schema (B7).';
INSERT INTO code_floor (oldest_code) VALUES ('0.1.0');
INSERT INTO stages (stage, name, criteria, depends_on) VALUES
  (0, 'Configuration', 'one settings module a service; PAPER by default; LIVE only when confirmed', '{}'),
  (1, 'Environment parity', 'the image that passed the tests is the one deployed', '{0}'),
  (2, 'The Book', 'positions survive a restart; an unreachable database stops the start', '{1}'),
  (3, 'Data capture', '24 h of capture, no gap over 1 min', '{2}'),
  (4, 'Single book, atomic safeguards', '100 concurrent entries, exactly 1', '{2}'),
  (5, 'Breaker and verification', 'blindness trips; a reset with live orders is refused', '{2}'),
  (6, 'Paper, full flow', '48 h PAPER without an error, every trade reviewed by a named person', '{3,4,5}'),
  (7, 'Live', 'approval, kill switch drilled that day, smallest cap, a named person watching 2 h, 24 h without surprise', '{6}');
