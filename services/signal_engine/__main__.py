"""Wiring of signal_engine. ``python -m services.signal_engine``"""

from services.signal_engine import actions
from services.signal_engine.config import EngineSettings
from services.signal_engine.decide import Instance
from services.signal_engine.loops import Engine
from services.signal_engine.metrics import REFUSED_STRATEGIES
from shared.bus.channels import MarketMoved, WindowChanged
from shared.bus.listen import Listener
from shared.db.engine import Database
from shared.db.schema import require_schema
from shared.domain.ids import StrategyId
from shared.observability.logs import get_logger
from shared.runtime.service import Loop, Process, StartRefused, Wiring, run_service
from shared.strategies.loader import Loaded, load

log = get_logger()


async def setup(process: Process[EngineSettings]) -> Wiring:
    """Find the strategies, register them, ask them for ever."""
    settings, clock = process.settings, process.clock
    loaded = _load(settings)
    database = await Database.connect(settings.database_url, application_name=process.name, clock=clock)
    process.on_exit(database.close)
    await database.retry_read(require_schema)
    instances = await _register(database, settings, loaded)
    listener = Listener(settings.database_url, application_name=process.name, clock=clock)
    engine = Engine(
        database=database,
        wakeup=listener.subscribe([MarketMoved.channel, WindowChanged.channel]),
        clock=clock,
        instances=instances,
        strategies={name: each.strategy for name, each in loaded.strategies.items()},
        ceiling=settings.trading_mode,
        instance=settings.instance,
        refused=loaded.refused,
    )
    return Wiring(
        loops=[
            Loop("listener", listener.run),
            Loop("evaluate", engine.evaluate),
            Loop("beat", engine.beat),
        ],
        checks={
            "database": database.check,
            "listener": listener.check,
            "breaker": engine.check_breaker,
            "primary_feed": engine.check_primary,
        },
        extra=engine.describe,
    )


def _load(settings: EngineSettings) -> Loaded:
    """Return the strategies the settings name; a broken module is refused by name and the rest run (S1)."""
    found = load()
    REFUSED_STRATEGIES.inc(len(found.refused))
    for module, reason in found.refused.items():
        log.error("strategy_refused", name=module, reason=reason)
    wanted = {StrategyId(strategy) for _, strategy in settings.accounts}
    for name in sorted(wanted - found.strategies.keys()):
        log.error("strategy_missing", strategy_id=name, known=sorted(found.strategies))
    if not wanted & found.strategies.keys():
        raise StartRefused(
            f"none of the strategies of ACCOUNTS runs; there are {', '.join(sorted(found.strategies)) or 'none'}"
        )
    return found


async def _register(database: Database, settings: EngineSettings, loaded: Loaded) -> list[Instance]:
    missing = await actions.missing_accounts(database, settings.by_account)
    if missing:
        raise StartRefused(
            f"ACCOUNTS names what is not in the Book: {', '.join(missing)}; open it first: "
            f"python -m services.operator account open {missing[0]}"
        )
    return [
        await actions.register(database, account, loaded.strategies[strategy])
        for account, strategy in settings.accounts
        if strategy in loaded.strategies
    ]


if __name__ == "__main__":
    run_service("signal_engine", EngineSettings, setup)
