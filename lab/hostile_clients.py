"""Clients that mean harm: whoever reaches the port, without a key.

    async with HostileClients(manager.port) as clients: ...

They are a process of their own, so that they take nothing from the phones of a test but the CPU.
Each attack goes on until the end; `told` says how often it was tried.

    python -m lab.hostile_clients PORT [ATTACK …]
"""

import asyncio
import contextlib
import itertools
import json
import os
import secrets
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

from lab import programs
from lab.ports import LOOPBACK
from lab.processes import Server

#: Connections that are opened and say nothing.
IDLE: Final = 1_100
#: Bodies that begin and never end.
ENDLESS: Final = 800
#: Clients that ask, or guess, as fast as they are answered.
EAGER: Final = 16
#: Clients that send a body in chunks of one byte, and the bytes of one body.
CHUNKED: Final = 6
CHUNKED_BYTES: Final = 1_000_000

_A_CHUNK: Final = b"1\r\nx\r\n"
_PATIENCE: Final = 5.0
_AGAIN: Final = 0.05

Attack = Callable[[int, "Tally"], Coroutine[Any, Any, None]]


class Tally(dict[str, int]):
    """How often each attack was tried, by name."""

    def note(self, name: str) -> None:
        """One more."""
        self[name] = self.get(name, 0) + 1


class HostileClients(Server):
    """The process of the attackers; all attacks at once, unless some are named."""

    name = "hostile-clients"

    def __init__(self, port: int, *attacks: str) -> None:
        super().__init__()
        self._port = port
        self._attacks = attacks
        self._told = self.directory / "told.json"

    def command(self) -> list[str]:
        module = [sys.executable, "-m", "lab.hostile_clients", str(self._port), str(self._told)]
        return [*module, *self._attacks]

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(programs.ROOT)}

    async def answers(self) -> bool:
        return bool(self.told)

    @property
    def told(self) -> Mapping[str, int]:
        """How often each attack was tried by now."""
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads(self._told.read_text()))
        return {}


async def chunks(port: int, tally: Tally) -> None:
    """Bodies in chunks of one byte."""
    head = b"POST /webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    await _all(CHUNKED, port, tally, "chunks", head + _A_CHUNK * CHUNKED_BYTES)


async def idle(port: int, tally: Tally) -> None:
    """Connections that say nothing."""
    await _all(IDLE, port, tally, "idle", b"")


async def endless(port: int, tally: Tally) -> None:
    """Bodies that say how long they are and stop before their end."""
    head = b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n"
    await _all(ENDLESS, port, tally, "endless", head + bytes(1_000_000))


async def headers(port: int, tally: Tally) -> None:
    """Headers that never end."""
    await _all(EAGER, port, tally, "headers", b"GET / HTTP/1.1\r\nX: " + b"y" * 1_000_000)


async def health(port: int, tally: Tally) -> None:
    """Questions that need no key."""
    await _eagerly(port, tally, "health", lambda: b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")


async def guesses(port: int, tally: Tally) -> None:
    """Keys that may be right."""

    def ask() -> bytes:
        key = secrets.token_hex(16).encode()
        return b"GET /calls HTTP/1.1\r\nHost: x\r\nX-API-Key: " + key + b"\r\n\r\n"

    await _eagerly(port, tally, "guesses", ask)


async def forged(port: int, tally: Tally) -> None:
    """Webhooks with a signature of nobody's."""
    head = b"POST /webhook HTTP/1.1\r\nHost: x\r\nAuthorization: a.b.c\r\nContent-Length: 2\r\n\r\n"
    await _eagerly(port, tally, "forged", lambda: head + b"{}")


async def hangups(port: int, tally: Tally) -> None:
    """Webhooks and guesses of clients that do not wait for the answer."""
    head = b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a.b.c\r\nContent-Length: 2\r\n\r\n{}"
    async with asyncio.TaskGroup() as group:
        for _ in range(EAGER // 2):
            for asked in (b"POST /webhook", b"GET /calls"):
                group.create_task(_ask_and_go(port, tally, asked + head))


ATTACKS: Final[Mapping[str, Attack]] = {
    attack.__name__: attack
    for attack in (chunks, idle, endless, headers, health, guesses, forged, hangups)
}


async def _all(count: int, port: int, tally: Tally, name: str, sent: bytes) -> None:
    """So many connections that send the same and hold on; one that is closed comes again."""
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(_hold_on(port, tally, name, sent))


async def _hold_on(port: int, tally: Tally, name: str, sent: bytes) -> None:
    while True:
        tally.note(name)
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(sent)
                while await reader.read(65536):
                    pass
            finally:
                writer.close()
        await asyncio.sleep(_AGAIN)


async def _eagerly(port: int, tally: Tally, name: str, ask: Callable[[], bytes]) -> None:
    """Clients that ask again as soon as they have an answer."""
    async with asyncio.TaskGroup() as group:
        for _ in range(EAGER):
            group.create_task(_ask_on(port, tally, name, ask))


async def _ask_on(port: int, tally: Tally, name: str, ask: Callable[[], bytes]) -> None:
    while True:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_PATIENCE):
                reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                for _ in itertools.count():
                    tally.note(name)
                    writer.write(ask())
                    async with asyncio.timeout(_PATIENCE):
                        await _answer(reader)
            finally:
                writer.close()
        await asyncio.sleep(_AGAIN)


async def _ask_and_go(port: int, tally: Tally, sent: bytes) -> None:
    """Ask on a connection of its own each time, and hang up at once."""
    while True:
        tally.note("hangups")
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                _, writer = await asyncio.open_connection(LOOPBACK, port)
                writer.write(sent)
                writer.close()
                await writer.wait_closed()
        await asyncio.sleep(0)


async def _answer(reader: asyncio.StreamReader) -> None:
    """Read one answer to its end."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            await reader.readexactly(int(value))


async def _main(port: int, told: Path, names: list[str]) -> None:
    """All the attacks, or those that are named, until the process ends.

    Attackers are elsewhere in the world: here they take only the CPU that nobody else wants.
    """
    os.nice(19)
    tally = Tally()
    async with asyncio.TaskGroup() as group:
        for name in names or list(ATTACKS):
            group.create_task(ATTACKS[name](port, tally))
        while True:
            await asyncio.sleep(_AGAIN)
            new = told.with_suffix(".new")
            new.write_text(json.dumps(tally))
            new.replace(told)


if __name__ == "__main__":
    _, _port, _told, *_names = sys.argv
    asyncio.run(_main(int(_port), Path(_told), _names))
