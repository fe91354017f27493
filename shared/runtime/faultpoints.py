"""Crash points have names: every durable step and every act on the venue calls one (fault matrix).

Inert in production: nothing is armed, and a call is one comparison. A test arms a hook that kills, stops or cuts the
process off at exactly this step. No await lies between the last check before a send and the send itself, and no point
either (E3): ``post.sent`` is the step right after the write.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

_ORDERS = ("entry", "exit")

POINTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "prepare.done": (),
        "claim.committed": (),
        "exit.prepared": (),
        "exit.claimed": (),
        "post.before_check": _ORDERS,
        "post.sent": (*_ORDERS, "cancel", "redeem"),
        "post.answered": _ORDERS,
        "record.before": _ORDERS,
        "record.committed": _ORDERS,
        "confirm.read": (),
        "confirm.recorded": (),
        "trade.heard": (),
        "trade.recorded": (),
        "cancel.claimed": (),
        "cancel.answered": (),
        "cancel.recorded": (),
        "redeem.before": (),
        "redeem.claimed": (),
        "redeem.answered": (),
        "redeem.recorded": (),
        "redeem.proved": (),
        "redeem.closed": (),
        "settle.read": (),
        "settle.recorded": (),
        "epoch.lock_won": (),
        "epoch.taken": (),
        "epoch.reconciled": (),
        "reconcile.asked": (),
        "reconcile.repaired": (),
        "reconcile.compared": (),
    }
)
"""Every point the code has, with the acts it is passed for; where there are several, its full name begins with one."""
FULL_NAMES: tuple[str, ...] = tuple(
    full for name, acts in POINTS.items() for full in ([f"{act}.{name}" for act in acts] or [name])
)
"""The names a hook is called with: ``claim.committed``, ``entry.post.sent`` …"""

Hook = Callable[[str], None]
_hook: Hook | None = None


def fault_point(name: str, act: str = "") -> None:
    """Pass a named step of the code, for example ``claim.committed``; ``act`` says whose where several share it."""
    if _hook is not None:
        _hook(f"{act}.{name}" if act else name)


def arm(hook: Hook | None) -> None:
    """Call ``hook`` with the full name of every point passed from now on; None disarms."""
    global _hook  # noqa: PLW0603 - one process, one plan of faults
    _hook = hook
