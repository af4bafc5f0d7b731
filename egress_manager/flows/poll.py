"""Ask LiveKit who is there: webhooks get lost, rooms don't."""

import asyncio
from typing import Final

from egress_manager.domain.incoming import Room, RoomListed
from egress_manager.errors import LiveKitRefused
from egress_manager.flows import ingest
from egress_manager.flows.doors import Doors

#: So many rooms are asked about at once.
AT_ONCE: Final = 10


async def poll(doors: Doors) -> int:
    """Look into every room, and for every call that goes on; how many calls go on.

    Raises `LiveKitUnavailable`, `LiveKitRefused`, `StoreUnavailable`.
    """
    asked_at = doors.clock.now()
    rooms = {room.name: room for room in await doors.rooms.rooms()}
    gate = asyncio.Semaphore(AT_ONCE)

    async def look(room: Room) -> None:
        async with gate:
            people = tuple(await doors.rooms.participants(room.name))
        await ingest.take(RoomListed(doors.clock.now(), room, people, asked_at), doors)

    async with asyncio.TaskGroup() as group:
        for room in rooms.values():
            group.create_task(look(room))
    going_on = await doors.calls.going_on()
    for name in {call.room.name for call in going_on} - rooms.keys():
        await ingest.take(RoomListed(doors.clock.now(), Room(name), (), asked_at), doors)
    return len(going_on)


async def learn_standing_rooms(doors: Doors) -> bool:
    """Ask which rooms SIP dispatch rules of the direct kind name; False without the right to ask.

    Raises `LiveKitUnavailable`.
    """
    try:
        doors.standing_rooms.update(await doors.trunks.direct_rooms())
    except LiveKitRefused:
        return False
    return True
