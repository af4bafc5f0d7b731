"""How many webhooks a second are taken in durably, beside the least that could be called that."""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
from pymongo import AsyncMongoClient

from benchmarks.figures import Figure
from benchmarks.premises import Document, say
from lab import programs
from lab.manager import Manager
from lab.ports import LOOPBACK, free_port
from lab.processes import Server, ServerFailed
from lab.servers import LiveKit, Mongod

METHOD = (
    "Signed webhooks of many calls (a room's whole life each) are posted over 32 connections to "
    "our service and to a bare FastAPI handler with one journaled insert: same uvicorn settings, "
    "same mongod, same generator in a process of its own, in turn; the ratio is that of the "
    "medians. Each round has a new service and a new database. All callers joined half a "
    "minute ago, so that nobody is sent to rooms that are not there, whatever the policy."
)
ROUNDS, SECONDS = 5, 8.0
QUICK_ROUNDS, QUICK_SECONDS = 2, 3.0
WARM_UP_SECONDS = 1.0
#: More requests are made than any server will answer. Per second.
MOST_RATE = 6000
GENERATOR_TIMEOUT = 120.0
#: For so long it is counted what is worked on afterwards. Seconds.
AFTERWARDS = 5.0
#: The query for webhooks that were worked on.
DONE = {"done_at": {"$ne": None}}


class Bare(Server):
    """`benchmarks.bare`, served just as the manager is."""

    name = "bare"

    def __init__(self, mongo_uri: str) -> None:
        super().__init__()
        self.port = free_port()
        self._mongo_uri = mongo_uri

    def command(self) -> list[str]:
        serve = ["-m", "uvicorn", "benchmarks.bare:app", "--host", LOOPBACK]
        return [sys.executable, *serve, "--port", str(self.port), "--no-access-log"]

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(programs.ROOT), "BARE_MONGO_URI": self._mongo_uri}

    async def answers(self) -> bool:
        try:
            async with httpx2.AsyncClient() as client:
                return (await client.get(f"http://{LOOPBACK}:{self.port}/openapi.json")).is_success
        except httpx2.HTTPError:
            return False


@dataclass(slots=True)
class Rounds:
    """What the generator told of one server, round by round.

    How many webhooks were worked on a second: `meanwhile`, and `afterwards`, when all was quiet.
    """

    per_second: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    meanwhile: list[float] = field(default_factory=list)
    afterwards: list[float] = field(default_factory=list)

    def add(self, told: dict[str, Any]) -> None:
        """Raises `ServerFailed` where anything but 200 was answered."""
        if set(told["statuses"]) != {"200"} or told["ran_out"]:
            raise ServerFailed(f"the load was not what it should be: {told}")
        self.per_second.append(told["per_second"])
        self.p99_ms.append(told["p99_ms"])


async def measure(*, quick: bool) -> AsyncIterator[Figure]:
    """The policies in turn with the bare handler."""
    rounds, seconds = (QUICK_ROUNDS, QUICK_SECONDS) if quick else (ROUNDS, SECONDS)
    tallies = {name: Rounds() for name in ("bare", "none", "all")}
    async with Mongod() as mongod, LiveKit() as livekit:
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            async with Bare(mongod.uri) as bare:
                tallies["bare"].add(await hammered(bare.port, seconds))
            for policy in ("none", "all"):
                await one_round(mongod, livekit, policy, number, seconds, tallies[policy])
    for policy in ("none", "all"):
        yield figure(policy, tallies[policy], tallies["bare"])


async def one_round(
    mongod: Mongod, livekit: LiveKit, policy: str, number: int, seconds: float, tally: Rounds
) -> None:
    """A new manager with a new database; how many webhooks it takes in, and works on meanwhile."""
    database = f"intake_{policy}_{number}"
    manager = Manager(
        livekit_url=livekit.http_url,
        mongo_uri=mongod.uri,
        mongo_db=database,
        settings={"EGRESS_MANAGER_RECORD": policy},
    )
    client: AsyncMongoClient[Document] = AsyncMongoClient(mongod.uri)
    async with manager, client:
        inbox = client[database]["inbox"]
        began = time.perf_counter()
        tally.add(await hammered(manager.port, seconds))
        done = await inbox.count_documents(DONE)
        tally.meanwhile.append(done / (time.perf_counter() - began))
        await asyncio.sleep(AFTERWARDS)
        more = await inbox.count_documents(DONE) - done
        tally.afterwards.append(more / AFTERWARDS)


async def hammered(port: int, seconds: float) -> dict[str, Any]:
    """What the generator tells, after a warm-up."""
    await _generator(port, "warm", WARM_UP_SECONDS)
    return await _generator(port, "run", seconds)


async def _generator(port: int, run: str, seconds: float) -> dict[str, Any]:
    arguments = ["-m", "benchmarks.hammer", str(port), run, str(seconds), str(MOST_RATE)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=programs.ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(GENERATOR_TIMEOUT):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise ServerFailed(f"the generator ended with {process.returncode}")
    return dict(json.loads(said))


def figure(policy: str, ours: Rounds, bare: Rounds) -> Figure:
    """The ratio of the medians."""

    def median(values: Sequence[float]) -> int:
        return round(statistics.median(values))

    return Figure(
        name=f"webhooks taken in, ratio to a bare handler, policy `{policy}`",
        value=round(statistics.median(ours.per_second) / statistics.median(bare.per_second), 2),
        unit="",
        at_least=0.7,
        beside={
            "ours a second": median(ours.per_second),
            "bare a second": median(bare.per_second),
            "ours least, most": [round(min(ours.per_second)), round(max(ours.per_second))],
            "bare least, most": [round(min(bare.per_second)), round(max(bare.per_second))],
            "p99 ms, ours and bare": [median(ours.p99_ms), median(bare.p99_ms)],
            "worked on a second, meanwhile": median(ours.meanwhile),
            "worked on a second, afterwards": median(ours.afterwards),
        },
    )
