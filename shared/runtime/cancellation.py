"""Whether the running task was asked to end: what it waits for may hide that from it."""

import asyncio


def is_cancelled() -> bool:
    """Return True when the running task has a cancellation that did not end it; False outside of any task."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return False
    return task is not None and task.cancelling() > 0
