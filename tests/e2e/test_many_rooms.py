"""As many rooms at once as there are callers; and who is asked how it is says which are missing."""

import asyncio
import contextlib
import time
from pathlib import Path

import aiohttp
import pytest

from egress_manager.errors import CaptureFailed
from egress_manager.recorder.signalling import signal
from lab.manager import Facts, Manager
from lab.phones import Answer, SipParticipant
from lab.ports import LOOPBACK, free_port
from lab.servers import LiveKit, Mongod
from lab.tokens import token
from lab.wire import Wire

pytestmark = pytest.mark.builtin_only("LiveKit Egress brings a process for each room")

#: More than any library's default of what may be open at once.
MANY = 300
#: So many callers come at once; the next ones come when these are attended.
AT_ONCE = 50
#: Joining takes both servers' time, and the machine may be busy. Seconds.
PATIENCE = 180.0


async def test_three_hundred_rooms_are_attended_by_one_process(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path
) -> None:
    """Callers have a signal connection and no more; the recorder's media are up in every room."""
    port = free_port()
    async with (
        LiveKit(webhook_urls=[f"http://{LOOPBACK}:{port}/webhook"]) as livekit,
        Manager(
            livekit_url=livekit.http_url,
            mongo_uri=mongod_server.uri,
            mongo_db=mongo_database,
            recordings=tmp_path,
            port=port,
        ) as manager,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        contextlib.AsyncExitStack() as callers,
    ):
        for first in range(0, MANY, AT_ONCE):
            for number in range(first, first + AT_ONCE):
                await callers.enter_async_context(caller(livekit, session, number))
            await until_said(manager, f"{first + AT_ONCE} rooms being captured")


@contextlib.asynccontextmanager
async def caller(livekit: LiveKit, session: aiohttp.ClientSession, number: int):
    """Somebody in a room of their own, as far as signalling goes."""
    staying = asyncio.create_task(stay(livekit, session, number))
    try:
        yield
    finally:
        staying.cancel()
        await asyncio.wait([staying])


async def stay(livekit: LiveKit, session: aiohttp.ClientSession, number: int) -> None:
    """Be in the room, and come back at once: whoever brings no media is shown out in a minute."""
    pass_ = token(livekit, f"many-{number}", f"sip_+1555{number:07}", kind="sip")
    while True:
        with contextlib.suppress(CaptureFailed):
            async with signal(session, livekit.url, pass_) as signalling:
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
        part = (await manager.ask("/health")).json()["parts"]["recorder"]
        if part["ok"] and part["detail"] == words:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not {words}: {part}\n{manager.log_tail()}")
