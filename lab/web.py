"""HTTP on loopback: a web server for as long as something else is open, and clients without TLS."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import Final

from aiohttp import web

from lab.ports import LOOPBACK

#: For `verify` of every client: to load the certificates of the world takes 46 ms of CPU a client,
#: and who waits for something asks every 50 ms.
NO_TLS: Final = SSLContext(PROTOCOL_TLS_CLIENT)


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
