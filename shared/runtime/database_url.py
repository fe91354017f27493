"""The database's address, checked before the first connection (B1), and never shown (B2).

It stands here and not in ``shared.db`` because settings are read before anything knows of a database.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import parse_qsl, unquote, urlsplit

_SCHEMES = frozenset({"postgresql", "postgres", "postgresql+psycopg"})
_TLS_MODES = frozenset({"require", "verify-ca", "verify-full"})
_FORM = "write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


class MalformedDatabaseUrl(ValueError):
    """The address cannot be used; the message says what to do and never shows the address."""


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A checked address of a Postgres database.

    ``text`` is what libpq takes; it holds the password and is left out of the repr.
    """

    host: str
    """Host name or address; for a Unix socket the socket's folder."""
    port: int | None
    database: str
    user: str
    sslmode: str | None
    text: str = field(repr=False)
    password: str | None = field(repr=False)

    @property
    def is_local(self) -> bool:
        """True when the connection never leaves this machine: a socket, localhost, 127.0.0.0/8 or ::1."""
        if self.host.startswith("/") or self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_encrypted(self) -> bool:
        """True when ``sslmode`` refuses a connection without TLS (require or stricter)."""
        return self.sslmode in _TLS_MODES


def parse_database_url(text: str) -> DatabaseUrl:
    """Return the checked address, its scheme normalised to ``postgresql``.

    Raises MalformedDatabaseUrl naming the missing or wrong part. A Unix socket (``postgresql://USER@/DATABASE?host=/DIR``)
    needs no port.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        # The parser's own words may quote the password when it holds an unescaped character.
        message = f"it cannot be parsed: {_FORM}, percent-encoding : / ? # @ and % inside the password"
        raise MalformedDatabaseUrl(message) from None
    if parts.scheme not in _SCHEMES:
        raise MalformedDatabaseUrl(f"it must begin with postgresql://: {_FORM}")
    host = parts.hostname or options.get("host", "")
    database = unquote(parts.path.removeprefix("/"))
    user = unquote(parts.username or "")
    _require(host=host, port=port, database=database, user=user, options=options)
    rest = text.strip().split("://", maxsplit=1)[1]
    return DatabaseUrl(
        host=host,
        port=port,
        database=database,
        user=user,
        sslmode=options.get("sslmode"),
        text=f"postgresql://{rest}",
        password=unquote(parts.password) if parts.password else None,
    )


def _require(*, host: str, port: int | None, database: str, user: str, options: Mapping[str, str]) -> None:
    if not host:
        raise MalformedDatabaseUrl(f"it names no host: {_FORM}")
    if port is None and not host.startswith("/"):
        raise MalformedDatabaseUrl(
            f"it names no port (Postgres listens on 5432 unless told otherwise): {_FORM}"
        )
    if not database or "/" in database:
        raise MalformedDatabaseUrl(f"it names no database: {_FORM}")
    if not user:
        raise MalformedDatabaseUrl(f"it names no user: {_FORM}")
    sslmode = options.get("sslmode")
    if sslmode is not None and sslmode not in _TLS_MODES | {"disable", "allow", "prefer"}:
        raise MalformedDatabaseUrl("its sslmode is unknown: use sslmode=require, verify-ca or verify-full")
