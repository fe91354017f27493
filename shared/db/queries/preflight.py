"""What the Book adds to a preflight: how large a position may be, a token to ask about, the clocks as measured."""

from decimal import Decimal

from sqlalchemy import text

from shared.db.engine import Tx
from shared.domain.clocks import MeasuredClock
from shared.domain.ids import AccountId, TokenId


async def position_cap_usdc(tx: Tx, account: AccountId) -> Decimal:
    """Return what one position of an account may cost, USDC; the default where nobody set it."""
    statement = text(
        "SELECT coalesce((SELECT value FROM runtime_controls WHERE account_id = :account AND key = d.key), d.default_value)::numeric"
        " FROM control_definitions d WHERE key = 'max_position_usd'"
    )
    cap: Decimal = await tx.scalar(statement, {"account": account})
    return cap


async def any_token(tx: Tx) -> TokenId | None:
    """Return a token of the newest market that trades; None while none is known."""
    statement = text(
        "SELECT up_token FROM windows WHERE state = 'OPEN' AND closes_at > clock_timestamp() ORDER BY opens_at DESC LIMIT 1"
    )
    token = await tx.scalar(statement)
    return None if token is None else TokenId(token)


async def measured_clocks(tx: Tx) -> list[MeasuredClock]:
    """Return the clocks the feed collector measured in the last minute; none when it did not run (C13)."""
    statement = text(
        "SELECT source, offset_ms, error_ms FROM clock_offsets WHERE measured_at > clock_timestamp() - interval '1 minute'"
        " ORDER BY source"
    )
    return [MeasuredClock(row.source, row.offset_ms, row.error_ms) for row in await tx.execute(statement)]
