"""The transactions of the audit: each function is one."""

from services.risk_monitor.auditing.decide import Gap
from services.risk_monitor.queries import Account
from shared.db.engine import Database
from shared.db.queries import lifecycle, safeguards
from shared.domain.ids import TokenId


def _key(account: Account, token: TokenId) -> str:
    return f"data_api_differs:{'/'.join(account)}:{token}"


async def tell(database: Database, account: Account, gap: Gap) -> None:
    """Tell a person that the Data API says otherwise; it stops nothing."""
    details = {"token_id": gap.token_id, "book": gap.book, "data_api": gap.data_api, "since": gap.since}
    async with database.begin() as tx:
        await lifecycle.raise_alert(
            tx,
            severity="WARNING",
            kind="data_api_differs",
            dedup_key=_key(account, gap.token_id),
            account=account[0],
            mode=account[1],
            details=details,
        )


async def close(database: Database, account: Account, token: TokenId) -> None:
    """Close the alert of a token on which both agree again, or which is over."""
    async with database.begin() as tx:
        await safeguards.close_alert(tx, _key(account, token))
