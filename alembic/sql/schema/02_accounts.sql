-- One person's money, and everything that can stop it.
CREATE TABLE accounts (
  account_id text PRIMARY KEY CHECK (account_id <> ''),
  wallet text,
  paper_wallet text NOT NULL,
  audit_head bytea,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE accounts IS 'Every trading row belongs to one (D10). Every lifecycle function locks this row first (D15).';
COMMENT ON COLUMN accounts.paper_wallet IS 'Maker address of PAPER orders: no key exists for it.';
COMMENT ON COLUMN accounts.audit_head IS 'Hash of the newest audit event: the chain of B14.';

CREATE TABLE sessions (
  session_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  day date NOT NULL,
  opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  opened_by text NOT NULL,
  closed_at timestamptz,
  realized_usdc usdc NOT NULL DEFAULT 0
);
COMMENT ON TABLE sessions IS 'A trading session: opened by an operator, else one a UTC day; a restart continues it (R8).';
CREATE UNIQUE INDEX sessions_one_open ON sessions (account_id, mode) WHERE closed_at IS NULL;

CREATE TABLE trading_gate (
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  breaker text NOT NULL DEFAULT 'CLOSED' CHECK (breaker IN ('CLOSED', 'OPEN')),
  breaker_reason text,
  breaker_since timestamptz,
  kill_switch text NOT NULL DEFAULT 'OFF' CHECK (kill_switch IN ('OFF', 'PAUSE', 'FLATTEN', 'EMERGENCY')),
  mode_ceiling trading_mode NOT NULL DEFAULT 'LIVE',
  halted boolean NOT NULL DEFAULT false,
  session_id bigint REFERENCES sessions,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (account_id, mode),
  CHECK ((breaker = 'OPEN') = (breaker_reason IS NOT NULL AND breaker_since IS NOT NULL))
);
COMMENT ON TABLE trading_gate IS 'Breaker, kill switch, mode ceiling: locked FOR SHARE inside every claim, updated by every trip and switch (D18).';

CREATE TABLE control_definitions (
  key text PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('usdc', 'integer', 'seconds', 'fraction', 'list', 'choice')),
  default_value text NOT NULL,
  minimum numeric,
  maximum numeric,
  choices text[],
  meaning text NOT NULL
);
COMMENT ON COLUMN control_definitions.choices IS 'The words a choice may be; for a number, words allowed besides it (off: the rule does not apply).';
CREATE TABLE runtime_controls (
  account_id text NOT NULL REFERENCES accounts,
  key text NOT NULL REFERENCES control_definitions,
  value text NOT NULL,
  set_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  set_by text NOT NULL,
  reason text NOT NULL,
  PRIMARY KEY (account_id, key)
);
COMMENT ON TABLE runtime_controls IS 'What a person has set; a key that is absent has its definition''s default (R7).';

CREATE TABLE position_counters (
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  open_count integer NOT NULL DEFAULT 0 CHECK (open_count >= 0),
  intended_count integer NOT NULL DEFAULT 0 CHECK (intended_count BETWEEN 0 AND 50),
  exposure_usdc usdc NOT NULL DEFAULT 0,
  intended_usdc usdc NOT NULL DEFAULT 0 CHECK (intended_usdc BETWEEN 0 AND 1000),
  PRIMARY KEY (account_id, mode)
);
COMMENT ON TABLE position_counters IS 'Open positions and their cost. intended_* are moved up only by claims and carry the ceilings; the others follow facts, which nothing may refuse (B8, P9).';
CREATE TABLE instrument_exposure (
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  instrument text NOT NULL,
  exposure_usdc usdc NOT NULL DEFAULT 0,
  intended_usdc usdc NOT NULL DEFAULT 0 CHECK (intended_usdc BETWEEN 0 AND 1000),
  PRIMARY KEY (account_id, mode, instrument)
);

CREATE TABLE strategy_instances (
  instance_id text PRIMARY KEY,
  account_id text NOT NULL REFERENCES accounts,
  strategy_id text NOT NULL,
  code_hash text NOT NULL,
  parameters jsonb NOT NULL,
  hypothesis text NOT NULL DEFAULT '',
  enabled boolean NOT NULL DEFAULT true,
  enabled_by text NOT NULL,
  since timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE strategy_instances IS 'A strategy at one code hash with one set of parameters; every signal names its instance (B17).';
CREATE TABLE daily_performance (
  account_id text NOT NULL REFERENCES accounts,
  mode trading_mode NOT NULL,
  strategy_id text NOT NULL,
  day date NOT NULL,
  trades integer NOT NULL DEFAULT 0,
  wins integer NOT NULL DEFAULT 0,
  fees_usdc usdc NOT NULL DEFAULT 0,
  gross_usdc usdc NOT NULL DEFAULT 0,
  net_usdc usdc NOT NULL DEFAULT 0,
  drawdown_usdc usdc NOT NULL DEFAULT 0,
  assertion_pass_rate numeric,
  PRIMARY KEY (account_id, mode, strategy_id, day)
);
