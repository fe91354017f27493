-- A look that found everything in order is worth keeping for a while: an account makes a hundred thousand of them a day.
CREATE INDEX assertion_results_held ON assertion_results (at) WHERE held;
CREATE INDEX reconciliation_runs_clean ON reconciliation_runs (finished_at) WHERE mismatches = 0 AND error IS NULL;

-- Promise: what a look found amiss is kept for ever, and so is the newest of an account that found nothing; p_most of the others
-- go at a time, once they are older than p_keep. Returns how many went.
CREATE FUNCTION drop_old_looks(p_keep interval, p_most integer DEFAULT 20000) RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  v_gone bigint := 0;
  n bigint;
BEGIN
  DELETE FROM assertion_results WHERE id IN (
    SELECT id FROM assertion_results WHERE held AND at < now() - p_keep ORDER BY at LIMIT p_most);
  GET DIAGNOSTICS n = ROW_COUNT;
  v_gone := v_gone + n;
  DELETE FROM position_verifications WHERE id IN (
    SELECT id FROM position_verifications o WHERE verified AND at < now() - p_keep
       AND EXISTS (SELECT FROM position_verifications y WHERE y.account_id = o.account_id AND y.mode = o.mode AND y.verified AND y.at > o.at)
     ORDER BY at LIMIT p_most);
  GET DIAGNOSTICS n = ROW_COUNT;
  v_gone := v_gone + n;
  -- The newest clean run says since when money may have moved unseen, the newest exact one which fills are not in the cash yet.
  DELETE FROM reconciliation_runs WHERE run_id IN (
    SELECT run_id FROM reconciliation_runs o WHERE mismatches = 0 AND error IS NULL AND finished_at < now() - p_keep
       AND EXISTS (SELECT FROM reconciliation_runs y WHERE y.account_id = o.account_id AND y.mode = o.mode AND y.mismatches = 0
                      AND y.error IS NULL AND y.finished_at > o.finished_at)
       AND (NOT compared @> '{"cash_exact": 1}' OR EXISTS (SELECT FROM reconciliation_runs y WHERE y.account_id = o.account_id
                      AND y.mode = o.mode AND y.compared @> '{"cash_exact": 1}' AND y.started_at > o.started_at))
     ORDER BY finished_at LIMIT p_most);
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN v_gone + n;
END $$;
REVOKE ALL ON FUNCTION drop_old_looks(interval, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_old_looks(interval, integer) TO onebook_risk_monitor;
