"""SQL with names: one module a table, one function a statement, each run by a test on Postgres.

Statements are written as SQL, in full: the schema has one description, alembic/sql, and no second one in Python that
could drift from it (docs/adr/0001).
"""
