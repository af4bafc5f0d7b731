"""As many rooms at once as there are callers; and who is asked how it is says which are missing."""

import asyncio
import contextlib
import time
from functools import partial
from pathlib import Path

import aiohttp
import httpx2
import pytest

from egress_manager.adapters.builtin_recorder import BuiltinRecorder
from egress_manager.adapters.livekit_tokens import capture_token
from egress_manager.adapters.local_descriptors import raise_limit
from egress_manager.errors import CaptureFailed
from egress_manager.recorder.signalling import signal
from lab.manager import Facts, Manager
from lab.phones import Answer, SipParticipant
from lab.servers import LiveKit, Mongod
from lab.tokens import token
from lab.wire import Wire

pytestmark = pytest.mark.builtin_only("LiveKit Egress brings a process for each room")

#: More than any library's default of what may be open at once.
MANY = 300
#: Joining takes both servers' time, and the machine may be busy. Seconds.
PATIENCE = 180.0


async def test_three_hundred_rooms_are_attended_by_one_process(
    livekit_server: LiveKit, tmp_path: Path
) -> None:
    """Callers have a signal connection and no more; a capture goes on in every room at once."""
    raise_limit()
    recorder = BuiltinRecorder(
        livekit_server.url,
        partial(capture_token, livekit_server.api_key, livekit_server.api_secret, ttl_seconds=600),
        tmp_path,
        sync_interval=2.0,
    )
    rooms = [f"many-{number}" for number in range(MANY)]
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
            contextlib.AsyncExitStack() as callers,
        ):
            for number, room in enumerate(rooms):
                await callers.enter_async_context(caller(livekit_server, session, number))
                await recorder.attend(room)
            async with asyncio.timeout(PATIENCE):
                while missing := [room for room in rooms if not recorder.attends(room)]:
                    for room in missing:  # as polling does
                        await recorder.attend(room)
                    await asyncio.sleep(0.5)
    finally:
        await recorder.aclose()


@contextlib.asynccontextmanager
async def caller(livekit: LiveKit, session: aiohttp.ClientSession, number: int):
    """Somebody in a room of their own, as far as signalling goes."""
    there = asyncio.Event()
    staying = asyncio.create_task(stay(livekit, session, number, there))
    try:
        async with asyncio.timeout(PATIENCE):
            await there.wait()
        yield
    finally:
        staying.cancel()
        await asyncio.wait([staying])


async def stay(
    livekit: LiveKit, session: aiohttp.ClientSession, number: int, there: asyncio.Event
) -> None:
    """Be in the room, and come back at once: whoever brings no media is shown out in a minute."""
    pass_ = token(livekit, f"many-{number}", f"sip_+1555{number:07}", kind="sip")
    while True:
        with contextlib.suppress(CaptureFailed):
            async with signal(session, livekit.url, pass_) as signalling:
                there.set()
                async for _ in signalling.messages():
                    pass


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
