import asyncio

from shared.observability.health import CheckResult, health_body, run_checks


async def good():
    return CheckResult(ok=True)


async def refuses():
    return CheckResult(ok=False, detail="the breaker is open")


async def raises():
    raise KeyError("row")


async def hangs():
    await asyncio.Event().wait()


async def test_a_check_that_raises_or_hangs_has_failed_and_the_others_are_heard():
    results = await run_checks(
        {"good": good, "raises": raises, "hangs": hangs, "refuses": refuses}, within_s=0.05
    )
    assert {name: result.ok for name, result in results.items()} == {
        "good": True,
        "raises": False,
        "hangs": False,
        "refuses": False,
    }
    assert "KeyError" in results["raises"].detail


async def test_checks_run_side_by_side():
    arrived = asyncio.Barrier(2)

    async def meets():
        await arrived.wait()
        return CheckResult(ok=True)

    results = await run_checks({"one": meets, "other": meets}, within_s=5)
    assert all(result.ok for result in results.values())


def test_healthy_is_the_conjunction_of_the_checks_and_nothing_else():
    results = {"a": CheckResult(ok=True), "b": CheckResult(ok=True, detail="4 of 4")}
    body = health_body(
        results, loops={"x": {"ok": True}}, extra={"data_gaps": ["BTC"], "epoch": 3, "healthy": False}
    )
    assert body == {
        "healthy": True,
        "checks": {"a": True, "b": True},
        "details": {"b": "4 of 4"},
        "data_gaps": ["BTC"],
        "loops": {"x": {"ok": True}},
        "epoch": 3,
    }


def test_one_failed_check_is_enough():
    results = {"a": CheckResult(ok=True), "b": CheckResult(ok=False)}
    assert health_body(results, loops={}, extra={})["healthy"] is False
