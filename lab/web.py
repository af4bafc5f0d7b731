"""A web server on loopback for as long as something else is open."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from aiohttp import web

from lab.ports import LOOPBACK


async def take_posts(
    path: str,
    port: int,
    take: Callable[[web.Request], Awaitable[web.StreamResponse]],
    opened: AsyncExitStack,
) -> None:
    """Have `take` answer what is posted there, until `opened` is closed."""
    application = web.Application()
    application.router.add_post(path, take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    opened.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, LOOPBACK, port).start()
