from decimal import Decimal

import httpx
import pytest
import respx

from shared.venue import http
from shared.venue.http import HttpReads, retry_after_s
from shared.venue.refusals import ReadFailed
from tests.unit.shared.venue.venue_values import API_KEY, CREDENTIALS, NOW, SetClock

BASE = "https://clob.test"


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch):
    monkeypatch.setattr(http, "FIRST_WAIT_S", 0.0)


async def get(*answers, path="/x", find=False, credentials=None, **options):
    """Return what one read gives, and the requests it made, against answers given in turn."""
    with respx.mock(base_url=BASE) as router:
        route = router.get(path).mock(side_effect=list(answers))
        async with HttpReads(BASE, SetClock(), credentials=credentials) as reads:
            found = await (reads.find if find else reads.get)(path, **options)
        return found, route.calls


async def test_numbers_arrive_exact():
    found, _ = await get(httpx.Response(200, text='{"p":0.07,"n":5}'))
    assert found == {"p": Decimal("0.07"), "n": 5}
    assert isinstance(found["p"], Decimal)


@pytest.mark.parametrize(
    "first",
    [httpx.ConnectError("x"), httpx.ReadTimeout("x"), *map(httpx.Response, [425, 429, 500, 502, 503, 504])],
)
async def test_a_read_that_may_work_later_is_repeated(first):
    found, calls = await get(first, httpx.Response(200, json=[1]))
    assert (found, len(calls)) == ([1], 2)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_a_read_that_is_refused_is_not_repeated(status):
    with pytest.raises(ReadFailed) as raised:
        await get(httpx.Response(status, text="no"))
    assert raised.value.status == status


async def test_a_read_fails_after_three_tries_and_never_as_an_empty_answer():
    with respx.mock(base_url=BASE) as router:
        route = router.get("/x").mock(return_value=httpx.Response(500, text="broken"))
        async with HttpReads(BASE, SetClock()) as reads:
            with pytest.raises(ReadFailed, match="500"):
                await reads.get("/x")
        assert route.call_count == 3


@pytest.mark.parametrize("text", ["", "<html>", "{", "not json"])
async def test_an_answer_that_is_no_json_is_a_failed_read(text):
    with pytest.raises(ReadFailed, match="JSON"):
        await get(httpx.Response(200, text=text))


async def test_what_the_venue_does_not_know_is_none_where_that_is_an_answer():
    found, _ = await get(httpx.Response(404, json={"error": "no"}), find=True)
    assert found is None
    with pytest.raises(ReadFailed):
        await get(httpx.Response(400), find=True)


async def test_a_short_retry_after_is_waited_for_and_a_long_one_is_the_callers_business():
    found, calls = await get(httpx.Response(429, headers={"Retry-After": "0"}), httpx.Response(200, json=1))
    assert (found, len(calls)) == (1, 2)
    with pytest.raises(ReadFailed) as raised:
        await get(httpx.Response(429, headers={"Retry-After": "60"}))
    assert raised.value.retry_after_s == 60


@pytest.mark.parametrize(("status", "tries"), [(429, 1), (503, 1), (500, 3)])
async def test_an_impatient_reader_hears_of_a_limit_at_once(status, tries):
    with respx.mock(base_url=BASE) as router:
        route = router.get("/x").mock(return_value=httpx.Response(status, headers={"Retry-After": "0"}))
        async with HttpReads(BASE, SetClock(), patient=False) as reads:
            with pytest.raises(ReadFailed) as raised:
                await reads.get("/x")
        assert (raised.value.status, raised.value.retry_after_s, route.call_count) == (status, 0, tries)


async def test_the_signature_leaves_the_query_out():
    _, calls = await get(
        httpx.Response(200, json=1), path="/data/orders", credentials=CREDENTIALS, params={"market": "0x1"}
    )
    sent = calls[0].request
    assert sent.url.query == b"market=0x1"
    assert (
        sent.headers["POLY_SIGNATURE"]
        == CREDENTIALS.headers("GET", "/data/orders", "", NOW)["POLY_SIGNATURE"]
    )
    assert sent.headers["POLY_API_KEY"] == API_KEY


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("3", 3.0),
        ("0.5", 0.5),
        ("-3", None),
        ("Mon, 05 Oct 2026 23:01:30 GMT", 30.0),
        ("Mon, 05 Oct 2026 23:00:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_retry_after_is_understood_in_both_forms(value, seconds):
    assert retry_after_s(value, NOW) == seconds
