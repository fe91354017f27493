from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest

from services.dashboard.api.app import create_app
from services.dashboard.api.overviews import BookUnreadable
from services.dashboard.api.schemas import Overview, PnlPoint
from tests.unit.services.dashboard.api.samples import NOTHING_CAPTURED

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
OVERVIEW = Overview(
    read_at=NOW,
    accounts=[],
    windows=[],
    feeds=[],
    capture=NOTHING_CAPTURED,
    positions=[],
    orders=[],
    events=[],
    services=[],
    executor=None,
    pnl=[PnlPoint("desk", "PAPER", NOW, Decimal("-0.000001"))],
    alerts=[],
    signals={"KILL_SWITCH": 2},
)


async def ask(path: str, *, broken: bool = False, method: str = "GET") -> httpx.Response:
    async def newest() -> Overview:
        if broken:
            raise BookUnreadable("OperationalError") from RuntimeError("password=s3cr3t")
        return OVERVIEW

    transport = httpx.ASGITransport(app=create_app(newest))
    async with httpx.AsyncClient(transport=transport, base_url="http://onebook") as client:
        return await client.request(method, path)


async def test_money_leaves_as_exact_text():
    body = (await ask("/api/overview")).json()
    assert body["pnl"][0]["net_pnl"] == "-0.000001"
    assert body["signals"] == {"KILL_SWITCH": 2}


async def test_a_book_that_cannot_be_read_is_said_so_and_nothing_old_is_shown():
    answer = await ask("/api/overview", broken=True)
    assert answer.status_code == 503
    assert answer.json() == {"error": "the Book cannot be read", "kind": "OperationalError"}


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js", "/api/overview"])
async def test_every_answer_forbids_framing_caching_and_foreign_scripts(path: str):
    answer = await ask(path)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == "default-src 'self'"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_can_be_changed_here(method: str):
    assert (await ask("/api/overview", method=method)).status_code == 405


async def test_nothing_else_is_served():
    assert (await ask("/../config.py")).status_code == 404
    assert (await ask("/docs")).status_code == 404
