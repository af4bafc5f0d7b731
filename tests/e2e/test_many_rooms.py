"""As many rooms at once as there are callers; and who is asked how it is says which are missing."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import httpx2
import pytest

from egress_manager.adapters.builtin_recorder import BuiltinRecorder
from egress_manager.adapters.local_descriptors import raise_limit
from lab.manager import Facts, Manager
from lab.phones import Answer, SipParticipant
from lab.servers import LiveKit, Mongod, Redis
from lab.wire import Wire
from tests.e2e.attending import bare_caller, is_in, recorder_alone, until

pytestmark = pytest.mark.builtin_only("LiveKit Egress brings a process for each room")

#: More than any library's default of what may be open at once.
MANY = 300
#: More than are joined at once, several times over.
SOME = 50
#: Joining takes both servers' time, and the machine may be busy. Seconds.
PATIENCE = 180.0


async def test_three_hundred_rooms_are_attended_by_one_process(
    livekit_server: LiveKit, tmp_path: Path
) -> None:
    """Callers have a signal connection and no more; a capture goes on in every room at once."""
    async with attending(livekit_server, tmp_path, MANY) as (recorder, rooms):
        await until_in(recorder, rooms)


async def test_all_rooms_are_attended_again_after_a_restart(tmp_path: Path) -> None:
    """With Redis livekit-server answers nobody for seconds: it believes in the one that died."""
    async with (
        Redis() as redis,
        LiveKit(redis=redis) as livekit,
        attending(livekit, tmp_path, SOME) as (recorder, rooms),
    ):
        await until_in(recorder, rooms)
        await livekit.kill()
        await until(lambda: not any(is_in(recorder, room) for room in rooms))
        await livekit.start()
        await until_in(recorder, rooms)


@contextlib.asynccontextmanager
async def attending(
    livekit: LiveKit, directory: Path, count: int
) -> AsyncIterator[tuple[BuiltinRecorder, list[str]]]:
    """A recorder that was sent to so many rooms, with a caller in each; and the rooms' names."""
    raise_limit()
    rooms = [f"many-{number}" for number in range(count)]
    async with contextlib.AsyncExitStack() as stack:
        recorder = recorder_alone(livekit, directory)
        stack.push_async_callback(recorder.aclose)
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        await stack.enter_async_context(session)
        for number, room in enumerate(rooms):
            await stack.enter_async_context(bare_caller(livekit, session, room, number))
            await recorder.attend(room)
        yield recorder, rooms


async def until_in(recorder: BuiltinRecorder, rooms: list[str]) -> None:
    """Wait until a capture goes on in each of them, and the server tells it who is there."""
    async with asyncio.timeout(PATIENCE):
        while missing := [
            room for room in rooms if not (recorder.attends(room) and is_in(recorder, room))
        ]:
            for room in missing:  # as polling does
                await recorder.attend(room)
            await asyncio.sleep(0.5)


async def test_health_says_how_many_rooms_with_callers_are_not_attended(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path, room_name: str
) -> None:
    """LiveKit's API answers and its signal connections do not: ill until the recorder gets in."""
    async with (
        LiveKit() as livekit,
        Wire(livekit) as wire,
        Manager(
            livekit_url=wire.http_url,
            mongo_uri=mongod_server.uri,
            mongo_db=mongo_database,
            recordings=tmp_path,
        ) as manager,
    ):
        wire.cut_signal()
        async with SipParticipant(livekit, room_name, number="+15550710", answer=Answer.AT_ONCE):
            said = await manager.ill("recorder")
            wire.heal_signal()
            await until_said(manager, "1 rooms being captured")
        log = manager.log.read_text(errors="replace")

    assert "for 3 s: 1;" in said
    assert '"rooms_not_attended"' in log


async def until_said(manager: Manager, words: str) -> None:
    """Wait until the recorder's part of /health is well and says so."""
    deadline, part = time.monotonic() + PATIENCE, Facts()
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx2.HTTPError):
            part = (await manager.ask("/health")).json()["parts"]["recorder"]
        if part.get("ok") and part["detail"] == words:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not {words}: {part}\n{manager.log_tail()}")
