"""PyMongo's locks on Python 3.11, so that an operation can be cancelled at any moment.

The driver waits for a server with `asyncio.wait_for(condition.wait(), …)` while it holds the lock
of its topology. Before Python 3.12 `wait_for` hands the coroutine, and with it the lock, to a task
of its own. When the caller is cancelled while that task takes the lock back, the caller goes on
without it: it releases a lock that another task holds, and the task that took it back never
releases it. From then on no operation reaches MongoDB, and `close` never returns.

`cancellable` gives the driver the `wait_for` of Python 3.12, which stays in the task of its caller.
That is one private name of PyMongo, and it stands in this module only;
`tests/unit/adapters/test_pymongo_lock.py` fails when the driver does not use it any more.
"""

import asyncio
import sys
from collections.abc import Awaitable
from typing import TypeVar

import pymongo.lock

Result = TypeVar("Result")


def cancellable() -> None:
    """Make the driver's waits safe to cancel, before its first client; harmless to repeat."""
    if sys.version_info < (3, 12):
        pymongo.lock.wait_for = _wait_for  # type: ignore[attr-defined, assignment]


async def _wait_for(work: Awaitable[Result], timeout: float | None) -> Result:
    """`asyncio.wait_for` as it is from Python 3.12 on. Raises `TimeoutError`."""
    async with asyncio.timeout(timeout):
        return await work
