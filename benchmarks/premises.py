"""A manager with its own MongoDB and livekit-server on loopback, and a look at all of it."""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.tree import Tree
from egress_manager.domain.captures import FOLDER, Story
from egress_manager.recorder.journal import read_story
from lab.manager import Manager
from lab.ports import free_port
from lab.servers import LiveKit, Mongod

DATABASE = "benchmark"
#: How often the database is asked whether something is there by now. Seconds.
LOOK = 0.01
Document = dict[str, Any]


class WatchedManager(Manager):
    """The manager, which also tells how many tasks it has (see `benchmarks.watched`)."""

    def command(self) -> list[str]:
        return [
            part.replace("egress_manager.app", "benchmarks.watched") for part in super().command()
        ]

    async def tasks(self) -> list[str]:
        """The names of the coroutines that its tasks run, sorted."""
        return list((await self.ask("/benchmark/tasks")).raise_for_status().json())


@dataclass(frozen=True, slots=True)
class Premises:
    """Everything that runs. The database is read directly: asking the API would be work for it."""

    livekit: LiveKit
    manager: WatchedManager
    tree: Tree
    database: AsyncDatabase[Document]
    mongod: Mongod

    async def completed(self, count: int, *, timeout: float = 120.0) -> list[Document]:
        """Wait until so many recordings are completed; they, in the order of their calls."""
        return await self._those({"status": "completed"}, count, timeout)

    async def judged(self, count: int, *, timeout: float = 120.0) -> list[Document]:
        """The same, and listened to."""
        wanted = {"status": "completed", "verdict": {"$ne": "pending"}}
        return await self._those(wanted, count, timeout)

    async def _those(self, wanted: Document, count: int, timeout: float) -> list[Document]:
        recordings = self.database["recordings"]
        deadline = time.monotonic() + timeout
        while await recordings.count_documents(wanted) < count:
            if time.monotonic() > deadline:
                found = await recordings.find(
                    {}, {"status": 1, "reason": 1, "verdict": 1}
                ).to_list()
                raise TimeoutError(f"no {count} recordings: {found}\n{self.manager.log_tail()}")
            await asyncio.sleep(LOOK)
        return await recordings.find(wanted).sort("started_at", 1).to_list()

    async def joined_webhooks(self) -> Mapping[str, float]:
        """When the manager received each phone's `participant_joined` (seconds since 1970)."""
        kept = self.database["inbox"].find({"name": "participant_joined"})
        found: dict[str, float] = {}
        async for webhook in kept:
            participant = json.loads(webhook["body"])["participant"]
            at = webhook["kept_at"].replace(tzinfo=UTC).timestamp()
            found.setdefault(participant["identity"], at)
        return found

    def story(self, recording: Document) -> Story:
        """The journal of the capture that a recording was made of."""
        return read_story(self.manager.recordings / FOLDER / recording["captures"][0])


@asynccontextmanager
async def premises(settings: Mapping[str, str] | None = None) -> AsyncIterator[Premises]:
    """Start everything; at the end nothing is left of it."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
        async with Mongod() as mongod:
            port = free_port()
            livekit = LiveKit(webhook_urls=[f"http://127.0.0.1:{port}/webhook"])
            manager = WatchedManager(
                livekit_url=livekit.http_url,
                mongo_uri=mongod.uri,
                mongo_db=DATABASE,
                port=port,
                recordings=Path(directory),
                settings=settings,
            )
            client: AsyncMongoClient[Document] = AsyncMongoClient(mongod.uri)
            async with livekit, manager, client:
                database = client[DATABASE]
                yield Premises(livekit, manager, Tree(manager.pid), database, mongod)


def seconds_of(document: Document, name: str) -> float:
    """A time of a document, in seconds since 1970."""
    return float(document[name].replace(tzinfo=UTC).timestamp())


def say(words: str) -> None:
    """One line of progress, beside the results."""
    print(words, file=sys.stderr, flush=True)
