"""Keeps secrets out of everything a process prints (B2).

Three nets, each for what the others miss: values told to ``redact`` at set-up wherever they turn up, values under keys
that name a secret, and every Postgres address or libpq password by its shape. Order hashes look exactly like private
keys, so keys are known by value, not by shape.
"""

import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"

_LENGTH_MIN = 6
"""A shorter secret would blot out ordinary words; the nets by key and by shape still hold it."""

_SECRET_KEY = re.compile(
    r"(^|[_-])(pass(word|wd|phrase)?|secret|secrets|api[_-]?keys?|private[_-]?keys?|signing[_-]?keys?|authorization"
    r"|cookie|signature|hmac|signed[_-]?body|database[_-]?url|dsn|conninfo|webhook[_-]?url|pagerduty[_-]?key)$",
    re.IGNORECASE,
)
_POSTGRES_URL = re.compile(r"postgres(?:ql)?(?:\+\w+)?://[^\s'\"<>]+")
_LIBPQ_PASSWORD = re.compile(
    r"\b(password|passwd|sslpassword)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s'\"]+)", re.IGNORECASE
)


class _Known:
    """The secrets of this process in every spelling, longest first, so that a part never unmasks the rest."""

    def __init__(self) -> None:
        self._spellings: set[str] = set()
        self.pattern: re.Pattern[str] | None = None

    def add(self, secret: str) -> None:
        bare = secret.removeprefix("0x").removeprefix("0X")
        spellings = {
            secret,
            quote(secret, safe=""),
            quote_plus(secret),
            json.dumps(secret)[1:-1],
            repr(secret)[1:-1],
        }
        spellings |= {bare, bare.lower(), bare.upper()}
        self._spellings |= {spelling for spelling in spellings if len(spelling) >= _LENGTH_MIN}
        ordered = sorted(self._spellings, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def clear(self) -> None:
        self._spellings.clear()
        self.pattern = None


_KNOWN = _Known()


def redact(*secrets: str) -> None:
    """Remember values that must never be printed by this process; called once at set-up, before the first log line."""
    for secret in secrets:
        _KNOWN.add(secret)


def forget_secrets() -> None:
    """Forget every remembered value; tests only, a process keeps its secrets for life."""
    _KNOWN.clear()


def secret_parts(text: str) -> Iterator[str]:
    """Yield the values a JSON text holds under names of secrets, for a log may show one without the JSON around it."""
    try:
        waiting = [json.loads(text)]
    except ValueError:
        return
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield from (str(inner) for key, inner in value.items() if _SECRET_KEY.search(key) and inner)
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def redact_text(text: str) -> str:
    """Return ``text`` without known secrets, Postgres addresses or libpq passwords."""
    if _KNOWN.pattern is not None:
        text = _KNOWN.pattern.sub(REDACTED, text)
    text = _POSTGRES_URL.sub(REDACTED, text)
    return _LIBPQ_PASSWORD.sub(rf"\1={REDACTED}", text)


def redact_value(value: object) -> object:
    """Return a copy made of JSON types, every text redacted and every value under a secret's key replaced."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {
            redact_text(str(key)): REDACTED
            if _SECRET_KEY.search(str(key)) and inner is not None
            else redact_value(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_value(inner) for inner in value]
    return redact_text(str(value))
