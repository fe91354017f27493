"""Sending: by the transaction that changed the row, so that whoever looks finds the change."""

from sqlalchemy import text

from shared.bus.channels import Message
from shared.db.engine import Tx

_NOTIFY = text("SELECT pg_notify(:channel, :payload)")


async def notify(tx: Tx, message: Message) -> None:
    """Wake whoever listens when this transaction commits; equal messages of one transaction arrive once.

    A notifying commit takes a lock of the whole cluster (D6): never for single ticks.
    """
    await tx.execute(_NOTIFY, {"channel": message.channel, "payload": message.payload()})
