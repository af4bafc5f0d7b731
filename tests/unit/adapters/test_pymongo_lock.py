"""The driver's lock and operations that are cancelled while they wait for a server."""

import asyncio

from pymongo import lock as pymongo_lock

from egress_manager.adapters.pymongo_lock import cancellable

#: A waiter looks again after this; long enough for the test to take the lock before. Seconds.
LOOK_AGAIN = 0.05
PATIENCE = 30.0


async def test_a_waiter_that_is_cancelled_while_it_takes_the_lock_back_leaves_it_usable() -> None:
    """It neither releases the lock of another one, nor keeps it for ever."""
    cancellable()
    lock = pymongo_lock._async_create_lock()
    condition = pymongo_lock._async_create_condition(lock)

    async def wait_for_a_server() -> None:
        async with lock:
            await pymongo_lock._async_cond_wait(condition, LOOK_AGAIN)

    async with asyncio.timeout(PATIENCE):
        waiter = asyncio.create_task(wait_for_a_server())
        while not condition._waiters:
            await asyncio.sleep(0)
        await lock.acquire()
        while not lock._waiters:  # until the waiter wants the lock back
            await asyncio.sleep(0)
        waiter.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiter.done(), "the waiter released a lock that was not its own"
        lock.release()
        await asyncio.wait([waiter])
        for _ in range(10):
            await asyncio.sleep(0)

    assert waiter.cancelled()
    assert not lock.locked()
