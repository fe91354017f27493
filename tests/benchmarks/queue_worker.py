"""procrastinate's way to a job: a worker that listens, and says when each job's first line ran."""

import asyncio
import sys

from tests.benchmarks.queue_jobs import make_app


async def main(url: str) -> None:
    app = make_app(url)
    async with app.open_async():
        await app.run_worker_async(listen_notify=True, install_signal_handlers=False)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
