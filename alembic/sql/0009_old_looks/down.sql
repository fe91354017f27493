DROP FUNCTION drop_old_looks(interval, integer);
DROP INDEX assertion_results_held, reconciliation_runs_clean;
