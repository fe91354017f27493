-- What happened, for ever.
CREATE TABLE audit_events (
  event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account_id text NOT NULL REFERENCES accounts,
  mode text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  kind text NOT NULL,
  actor text NOT NULL,
  correlation_id text,
  window_id text,
  order_id text,
  position_id text,
  details jsonb NOT NULL DEFAULT '{}',
  previous_hash bytea,
  hash bytea NOT NULL
);
COMMENT ON TABLE audit_events IS 'Every decision and fact, in id order per account because written under its lock (D27), each hashed over the one before (B14).';
CREATE INDEX audit_events_by_account ON audit_events (account_id, event_id);
CREATE INDEX audit_events_by_correlation ON audit_events (correlation_id);
CREATE INDEX audit_events_by_order ON audit_events (order_id);

CREATE TABLE ledger_entries (
  entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  from_bucket text NOT NULL,
  to_bucket text NOT NULL,
  amount usdc NOT NULL CHECK (amount > 0),
  kind text NOT NULL,
  provisional boolean NOT NULL DEFAULT false,
  order_id text,
  position_id text,
  reference text,
  CHECK (from_bucket <> to_bucket),
  CHECK (from_bucket IN ('CASH', 'RESERVED', 'POSITIONS', 'FEES', 'PNL', 'RECEIVABLE', 'EXTERNAL')),
  CHECK (to_bucket IN ('CASH', 'RESERVED', 'POSITIONS', 'FEES', 'PNL', 'RECEIVABLE', 'EXTERNAL'))
);
COMMENT ON TABLE ledger_entries IS 'One row moves one amount from one bucket to another, so the sum is zero by construction (R9).';
CREATE INDEX ledger_entries_by_account ON ledger_entries (account_id, mode, entry_id);
CREATE INDEX ledger_entries_results ON ledger_entries (account_id, mode, at)
  WHERE from_bucket IN ('PNL', 'FEES') OR to_bucket IN ('PNL', 'FEES');
CREATE INDEX ledger_entries_by_position ON ledger_entries (position_id);
CREATE TABLE ledger_balances (
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  bucket text NOT NULL,
  balance usdc NOT NULL DEFAULT 0,
  PRIMARY KEY (account_id, mode, bucket)
);
COMMENT ON TABLE ledger_balances IS 'The fold of ledger_entries, rebuildable from them and checked against them.';

CREATE TABLE fill_history (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  order_id text NOT NULL, trade_id text NOT NULL, token_id text NOT NULL,
  state text NOT NULL, source text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE breaker_history (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account_id text NOT NULL, mode trading_mode NOT NULL, state text NOT NULL, reason text NOT NULL,
  actor text NOT NULL, context jsonb NOT NULL DEFAULT '{}', at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE control_history (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account_id text NOT NULL, key text NOT NULL, old_value text, new_value text NOT NULL,
  actor text NOT NULL, reason text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE order_evidence (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  order_id text NOT NULL REFERENCES orders,
  kind text NOT NULL,
  proves text NOT NULL,
  source text NOT NULL,
  details jsonb NOT NULL DEFAULT '{}',
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN order_evidence.proves IS 'What this observation proves: PLACED, TERMINAL, NEVER_SENT, REFUSED, or NOTHING (D3).';
CREATE INDEX order_evidence_by_order ON order_evidence (order_id);
CREATE TABLE external_movements (
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  reference text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('DEPOSIT', 'WITHDRAWAL', 'REBATE', 'REWARD', 'YIELD', 'FEE_ROUNDING', 'CORRECTION')),
  amount usdc NOT NULL,
  evidence jsonb NOT NULL DEFAULT '{}',
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (account_id, mode, reference)
);
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['audit_events', 'ledger_entries', 'fill_history', 'breaker_history', 'control_history',
                           'order_evidence', 'external_movements'] LOOP
    EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION _refuse_rewrite()', t || '_append_only', t);
    EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION _refuse_rewrite()', t || '_no_truncate', t);
  END LOOP;
END $$;
