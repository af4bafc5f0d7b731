"""livekit-server's API, asked of servers that are not well."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from egress_manager.adapters.livekit_rooms import LiveKitRooms
from egress_manager.errors import LiveKitUnavailable
from lab.ports import LOOPBACK


@pytest.fixture
async def silent_server() -> AsyncIterator[str]:
    """A server that takes every request and answers none."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, LOOPBACK, 0)
    async with server:
        yield f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"


async def test_a_question_that_is_never_answered_ends(silent_server: str) -> None:
    """livekit-server hangs: whoever asks is told so, and goes on."""
    async with aclosing(LiveKitRooms(silent_server, "key", "secret" * 8, timeout=0.2)) as rooms:
        with pytest.raises(LiveKitUnavailable, match="does not answer"):
            await rooms.rooms()
