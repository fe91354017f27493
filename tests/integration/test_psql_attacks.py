"""A person at a prompt, as each role in turn, against everything the catalog lists: what is new is attacked by itself.

What a role may do is written down in ``ownership.py``; everything else is tried here and must be refused (B15).
"""

import itertools
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from tests.factories import UP_TOKEN, Desk
from tests.integration.ownership import EXECUTE, SERVICES, WRITES

pytestmark = pytest.mark.integration

PATH = ["search_path=pg_catalog, public, pg_temp"]
REFUSALS = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.WrongObjectType,
    psycopg.errors.InvalidTableDefinition,
    psycopg.errors.ObjectNotInPrerequisiteState,  # a view of several tables
)


def tables(desk: Desk) -> list[str]:
    rows = desk.all(
        "SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')"
        " AND NOT relispartition ORDER BY 1"
    )
    return [row["name"] for row in rows]


def functions(desk: Desk) -> list[dict[str, Any]]:
    return desk.all(
        "SELECT oid, proname AS name, prosecdef AS definer, proconfig AS config, prorettype = 'trigger'::regtype AS is_trigger,"
        " pg_get_userbyid(proowner) AS owner, array(SELECT format('NULL::%%s', t::regtype) FROM unnest(proargtypes) t) AS nulls"
        " FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1"
    )


def written(desk: Desk, table: str, service: str) -> str:
    """What a role may do to a table, in the letters of WRITES."""
    role, found = f"onebook_{service}", ""
    for letter, right in zip("IUD", ("INSERT", "UPDATE", "DELETE"), strict=True):
        if desk.one("SELECT has_table_privilege(%s, %s, %s) AS may", role, table, right)["may"]:
            found += letter
        elif (
            letter != "D"
            and desk.one("SELECT has_any_column_privilege(%s, %s, %s) AS may", role, table, right)["may"]
        ):
            found += letter.lower()
    return found


def test_each_table_is_written_by_whom_this_page_names_and_by_nobody_else(desk: Desk) -> None:
    found: dict[str, dict[str, str]] = {}
    for table, service in itertools.product(tables(desk), SERVICES):
        if letters := written(desk, table, service):
            found.setdefault(table, {})[service] = letters
    assert found == WRITES


def test_no_role_empties_refers_to_or_hooks_into_any_table(desk: Desk) -> None:
    for table, service in itertools.product(tables(desk), SERVICES):
        for right in ("TRUNCATE", "REFERENCES", "TRIGGER"):
            may = desk.one(
                "SELECT has_table_privilege(%s, %s, %s) AS may", f"onebook_{service}", table, right
            )
            assert may == {"may": False}, (service, table, right)


def test_what_the_catalog_forbids_is_refused_at_the_prompt(desk: Desk) -> None:
    """The catalog is believed above; here each statement is typed."""
    for table, service in itertools.product(tables(desk), SERVICES):
        held = WRITES.get(table, {}).get(service, "").upper()
        column = desk.one(
            "SELECT quote_ident(attname) AS name FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
            " AND NOT attisdropped AND attidentity = '' AND attgenerated = '' ORDER BY attnum LIMIT 1",
            table,
        )["name"]
        attacks = [
            *(() if "I" in held else (f"INSERT INTO {table} DEFAULT VALUES", f"COPY {table} FROM STDIN")),
            *(() if "U" in held else (f"UPDATE {table} SET {column} = {column}",)),
            *(() if "D" in held else (f"DELETE FROM {table}",)),
            f"TRUNCATE {table} CASCADE",
            f"DROP TABLE {table} CASCADE",
            f"ALTER TABLE {table} DISABLE TRIGGER ALL",
            f"ALTER TABLE {table} ADD COLUMN mine text",
            f"ALTER TABLE {table} OWNER TO onebook_{service}",
            f"CREATE RULE mine AS ON INSERT TO {table} DO INSTEAD NOTHING",
            *(() if held else (f"DO $$ BEGIN LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; END $$",)),
        ]
        for attack in attacks:
            refused(desk, service, attack)
    assert desk.one("SELECT count(*) AS n FROM accounts") == {"n": 1}


def refused(desk: Desk, service: str, attack: str) -> None:
    with pytest.raises(REFUSALS):
        desk.as_role(service).execute(attack)
        pytest.fail(f"{service} may: {attack}")


def test_each_function_is_called_by_whom_this_page_names_and_by_nobody_else(desk: Desk) -> None:
    found: dict[str, set[str]] = {}
    for function in functions(desk):
        call = sql.SQL("SELECT {}({})").format(
            sql.Identifier(function["name"]), sql.SQL(", ".join(function["nulls"]))
        )
        for service in SERVICES:
            may = desk.one(
                "SELECT has_function_privilege(%s, %s::oid, 'EXECUTE') AS may",
                f"onebook_{service}",
                function["oid"],
            )
            if may["may"]:
                found.setdefault(function["name"], set()).add(service)
            elif not function["is_trigger"]:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    desk.as_role(service).execute(call)
    assert found == EXECUTE


def test_a_function_that_acts_as_the_owner_never_looks_into_its_callers_own_schema(desk: Desk) -> None:
    """pg_temp is looked into first unless it stands last in the path: a caller's own trading_gate would be believed."""
    for function in functions(desk):
        assert function["owner"] == "onebook_owner", function["name"]
        assert function["definer"] == (function["name"] in EXECUTE), function["name"]
        if function["definer"] or function["is_trigger"]:
            assert function["config"] == PATH, function["name"]


def test_a_gate_of_ones_own_opens_nothing(desk: Desk) -> None:
    """Every table of the Book shadowed by one of the claimer's own, all open to all, with the breaker closed in it."""
    desk.do("risk_monitor", "SELECT trip_breaker(%s, %s, 'MANUAL_TRIP', '{}')", desk.account, desk.mode)
    for table in (name for name in tables(desk) if name != "order_effects"):
        desk.do("execution", f"CREATE TEMP TABLE {table} AS SELECT * FROM public.{table}")
        desk.do("execution", f"GRANT ALL ON pg_temp.{table} TO PUBLIC")
    desk.do("execution", "UPDATE pg_temp.trading_gate SET breaker = 'CLOSED', breaker_reason = NULL")
    desk.do("execution", "UPDATE pg_temp.control_definitions SET default_value = '1000' WHERE kind = 'usdc'")
    assert desk.claim(desk.signal(desk.window())).refused == "BREAKER_OPEN"
    desk.do("operator", "SELECT reset_breaker(%s, %s, 'me', 'drill')", desk.account, desk.mode)
    for _ in range(3):
        desk.claim(desk.signal(desk.window()))
    assert desk.one("SELECT count(*) AS n FROM orders") == {"n": 3}, "what is claimed is claimed in the Book"
    desk.control("max_open_positions", "3")
    assert desk.claim(desk.signal(desk.window())).refused == "MAX_OPEN_POSITIONS"
    desk.assert_books_agree()


def test_functions_and_a_path_of_ones_own_change_no_claim(desk: Desk) -> None:
    desk.control("kill_switch", "PAUSE")
    for statement in (
        "CREATE FUNCTION pg_temp._refuse(text) RETURNS void LANGUAGE sql AS 'SELECT'",
        "CREATE FUNCTION pg_temp._lock_account(text) RETURNS void LANGUAGE sql AS 'SELECT'",
        "CREATE FUNCTION pg_temp._never(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false'",
        "CREATE OPERATOR pg_temp.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_temp._never)",
        "SET search_path = pg_temp, public, pg_catalog",
    ):
        desk.do("execution", statement)
    assert desk.claim(desk.signal(desk.window())).refused == "KILL_SWITCH"


def test_steps_of_ones_own_take_no_window_back(desk: Desk) -> None:
    window = desk.window(state="CLOSED")
    desk.do("feed_collector", "CREATE TEMP TABLE state_transitions (LIKE public.state_transitions)")
    desk.do(
        "feed_collector", "INSERT INTO pg_temp.state_transitions VALUES ('window', 'CLOSED', 'x', 'OPEN')"
    )
    with pytest.raises(psycopg.Error, match="illegal window transition"):
        desk.do("feed_collector", "UPDATE public.windows SET state = 'OPEN' WHERE window_id = %s", window)


ESCAPES = (
    "SET ROLE onebook_owner",
    "SET SESSION AUTHORIZATION onebook_owner",
    "SET session_replication_role = replica",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "ALTER ROLE onebook_owner LOGIN",
    "CREATE ROLE mine SUPERUSER",
    "GRANT onebook_owner TO CURRENT_USER",
    "ALTER SYSTEM SET fsync = off",
    "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION public._claim_bar(p_epoch bigint) RETURNS text LANGUAGE sql AS 'SELECT NULL'",
    "CREATE TABLE public.mine ()",
    "CREATE SCHEMA mine",
    "CREATE EXTENSION pg_stat_statements",
    "CREATE EVENT TRIGGER mine ON ddl_command_end EXECUTE FUNCTION _refuse_rewrite()",
    "ALTER FUNCTION _claim_bar(bigint) SECURITY DEFINER",
    "ALTER FUNCTION claim_entry(bigint, text, jsonb, text, jsonb) RESET search_path",
    "ALTER DOMAIN usdc DROP CONSTRAINT usdc_finite",
    "DO $$ BEGIN UPDATE public.trading_gate SET breaker = 'CLOSED'; END $$",
    "DO $$ BEGIN PERFORM public._trip('desk', 'PAPER', 'MANUAL_TRIP', '{}'); END $$",
    "DO $$ BEGIN PERFORM public._post('desk', 'PAPER', 'EXTERNAL', 'CASH', 1, 'x', false, NULL, NULL, NULL); END $$",
    "COPY accounts TO PROGRAM 'cat'",
    "COPY accounts TO '/tmp/onebook-accounts'",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT * FROM pg_authid",
    "WITH x AS (UPDATE public.ledger_balances SET balance = 1000 RETURNING 1) SELECT * FROM x",
    "SELECT * FROM public.trading_gate FOR UPDATE",
    "SELECT * FROM public.accounts FOR SHARE",
    "MERGE INTO public.trading_gate g USING (SELECT 1) x ON true WHEN MATCHED THEN UPDATE SET breaker = 'CLOSED'",
    "CREATE TEMP VIEW mine AS SELECT * FROM public.accounts; DELETE FROM mine",
)  # fmt: skip


def test_no_role_becomes_another_or_reaches_past_the_functions(desk: Desk) -> None:
    desk.enter()
    for attack, service in itertools.product(ESCAPES, SERVICES):
        try:
            desk.as_role(service).execute(attack)
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported):
            continue  # no right to it, or the server does not have it at all
        pytest.fail(f"{service} may: {attack}")
    desk.assert_books_agree()


def test_signed_bodies_are_read_by_nobody_but_execution(desk: Desk) -> None:
    desk.enter()
    for service in set(SERVICES) - {"execution"}:
        for attack in (
            "TABLE order_bodies",
            "COPY order_bodies TO STDOUT",
            "SELECT count(body) FROM order_bodies",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                desk.as_role(service).execute(attack)


def test_a_snapshot_from_before_a_trip_claims_nothing_after_it(desk: Desk) -> None:
    """A session that chose REPEATABLE READ to keep seeing a closed breaker fails on the account's row instead."""
    signal = desk.signal(desk.window())
    executor = desk.as_role("execution")
    with executor.transaction():
        executor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        executor.execute("SELECT breaker FROM trading_gate")
        desk.do("risk_monitor", "SELECT trip_breaker(%s, %s, 'MANUAL_TRIP', '{}')", desk.account, desk.mode)
        with pytest.raises(psycopg.errors.SerializationFailure), executor.transaction():
            desk.claim(signal)
    assert desk.one("SELECT count(*) AS n FROM orders") == {"n": 0}


@pytest.fixture
def untouched(desk: Desk) -> Iterator[Desk]:
    """A desk whose counters, buckets and orders must be afterwards as they were before."""
    look = (
        "SELECT (SELECT jsonb_agg(c) FROM position_counters c) AS counters, (SELECT count(*) FROM orders) AS orders,"
        " (SELECT count(*) FROM window_entries) AS entries, (SELECT count(*) FROM entry_slots) AS slots,"
        " (SELECT jsonb_agg(b ORDER BY mode, bucket) FROM ledger_balances b) AS buckets"
    )
    before = desk.one(look)
    yield desk
    assert desk.one(look) == before
    desk.assert_books_agree()


NO_AMOUNTS = ("NaN", "Infinity", "-Infinity", "-1", "0", "1e400", "0.0000001", "x", "", None)


@pytest.mark.parametrize("field", ["reserved_usdc", "maker_amount", "taker_amount", "limit_price"])
def test_a_crafted_amount_claims_nothing(untouched: Desk, field: str) -> None:
    for value in NO_AMOUNTS:
        if (field, value) == ("taker_amount", "1e400"):
            continue  # more shares for the same dollars: a price nobody sells at, and nothing gained
        signal = untouched.signal(untouched.window())
        assert refused_somehow(untouched, signal, **{field: value}), (field, value)


def refused_somehow(desk: Desk, signal: str, **fields: Any) -> bool:
    """By name, or because what was given is no number, or not one of ours."""
    try:
        return desk.claim(signal, **fields).refused is not None
    except (psycopg.errors.DataError, psycopg.errors.IntegrityError):
        return True


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"reserved_usdc": "5.01", "maker_amount": "5.01", "taker_amount": "10"}, "POSITION_CAP"),
        ({"reserved_usdc": "5.01", "cap_usdc": "1000"}, "POSITION_CAP"),
        ({"reserved_usdc": "5.01", "cap_usdc": "NaN"}, "POSITION_CAP"),
        ({"reserved_usdc": "1"}, "INSUFFICIENT_CAPITAL"),
        ({"token_id": "9" * 70}, "MARKET_MISMATCH"),
        ({"limit_price": "0.99"}, "PRICE_MOVED"),
        ({"maker_amount": "2", "taker_amount": "2.1"}, "PRICE_MOVED"),
    ],
)
def test_a_crafted_order_is_refused_by_name(untouched: Desk, fields: dict[str, Any], refusal: str) -> None:
    assert untouched.claim(untouched.signal(untouched.window()), **fields).refused == refusal


@pytest.mark.parametrize("risk", [{"max_position_usdc": "100000"}, {"max_position_usdc": "NaN"}, {}])
def test_a_signal_cannot_raise_its_own_cap(untouched: Desk, risk: dict[str, str]) -> None:
    signal = untouched.signal(untouched.window(), risk=Jsonb({**risk, "max_slippage": "0.02"}))
    assert untouched.claim(signal, reserved_usdc="5.01", cap_usdc="100000").refused == "POSITION_CAP"


def test_forged_names_of_strategies_gain_no_second_entry(desk: Desk) -> None:
    """Whoever writes signals may invent strategies: the market is still entered once, the window twice in its life."""
    window = desk.window()
    answers = [desk.claim(desk.signal(window, strategy_id=f"forged-{number}")).refused for number in range(5)]
    assert answers == [None, *["POSITION_EXISTS"] * 4]
    for order in desk.all("SELECT order_id FROM orders WHERE state = 'SUBMITTING'"):
        desk.record(order["order_id"], "REFUSED", reason="x")
    assert desk.claim(desk.signal(window, strategy_id="forged-5")).refused is None
    for order in desk.all("SELECT order_id FROM orders WHERE state = 'SUBMITTING'"):
        desk.record(order["order_id"], "REFUSED", reason="x")
    assert desk.claim(desk.signal(window, strategy_id="forged-6")).refused == "ORDER_CAP"


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-Infinity"])
def test_no_money_that_is_no_number_enters_the_ledger(untouched: Desk, amount: str) -> None:
    for service in ("reconciler", "operator"):
        with pytest.raises(psycopg.errors.CheckViolation):
            untouched.do(
                service,
                "SELECT book_external(%s, %s, 'DEPOSIT', %s, 'forged')",
                *(untouched.account, untouched.mode, amount),
            )
    with pytest.raises(psycopg.errors.CheckViolation):
        untouched.do(
            "operator",
            "SELECT correct(%s, %s, %s, 'forged', 'me', 'why', false)",
            *(untouched.account, untouched.mode, amount),
        )


@pytest.mark.parametrize("details", [{"shares": "NaN", "usdc": "1"}, {"shares": "1", "usdc": "Infinity"},
                                     {"shares": "1", "usdc": "-50"}, {"shares": "1", "usdc": "1", "fee_usdc": "-9"}])  # fmt: skip
def test_a_forged_answer_makes_no_cash(desk: Desk, details: dict[str, str]) -> None:
    claim = desk.enter()
    before = desk.buckets()
    with pytest.raises(psycopg.errors.CheckViolation):
        desk.record(claim.order_id, "MATCHED", **details)
    with pytest.raises(psycopg.errors.CheckViolation):
        desk.trade(claim.order_id, "forged", **{"shares": "1", "usdc": "1"} | details)
    assert desk.buckets() == before


def test_of_an_unopened_account_nothing_is_claimed(untouched: Desk) -> None:
    signal = untouched.signal(untouched.window(), token_id=UP_TOKEN, mode="LIVE")
    assert untouched.claim(signal).refused == "INSUFFICIENT_CAPITAL"


@pytest.mark.parametrize(
    ("control", "refusal"),
    [
        ("max_exposure_usd", "MAX_EXPOSURE"),
        ("max_instrument_usd", "MAX_INSTRUMENT"),
        ("max_session_loss", "SESSION_DEPLOYED"),
    ],
)
def test_a_limit_holds_to_the_micro_unit(desk: Desk, control: str, refusal: str) -> None:
    desk.control(control, "4.279999")
    assert desk.claim(desk.signal(desk.window())).refused is None
    assert desk.claim(desk.signal(desk.window())).refused == refusal
    desk.control(control, "4.28")
    assert desk.claim(desk.signal(desk.window())).refused is None
    assert desk.claim(desk.signal(desk.window())).refused == refusal


def test_a_name_that_is_taken_takes_nothing_over(desk: Desk) -> None:
    """An order or a position of an earlier claim, named again by a later one: nothing of either changes."""
    held = desk.hold()
    before = desk.position(held), desk.order_row(held), desk.buckets()
    taken: dict[str, Any]
    for taken in ({"order_id": held.order_id}, {"position_id": held.position_id}):
        answer = desk.claim(desk.signal(desk.window()), **taken).refused
        assert answer in {"SIGNAL_NOT_NEW", "SERIALIZATION_CONFLICT"}
    assert (desk.position(held), desk.order_row(held), desk.buckets()) == before
    assert desk.one("SELECT body FROM order_bodies") == {"body": "body"}
    desk.assert_books_agree()
