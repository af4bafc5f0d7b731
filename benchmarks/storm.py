"""What is lost when the process is killed twice in the middle of 20,000 webhooks."""

from collections.abc import AsyncIterator

from pymongo import AsyncMongoClient

from benchmarks.figures import Figure
from benchmarks.premises import Document, say
from lab.manager import Manager
from lab.servers import LiveKit, Mongod
from lab.storm import rage, wrong

METHOD = (
    "20,000 signed webhooks of 2,000 calls, one after the other in each of 200 rooms, the rooms "
    "at once, as fast as they are answered. The process is killed (-9) when a third is answered "
    "and when two thirds are, and started again. The sender tries again and gives up as LiveKit "
    "does. Then everything that got its 200 has to be in the inbox and worked on, and every call "
    "of which it tells has to be there once, over, with one recording that came to an end."
)
ROOMS, CALLS, QUICK_CALLS = 200, 10, 1
DATABASE = "storm"
#: For working on what was taken. Seconds.
AFTERWARDS = 600.0


async def measure(*, quick: bool) -> AsyncIterator[Figure]:
    """One storm."""
    say("a storm")
    async with (
        Mongod() as mongod,
        LiveKit(room={"auto_create": False}) as livekit,
        Manager(livekit_url=livekit.http_url, mongo_uri=mongod.uri, mongo_db=DATABASE) as manager,
        AsyncMongoClient[Document](mongod.uri, tz_aware=True) as client,
    ):
        storm = await rage(manager, rooms=ROOMS, calls=QUICK_CALLS if quick else CALLS)
        found = await wrong(client[DATABASE], storm, AFTERWARDS)
    yield Figure(
        name="faults after a storm with two kills",
        value=len(found),
        unit="",
        at_most=0,
        beside={
            "webhooks that got their 200": len(storm.post.taken),
            "given up by the sender": len(storm.post.given_up),
            "calls": len(storm.told),
            "attempts that failed": sum(storm.post.failures.values()),
            "seconds": round(storm.seconds, 1),
            "faults": found[:5],
        },
    )
