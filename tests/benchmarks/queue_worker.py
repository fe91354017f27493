"""procrastinate's way to a job: a worker that listens, and says when each job's first line ran."""

import asyncio
import json
import sys

import procrastinate

from tests.factories import CLOCK


def make_app(url: str) -> procrastinate.App:
    """Return an app with the one task, as the worker and the one who defers know it."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))

    @app.task(name="hop")
    async def hop(number: int) -> None:
        at = CLOCK.monotonic()
        sys.stdout.write(json.dumps({"at": at, "number": number}) + "\n")
        sys.stdout.flush()

    return app


async def main(url: str) -> None:
    app = make_app(url)
    async with app.open_async():
        await app.run_worker_async(listen_notify=True, install_signal_handlers=False)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
