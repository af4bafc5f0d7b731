"""How many files and connections a process may have open, whatever it was started with."""

import resource
from pathlib import Path

import pytest

from lab import sounds
from lab.hostile_clients import IDLE, HostileClients
from lab.manager import Manager
from lab.phones import Agent, SipParticipant
from lab.ports import LOOPBACK
from lab.servers import Mongod
from tests.e2e.attending import until
from tests.e2e.houses import House, heard

pytestmark = pytest.mark.builtin_only("LiveKit Egress records elsewhere")

#: What systemd and shells begin with, for programs that can't do with more.
USUAL = 1024


def limits(manager: Manager) -> tuple[int, int]:
    """How many descriptors the running process may have: its limit, and the most it may be."""
    lines = Path(f"/proc/{manager.pid}/limits").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("Max open files"))
    soft, hard = line.split()[3:5]
    return int(soft), int(hard)


async def test_a_process_takes_as_many_as_it_may_have(
    mongod_server: Mongod, mongo_database: str
) -> None:
    """It was started with the usual limit, and its log has nothing to say about it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    manager = Manager(
        livekit_url=f"ws://{LOOPBACK}:1", mongo_uri=mongod_server.uri, mongo_db=mongo_database
    )
    manager.descriptors = (USUAL, most)
    async with manager:
        taken = limits(manager)
        log = manager.log.read_text()

    assert most > USUAL
    assert taken == (most, most)
    assert "few_descriptors" not in log


async def test_a_process_that_may_have_few_says_so_and_records_beside_idle_clients(
    home: House, room_name: str
) -> None:
    """More clients want to hold a connection than it may have open; a call begins then."""
    await home.manager.stop()
    home.manager.descriptors = (USUAL, USUAL)
    await home.manager.start()
    home.manager.ask_timeout = 60.0  # it has others to answer, too
    log = home.manager.log.read_text()
    async with HostileClients(home.manager.port, "idle") as clients:
        await until(lambda: clients.told["idle"] > IDLE)
        async with (
            Agent(home.livekit, room_name, identity="agent"),
            SipParticipant(home.livekit, room_name, number="+15550130") as phone,
        ):
            await phone.answered()
            await home.hears(phone)
            await phone.say(sounds.chirp(2))
            await phone.hang_up()
        recording = await home.finished(phone)

    assert IDLE > USUAL
    assert limits(home.manager) == (USUAL, USUAL)
    (said,) = (line for line in log.splitlines() if "few_descriptors" in line)
    assert '"limit": 1024' in said
    assert "LimitNOFILE=65536" in said
    assert sounds.locate(heard(recording).left, sounds.chirp(2)).score > 0.6
