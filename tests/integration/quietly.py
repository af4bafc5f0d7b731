"""Servers for a module of tests, and what a service must not have said when they end."""

import asyncio
import contextlib
from collections.abc import Iterator

from lab.manager import Manager
from lab.servers import Server

#: What it says where something went wrong that nobody thought of.
UNFORESEEN = ('_failed"', '"exception"', "Traceback")


@contextlib.contextmanager
def quietly(*servers: Server) -> Iterator[None]:
    """Servers for as long as it lasts; whatever they were sent, they thought of it."""
    try:
        for server in servers:
            asyncio.run(server.start())
        yield
        for server in servers:
            log = server.log.read_text(errors="replace") if isinstance(server, Manager) else ""
            loud = [line for line in log.splitlines() if any(word in line for word in UNFORESEEN)]
            assert not loud, "\n".join(loud[:5])
    finally:
        for server in reversed(servers):
            asyncio.run(server.close())
