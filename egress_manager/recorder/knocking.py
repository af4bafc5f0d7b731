"""Getting into a room: an attempt that gets no answer does not hold up the next one.

A server that is about to start accepts connections before it serves them, and one that stands still
leaves them open. So when an attempt had no answer for a while another one begins beside it. The
first that is answered is taken, and the others are dropped. Each joins under a name of its own:
LiveKit lets go of whoever was there when somebody of the same name comes, however late.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import aiohttp

from egress_manager.errors import CaptureFailed
from egress_manager.recorder.signalling import CONNECT_TIMEOUT, Signalling, connect

#: An attempt that was not answered within this is joined by another one. Seconds.
NEXT_AFTER: Final = 1.0
#: So many attempts are made, one beside the other, before they count as failed.
ATTEMPTS: Final = round(CONNECT_TIMEOUT / NEXT_AFTER)
#: How long an attempt that is dropped may take to end. Seconds.
DROP_TIMEOUT: Final = 1.0

Answer = TypeVar("Answer")


@asynccontextmanager
async def joined(
    session: aiohttp.ClientSession, url: str, make_pass: Callable[[], tuple[str, str]]
) -> AsyncIterator[tuple[str, Signalling]]:
    """The identity under which the server at `url` (ws or wss) let us in, and the connection.

    `make_pass` makes an identity and its token, for each attempt. Raises `LiveKitRefused` when a
    token is not good enough, `CaptureFailed` when no attempt is answered in time.
    """

    async def attempt() -> tuple[str, Signalling]:
        identity, token = make_pass()
        return identity, await connect(session, url, token)

    identity, signalling = await first_answer(attempt, lambda late: late[1].close())
    try:
        yield identity, signalling
    finally:
        await signalling.close()


async def first_answer(
    attempt: Callable[[], Coroutine[Any, Any, Answer]],
    drop: Callable[[Answer], Awaitable[None]],
    next_after: float = NEXT_AFTER,
) -> Answer:
    """What the first attempt brings that brings anything; `drop` gets what comes too late.

    Raises what an attempt raised: `CaptureFailed` when no other one is under way, or when all of
    them had their time; any other error at once, for that is an answer too.
    """
    under_way: set[asyncio.Task[Answer]] = set()
    failure = CaptureFailed("LiveKit does not answer the recorder")
    try:
        for _ in range(ATTEMPTS):
            under_way.add(asyncio.create_task(attempt()))
            done, _ = await asyncio.wait(
                under_way, timeout=next_after, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                under_way.discard(task)  # the others that are done are dropped, if this is taken
                try:
                    return task.result()
                except CaptureFailed as error:
                    failure = error
            if not under_way:
                raise failure
        raise failure
    finally:
        await _drop(under_way, drop)


async def _drop(
    under_way: set[asyncio.Task[Answer]], drop: Callable[[Answer], Awaitable[None]]
) -> None:
    """End the attempts that are not needed any more."""
    for task in under_way:
        task.cancel()
    if not under_way:
        return
    done, _ = await asyncio.wait(under_way, timeout=DROP_TIMEOUT)
    for task in done:
        if not task.cancelled() and task.exception() is None:
            await drop(task.result())
