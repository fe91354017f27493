"""The one job of the queue that latency is compared with."""

import json
import sys

import procrastinate

from tests.factories import CLOCK


def make_app(url: str) -> procrastinate.App:
    """Return an app with the one task, as the worker and the one who defers know it."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))

    @app.task(name="hop")
    async def hop(number: int) -> None:
        at = CLOCK.now().isoformat()
        sys.stdout.write(json.dumps({"at": at, "number": number}) + "\n")
        sys.stdout.flush()

    return app
