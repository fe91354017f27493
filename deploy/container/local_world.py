"""What `docker compose up` needs besides the services while the world outside is the simulator.

    python -m deploy.container.local_world accounts              open and fund the two paper accounts, allow everything
    python -m deploy.container.local_world feeds MODULE          run MODULE with feed credentials of a throwaway key

With the real venue neither is used: people open accounts with the operator's command line, and FEED_API_KEY is given.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from eth_account import Account

ACCOUNTS = ("canary", "oracle")
DEPOSIT_USDC = "100"
CONTROLS = {
    "allowed_instruments": "*",
    "allowed_strategies": "*",
    # Replayed windows are compressed: five minutes would be several of them.
    "anti_flip_s": "0",
}
WHO = ("--by", "compose", "--reason", "local world")
FEED_VARIABLES = {
    "FEED_API_KEY": "api_key",
    "FEED_API_SECRET": "secret",
    "FEED_API_PASSPHRASE": "passphrase",
    "FEED_API_ADDRESS": "address",
}


def operate(*arguments: str) -> bool:
    """Run one command of the operator's command line; its words go where ours go."""
    command = [sys.executable, "-m", "services.operator", *arguments]
    return subprocess.run(command, check=False).returncode == 0  # noqa: S603 arguments of ours


def open_accounts() -> int:
    """Open, fund and allow; returns the exit status. Running it again changes nothing."""
    for account in ACCOUNTS:
        if not operate("account", "open", account):
            return 1
        # Refused when it was booked before, which is as good.
        operate(
            "account", "fund", account, DEPOSIT_USDC, "--mode", "PAPER", "--reference", "compose-first", *WHO
        )
        for control, value in CONTROLS.items():
            if not operate("control", "set", account, control, value, *WHO):
                return 1
    return 0


def feed_credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """Return FEED_… variables of a new, unfunded key, logged in at the venue of CLOB_URL."""
    key = Account.create()
    keys = {"feeds": {"private_key": key.key.hex(), "wallet": key.address, "signature_type": 0}}
    answer = subprocess.run(
        [sys.executable, "-m", "services.execution.credentials"],
        env={**environment, "SIGNING_KEYS": json.dumps(keys)},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    login = json.loads(answer.stdout)["feeds"]
    return {variable: str(login[field]) for variable, field in FEED_VARIABLES.items()}


def become(module: str, environment: Mapping[str, str]) -> NoReturn:
    """Turn this process into ``python -m module`` with feed credentials, those given or new ones."""
    given = bool(environment.get("FEED_API_KEY"))
    credentials = {} if given else feed_credentials(environment)
    os.execve(sys.executable, [sys.executable, "-m", module], {**environment, **credentials})  # noqa: S606 our own module


def main(arguments: Sequence[str]) -> int:
    """Do what is asked; returns the exit status, or does not return."""
    match arguments:
        case ["accounts"]:
            return open_accounts()
        case ["feeds", module]:
            become(module, os.environ)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
