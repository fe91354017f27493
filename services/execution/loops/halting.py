"""When trading has been halted (its breaker half an hour open) the executor ends; started again, it stays (R2)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from services.execution import actions
from services.execution.loops.desk import Desk
from shared.db.patience import is_passing
from shared.domain.ids import AccountId
from shared.observability.logs import get_logger
from shared.runtime.pulse import LoopPulse

HALTED_STATUS = 3
"""The exit status of an executor that ended because trading was halted: whoever restarts it may."""
LOOK_EVERY_S = 1.0
log = get_logger()


@dataclass(frozen=True, slots=True)
class Halting:
    """Ends this process once an account is halted while it leads.

    A leader that finds an account halted already was started, or took over, since: it stays, for exits and a person's
    commands go on, and entries are refused by the claim itself.
    """

    end: Callable[[int], None]
    stays: bool
    """CB_ALLOW_EXTENDED_HALT: a person wants to look at the running process."""

    async def watch(self, desk: Desk, pulse: LoopPulse) -> None:
        """Look every second, as long as the lead lasts."""
        found_at_start: frozenset[AccountId] | None = None
        while not pulse.stopping.is_set():
            pulse.tick()
            try:
                halted = await _halted(desk)
            except Exception as error:
                if not is_passing(error):
                    raise
                log.warning("halt_unread", reason=type(error).__name__)
            else:
                if found_at_start is None:
                    found_at_start = halted
                    if halted:
                        log.error("halted_already", accounts=sorted(halted))
                elif halted - found_at_start:
                    self._end(halted - found_at_start)
                    found_at_start |= halted
                else:
                    found_at_start = halted  # a reset account may be halted again
            await asyncio.sleep(LOOK_EVERY_S)

    def _end(self, halted: frozenset[AccountId]) -> None:
        if self.stays:
            log.critical("halt_extended", accounts=sorted(halted))
            return
        log.critical("halted", accounts=sorted(halted), status=HALTED_STATUS)
        self.end(HALTED_STATUS)


async def _halted(desk: Desk) -> frozenset[AccountId]:
    gates = await actions.gates(desk.database, desk.ceiling)
    return frozenset(gate.account_id for gate in gates if gate.halted)
