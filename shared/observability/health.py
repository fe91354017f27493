"""Is this process fit to trade? Named checks, run side by side, answered in time (O1).

A check that raises, hangs or cannot be made counts as failed (P3).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

CHECKS_WITHIN_S = 4.0
"""For all checks together; the answer must be out within five seconds."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found; ``detail`` is for a person and is redacted with the rest of the body."""

    ok: bool
    detail: str = ""


Check = Callable[[], Awaitable[CheckResult]]


async def run_checks(
    checks: Mapping[str, Check], *, within_s: float = CHECKS_WITHIN_S
) -> dict[str, CheckResult]:
    """Return a result for every check, after at most ``within_s`` seconds, whatever the checks do."""
    results: dict[str, CheckResult] = {}

    async def run_one(name: str, check: Check) -> None:
        try:
            async with asyncio.timeout(within_s):
                results[name] = await check()
        except TimeoutError:
            results[name] = CheckResult(ok=False, detail=f"no answer within {within_s:g} s")
        except Exception as error:  # noqa: BLE001 a check that cannot be made has failed, whatever the reason (P3)
            results[name] = CheckResult(ok=False, detail=f"{type(error).__name__}: {error}")

    async with asyncio.TaskGroup() as group:
        for name, check in checks.items():
            group.create_task(run_one(name, check))
    return {name: results[name] for name in checks}


def health_body(
    results: Mapping[str, CheckResult], *, loops: Mapping[str, object], extra: Mapping[str, object]
) -> dict[str, object]:
    """Return the body of ``/health``: ``healthy`` is the conjunction of ``checks``, and of nothing else.

    ``data_gaps`` is shown but not counted; ``extra`` may fill it and add fields of one service.
    """
    return {
        "data_gaps": [],
        **extra,
        "healthy": all(result.ok for result in results.values()),
        "checks": {name: result.ok for name, result in results.items()},
        "details": {name: result.detail for name, result in results.items() if result.detail},
        "loops": dict(loops),
    }
