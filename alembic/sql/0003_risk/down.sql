DROP INDEX assertion_results_by_account;
CREATE OR REPLACE FUNCTION _check_entry_gate(s signals) RETURNS void LANGUAGE plpgsql AS $$
DECLARE g trading_gate;
BEGIN
  SELECT * INTO STRICT g FROM trading_gate WHERE account_id = s.account_id AND mode = s.mode FOR SHARE;
  IF g.breaker = 'OPEN' THEN PERFORM _refuse('BREAKER_OPEN'); END IF;
  IF g.kill_switch <> 'OFF' THEN PERFORM _refuse('KILL_SWITCH'); END IF;
  IF g.halted THEN PERFORM _refuse('HALTED'); END IF;
  IF _mode_rank(s.mode) > _mode_rank(g.mode_ceiling) THEN PERFORM _refuse('MODE_NOT_ALLOWED'); END IF;
  IF s.mode <> 'BACKTEST' AND (SELECT count(DISTINCT service) FROM heartbeats WHERE service IN ('feed_collector', 'risk_monitor', 'reconciler')
      AND healthy AND at > clock_timestamp() - interval '10 seconds') < 3 THEN PERFORM _refuse('WATCHDOG_SILENT'); END IF;
END $$;
DROP FUNCTION close_alert(text);
DROP FUNCTION end_days();
DROP FUNCTION stop_strategy(text, text, text, text, numeric);
DROP FUNCTION _is_running(sessions);
DROP TABLE strategy_stops;
DELETE FROM runtime_controls WHERE key = 'max_strategy_loss';
DELETE FROM control_definitions WHERE key = 'max_strategy_loss';
DROP FUNCTION flag_orphans(text, text, text[]);
ALTER TABLE positions DROP COLUMN orphaned_since;
DROP FUNCTION escalate(text, text, text);
GRANT INSERT, UPDATE ON escalations TO onebook_risk_monitor;
