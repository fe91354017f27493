-- EXECUTE is the ownership (B15): a function not listed here is nobody's but the owner's.
DO $$
DECLARE f record;
BEGIN
  FOR f IN SELECT oid::regprocedure AS signature FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proowner = 'onebook_owner'::regrole LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f.signature);
  END LOOP;
END $$;
DO $$
DECLARE
  g record;
  f record;
  r text;
BEGIN
  FOR g IN SELECT * FROM (VALUES
    ('take_epoch', 'execution'), ('executor_lock_key', 'execution'),
    ('claim_entry', 'execution'), ('claim_exit', 'execution'), ('claim_cancel', 'execution'), ('claim_redeem', 'execution'),
    ('refuse_signal', 'execution'), ('record_outcome', 'execution'), ('record_redemption', 'execution,reconciler'),
    ('apply_trade', 'execution,reconciler'), ('reverse_trade', 'execution,reconciler'), ('apply_order_evidence', 'execution,reconciler'),
    ('resolve_unknown', 'execution,reconciler'),
    ('request_exit', 'risk_monitor'), ('note_peak', 'risk_monitor'),
    ('settle', 'reconciler'), ('book_external', 'reconciler,operator'), ('mark_reconciled', 'reconciler'),
    ('trip_breaker', 'feed_collector,signal_engine,execution,risk_monitor,reconciler,dashboard,operator'),
    ('raise_alert', 'feed_collector,signal_engine,execution,risk_monitor,reconciler,dashboard,operator'),
    ('beat', 'feed_collector,signal_engine,execution,risk_monitor,reconciler,dashboard,operator'),
    ('reset_breaker', 'operator'), ('set_control', 'operator,dashboard'), ('request_command', 'operator,dashboard'),
    ('open_account', 'operator'), ('open_session', 'operator'), ('close_session', 'operator'), ('correct', 'operator'),
    ('ensure_partitions', 'feed_collector,operator'), ('drop_partitions', 'feed_collector,operator'),
    ('verify_audit_chain', 'reconciler,risk_monitor,operator,dashboard'), ('verify_ledger', 'reconciler,risk_monitor,operator,dashboard')
  ) AS t (name, roles) LOOP
    FOR f IN SELECT oid::regprocedure AS signature FROM pg_proc WHERE proname = g.name AND pronamespace = 'public'::regnamespace LOOP
      EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = pg_catalog, public', f.signature);
      FOREACH r IN ARRAY string_to_array(g.roles, ',') LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', f.signature, 'onebook_' || r);
      END LOOP;
    END LOOP;
    IF NOT FOUND THEN RAISE EXCEPTION 'no function % to grant', g.name; END IF;
  END LOOP;
END $$;

-- Everyone may look at everything but the signed bodies; what each may write is the ownership table of docs/architecture.md.
DO $$
DECLARE
  r text;
  t record;
BEGIN
  FOREACH r IN ARRAY ARRAY['feed_collector', 'signal_engine', 'execution', 'risk_monitor', 'reconciler', 'dashboard', 'operator', 'backtesting'] LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', 'onebook_' || r);
    FOR t IN SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relowner = 'onebook_owner'::regrole
             AND relkind IN ('r', 'p', 'v') AND (relname <> 'order_bodies' OR r = 'execution') LOOP
      EXECUTE format('GRANT SELECT ON %I TO %I', t.relname, 'onebook_' || r);
    END LOOP;
  END LOOP;
END $$;
GRANT INSERT, UPDATE ON windows, books_now, feed_status, oracle_updates, feed_divergence_events, window_close_events, window_resolutions, feed_gaps,
  failed_batches, price_bars_1m, tick_archives, feed_completeness TO onebook_feed_collector;
GRANT INSERT ON price_ticks, order_book_snapshots, capture_batches TO onebook_feed_collector;
GRANT DELETE ON failed_batches, books_now TO onebook_feed_collector;
-- A signal is born NEW: its state, refusal and verdict are not the signal engine's to write.
GRANT INSERT (signal_id, account_id, mode, strategy_id, instance_id, window_id, instrument, side, token_id, price, amount_usdc, confidence, risk,
  evidence, ordinal, made_at, expires_at) ON signals TO onebook_signal_engine;
GRANT INSERT, UPDATE ON lag_analysis, lag_signals, resolution_edge_performance, strategy_instances TO onebook_signal_engine;
GRANT INSERT, UPDATE ON market_facts, venue_balances, venue_clock, dry_run_comparisons TO onebook_execution;
GRANT INSERT ON assertion_results, position_verifications TO onebook_risk_monitor;
GRANT INSERT, UPDATE ON alert_deliveries, daily_performance, escalations, scheduled_work TO onebook_risk_monitor;
GRANT INSERT, UPDATE ON reconciliation_runs, discrepancies, settlement_checks, scheduled_work TO onebook_reconciler;
GRANT INSERT ON position_verifications TO onebook_reconciler;
GRANT UPDATE (state, changed_at) ON windows TO onebook_reconciler;
GRANT INSERT, UPDATE ON scheduled_work TO onebook_feed_collector;
GRANT UPDATE (enabled, enabled_by) ON strategy_instances TO onebook_operator;
GRANT INSERT, UPDATE ON stages, registrations TO onebook_operator;
GRANT UPDATE (state, answer, done_at) ON commands TO onebook_risk_monitor, onebook_execution;
