"""A manager whose parts are processes of their own, as on several hosts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pymongo import AsyncMongoClient

from lab.manager import Manager, Worker
from lab.ports import LOOPBACK, free_port
from lab.processes import ServerFailed
from lab.servers import LiveKit, Mongod, Redis
from tests.e2e.houses import House

#: How long to wait for one of several processes to do something. Seconds.
PATIENCE = 60.0


@dataclass
class Cluster:
    """A manager for the API alone, and beside it recorders and jobs, with one Redis."""

    home: House
    redis: Redis
    mongod: Mongod
    database: str
    recorders: list[Worker] = field(default_factory=list)
    jobs: list[Worker] = field(default_factory=list)

    async def holder(self, room_name: str, but: Worker | None = None) -> Worker:
        """Wait until a recorder holds the room and hears all in it: which one it is."""
        async with AsyncMongoClient[dict[str, object]](self.mongod.uri) as client:
            claims = client[self.database]["claims"]
            async with asyncio.timeout(PATIENCE):
                while True:
                    claim = await claims.find_one({"_id": f"room:{room_name}", "is_ready": True})
                    found = self._whose(str(claim["holder"])) if claim else None
                    if found is not None and found is not but:
                        return found
                    await asyncio.sleep(0.05)

    def other(self, than: Worker) -> Worker:
        """Another recorder than this one."""
        return next(each for each in self.recorders if each is not than)

    def _whose(self, process_id: str) -> Worker | None:
        pid = int(process_id.rsplit("-", 2)[1])
        running = [each for each in self.recorders if each.is_running]
        return next((each for each in running if each.pid == pid), None)


@contextlib.asynccontextmanager
async def cluster(
    mongod: Mongod,
    database: str,
    directories: Sequence[Path],
    *,
    jobs: int = 1,
    first: Mapping[str, str] | None = None,
    lists: Redis | None = None,
) -> AsyncIterator[Cluster]:
    """One recorder for each of these directories; those with the same one are on one host.

    `first` are settings of the first recorder alone. `lists` is a Redis of livekit-server's own.
    """
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(Redis())
        livekit = await stack.enter_async_context(
            LiveKit(webhook_urls=[f"http://{LOOPBACK}:{port}/webhook"], redis=lists)
        )
        manager = Manager(
            livekit_url=livekit.http_url,
            mongo_uri=mongod.uri,
            mongo_db=database,
            port=port,
            recordings=directories[0],
            settings={
                "REDIS_URL": redis.url,
                "EGRESS_MANAGER_ROLES": "none",
                "EGRESS_MANAGER_SIGNING_KEY": str(directories[0] / ".signing" / "key"),
            },
        )
        await stack.enter_async_context(manager)
        made = Cluster(House(livekit, manager), redis, mongod, database)
        for number, directory in enumerate(directories):
            own = first if number == 0 else None
            recorder = Worker("recorder", manager, recordings=directory, settings=own)
            made.recorders.append(await stack.enter_async_context(recorder))
        for _ in range(jobs):
            worker = Worker("jobs", manager)
            made.jobs.append(await stack.enter_async_context(worker))
        try:
            yield made
        except BaseException:
            for server in (manager, *made.recorders, *made.jobs):
                print(f"{server.name}:\n{server.log_tail()}")
            raise


__all__ = ["Cluster", "ServerFailed", "cluster"]
