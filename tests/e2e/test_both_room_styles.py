"""On the way from one fixed room to a room for each call, both are there at once."""

import contextlib
from pathlib import Path

from lab import sounds
from lab.phones import Agent, Phone
from lab.servers import Mongod
from tests.e2e.houses import House, heard, house
from tests.e2e.listening import sides

FIXED = "friday-assistant-room"
OWN = "call-_+15550501_vL8kPq2sTn4x"

#: What each caller says: no two sound alike.
SAYS = {
    "+15550500": sounds.chirp(2),
    "+15550501": sounds.chirp(2, low=3400, high=400),
}


async def test_calls_in_the_fixed_room_and_in_rooms_of_their_own_are_recorded_at_once(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path
) -> None:
    """Each in its room's folder, with its own caller and nobody else's; others not at all."""
    wanted = {
        "EGRESS_MANAGER_RECORD": "rooms",
        "EGRESS_MANAGER_RECORD_ROOMS": f"call-*,{FIXED}",
        "EGRESS_MANAGER_STANDING_ROOMS": FIXED,
    }
    async with house(mongod_server, mongo_database, tmp_path, settings=wanted) as home:
        await _call_everywhere(home)
        fixed = await home.finished(caller_number="+15550500")
        own = await home.finished(caller_number="+15550501")
        (elsewhere,) = await home.manager.calls(caller_number="+15550502")

    assert (fixed["room_name"], own["room_name"]) == (FIXED, OWN)
    assert Path(fixed["filepath"]).parent == tmp_path / FIXED
    assert Path(own["filepath"]).parent == tmp_path / OWN
    for recording, number in ((fixed, "+15550500"), (own, "+15550501")):
        other = next(says for who, says in SAYS.items() if who != number)
        mix = heard(recording)
        assert sides(recording)["left"] == [f"sip_{number}"]
        assert sounds.locate(mix.left, SAYS[number]).score > 0.7
        assert max(sounds.locate(side, other).score for side in (mix.left, mix.right)) < 0.5
    assert (elsewhere["recording_id"], elsewhere["reason"]) == (None, "policy_room_differs")


async def _call_everywhere(home: House) -> None:
    """Three calls at the same time, of which the policy wants two."""
    async with contextlib.AsyncExitStack() as stack:
        phones = []
        for number, room in (("+15550500", FIXED), ("+15550501", OWN), ("+15550502", "desk")):
            agent = Agent(home.livekit, room, identity=f"agent-{room}")
            await stack.enter_async_context(agent)
            says = SAYS.get(number, sounds.silence(1))
            phones.append(Phone(home.livekit, room, number=number, says=says))
            await stack.enter_async_context(phones[-1])
        for phone in phones:
            await phone.said()
        for phone in phones:
            await phone.hang_up()
