"""What the feeds' named faults make of a frame. PURE.

Each is a habit of a real feed: seen in a recording, told by its documentation, or reported by those who use it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

Json = dict[str, Any]
Act = Callable[[str], Sequence[str]]


def _array(text: str) -> Sequence[str]:
    return (f"[{text}]",)


def _old_change(text: str) -> Sequence[str]:
    """Return a price_change as it was written until September 2025: a frame a token, without best prices."""
    frame = json.loads(text)
    changes: list[Json] = frame.pop("price_changes", [])
    tokens = dict.fromkeys(change["asset_id"] for change in changes)
    shown = ("price", "side", "size")
    return [
        _text(
            {
                **frame,
                "asset_id": token,
                "changes": [
                    {key: change[key] for key in shown} for change in changes if change["asset_id"] == token
                ],
            }
        )
        for token in tokens
    ] or (text,)


def _no_best(text: str) -> Sequence[str]:
    frame = json.loads(text)
    for change in frame.get("price_changes", []):
        change |= {"best_bid": "", "best_ask": ""}
    return (_text(frame),)


def _emptied(text: str) -> Sequence[str]:
    """Return books without a level."""
    frame = json.loads(text)
    for book in frame if isinstance(frame, list) else [frame]:
        book |= {"bids": [], "asks": []}
    return (_text(frame),)


def _foreign(text: str) -> Sequence[str]:
    """Return a word no client knows, and the frame after it."""
    return (_text(_renamed(json.loads(text))), text)


def _renamed(frame: Json) -> Json:
    for key in ("event_type", "e", "channel", "topic"):
        if key in frame:
            return {**frame, key: "a_word_of_tomorrow"}
    return {**frame, "data": {"e": "a_word_of_tomorrow"}}


def _other_provider(text: str) -> Sequence[str]:
    frame = json.loads(text)
    frame["payload"]["source"] = "pyth"
    return (_text(frame),)


def _extra_fields(text: str) -> Sequence[str]:
    return (_text({**json.loads(text), "added_later": {"deep": [1, {"deeper": None}]}}),)


ACTS: Final[Mapping[str, Act]] = MappingProxyType(
    {
        "duplicate_event": lambda text: (text, text),
        "malformed_frame": lambda text: (text[: len(text) // 2],),
        "array_frame": _array,
        "old_price_change": _old_change,
        "no_best_prices": _no_best,
        "empty_book": _emptied,
        "foreign_word": _foreign,
        "other_provider": _other_provider,
        "extra_fields": _extra_fields,
    }
)
"""Fault name -> the frames that are sent for one; a name that is not here sends none."""


def _text(frame: Any) -> str:
    return json.dumps(frame, separators=(",", ":"))
