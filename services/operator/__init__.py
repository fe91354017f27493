"""operator: the command line for the people who answer for the money.

Decides   nothing by itself: every change names a person and a reason.
Reads     everything but signed bodies.
Calls     open_account, book_external, open_session, close_session, set_control, trip_breaker, reset_breaker, correct,
          ensure_partitions, drop_partitions, verify_ledger, verify_audit_chain, request_cancel, adopt_order.
Listens   to nobody; it runs one command and ends with a status: 0 done, 1 refused or wrong, 2 bad input.
Never     writes a table of the Book directly, sends or signs an order, or holds a key.
"""
