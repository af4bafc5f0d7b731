"""How soon the recorder is back in its room when livekit-server is, and how soon a process ends."""

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import aiohttp

from benchmarks.figures import Figure
from benchmarks.premises import say
from egress_manager.domain.captures import StretchBegan
from egress_manager.recorder.signalling import connect
from lab.manager import Manager
from lab.phones import Answer, SipParticipant
from lab.ports import LOOPBACK
from lab.processes import ServerFailed
from lab.servers import LiveKit, Mongod, Redis
from lab.tokens import token
from tests.e2e.attending import bare_caller, is_in, recorder_alone, studio

METHOD = (
    "A recorder alone, in a room with a phone; livekit-server (with Redis) is killed and started "
    "again after 0.7 s. From the first welcome "
    "that the server gives to anybody who wants into that room (somebody new asks every 0.1 s) to "
    "its welcome to the recorder. The server itself answers HTTP before: with Redis it sends who "
    "asks to the process that was killed, until that one has been silent for 5 s. Then the same "
    "with many rooms, whose callers have a signal connection and no more: to the recorder's "
    "welcome in the last of them."
)
ENDING_METHOD = (
    "A process that does everything (`uvicorn egress_manager.app:app`) is asked to end (SIGTERM) "
    "while MongoDB is dead for 3 s, or stands still for as long, or a client holds half a "
    "request; from the signal to the end of the process."
)
RUNS, QUICK_RUNS = 10, 3
#: How many rooms one recorder attends when its server restarts.
MANY = 50
DOWN_FOR = 0.7
#: At most this long. Seconds.
BACK_WITHIN, END_WITHIN = 1.5, 10.0
PATIENCE = 60.0
LOOK = 0.01
ASK_EVERY = 0.1


async def measure(*, quick: bool) -> AsyncIterator[Figure]:
    """After a restart."""
    runs = QUICK_RUNS if quick else RUNS
    async with Redis() as redis, LiveKit(redis=redis) as server:
        with tempfile.TemporaryDirectory(prefix="benchmark-comeback-") as here:
            took = [await _back_after(server, Path(here) / str(n), n) for n in range(runs)]
    yield _figure("recorder back in its room after livekit-server's first answer", took)
    took = [await _all_back_after() for _ in range(QUICK_RUNS)]
    yield _figure(f"back in the last of {MANY} rooms after livekit-server's first answer", took)


async def _back_after(server: LiveKit, directory: Path, number: int) -> float:
    """One restart: seconds from the first answer to the welcome."""
    room = f"comeback-{number}"
    phone = SipParticipant(server, room, number="+15550101", answer=Answer.AT_ONCE)
    async with studio(server, directory) as recorder:
        attendance = recorder.attend(room)
        await phone.join()
        await recorder.until_told(StretchBegan, track_sid=phone.track_sid)
        await server.kill()
        killed_at = time.monotonic()
        await _until(lambda: not attendance.is_in)
        await asyncio.sleep(max(0.0, killed_at + DOWN_FOR - time.monotonic()))
        welcome = asyncio.create_task(_first_welcome(server, room))
        await server.start()
        await _until(lambda: attendance.is_in)
        back_at = time.monotonic()
        took = max(0.0, back_at - await welcome)
        await phone.leave()
        await recorder.stopped()
    say(f"run {number + 1}: back after {took:.2f} s")
    return took


async def _all_back_after() -> float:
    """One restart with many rooms: seconds from the first answer to the last welcome."""
    rooms = [f"comeback-many-{number}" for number in range(MANY)]
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(Redis())
        server = await stack.enter_async_context(LiveKit(redis=redis))
        here = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-comeback-")))
        recorder = recorder_alone(server, here)
        stack.push_async_callback(recorder.aclose)
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        await stack.enter_async_context(session)
        for number, room in enumerate(rooms):
            await stack.enter_async_context(bare_caller(server, session, room, number))
            await recorder.attend(room)
        await _until(lambda: recorder.capturing == MANY)
        await server.kill()
        killed_at = time.monotonic()
        await _until(lambda: not any(is_in(recorder, room) for room in rooms))
        await asyncio.sleep(max(0.0, killed_at + DOWN_FOR - time.monotonic()))
        welcome = asyncio.create_task(_first_welcome(server, rooms[0]))
        await server.start()
        out = set(rooms)
        while out:  # a room whose caller comes later is left again
            out -= {room for room in out if is_in(recorder, room)}
            await asyncio.sleep(LOOK)
        took = max(0.0, time.monotonic() - await welcome)
    say(f"{MANY} rooms: back after {took:.2f} s")
    return took


async def _first_welcome(server: LiveKit, room: str) -> float:
    """When somebody was let into the room who asked at the right moment."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        asking: set[asyncio.Task[float]] = set()
        try:
            for number in range(round(PATIENCE / ASK_EVERY)):
                ticket = token(server, room, f"asking-{number}")
                asking.add(asyncio.create_task(_welcomed(session, server.url, ticket)))
                done, asking = await asyncio.wait(
                    asking, timeout=ASK_EVERY, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    if task.exception() is None:
                        return task.result()
        finally:
            for task in asking:
                task.cancel()
    raise ServerFailed("nobody was let in")


async def _welcomed(session: aiohttp.ClientSession, url: str, ticket: str) -> float:
    """When the server let this one in."""
    signalling = await connect(session, url, ticket)
    at = time.monotonic()
    await signalling.close()
    return at


async def ending(*, quick: bool) -> AsyncIterator[Figure]:
    """With MongoDB dead or frozen, and with a client that waits."""
    runs = QUICK_RUNS if quick else RUNS
    for why in ("MongoDB dead", "MongoDB frozen", "half a request open"):
        took = [await _ended_after(why) for _ in range(runs)]
        yield _figure(f"process ended, {why}", took, END_WITHIN)


async def _ended_after(why: str) -> float:
    """One process: seconds from the signal to its end."""
    async with Mongod() as mongod:
        manager = Manager(livekit_url=f"ws://{LOOPBACK}:1", mongo_uri=mongod.uri)
        async with manager, contextlib.AsyncExitStack() as stack:
            if why == "MongoDB dead":
                await mongod.kill()
            elif why == "MongoDB frozen":
                mongod.pause()
                stack.callback(mongod.resume)
            else:
                _, writer = await asyncio.open_connection(LOOPBACK, manager.port)
                stack.callback(writer.transport.abort)
                writer.write(b"POST /webhook HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\n{}\n")
            await asyncio.sleep(3.0)
            asked_at = time.monotonic()
            with contextlib.suppress(ServerFailed):
                await manager.ended(PATIENCE)
            took = time.monotonic() - asked_at
    say(f"{why}: ended after {took:.2f} s")
    return took


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():
            await asyncio.sleep(LOOK)


def _figure(name: str, took: Sequence[float], at_most: float = BACK_WITHIN) -> Figure:
    """The worst of all runs; the median beside it."""
    beside = {"runs": len(took), "median s": round(statistics.median(took), 2)}
    worst = round(max(took), 2)
    return Figure(name=f"{name} (worst)", value=worst, unit="s", at_most=at_most, beside=beside)
