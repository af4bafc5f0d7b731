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
from chaos.lists import Lists, lists_of
from chaos.post import Post
from chaos.schedule import BUILTIN, EGRESS, SEVERAL
from egress_manager.domain.captures import FOLDER
from lab.egress import Egress
from lab.manager import Manager, Worker
from lab.ports import LOOPBACK, free_port
from lab.processes import Server, ServerFailed
from lab.servers import LiveKit, Mongod, Redis
from lab.wire import Wire

#: What a house is built with for some faults only: each costs time, or rights.
DISK, CLOCK, WIRE, LISTS = "disk", "clock", "wire", "lists"
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
    wire: Wire | None
    post: Post
    disk: Path
    temporary: Path
    clock: Clock
    kind: str = BUILTIN
    lists: Lists | None = None
    calls_are_over: asyncio.Event = field(default_factory=asyncio.Event)

    def busiest(self, name: str) -> Server:
        """Of the servers of a name (`name`, `name-2`, …) the one that holds most captures open."""
        found = [server for known, server in self.servers.items() if known.startswith(name)]
        return max(found, key=lambda server: _captures_of(server, self.manager.recordings))


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
async def house(kind: str, needs: Collection[str], seed: int) -> AsyncIterator[House]:
    """Build it; at the end nothing is left of it. Raises `NoDisk` and `NoClock`."""
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        disk, temporary = _directories(directory, needs, stack)
        clock = Clock(directory)
        mongod = await stack.enter_async_context(Mongod())
        redis = await stack.enter_async_context(Redis()) if kind != BUILTIN else None
        port = free_port()
        post = await stack.enter_async_context(Post(f"http://{LOOPBACK}:{port}/webhook", seed))
        lists = await lists_of(redis if kind == EGRESS else None, stack) if LISTS in needs else None
        reached = lists.switch if lists else redis if kind == EGRESS else None
        livekit = LiveKit(webhook_urls=[post.url], redis=reached)
        await stack.enter_async_context(livekit)
        wire = await stack.enter_async_context(Wire(livekit)) if WIRE in needs else None
        settings = {"TMPDIR": str(temporary), **_settings(kind, redis)}
        manager = Manager(
            livekit_url=(wire or livekit).http_url,
            mongo_uri=mongod.uri,
            port=port,
            recordings=disk / "recordings",
            settings=settings | dict(clock.environment() if CLOCK in needs else {}),
        )
        servers: dict[str, Server] = {"manager": manager, "livekit": livekit, "mongod": mongod}
        servers |= {"redis": redis} if redis else {}
        others = _others(kind, manager, livekit, redis)
        for server in (manager, *others.values()):
            await stack.enter_async_context(server)
        ours = [name for name, server in others.items() if isinstance(server, Worker)]
        yield House(
            servers | others,
            ("manager", *ours),
            livekit,
            manager,
            wire,
            post,
            disk,
            temporary,
            clock,
            kind,
            lists,
        )


def _settings(kind: str, redis: Redis | None) -> dict[str, str]:
    if kind == SEVERAL and redis is not None:
        return {"REDIS_URL": redis.url, "EGRESS_MANAGER_ROLES": "none"}
    return {"EGRESS_MANAGER_ENGINE": kind}


def _others(
    kind: str, manager: Manager, livekit: LiveKit, redis: Redis | None
) -> dict[str, Server]:
    """What a house has beside, by name."""
    if kind == EGRESS and redis is not None:
        return {"egress": Egress(livekit, redis, wait=_EGRESS_WAITS)}
    if kind == SEVERAL:
        roles = {"jobs": "jobs", "recorder": "recorder", "recorder-2": "recorder"}
        return {name: Worker(role, manager) for name, role in roles.items()}
    return {}


def _captures_of(server: Server, recordings: Path) -> int:
    """How many files of captures its process has open."""
    if not server.is_running:
        return -1
    found = 0
    for link in Path(f"/proc/{server.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found += link.readlink().is_relative_to(recordings / FOLDER)
    return found


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
