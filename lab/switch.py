"""A TCP address on loopback that leads to one server, and after a turn to another.

So clients see a failover: their connections break, and the same address is another server's.
"""

import asyncio
import contextlib
from types import TracebackType
from typing import Final, Self

from lab.ports import LOOPBACK, free_port

_CHUNK_BYTES: Final = 1 << 16


class Switch:
    """`async with Switch(port) as switch` listens at `address`, and leads to that port."""

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self._leads_to = port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """host:port."""
        return f"{LOOPBACK}:{self.port}"

    def turn_to(self, port: int, *, breaks: bool = True) -> None:
        """Lead there from now on; all connections break, or stay where they are."""
        self._leads_to = port
        for task in self._open if breaks else ():
            task.cancel()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, LOOPBACK, self.port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            other, onward = await asyncio.open_connection(LOOPBACK, self._leads_to)
            with contextlib.closing(onward):
                ways = [
                    asyncio.create_task(_pass(*way)) for way in ((reader, onward), (other, writer))
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
