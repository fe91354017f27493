"""Wiring of the dashboard: python -m services.dashboard.api."""

from functools import partial

from services.dashboard.api import loops
from services.dashboard.api.app import create_app
from services.dashboard.api.config import DashboardSettings
from services.dashboard.api.overviews import Overviews
from shared.db.engine import Database
from shared.db.schema import require_schema
from shared.runtime.service import Loop, Process, Wiring, run_service

DRAIN_S = 3.0


async def setup(process: Process[DashboardSettings]) -> Wiring:
    """Connect, and serve."""
    settings = process.settings
    database = await Database.connect(
        settings.database_url, application_name=process.name, clock=process.clock
    )
    process.on_exit(database.close)
    await database.retry_read(require_schema)
    overviews = Overviews(database, process.clock)
    app = create_app(overviews.newest)
    return Wiring(
        loops=[
            Loop("page", partial(loops.serve, app, settings), drain_s=DRAIN_S),
            Loop("beat", partial(loops.beat, database, overviews, settings.instance), drain_s=DRAIN_S),
        ],
        checks={"database": database.check},
    )


if __name__ == "__main__":
    run_service("dashboard", DashboardSettings, setup)
