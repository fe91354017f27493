"""Every check of the preflight, seen failing on the wire: by its name on a person's page, and LIVE does not start (E22)."""

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.operator.__main__ import app
from tests.factories import CLOCK, Desk
from tests.integration.pooling import pooler_to
from tests.processes import Street, Venue, running
from tests.resting import Maker

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
OF_THE_SERVER = "durability"
"""The server of the tests forgets on purpose: this check fails always."""
OF_THE_WORLD = ("pooler", "clock of this machine", "geoblock", "venue's clock", "feeds' clocks")
OF_THE_ACCOUNT = (
    "wallet kind of desk",
    "wallet deployment of desk",
    "credentials of desk",
    "allowances of desk",
    "restriction of desk",
    "sizes of desk",
)
CHECKS = (OF_THE_SERVER, *OF_THE_WORLD, *OF_THE_ACCOUNT)


@dataclass
class Ground:
    """What a preflight stands on: sound but for the server, until something of it is spoilt."""

    maker: Maker
    environment: dict[str, str]
    stack: ExitStack
    account: dict[str, object] = field(default_factory=dict)

    @property
    def desk(self) -> Desk:
        return self.maker.street.desk

    def arm(self, name: str, **more: object) -> None:
        self.maker.street.venue.ask("/faults", {"name": name, "times": -1, **more})

    def settings(self) -> dict[str, str]:
        """The command's environment; asking for credentials logs in, so it is done once."""
        if "ACCOUNT_CREDENTIALS" not in self.environment:
            accounts = json.loads(self.maker.account_credentials())
            accounts[self.desk.account] |= self.account
            self.environment["ACCOUNT_CREDENTIALS"] = json.dumps(accounts)
        return self.environment


@pytest.fixture
def ground(
    simulator: Venue, database_url: str, role_url: Callable[[str], str], tmp_path: Path
) -> Iterator[Ground]:
    with Desk(role_url, database_url, mode="LIVE") as desk, ExitStack() as stack:
        street = Street(simulator, desk, tmp_path)
        street.open_market(left_s=30)
        environment = {"DATABASE_URL": role_url("operator"), **simulator.environment()}
        stack.callback(disarm, simulator)
        yield Ground(Maker(street), environment, stack)


def disarm(simulator: Venue) -> None:
    request = urllib.request.Request(f"{simulator.urls['control_url']}/_sim/faults", method="DELETE")
    urllib.request.urlopen(request, timeout=10).close()


def share_a_backend(ground: Ground) -> None:
    pooler = ground.stack.enter_context(pooler_to(ground.environment["DATABASE_URL"]))
    ground.environment["DATABASE_URL"] = pooler.url


def set_the_databases_clock_ahead(ground: Ground) -> None:
    """Half a second ahead, for whoever asks it from now on."""
    owner = ground.desk.owner
    owner.execute("CREATE SCHEMA ahead")
    owner.execute("GRANT USAGE ON SCHEMA ahead TO PUBLIC")
    owner.execute(
        "CREATE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
        " AS $$ SELECT pg_catalog.clock_timestamp() + interval '0.5 s' $$"
    )
    owner.execute("GRANT EXECUTE ON FUNCTION ahead.clock_timestamp() TO PUBLIC")
    name = ground.desk.one("SELECT current_database() AS name")["name"]
    owner.execute(f'ALTER DATABASE "{name}" SET search_path = ahead, pg_catalog, public')


def set_the_venues_clock_ahead(ground: Ground) -> None:
    ground.arm("clock_ahead", seconds=3)


def stand_in_a_blocked_region(ground: Ground) -> None:
    ground.arm("region_blocked")


def hear_of_a_feed_that_is_late(ground: Ground) -> None:
    """As the feed collector writes it, an hour ago and now."""
    statement = "INSERT INTO clock_offsets (source, offset_ms, error_ms, measured_at) VALUES (%s, %s, 10, clock_timestamp() - %s::interval)"
    for source, offset_ms, ago in (
        ("pyth", -9000, "1 hour"),
        ("chainlink", -1500, "0 s"),
        ("clob", 900, "0 s"),
    ):
        ground.desk.do("feed_collector", statement, source, offset_ms, ago)


def trade_as_the_key_itself(ground: Ground) -> None:
    address = ground.maker.login().address
    ground.maker.street.venue.ask("/accounts", {"address": address, "signature_type": 0})
    ground.account |= {"wallet": address, "signature_type": 0}


def never_deploy_the_wallet(ground: Ground) -> None:
    ground.account |= {"wallet": "0x" + "5a" * 20}


def delete_the_api_key(ground: Ground) -> None:
    ground.settings()
    login = ground.maker.login()
    path = "/auth/api-key"
    request = urllib.request.Request(
        ground.environment["CLOB_URL"] + path,
        headers=login.headers("DELETE", path, "", CLOCK.now()),
        method="DELETE",
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def approve_nothing(ground: Ground) -> None:
    address = ground.maker.login().address
    account = {"address": address, "usdc": "0", "approved": False}
    for kind in (0, 3):
        ground.maker.street.venue.ask("/accounts", {**account, "signature_type": kind})


def let_it_only_close(ground: Ground) -> None:
    ground.maker.street.venue.ask(
        "/restrict", {"wallet": ground.maker.keys["wallet"], "restriction": "closed_only"}
    )


def cap_positions_below_the_smallest_order(ground: Ground) -> None:
    ground.desk.control("max_position_usd", "0.99")


def preflight(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> tuple[set[str], str]:
    """The checks the page calls wrong, and the page."""
    for name, value in ground.settings().items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, ["preflight"], catch_exceptions=False)
    assert result.exit_code == 1, result.output + result.stderr
    lines = result.stdout.splitlines()
    wrong = {
        check for check in CHECKS if any(re.match(rf"WRONG +{re.escape(check)}\b", line) for line in lines)
    }
    assert len(wrong) == sum(line.startswith("WRONG") for line in lines), result.stdout
    return wrong, result.stdout


@pytest.mark.parametrize(
    ("spoil", "wrong"),
    [
        (share_a_backend, {"pooler"}),
        (set_the_databases_clock_ahead, {"clock of this machine"}),
        (stand_in_a_blocked_region, {"geoblock"}),
        (set_the_venues_clock_ahead, {"venue's clock"}),
        (hear_of_a_feed_that_is_late, {"feeds' clocks"}),
        (trade_as_the_key_itself, {"wallet kind of desk", "wallet deployment of desk"}),
        (never_deploy_the_wallet, {"wallet deployment of desk"}),
        (delete_the_api_key, {"credentials of desk", "allowances of desk", "restriction of desk"}),
        (approve_nothing, {"allowances of desk"}),
        (let_it_only_close, {"restriction of desk"}),
        (cap_positions_below_the_smallest_order, {"sizes of desk"}),
    ],
    ids=lambda each: each.__name__ if callable(each) else "",
)
def test_what_is_wrong_is_found_by_its_name_and_nothing_else_is(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Ground], None], wrong: set[str]
) -> None:
    spoil(ground)
    found, page = preflight(ground, monkeypatch)
    assert found == wrong | {OF_THE_SERVER}, page


@pytest.mark.parametrize(
    ("host", "path", "check"),
    [
        ("gamma", "/api/geoblock", "geoblock"),
        ("clob", "/time", "venue's clock"),
        ("rpc", "/", "wallet deployment of desk"),
        ("clob", "/auth/api-keys", "credentials of desk"),
        ("clob", "/balance-allowance", "allowances of desk"),
        ("clob", "/auth/ban-status/closed-only", "restriction of desk"),
    ],
)
def test_what_cannot_be_read_counts_as_wrong(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, host: str, path: str, check: str
) -> None:
    ground.arm("html_403", match={"host": host, "path": path})
    found, page = preflight(ground, monkeypatch)
    assert found == {check, OF_THE_SERVER}, page
    assert "could not be read" in page


def test_live_does_not_start_and_names_every_check_that_failed(ground: Ground, tmp_path: Path) -> None:
    """All of them at once; a started one would take the lock, and with it an epoch."""
    keys = json.loads(ground.maker.street.signing_keys())
    trade_as_the_key_itself(ground)
    keys[ground.desk.account] |= ground.account
    approve_nothing(ground)
    let_it_only_close(ground)
    stand_in_a_blocked_region(ground)
    set_the_venues_clock_ahead(ground)
    cap_positions_below_the_smallest_order(ground)
    hear_of_a_feed_that_is_late(ground)
    set_the_databases_clock_ahead(ground)
    ground.arm("html_403", match={"host": "clob", "path": "/auth/api-keys"})
    ground.environment["DATABASE_URL"] = ground.desk.role_url("onebook_execution")
    share_a_backend(ground)
    environment = ground.maker.street.execution_environment(
        DATABASE_URL=ground.environment["DATABASE_URL"],
        SIGNING_KEYS=json.dumps(keys),
        PREFLIGHT_WAIVED="",
    )
    ground.desk.do("execution", "SELECT pg_advisory_unlock_all()")
    with running("services.execution", environment, tmp_path / "refused.log") as process:
        assert process.process.wait(timeout=60) == 1, process.output()
        said = process.output().partition("LIVE may not start: ")[2]
    assert {check for check in CHECKS if f"{check}: " in said} == set(CHECKS), said
    assert ground.desk.one("SELECT max(epoch) AS epoch FROM executor_epochs")["epoch"] == ground.desk.epoch
