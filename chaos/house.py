"""The servers of one run, each with a handle to hurt it by."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chaos.clocks import Clock
from chaos.disks import own_disk
from chaos.post import Post
from lab.egress import Egress
from lab.manager import Manager
from lab.ports import free_port
from lab.processes import Server, ServerFailed
from lab.servers import LiveKit, Mongod, Redis
from lab.wire import Wire

#: What a house may be built with for some faults only: both cost time, or rights.
DISK, CLOCK = "disk", "clock"
#: A supervisor starts what has ended again and again, for as long as this. Seconds.
START_FOR: Final = 60.0
_ONE_START: Final = 30.0
_START_AGAIN: Final = 0.5
#: The egress stand-in waits this long for tracks. Seconds.
_EGRESS_WAITS: Final = 10.0


@dataclass(frozen=True, slots=True)
class House:
    """Everything that runs. `servers` are the processes by name, `ours` the names of our own."""

    servers: Mapping[str, Server]
    ours: Collection[str]
    livekit: LiveKit
    manager: Manager
    wire: Wire
    post: Post
    disk: Path
    temporary: Path
    clock: Clock
    engine: str = "builtin"
    calls_are_over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def egress(self) -> Egress | None:
        """LiveKit Egress, where it is there."""
        found = self.servers.get("egress")
        return found if isinstance(found, Egress) else None


async def start(server: Server) -> None:
    """Start it as a supervisor would: again and again. Raises `ServerFailed`."""
    deadline = asyncio.get_running_loop().time() + START_FOR
    while True:
        try:
            await server.start(_ONE_START)
            return
        except ServerFailed:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(_START_AGAIN)


@contextlib.asynccontextmanager
async def house(engine: str, needs: Collection[str], seed: int) -> AsyncIterator[House]:
    """Build it; at the end nothing is left of it. Raises `NoDisk` and `NoClock`."""
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        disk, temporary = _directories(directory, needs, stack)
        clock = Clock(directory)
        mongod = await stack.enter_async_context(Mongod())
        redis = await stack.enter_async_context(Redis()) if engine == "egress" else None
        port = free_port()
        post = await stack.enter_async_context(Post(f"http://127.0.0.1:{port}/webhook", seed))
        livekit = LiveKit(webhook_urls=[post.url], redis=redis)
        await stack.enter_async_context(livekit)
        wire = await stack.enter_async_context(Wire(livekit))
        settings = {"EGRESS_MANAGER_ENGINE": engine, "TMPDIR": str(temporary)}
        manager = Manager(
            livekit_url=wire.http_url,
            mongo_uri=mongod.uri,
            port=port,
            recordings=disk / "recordings",
            settings=settings | dict(clock.environment() if CLOCK in needs else {}),
        )
        await stack.enter_async_context(manager)
        servers: dict[str, Server] = {"manager": manager, "livekit": livekit, "mongod": mongod}
        if redis is not None:
            egress = Egress(livekit, redis, wait=_EGRESS_WAITS)
            servers |= {"redis": redis, "egress": await stack.enter_async_context(egress)}
        yield House(
            servers, ("manager",), livekit, manager, wire, post, disk, temporary, clock, engine
        )


def _directories(
    directory: Path, needs: Collection[str], stack: contextlib.ExitStack | contextlib.AsyncExitStack
) -> tuple[Path, Path]:
    """Where recordings lie, and where temporary files of ours would."""
    if DISK in needs:
        disk = stack.enter_context(own_disk(directory))
    else:
        disk = directory / "files"
        disk.mkdir()
    temporary = directory / "temporary"
    temporary.mkdir()
    return disk, temporary
