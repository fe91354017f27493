"""Postgres: the only package that knows SQLAlchemy and psycopg. Statements live in ``queries``, one function each."""
