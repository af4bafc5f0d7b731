"""Clients without a key do all they can while people are on the phone."""

import asyncio
from pathlib import Path

import pytest

from lab import sounds
from lab.hostile_clients import ATTACKS, HostileClients
from lab.phones import Agent, SipParticipant
from lab.servers import Mongod
from tests.e2e.houses import House, heard, house

pytestmark = pytest.mark.builtin_only("LiveKit Egress records elsewhere")


async def test_hostile_clients_cost_no_call_a_packet(
    mongod_server: Mongod, mongo_database: str, room_name: str, tmp_path: Path
) -> None:
    """A call goes on through it, another one begins in the midst of it; both are whole."""
    settings = {"EGRESS_MANAGER_STANDING_ROOMS": "none"}
    async with house(mongod_server, mongo_database, tmp_path, settings=settings) as home:
        home.manager.ask_timeout = 60.0  # it has others to answer, too
        async with (
            Agent(home.livekit, f"{room_name}-1", identity="agent-1"),
            SipParticipant(home.livekit, f"{room_name}-1", number="+15550101") as first,
        ):
            await first.answered()
            await home.hears(first)
            async with HostileClients(home.manager.port) as hostile:
                await first.say(sounds.chirp(4))
                await _every_attack(hostile)
                await _calls(home, f"{room_name}-2", "+15550102")
                await first.say(sounds.beeps(2))
            await first.hang_up()

        for number in ("+15550101", "+15550102"):
            recording = await home.manager.recording(
                "completed", caller_number=number, which=lambda r: r["verdict"] != "pending"
            )
            faults = {f["name"] for f in recording["findings"] if f["is_fault"]}
            # What a busy machine does to phones and joining is judged in the benchmark `hostile`.
            assert faults <= {"late_start", "misplaced"}, recording["findings"]
            assert [track["lost"] for track in recording["tracks"]] == [0, 0]
            assert sounds.locate(heard(recording).left, sounds.chirp(4)).score > 0.6
        connections = (await home.manager.ask("/health")).json()["connections"]
        assert connections["turned_away"] > 0


async def _every_attack(hostile: HostileClients) -> None:
    async with asyncio.timeout(60):
        while set(hostile.told) < set(ATTACKS):
            await asyncio.sleep(0.05)


async def _calls(home: House, room: str, number: str) -> None:
    """Somebody who is heard as soon as a recorder is there says something whole."""
    async with (
        Agent(home.livekit, room, identity="agent-2"),
        SipParticipant(home.livekit, room, number=number) as phone,
    ):
        await phone.answered()
        await home.hears(phone)
        await phone.say(sounds.chirp(4))
        await phone.hang_up()
