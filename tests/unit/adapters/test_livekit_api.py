"""livekit-server's API, asked of servers that are not well."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web

from egress_manager.adapters.livekit_rooms import LiveKitRooms
from egress_manager.errors import LiveKitRefused, LiveKitUnavailable
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


@pytest.mark.parametrize(
    ("ahead", "words"),
    [(0, "check LIVEKIT_API_KEY"), (3600, r"360\d s ahead of"), (-900, r"(89|90)\d s behind")],
)
async def test_a_clock_that_is_wrong_is_named_and_not_the_key(ahead: int, words: str) -> None:
    """LiveKit refuses tokens of the future, and those of long ago."""

    async def refuse(_: web.Request) -> web.Response:
        theirs = format_datetime(datetime.now(UTC) - timedelta(seconds=ahead), usegmt=True)
        error = {"code": "unauthenticated", "msg": "invalid token"}
        return web.json_response(error, status=401, headers={"Date": theirs})

    app = web.Application()
    app.router.add_post("/{path:.*}", refuse)
    async with served(app) as url, aclosing(LiveKitRooms(url, "key", "secret" * 8)) as rooms:
        with pytest.raises(LiveKitRefused, match=words):
            await rooms.rooms()


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """Where an application is served on loopback."""
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, LOOPBACK, 0)
        await site.start()
        yield f"http://{LOOPBACK}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
