"""``python -m services.execution.credentials`` prints ACCOUNT_CREDENTIALS for the accounts of SIGNING_KEYS.

The key stays with execution; what is printed reads and cancels, and cannot sign an order (E17). Keep it secret all the
same: redirect it into the place where your deployment keeps secrets.
"""

import asyncio
import json
import sys

from services.execution.config import ExecutionSettings
from shared.runtime.clock import SystemClock
from shared.runtime.settings import load_settings
from shared.venue.onboarding import credentials
from shared.venue.refusals import LoginFailed, Malformed
from shared.venue.trading import order_signer


async def _log_in(settings: ExecutionSettings) -> dict[str, dict[str, str | int]]:
    found: dict[str, dict[str, str | int]] = {}
    for account, signing in settings.signing_accounts.items():
        signer = order_signer(
            signing.private_key, wallet=signing.wallet, signature_type=signing.signature_type
        )
        login = await credentials(signer, settings.venue_urls, SystemClock())
        found[account] = {
            "address": login.address,
            "api_key": login.api_key.get_secret_value(),
            "secret": login.secret.get_secret_value(),
            "passphrase": login.passphrase.get_secret_value(),
            "wallet": signing.wallet,
            "signature_type": signing.signature_type,
        }
    return found


if __name__ == "__main__":
    try:
        print(json.dumps(asyncio.run(_log_in(load_settings(ExecutionSettings)))))  # noqa: T201 - its purpose
    except (LoginFailed, Malformed) as problem:
        print(f"no credentials: {problem}", file=sys.stderr)  # noqa: T201 - its purpose
        sys.exit(1)
