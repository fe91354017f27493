"""What the Book keeps as JSON: answers of venues, evidence, details."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

Details = Mapping[str, Any]
_encode = msgspec.json.Encoder(enc_hook=str).encode
_UNKEEPABLE = re.compile("[\0\ud800-\udfff]")
_NUL = r"\u0000"


def dump(details: Details) -> str:
    """Return JSON in which money stays exact: a Decimal is text, a time and a span are ISO 8601.

    Postgres keeps neither NUL nor half of a surrogate pair in jsonb, and a venue's answer may hold both: each becomes
    U+FFFD, so that no answer is too odd to be recorded.
    """
    try:
        text = _encode(details).decode()
    except UnicodeEncodeError:
        return _encode(_keepable(details)).decode()
    return _encode(_keepable(details)).decode() if _NUL in text else text


def _keepable(value: Any) -> Any:
    match value:
        case str():
            return _UNKEEPABLE.sub("\ufffd", value)
        case Mapping():
            return {_keepable(key): _keepable(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_keepable(each) for each in value]
    return value
