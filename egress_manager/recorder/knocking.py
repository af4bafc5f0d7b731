"""Getting into a room: an attempt that gets no answer does not hold up the next one.

A server that is about to start accepts connections before it serves them, and one that stands still
leaves them open. So when an attempt had no answer for a while another one begins beside it. The
first that is answered is taken, and the others are dropped. Each joins under a name of its own:
LiveKit lets go of whoever was there when somebody of the same name comes, however late.

Attempts take turns. Hundreds at once, as after a restart, would all be answered too late: joining
is work for the server and for us. A turn ends with the media, and after a second in any case, so a
server that answers nobody holds up no room for long. It is not asked more often for all that: what
it has not answered it tries and times out by itself, and with hundreds of those it answers late.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import aiohttp

from egress_manager.errors import CaptureFailed
from egress_manager.recorder.signalling import CONNECT_TIMEOUT, Signalling, connect

#: An attempt that was not answered within this is joined by another one. Seconds.
NEXT_AFTER: Final = 1.0
#: So many attempts are made, one beside the other, before they count as failed.
ATTEMPTS: Final = round(CONNECT_TIMEOUT / NEXT_AFTER)
#: So many rooms are being joined at once; the others wait for their turn.
AT_ONCE: Final = 10
#: How long an attempt that is dropped may take to end. Seconds.
DROP_TIMEOUT: Final = 1.0

Answer = TypeVar("Answer")


class Turn:
    """The right to join a room now; it ends by itself after `NEXT_AFTER`."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back = give_back
        self._timer = asyncio.get_running_loop().call_later(NEXT_AFTER, self.end)
        self._is_over = False

    def end(self) -> None:
        """Let the next one have it; harmless to repeat."""
        if not self._is_over:
            self._is_over = True
            self._timer.cancel()
            self._give_back()


class Turns:
    """All attempts of a process to join rooms, of which `AT_ONCE` are made at the same time."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_ONCE)

    async def take(self, *, after: float = 0.0) -> Turn:
        """Wait for a turn; the waiting begins in `after` seconds."""
        await asyncio.sleep(after)
        await self._free.acquire()
        return Turn(self._free.release)


@dataclass(frozen=True, slots=True)
class Welcome:
    """We are in: under which identity, on which connection, and in whose turn."""

    identity: str
    signalling: Signalling
    turn: Turn

    async def decline(self) -> None:
        """Leave again; harmless to repeat."""
        self.turn.end()
        await self.signalling.close()


@asynccontextmanager
async def joined(
    session: aiohttp.ClientSession,
    url: str,
    make_pass: Callable[[], tuple[str, str]],
    turns: Turns,
) -> AsyncIterator[Welcome]:
    """The welcome of the server at `url` (ws or wss); the connection is closed with the block.

    `make_pass` makes an identity and its token, for each attempt. Raises `LiveKitRefused` when a
    token is not good enough, `CaptureFailed` when no attempt is answered in time.
    """

    async def attempt(turn: Turn) -> Welcome:
        try:
            identity, token = make_pass()
            return Welcome(identity, await connect(session, url, token), turn)
        except BaseException:
            turn.end()
            raise

    welcome = await first_answer(attempt, Welcome.decline, turns)
    try:
        yield welcome
    finally:
        await welcome.decline()


async def first_answer(
    attempt: Callable[[Turn], Coroutine[Any, Any, Answer]],
    drop: Callable[[Answer], Awaitable[None]],
    turns: Turns,
    next_after: float = NEXT_AFTER,
) -> Answer:
    """What the first attempt brings that brings anything; `drop` gets what comes too late.

    Raises what an attempt raised: `CaptureFailed` when no other one is under way, or when all of
    them had their time; any other error at once, for that is an answer too.
    """
    under_way: set[asyncio.Task[Answer]] = set()
    failure, begun = CaptureFailed("LiveKit does not answer the recorder"), 0
    turn = asyncio.create_task(turns.take())
    try:
        while True:
            done, _ = await asyncio.wait({turn, *under_way}, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in under_way if task.done()]:
                under_way.discard(task)  # the others that are done are dropped, if this is taken
                try:
                    return task.result()
                except CaptureFailed as error:
                    failure = error
            if (begun and not under_way) or (begun == ATTEMPTS and turn in done):
                raise failure
            if turn in done:
                under_way.add(asyncio.create_task(attempt(turn.result())))
                turn, begun = asyncio.create_task(turns.take(after=next_after)), begun + 1
    finally:
        await _drop({turn}, _end)
        await _drop(under_way, drop)


async def _end(turn: Turn) -> None:
    turn.end()


async def _drop(
    tasks: set[asyncio.Task[Answer]], drop: Callable[[Answer], Awaitable[None]]
) -> None:
    """End what is not needed any more, and drop what it brought nevertheless."""
    for task in tasks:
        task.cancel()
    done = (await asyncio.wait(tasks, timeout=DROP_TIMEOUT))[0] if tasks else set()
    for task in done:
        if not task.cancelled() and task.exception() is None:
            await drop(task.result())
