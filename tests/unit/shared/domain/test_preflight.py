"""Each check of a preflight fails alone, and what could not be read has failed."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from shared.domain.clocks import MeasuredClock
from shared.domain.preflight import (
    EXCHANGES,
    AccountStanding,
    DatabaseFooting,
    Preflight,
    VenueStanding,
    examine,
    failed,
)

DATABASE = DatabaseFooting("on", "on", "on", own_backend=True, own_offset=timedelta(milliseconds=-20))
VENUE = VenueStanding(blocked=False, country="CH", offset_s=Decimal("0.4"))
ACCOUNT = AccountStanding(
    account_id="desk",
    address="0xA",
    wallet="0xB",
    signature_type=3,
    has_code=True,
    key_listed=True,
    closed_only=False,
    allowances=dict.fromkeys(EXCHANGES, 10**18),
    position_cap_usdc=Decimal(5),
)
ONE, OTHER = EXCHANGES


def names(*, database=DATABASE, venue=VENUE, account=ACCOUNT, clocks=(), waived=frozenset()):
    found = failed(examine(Preflight(database, venue, [account], clocks)), waived=waived)
    assert all(each.advice for each in found), "a failed check says what to do"
    return [each.check for each in found]


def test_a_sound_deployment_passes():
    assert names() == []
    assert [each.check for each in examine(Preflight(DATABASE, VENUE, [ACCOUNT]))] == [
        *("durability", "pooler", "clock of this machine", "geoblock", "venue's clock", "feeds' clocks"),
        *("wallet kind of desk", "wallet deployment of desk", "credentials of desk", "allowances of desk"),
        *("restriction of desk", "sizes of desk"),
    ]


def test_a_feeds_clock_that_is_off_fails_and_one_that_nobody_measured_does_not():
    fine, off = (
        MeasuredClock("chainlink", Decimal(-900), Decimal(5)),
        MeasuredClock("clob", Decimal(1400), Decimal(300)),
    )
    assert names(clocks=[fine]) == []
    assert names(clocks=[fine, off]) == ["feeds' clocks"]
    (finding,) = failed(examine(Preflight(DATABASE, VENUE, [ACCOUNT], [fine, off])))
    assert finding.found == "clob is +1400 ms off"


@pytest.mark.parametrize("name", ["fsync", "full_page_writes", "synchronous_commit"])
def test_a_database_that_forgets_fails_until_somebody_waives_it(name):
    assert names(database=replace(DATABASE, **{name: "off"})) == ["durability"]
    assert names(database=replace(DATABASE, **{name: "off"}), waived=frozenset({"durability"})) == []


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"own_backend": False}, "pooler"),
        ({"own_offset": timedelta(milliseconds=251)}, "clock of this machine"),
        ({"own_offset": timedelta(milliseconds=-251)}, "clock of this machine"),
    ],
)
def test_the_database_must_be_a_session_on_a_clock_like_ours(change, check):
    assert names(database=replace(DATABASE, **change)) == [check]


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"blocked": True}, "geoblock"),
        ({"blocked": None, "unread": {"geoblock": "status 403"}}, "geoblock"),
        ({"offset_s": Decimal("1.1")}, "venue's clock"),
        ({"offset_s": Decimal("-1.1")}, "venue's clock"),
        ({"offset_s": None, "unread": {"clock": "TIMEOUT"}}, "venue's clock"),
    ],
)
def test_the_venue_must_serve_us_at_our_time(change, check):
    assert names(venue=replace(VENUE, **change)) == [check]


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"signature_type": 0, "wallet": "0xA"}, "wallet kind of desk"),
        ({"signature_type": 4}, "wallet kind of desk"),
        ({"wallet": "0xa"}, "wallet kind of desk"),
        ({"has_code": False}, "wallet deployment of desk"),
        ({"has_code": None}, "wallet deployment of desk"),
        ({"key_listed": False}, "credentials of desk"),
        ({"key_listed": None}, "credentials of desk"),
        ({"closed_only": True}, "restriction of desk"),
        ({"closed_only": None}, "restriction of desk"),
        ({"allowances": {ONE: 1}}, "allowances of desk"),
        ({"allowances": {ONE: 1, OTHER: 0}}, "allowances of desk"),
        ({"allowances": None}, "allowances of desk"),
        ({"position_cap_usdc": Decimal("0.99")}, "sizes of desk"),
    ],
)
def test_an_account_must_be_able_to_trade(change, check):
    assert names(account=replace(ACCOUNT, **change)) == [check]


def test_an_account_somebody_closed_by_its_cap_may_start_to_sell_and_settle():
    assert names(account=replace(ACCOUNT, position_cap_usdc=Decimal(0))) == []


def test_exchanges_are_known_in_any_letters():
    assert names(account=replace(ACCOUNT, allowances={name.lower(): 1 for name in EXCHANGES})) == []


def test_an_older_wallet_kind_passes_where_the_venue_still_takes_it():
    assert names(account=replace(ACCOUNT, signature_type=1)) == []


def test_no_account_is_no_preflight():
    assert [each.check for each in failed(examine(Preflight(DATABASE, VENUE, [])))] == ["accounts"]
