"""Screens without anything on them."""

from services.dashboard.api.capture.schemas import CaptureScreen, Settled, TokenCheck

NOTHING_CAPTURED = CaptureScreen(
    waiting=None,
    snapshots=(),
    gaps=(),
    gaps_of_day=0,
    longest_gap_s=None,
    clocks=(),
    settled=Settled(agreed=0, differed=0, undecided=0, unjudged=0, unresolved=0, differing=()),
    without_ids=(),
    tokens=TokenCheck(due=0, validated=0, differing=(), oldest_s=None),
    windows_of_day=0,
    tainted_of_day=0,
    tainted_by=(),
    pools=(),
    server_used=0,
    server_size=0,
)
