"""What the logs of a whole call tell, at the most talkative that there is."""

from pathlib import Path

import pytest

from lab import sounds
from lab.manager import Manager
from lab.phones import Agent, Phone
from lab.servers import Mongod
from tests.e2e.houses import house

pytestmark = pytest.mark.builtin_only("LiveKit Egress keeps its own log")


class AsUsersRunIt(Manager):
    """With uvicorn's log of requests, which users do not know to leave out."""

    def command(self) -> list[str]:
        return [part for part in super().command() if part != "--no-access-log"]


async def test_a_talkative_log_names_nobody(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path, room_name: str
) -> None:
    """Every library at its loudest: neither numbers nor keys, but in marked fields."""
    talkative = {"EGRESS_MANAGER_LOG_LEVEL": "debug"}
    async with (
        house(mongod_server, mongo_database, tmp_path, settings=talkative) as home,
        Agent(home.livekit, room_name, identity="agent-0815"),
        Phone(home.livekit, room_name, number="+15550801") as phone,
    ):
        await phone.answered()
        await home.hears(phone)
        await phone.say(sounds.chirp(1))
        await phone.hang_up()
        recording = await home.finished(phone)

    assert recording["caller_number"] == "+15550801"


async def test_requests_are_not_logged_with_whom_they_ask_for(
    mongod_server: Mongod, mongo_database: str
) -> None:
    """Queries have numbers in them, and paths whatever somebody writes there."""
    nobody = "http://127.0.0.1:9"
    async with AsUsersRunIt(
        livekit_url=nobody, mongo_uri=mongod_server.uri, mongo_db=mongo_database
    ) as manager:
        for path in (
            "/calls?caller_number=%2B15550802",
            "/recordings/+15550802/audio",
            "/+15550802",
        ):
            await manager.ask(path)
            await manager.tell(path)
        log = manager.log.read_text()

    assert "15550802" not in log
