DROP FUNCTION warm_claims();
DROP INDEX fills_by_time;
DROP INDEX positions_by_time;
DROP INDEX orders_entries_by_time;
