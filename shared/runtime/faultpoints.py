"""Crash points have names: every durable step and every act on the venue calls one (fault matrix).

Inert in production: nothing is armed, and a call is one comparison. A test arms a hook that kills, stops or cuts the
process off at exactly this step. No await lies between the last check before a send and the send itself, and no point
either (E3).
"""

from collections.abc import Callable

Hook = Callable[[str], None]
_hook: Hook | None = None


def fault_point(name: str) -> None:
    """Pass a named step of the code, for example ``claim.committed``."""
    if _hook is not None:
        _hook(name)


def arm(hook: Hook | None) -> None:
    """Call ``hook`` with the name of every point passed from now on; None disarms."""
    global _hook  # noqa: PLW0603 - one process, one plan of faults
    _hook = hook
