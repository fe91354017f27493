"""The venue's token buckets and what its answers say of them."""

import pytest_asyncio

from services.simulator.rate_limits import RateLimits
from tests.unit.services.simulator.venue_clients import Clients
from tests.unit.services.simulator.venue_world import OWNER, START_MS, body


@pytest_asyncio.fixture
async def venue():
    clients = Clients()
    await clients.fund("1000")
    yield clients
    await clients.close()


def test_a_burst_empties_the_bucket_and_time_fills_it_again():
    limits = RateLimits(enforced=True)
    spent = [limits.spend("me", "orders", 30, START_MS) for _ in range(3)]
    assert [each.refused for each in spent] == [False, False, True]
    assert spent[-1].headers == {
        "Poly-RateLimit-Remaining": "0",
        "Poly-RateLimit-Reset": str(START_MS // 1000 + 2),
        "Poly-RateLimit-Tier": "standard",
        "Poly-RateLimit-Warning": "rate limit exceeded",
        "Retry-After": "1",
    }
    assert limits.spend("me", "orders", 40, START_MS + 999).refused
    assert not limits.spend("me", "orders", 40, START_MS + 1_000).refused
    assert not limits.spend("other", "orders", 60, START_MS).refused
    assert not limits.spend("me", "cancels", 120, START_MS).refused


def test_a_batch_is_taken_whole_or_not_at_all():
    limits = RateLimits(enforced=True)
    assert limits.spend("me", "orders", 61, START_MS).refused
    assert not limits.spend("me", "orders", 60, START_MS).refused


async def test_answers_warn_before_the_limits_are_enforced_and_refuse_after(venue):
    first = await venue.raw("POST", "/order", body(owner=venue.key.key))
    assert (first.headers["Poly-RateLimit-Remaining"], "Poly-RateLimit-Warning" in first.headers) == (
        "59",
        False,
    )
    venue.simulator.venue.limits.spend(OWNER, "orders", 59, venue.clock.now_ms)
    warned = await venue.raw("POST", "/order", body(owner=venue.key.key, salt=2))
    assert (warned.status, warned.headers["Poly-RateLimit-Warning"]) == (200, "rate limit exceeded")
    venue.simulator.venue.limits.enforced = True
    refused = await venue.raw("POST", "/order", body(owner=venue.key.key, salt=3))
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    cancelled = await venue.raw("DELETE", "/cancel-all")
    assert (cancelled.status, cancelled.headers["Poly-RateLimit-Remaining"]) == (200, "119")
    assert len((await venue.truth())["orders"]) == 2
