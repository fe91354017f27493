"""The venue's dead-man switch: fed while something rests, left to lapse when nothing does (E20).

Its first heartbeat arms it for the whole API key, so it is not sent before it is needed. When we fall silent the venue
cancels everything of the key, and the orders' own readings tell the Book.
"""

import asyncio
from datetime import timedelta

from services.execution import actions
from services.execution.loops.desk import Desk
from services.execution.metrics import HEARTBEATS
from shared.db.patience import endure
from shared.domain.modes import Mode
from shared.observability.logs import get_logger
from shared.runtime.pulse import LoopPulse

LOOK_EVERY_S = 1.0
FEED_EVERY = timedelta(seconds=4)
"""The venue asks for one every five seconds and cancels after ten; one may be lost on the way."""
LAPSED_AFTER = timedelta(seconds=20)
"""The venue sweeps every five seconds: after this an unfed switch is disarmed, and its id forgotten."""
log = get_logger()


async def keep_alive(desk: Desk, pulse: LoopPulse) -> None:
    """Feed the switch of every account that has something resting."""

    async def turn() -> None:
        accounts = desk.executors.live_accounts()
        for switch in await actions.dead_men(desk.database, accounts) if accounts else []:
            age = None if switch.beaten_at is None else switch.now - switch.beaten_at
            if switch.resting and (not switch.armed or age is None or age >= FEED_EVERY):
                await _feed(desk, switch)
            elif switch.armed and not switch.resting and (age is None or age >= LAPSED_AFTER):
                await actions.keep_heartbeat(
                    desk.database, switch.account_id, heartbeat_id="", accepted=False, armed=False
                )
                log.info("deadman_lapsed", account_id=switch.account_id)
        await asyncio.sleep(LOOK_EVERY_S)

    await endure(pulse, turn)


async def _feed(desk: Desk, switch: actions.DeadMan) -> None:
    live = desk.executors.live(switch.account_id)
    assert live is not None, "only accounts that trade real money are asked for"
    answer = await live.deadman.feed(switch.heartbeat_id)
    HEARTBEATS.labels("accepted" if answer.accepted else "refused").inc()
    if answer.accepted and not switch.armed:
        log.info("deadman_armed", account_id=switch.account_id)
    await actions.keep_heartbeat(
        desk.database,
        switch.account_id,
        heartbeat_id=switch.heartbeat_id if answer.next_id is None else answer.next_id,
        accepted=answer.accepted,
        armed=switch.armed or answer.accepted,
    )
    if not answer.accepted:
        log.error("deadman_not_fed", account_id=switch.account_id, reason=answer.detail)
        await actions.alert(
            desk.database,
            kind="deadman_not_fed",
            key=f"deadman:{switch.account_id}",
            account=switch.account_id,
            mode=Mode.LIVE,
            details={"reason": answer.detail},
        )
