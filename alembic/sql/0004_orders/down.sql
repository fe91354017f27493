DROP FUNCTION adopt_order(text, text, jsonb, text, jsonb, text, text, boolean);
DROP FUNCTION _adopt_order(text, text, jsonb, text, jsonb, text, text);
DROP FUNCTION _adopted_exit(text, text, jsonb, text, windows, text, text);
DROP FUNCTION _adopted_entry(text, text, jsonb, text, windows, text, text);
DROP FUNCTION record_cancel(text, text, jsonb);
DROP FUNCTION request_cancels(text, text, text, text);
DROP FUNCTION request_cancel(text, text, text);
DROP TABLE venue_heartbeats;
DROP TABLE cancel_requests;
