-- Values that cannot be wrong: an amount with more than six decimals is refused, never rounded in silence.
CREATE DOMAIN usdc AS numeric CHECK (min_scale(VALUE) <= 6);
CREATE DOMAIN shares AS numeric CHECK (min_scale(VALUE) <= 6);
CREATE DOMAIN token_price AS numeric CHECK (VALUE >= 0 AND VALUE <= 1 AND min_scale(VALUE) <= 6);
CREATE DOMAIN trading_mode AS text CHECK (VALUE IN ('BACKTEST', 'PAPER', 'DRY_RUN', 'LIVE'));
CREATE DOMAIN outcome_side AS text CHECK (VALUE IN ('UP', 'DOWN'));

-- The transition tables of shared/domain, written here by the migration and compared by a test.
CREATE TABLE state_transitions (
  entity text NOT NULL,
  from_state text NOT NULL,
  event text NOT NULL,
  to_state text NOT NULL,
  PRIMARY KEY (entity, from_state, event)
);
COMMENT ON TABLE state_transitions IS 'Which event takes which state where; enforced by triggers for everyone, psql included (B12).';

-- An illegal step is refused by the database itself. TG_ARGV[0] is the entity.
CREATE FUNCTION _enforce_transition() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
  IF NEW.state = OLD.state THEN RETURN NEW; END IF;
  IF NOT EXISTS (SELECT FROM state_transitions t
                 WHERE t.entity = TG_ARGV[0] AND t.from_state = OLD.state AND t.to_state = NEW.state) THEN
    RAISE EXCEPTION 'illegal % transition % -> %', TG_ARGV[0], OLD.state, NEW.state USING ERRCODE = 'OB100';
  END IF;
  RETURN NEW;
END $$;

-- History is never rewritten (B14).
CREATE FUNCTION _refuse_rewrite() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
  RAISE EXCEPTION '% is append-only: write a correction through the operator command instead', TG_TABLE_NAME
    USING ERRCODE = 'OB101';
END $$;
