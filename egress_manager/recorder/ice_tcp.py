"""ICE over TCP, for networks that let no UDP through (RFC 6544).

aioice speaks UDP only. So a passive TCP candidate of the server gets a bridge: a UDP port of ours
on loopback that aioice takes for the server, and a TCP connection behind it on which every datagram
travels with its length before it (RFC 4571). STUN, DTLS and SRTP pass through unchanged.
"""

import asyncio
import contextlib
from typing import Final, cast

from egress_manager.errors import CaptureFailed

#: How long the TCP connection may take. Seconds.
CONNECT_TIMEOUT: Final = 5.0
#: What may wait to be sent before datagrams are dropped, as a network would. Bytes.
SEND_BUFFER: Final = 256 * 1024


class Bridge(asyncio.DatagramProtocol):
    """Datagrams of ours to the TCP connection, and back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ours: tuple[str, int] | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._pump: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The UDP side is there: begin to read the TCP side."""
        # Not every loop's datagram transport says by its classes that it is one.
        self._transport = cast(asyncio.DatagramTransport, transport)
        self._pump = asyncio.create_task(self._read())

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """From aioice: on to the server."""
        self._ours = addr
        if self._writer.transport.get_write_buffer_size() < SEND_BUFFER:
            self._writer.write(len(data).to_bytes(2, "big") + data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The UDP side is closed: so is the TCP side."""
        if self._pump is not None:
            self._pump.cancel()
        self._writer.close()

    async def _read(self) -> None:
        """From the server: back to aioice. Ends with the TCP connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while self._transport is not None:
                size = int.from_bytes(await self._reader.readexactly(2), "big")
                data = await self._reader.readexactly(size)
                if self._ours is not None:
                    self._transport.sendto(data, self._ours)


async def bridge_candidate(candidate: str) -> tuple[str, asyncio.DatagramTransport]:
    """A UDP candidate that leads to the server's TCP candidate, and what to close at the end.

    Raises `CaptureFailed` where the server can't be reached.
    """
    words = candidate.split()
    host, port = words[4], int(words[5])
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            reader, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        raise CaptureFailed("LiveKit's TCP media port can't be reached") from error
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Bridge(reader, writer), local_addr=("127.0.0.1", 0)
    )
    here = transport.get_extra_info("sockname")
    return " ".join([*words[:2], "udp", words[3], here[0], str(here[1]), "typ", "host"]), transport
