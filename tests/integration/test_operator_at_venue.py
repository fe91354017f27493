"""The commands that speak to the venue, as a person uses them: against a real socket, with and without a Book."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.operator.__main__ import app
from shared.domain.money import up
from shared.domain.orders import OrderSide, OrderType
from tests.factories import Desk
from tests.processes import Street, Venue, running, until, venue
from tests.resting import Maker

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
By = ("--by", "anna", "--reason", "drill")
Operate = Callable[..., Result]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    with venue(
        tmp_path_factory.mktemp("venue"), WINDOW_S="600", FIRST_OPEN_IN_S="1", MINED_S="0.5", CONFIRMED_S="1"
    ) as made:
        yield made


@pytest.fixture
def maker(
    simulator: Venue, database_url: str, role_url: Callable[[str], str], tmp_path: Path
) -> Iterator[Maker]:
    with Desk(role_url, database_url, mode="LIVE") as desk:
        street = Street(simulator, desk, tmp_path)
        street.open_market(left_s=40)
        yield Maker(street)


@pytest.fixture
def operate(maker: Maker, role_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Operate:
    """Run a command as onebook_operator with the account's credentials and no key."""
    environment = {
        "DATABASE_URL": role_url("operator"),
        "ACCOUNT_CREDENTIALS": maker.account_credentials(),
        **maker.street.venue.environment(),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    runner = CliRunner()

    def run(*arguments: str, status: int = 0) -> Result:
        result = runner.invoke(app, list(arguments), catch_exceptions=False)
        assert result.exit_code == status, result.output + result.stderr
        return result

    return run


def discrepancy(maker: Maker, order_id: str, kind: str) -> None:
    """What the reconciler writes when it finds an order the Book never wrote."""
    maker.street.desk.do(
        "reconciler",
        "INSERT INTO discrepancies (account_id, mode, kind, subject) VALUES (%s, 'LIVE', %s, %s)",
        *(maker.street.desk.account, kind, order_id),
    )


def test_an_order_made_elsewhere_is_shown_first_then_adopted_with_its_fills(
    operate: Operate, maker: Maker
) -> None:
    desk = maker.street.desk
    ghost = maker.place(
        maker.intent(order_type=OrderType.FAK, limit_price=Decimal("0.99"), amount=Decimal(5))
    )
    discrepancy(maker, ghost.order_id, "TRADE_UNWRITTEN")
    before = desk.buckets()
    shown = operate("adopt", ghost.order_id, *By).stdout
    assert "would adopt" in shown
    assert desk.buckets() == before
    assert desk.all("SELECT FROM orders") == []
    said = operate("adopt", ghost.order_id, "--book", *By).stdout
    assert "adopted" in said
    assert "1 discrepancies closed" in said
    order = desk.one("SELECT * FROM orders")
    assert (order["state"], order["order_type"], order["purpose"]) == ("FILLED", "FAK", "ENTRY")
    position = desk.one("SELECT * FROM positions")
    assert (position["state"], position["strategy_id"]) == ("MONITORING", "adopted")
    truth = maker.street.truth()
    until(
        "the venue moved the cash",
        lambda: Decimal(maker.street.truth()["cash"]) != Decimal(truth["deposited"]),
    )
    assert desk.buckets()["CASH"] == Decimal(maker.street.truth()["cash"])
    assert position["bought_shares"] == Decimal(maker.street.truth()["tokens"][order["token_id"]]["mined"])
    event = desk.one("SELECT actor, details FROM audit_events WHERE kind = 'order_adopted'")
    assert (event["actor"], event["details"]["reason"]) == ("anna", "drill")
    row = desk.one("SELECT resolved_at, resolution FROM discrepancies")
    assert row["resolved_at"] is not None
    assert row["resolution"] == "adopted by anna: drill"
    desk.assert_books_agree()
    assert "has order" in operate("adopt", ghost.order_id, "--account", desk.account, *By, status=1).stderr
    told = json.loads(operate("explain", ghost.order_id, "--json").stdout)
    assert "order_adopted" in [step["what"] for step in told["chain"]]


def test_an_order_that_rests_is_adopted_with_its_capital_and_can_be_cancelled_by_a_word(
    operate: Operate, maker: Maker
) -> None:
    desk = maker.street.desk
    ghost = maker.place(maker.intent())
    discrepancy(maker, ghost.order_id, "ORDER_UNWRITTEN")
    operate("adopt", ghost.order_id, "--book", *By)
    order = desk.one("SELECT * FROM orders")
    assert (order["state"], order["order_type"]) == ("LIVE", "GTC")
    assert desk.buckets()["RESERVED"] == order["reserved_usdc"] > 2
    assert "asked the executor" in operate("cancel", ghost.order_id[:14], *By).stdout
    assert "nothing was changed" in operate("cancel", ghost.order_id[:14], *By, status=1).stderr
    desk.do("execution", "SELECT pg_advisory_unlock_all()")
    with maker.street.executing() as process:
        maker.street.lead(process, after=desk.epoch)
        until("it is cancelled", lambda: desk.one("SELECT state FROM orders")["state"] == "KILLED")
    assert desk.buckets()["RESERVED"] == 0
    desk.assert_books_agree()


def test_a_sale_made_elsewhere_needs_the_position_it_sold(operate: Operate, maker: Maker) -> None:
    desk = maker.street.desk
    bought = maker.place(
        maker.intent(order_type=OrderType.FAK, limit_price=Decimal("0.99"), amount=Decimal(5))
    )
    until(
        "the tokens are there",
        lambda: any(Decimal(each["mined"]) for each in maker.street.truth()["tokens"].values()),
    )
    bid = max(Decimal(level["price"]) for level in maker.street.book("UP")["bids"])
    limit = max(bid - Decimal("0.05"), Decimal("0.01"))
    shares = up(Decimal("1.5") / limit, Decimal("0.01"))
    sold = maker.place(
        maker.intent(side=OrderSide.SELL, order_type=OrderType.FAK, limit_price=limit, amount=shares)
    )
    for order_id in (bought.order_id, sold.order_id):
        discrepancy(maker, order_id, "TRADE_UNWRITTEN")
    said = operate("adopt", sold.order_id, "--book", *By, status=1).stderr
    assert "adopt the order that bought it first" in said
    operate("adopt", bought.order_id, "--book", *By)
    operate("adopt", sold.order_id, "--book", *By)
    position = desk.one("SELECT * FROM positions")
    assert position["sold_shares"] == shares
    cash = desk.buckets()["CASH"]
    until("venue and Book agree on cash", lambda: Decimal(maker.street.truth()["cash"]) == cash)
    desk.assert_books_agree()


def test_what_nobody_misses_or_the_venue_does_not_know_is_not_adopted(operate: Operate, maker: Maker) -> None:
    nobody = "0x" + "ab" * 32
    assert "0 accounts miss" in operate("adopt", nobody, *By, status=1).stderr
    discrepancy(maker, nobody, "ORDER_UNWRITTEN")
    assert "the venue shows no order" in operate("adopt", nobody, *By, status=1).stderr
    assert "names no account other" in operate("adopt", nobody, "--account", "other", *By, status=1).stderr


def test_an_unknown_is_explained_with_what_it_still_lacks(operate: Operate, maker: Maker) -> None:
    desk = maker.street.desk
    assert "no order is Unknown" in operate("unknown").stdout
    token = maker.street.window["up_token"]
    claim = desk.claim(desk.signal(maker.street.window["slug"], token_id=token), token_id=token)
    desk.record(claim.order_id, "LOST", reason="TIMEOUT")
    said = operate("unknown", claim.order_id[:10]).stdout
    assert "holds 2.14 USDC" in said
    assert "proves NOTHING" in said
    assert said.count("missing") == 4


def test_a_preflight_names_every_check_and_what_fails(operate: Operate, maker: Maker) -> None:
    page = operate("preflight", status=1).stdout
    wrong = [line for line in page.splitlines() if line.startswith("WRONG")]
    assert [line.split()[1] for line in wrong] == ["durability"]  # the server of the tests forgets on purpose
    for check in (
        "geoblock",
        "pooler",
        "wallet deployment of desk",
        "allowances of desk",
        "credentials of desk",
    ):
        assert check in page
    maker.street.venue.ask("/restrict", {"wallet": maker.keys["wallet"], "restriction": "closed_only"})
    assert "restriction of desk" in "".join(
        line for line in operate("preflight", status=1).stdout.splitlines() if line.startswith("WRONG")
    )


def test_the_smallest_order_goes_the_whole_way_and_is_read_back(maker: Maker) -> None:
    """The command sends nothing itself: the strategy may speak while it waits, the executor signs and sends."""
    desk = maker.street.desk
    instance = f"{desk.account}-{desk.strategy}"
    desk.do("operator", "UPDATE strategy_instances SET enabled = false WHERE instance_id = %s", instance)
    environment = {
        "DATABASE_URL": desk.role_url("onebook_operator"),
        "ACCOUNT_CREDENTIALS": maker.account_credentials(),
        "PREFLIGHT_WAIVED": "durability",
        **maker.street.venue.environment(),
    }
    log = maker.street.folder / "preflight.log"
    arguments = ("preflight", "--smallest-order", desk.account, "--by", "anna", "--strategy", desk.strategy)
    desk.do("execution", "SELECT pg_advisory_unlock_all()")
    with maker.street.executing() as executing:
        maker.street.lead(executing, after=desk.epoch)
        with running("services.operator", environment, log, *arguments) as command:
            until(
                "the strategy may speak",
                lambda: desk.all("SELECT FROM strategy_instances WHERE enabled AND enabled_by = 'anna'"),
            )
            signal_id = maker.street.say(amount_usdc=Decimal("1.5"))
            order = maker.street.order_of(signal_id)
            assert command.process.wait(timeout=50) == 0, command.output()
    said = command.output()
    row = desk.one("SELECT * FROM orders")
    assert f"{order['order_id']}: Book {row['traded_shares']:f} shares" in said
    assert "WAIVED" in said
    assert desk.all("SELECT FROM strategy_instances WHERE NOT enabled"), "and is silent again"


def test_a_smallest_order_needs_a_name_and_an_account_that_is_sound(
    operate: Operate, monkeypatch: pytest.MonkeyPatch
) -> None:
    operate("preflight", "--smallest-order", "desk", status=2)
    monkeypatch.setenv("PREFLIGHT_WAIVED", "durability")
    said = operate("preflight", "--smallest-order", "desk", "--by", "anna", "--strategy", "none", status=1)
    assert "nobody runs none" in said.stdout
    monkeypatch.setenv("PREFLIGHT_WAIVED", "")
    said = operate("preflight", "--smallest-order", "desk", "--by", "anna", status=1)
    assert "smallest order of" not in said.stdout, "not while a check fails"


def test_live_does_not_start_on_a_database_that_forgets(maker: Maker) -> None:
    environment = maker.street.execution_environment() | {"PREFLIGHT_WAIVED": ""}
    with running("services.execution", environment, maker.street.folder / "refused.log") as process:
        assert process.process.wait(timeout=40) == 1
        assert "LIVE may not start: durability" in process.output()
        assert "turn fsync" in process.output()


def test_with_real_money_open_a_failed_preflight_starts_it_with_the_breaker_open(maker: Maker) -> None:
    desk = maker.street.desk
    claim = maker.rest()
    desk.do("execution", "SELECT pg_advisory_unlock_all()")
    with maker.street.executing(PREFLIGHT_WAIVED="") as process:
        maker.street.lead(process, after=desk.epoch)
        assert desk.gate()["breaker_reason"] == "VENUE_REFUSES"
        desk.do("operator", "SELECT request_cancel(%s, 'test', 'anna')", claim.order_id)
        until("it still cancels", lambda: desk.order_row(claim)["state"] == "KILLED")


def test_the_emergency_needs_no_database_at_all(
    maker: Maker, operate: Operate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials alone: DATABASE_URL points nowhere, or is not set, and what rests is cancelled and read back (R6)."""
    orders = [maker.place(maker.intent()).order_id for _ in range(2)]
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    said = operate("emergency", "--direct", *By).stdout
    assert f"{maker.street.desk.account}: 2 orders cancelled at the venue, nothing rests any more" in said
    assert {maker.at_venue(order)["status"] for order in orders} == {"CANCELED"}
    monkeypatch.delenv("DATABASE_URL")
    assert "0 orders cancelled" in operate("emergency", "--direct", "--account", "desk", *By).stdout


def test_an_emergency_that_cannot_be_confirmed_fails(
    maker: Maker, operate: Operate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.operator.direct.PAUSE_S", 0.01)
    order = maker.place(maker.intent()).order_id
    match = {"method": "DELETE", "path": "/cancel-all", "wallet": maker.keys["wallet"]}
    maker.street.venue.ask("/faults", {"name": "http_425", "match": match, "times": -1, "seconds": 1})
    said = operate("emergency", "--direct", *By, status=1)
    assert "NOT CONFIRMED: 1 still rest" in said.stdout
    assert maker.at_venue(order)["status"] == "LIVE"
    assert (
        "names no account nobody"
        in operate("emergency", "--direct", "--account", "nobody", *By, status=1).stderr
    )


def test_who_may_only_cancel_finds_no_key_beside_it(
    operate: Operate, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNING_KEYS", json.dumps({"desk": maker.keys}))
    for command in (("emergency", "--direct", *By), ("preflight",), ("adopt", "0x1", *By)):
        said = operate(*command, status=2)
        assert "only execution may hold a signing key" in said.stderr + said.output
