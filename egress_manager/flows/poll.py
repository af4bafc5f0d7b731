"""Ask LiveKit who is there: webhooks get lost, rooms don't."""

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any, Final

from egress_manager.domain.incoming import Participant, Room, RoomListed
from egress_manager.errors import LiveKitRefused, StoreUnavailable
from egress_manager.flows import accompany, ingest
from egress_manager.flows.doors import Doors

log = logging.getLogger(__name__)

#: So many rooms are asked about at once.
AT_ONCE: Final = 10


async def poll(doors: Doors) -> int:
    """Look into every room, and for every call that goes on; how much goes on.

    That is: calls, and recordings that were begun by hand.

    Raises `LiveKitUnavailable`, `LiveKitRefused`, `StoreUnavailable`.
    """
    asked_at = doors.clock.now()
    rooms = {room.name: room for room in await doors.rooms.rooms()}
    seen: dict[str, tuple[Participant, ...]] = {}
    gate = asyncio.Semaphore(AT_ONCE)

    async def look(room: Room) -> None:
        async with gate:
            try:
                people = seen[room.name] = tuple(await doors.rooms.participants(room.name))
                news = RoomListed(doors.clock.now(), room, people, asked_at)
                await ingest.take(news, doors)
            except StoreUnavailable:
                raise
            except Exception:  # one room that can't be read must not hide the others
                log.exception("room_not_seen", extra={"room_name": room.name})

    await _all(look(room) for room in rooms.values())
    going_on = await doors.calls.going_on()
    for name in {call.room.name for call in going_on} - rooms.keys():
        await ingest.take(RoomListed(doors.clock.now(), Room(name), (), asked_at), doors)
    return len(going_on) + await accompany.look_round(rooms, seen, asked_at, doors)


async def _all(looks: Iterable[Coroutine[Any, Any, None]]) -> None:
    """All of them to their ends, then the first error, if there was one."""
    results = await asyncio.gather(*looks, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def learn_standing_rooms(doors: Doors) -> bool:
    """Ask which rooms SIP dispatch rules of the direct kind name; False without the right to ask.

    Raises `LiveKitUnavailable`.
    """
    try:
        found = await doors.trunks.direct_rooms()
    except LiveKitRefused:
        return False
    doors.standing_rooms.clear()
    doors.standing_rooms.update(doors.named_rooms, found)
    return True
