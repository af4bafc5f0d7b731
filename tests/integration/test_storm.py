"""A storm of webhooks, and the process killed twice in the middle of it: nothing is lost."""

from pathlib import Path

from egress_manager.adapters.mongo_client import connect
from lab.manager import Manager
from lab.servers import LiveKit, Mongod
from lab.storm import rage, wrong

#: `python -m benchmarks storm` sends ten times as many.
ROOMS, CALLS = 200, 1


async def test_what_got_its_200_is_worked_on_once(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path
) -> None:
    """200 rooms at once, kill -9 at a third and at two: the sender tries again, as LiveKit does.

    Each call is there once with one recording; what was taken twice happened once.
    """
    async with (
        LiveKit(room={"auto_create": False}) as livekit,
        Manager(
            livekit_url=livekit.http_url,
            mongo_uri=mongod_server.uri,
            mongo_db=mongo_database,
            recordings=tmp_path / "recordings",
        ) as manager,
        connect(mongod_server.uri) as client,
    ):
        storm = await rage(manager, rooms=ROOMS, calls=CALLS)
        found = await wrong(client[mongo_database], storm)

        assert storm.post.failures, "nobody noticed that it was killed"
        assert not found[:10], manager.log_tail()
