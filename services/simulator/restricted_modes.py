"""What the venue answers while it restricts trading: after a restart, on the way down, or by decision."""

from typing import Final

from aiohttp import web

from services.simulator.refusal_texts import REFUSALS
from services.simulator.venue import Venue, answer, error

RETRY_AFTER_S: Final = 79
"""As captured during a post-only phase."""


def restarting() -> web.Response:
    """Return the 425 of an engine that restarts: nothing but reads is served."""
    refused = error(425, "service not ready")
    refused.headers["Retry-After"] = str(RETRY_AFTER_S)
    return refused


def restricted(name: str, retry_after_s: int = RETRY_AFTER_S) -> web.Response:
    """Return the 503 of a restriction, by its name in ``refusal_texts``."""
    status, text = REFUSALS[name]
    if name != "post_only":
        return error(status, text)
    refused = answer({"error": text, "code": "post_only_mode", "retry_after_seconds": retry_after_s}, status)
    refused.headers["Retry-After"] = str(retry_after_s)
    return refused


def refusal(venue: Venue, *, post_only: bool) -> web.Response | None:
    """Return the refusal of a new order in the venue's present mode, None where it may pass."""
    mode = venue.exchange.mode
    if mode == "restarting":
        return restarting()
    if mode == "normal" or (mode == "post_only" and post_only):
        return None
    return restricted(mode)
