"""Sets up a demo's world: a database, the fake venue, wallets, accounts, and each process's environment.

Everything is made anew: the Book of the demo before is dropped, for the fake venue forgets its money when it ends.
"""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg import sql

from deploy.local import embedded
from deploy.local.demo_options import DemoOptions
from deploy.local.processes import Program, clean_environment, run_once
from services.operator import actions
from services.operator.actions import Person
from shared.db.engine import Database
from shared.domain.ids import AccountId
from shared.domain.modes import Mode
from shared.venue.paper import paper_address

STRATEGIES: Mapping[str, str] = {"canary": "always-trade-canary", "oracle": "oracle-average"}
"""Account → the strategy it runs: two strategies that may hold the same market are two accounts (D10)."""
SERVICES = frozenset({"feed_collector", "signal_engine", "execution", "risk_monitor", "reconciler"})
DEPOSIT_USDC = Decimal(100)
TAKER_HOLD_MS = 150
"""How long the venue holds a taker's order before it matches."""
REAL_WINDOW_S = 900
FIRST_OPEN_IN_S = 20
"""The first window opens when every service has had the time to start."""
SIGNATURE_TYPE = 3
LOGIN_WITHIN_S = 30.0
ASK_WITHIN_S = 10.0
DEMO = Person("demo", "make demo")
CONTROLS: Mapping[str, str] = {
    "allowed_instruments": "*",
    "anti_flip_s": "0",  # five minutes are five windows here: replayed windows are shorter than the real ones
}
_ADDRESSES = {
    "CLOB_URL": "clob_url",
    "GAMMA_URL": "gamma_url",
    "DATA_URL": "data_url",
    "SITE_URL": "site_url",
    "RELAYER_URL": "relayer_url",
    "RPC_URL": "rpc_url",
    "MARKET_STREAM_URL": "clob_market_ws_url",
    "USER_STREAM_URL": "clob_user_ws_url",
    "POLYBOLT_URL": "polybolt_url",
    "BINANCE_URL": "binance_url",
}
_ROOT = Path(__file__).resolve().parents[2]


class WorldFailed(Exception):
    """The demo's world could not be made; the message says what was seen."""


@dataclass(frozen=True, slots=True)
class Wallets:
    """Seeded keys of a fake venue and what it knows of them; worth nothing anywhere else."""

    signing_keys: str
    """JSON for execution alone."""
    account_credentials: str
    """JSON for who reads and cancels."""
    feed: Mapping[str, str]
    """FEED_… of an unfunded key."""
    addresses: Mapping[str, str]
    """Account → the wallet that holds its money; empty where nothing is traded for real."""


def role_url(superuser_url: str, role: str) -> str:
    """Return the embedded server's address as one service's role; it trusts whoever reaches it."""
    return superuser_url.replace(f"{embedded.SUPERUSER}@", f"onebook_{role}@", 1)


def make_book(folder: Path) -> embedded.Embedded:
    """Return the running embedded server with a new, migrated Book; raises WorldFailed."""
    try:
        server = embedded.start(folder / "postgres")
    except embedded.EmbeddedFailed as failed:
        raise WorldFailed(str(failed)) from failed
    with psycopg.connect(server.url.rpartition("/")[0] + "/postgres", autocommit=True) as connection:
        name = sql.Identifier(embedded.DATABASE)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    migrated = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=_ROOT,
        env={**clean_environment(), "DATABASE_URL": server.url},
        capture_output=True,
        text=True,
        check=False,
    )
    if migrated.returncode != 0:
        raise WorldFailed(f"the migrations failed:\n{migrated.stderr.strip()[-1500:]}")
    return server


def simulator_program(options: DemoOptions, ready_file: Path) -> Program:
    """Return the fake venue and its feeds; it cannot be replaced, its money is in its memory.

    Fifteen minutes pass in one, so prices move that much further while an order is held: the hold shrinks with them.
    """
    ready_file.unlink(missing_ok=True)
    hold_ms = TAKER_HOLD_MS * options.window_s // REAL_WINDOW_S
    inherited = clean_environment(
        keep=("ONEBOOK_RECORDINGS", "SIMULATOR_RECORDINGS", "SIMULATOR_ASSETS", "SIMULATOR_FEE_ROUNDING")
    )
    return Program(
        "simulator",
        "services.simulator",
        {**inherited, "SIMULATOR_TAKER_HOLD_MS": str(hold_ms)},
        (
            *("--seed", str(options.seed), "--source", options.source, "--window-s", str(options.window_s)),
            *("--first-open-in-s", str(FIRST_OPEN_IN_S), "--port", "0", "--ready-file", str(ready_file)),
        ),
        replaceable=False,
    )


def venue_environment(urls: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that tell a service where the venue and the feeds are."""
    return {variable: urls[name] for variable, name in _ADDRESSES.items()}


def demo_key(seed: int, name: str) -> str:
    """Return a private key that anybody can compute: it must never hold money outside the fake venue."""
    return (
        "0x"
        + hashlib.sha256(f"onebook demo, worthless outside the simulator: {seed} {name}".encode()).hexdigest()
    )


async def make_wallets(options: DemoOptions, urls: Mapping[str, str], superuser_url: str) -> Wallets:
    """Log in at the fake venue; above PAPER also register and fund a deposit wallet for each account."""
    trades = options.mode is not Mode.PAPER
    names = [*(STRATEGIES if trades else ()), "feeds"]
    keys = {
        name: {"private_key": demo_key(options.seed, name), "wallet": "", "signature_type": 0}
        for name in names
    }
    logins = await _log_in(keys, urls, superuser_url)
    feed = logins.pop("feeds")
    signing: dict[str, dict[str, Any]] = {}
    async with httpx.AsyncClient(base_url=urls["control_url"], timeout=ASK_WITHIN_S) as control:
        for account, login in logins.items():
            body = {
                "address": login["address"],
                "signature_type": SIGNATURE_TYPE,
                "usdc": str(DEPOSIT_USDC),
            }
            made = (await control.post("/_sim/accounts", json=body)).raise_for_status().json()
            login |= {"wallet": made["wallet"], "signature_type": SIGNATURE_TYPE}
            signing[account] = {
                "private_key": keys[account]["private_key"],
                "wallet": made["wallet"],
                "signature_type": SIGNATURE_TYPE,
                "relayer_api_key": made["relayer_api_key"],
                "relayer_api_key_address": login["address"],
            }
    is_live = options.mode is Mode.LIVE
    return Wallets(
        signing_keys=json.dumps(signing),
        account_credentials=json.dumps(logins),
        feed={
            "FEED_API_KEY": feed["api_key"],
            "FEED_API_SECRET": feed["secret"],
            "FEED_API_PASSPHRASE": feed["passphrase"],
            "FEED_API_ADDRESS": feed["address"],
        },
        addresses={account: login["wallet"] for account, login in logins.items()} if is_live else {},
    )


async def _log_in(
    keys: Mapping[str, Mapping[str, Any]], urls: Mapping[str, str], superuser_url: str
) -> dict[str, dict[str, Any]]:
    """Return each key's API credentials, by execution's own program: no other process is ever given a key."""
    program = Program(
        "credentials",
        "services.execution.credentials",
        {
            **clean_environment(),
            **venue_environment(urls),
            "DATABASE_URL": role_url(superuser_url, "execution"),
            "SIGNING_KEYS": json.dumps(keys),
        },
    )
    found: dict[str, dict[str, Any]] = json.loads(await run_once(program, within_s=LOGIN_WITHIN_S))
    return found


async def make_accounts(options: DemoOptions, operator: Database, addresses: Mapping[str, str]) -> None:
    """Open, fund and allow each account, as a person would with the operator's command line."""
    for name, strategy in STRATEGIES.items():
        account = AccountId(name)
        await actions.open_account(
            operator, account, paper_wallet=paper_address(account), wallet=addresses.get(name)
        )
        await actions.fund(
            operator,
            account,
            options.mode,
            amount_usdc=DEPOSIT_USDC,
            reference=f"demo deposit {name}",
            person=DEMO,
        )
        for key, value in {**CONTROLS, "allowed_strategies": strategy}.items():
            await actions.set_control(operator, account, key=key, value=value, person=DEMO)


def service_programs(
    options: DemoOptions, urls: Mapping[str, str], wallets: Wallets, superuser_url: str
) -> Sequence[Program]:
    """Return every service of the deployment, each with its own role and only the secrets it may hold (E17)."""
    venue = venue_environment(urls)
    mode = {
        "TRADING_MODE": options.mode.value,
        "CONFIRM_LIVE_TRADING": "true" if options.mode is Mode.LIVE else "false",
    }
    reading = {"ACCOUNT_CREDENTIALS": wallets.account_credentials}
    runs = {"ACCOUNTS": ",".join(f"{account}:{strategy}" for account, strategy in STRATEGIES.items())}
    own = {
        "feed_collector": {**venue, **wallets.feed},
        "signal_engine": {**mode, **runs},
        "execution": {**mode, **venue, "SIGNING_KEYS": wallets.signing_keys},
        "risk_monitor": {**venue, **reading},
        "reconciler": {**venue, **reading},
        "dashboard": {
            "DASHBOARD_PORT": str(port_or_any(options.dashboard_port)),
            "DASHBOARD_PORT_FILE": str(options.folder / "dashboard.port"),
        },
    }
    return [
        Program(
            name,
            "services.dashboard.api" if name == "dashboard" else f"services.{name}",
            {
                **clean_environment(),
                "DATABASE_URL": role_url(superuser_url, name),
                "HTTP_PORT_FILE": str(options.folder / f"{name}.port"),
                **variables,
            },
        )
        for name, variables in own.items()
    ]


def port_or_any(port: int) -> int:
    """Return the port if nobody listens there, else 0: the system chooses one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def end_leftovers(folder: Path) -> int:
    """End the processes a demo that was itself killed left behind; returns how many.

    Only those it noted, and only while their command line is still one of ours: a pid may be someone else's by now.
    """
    noted = _read_note(folder)
    ended = 0
    for pid in noted.values():
        shown = subprocess.run(  # noqa: S603 a number of our own note
            ["ps", "-o", "command=", "-p", str(pid)],  # noqa: S607 wherever this system keeps it
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        if " -m services." in shown:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                ended += 1
    forget_processes(folder)
    return ended


def _read_note(folder: Path) -> dict[str, int]:
    try:
        noted = json.loads((folder / "processes.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return {str(name): int(pid) for name, pid in noted.items()} if isinstance(noted, dict) else {}


def forget_processes(folder: Path) -> None:
    """Remove the note: everything in it has ended."""
    (folder / "processes.json").unlink(missing_ok=True)


def note_processes(folder: Path, pids: Mapping[str, int]) -> None:
    """Note which processes are ours, by name: for ``end_leftovers``, and for who wants to kill one and watch."""
    draft = folder / "processes.json.new"
    draft.write_text(json.dumps(dict(pids), indent=1) + "\n")
    draft.replace(folder / "processes.json")
