"""Ask LiveKit who is there: webhooks get lost, rooms don't."""

import asyncio
import logging
from collections.abc import Collection, Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from egress_manager.domain.incoming import Participant, Room, RoomListed
from egress_manager.domain.presence import lacking, with_view
from egress_manager.errors import LiveKitRefused, StoreUnavailable
from egress_manager.flows import accompany, ingest
from egress_manager.flows.doors import Doors

log = logging.getLogger(__name__)

#: This many rooms are asked about at once.
AT_ONCE: Final = 10
#: Of a caller who is on no list LiveKit is asked once more, which takes 6 s if it is gone.
UNLISTED_AT_ONCE: Final = 50


async def poll(doors: Doors) -> int:
    """Look into every room, and for every call that goes on; how much goes on.

    That is: calls, and recordings that were begun by hand. Raises `LiveKitUnavailable`,
    `LiveKitRefused`, `StoreUnavailable`.
    """
    asked_at = doors.clock.now()
    look = Round(asked_at, doors)
    rooms = await doors.rooms.rooms()
    await _all((look.into(room) for room in rooms), AT_ONCE)
    going_on, by_hand = await doors.calls.going_on(), await doors.recordings.by_hand()
    names = {call.room.name for call in going_on} | {each.room_name for each in by_hand}
    unlisted = sorted(names - {room.name for room in rooms})
    await _all((look.aside(name) for name in unlisted), UNLISTED_AT_ONCE)
    doors.room_lists.judge(asked_at, look.lacking, look.sids)
    await accompany.look_round(by_hand, look.seen, asked_at, doors)
    return len(going_on) + len(by_hand)


@dataclass(slots=True)
class Round:
    """One look at all rooms: what their lists say with what our captures see, by room name.

    A room whose list can't be read is not in `seen`. `lacking` are the sids that a list lacks
    though a capture sees them, `sids` all that captures see.
    """

    asked_at: datetime
    doors: Doors
    seen: dict[str, RoomListed] = field(default_factory=dict)
    lacking: dict[str, Collection[str]] = field(default_factory=dict)
    sids: set[str] = field(default_factory=set)

    async def into(self, room: Room) -> None:
        """A room that LiveKit lists: who is in it."""
        try:
            people = tuple(await self.doors.rooms.participants(room.name))
        except Exception:  # one room that can't be read must not hide the others
            log.exception("room_not_seen", extra={"room_name": room.name})
            return
        await self._take(room, people)

    async def aside(self, room_name: str) -> None:
        """A room that LiveKit does not list, and of which something goes on."""
        await self._take(Room(room_name), ())

    async def _take(self, room: Room, people: tuple[Participant, ...]) -> None:
        view = self.doors.view(room.name)
        listed = RoomListed(self.doors.clock.now(), room, people, self.asked_at)
        self.lacking[room.name] = lacking(listed, view)
        self.sids |= view.since.keys() if view is not None else set()
        self.seen[room.name] = both = with_view(listed, view)
        try:
            await ingest.take(both, self.doors)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("room_not_seen", extra={"room_name": room.name})


async def _all(looks: Iterable[Coroutine[Any, Any, None]], at_once: int) -> None:
    """All of them to their ends, some at once, then the first error, if there was one."""
    gate = asyncio.Semaphore(at_once)

    async def pass_gate(look: Coroutine[Any, Any, None]) -> None:
        async with gate:
            await look

    results = await asyncio.gather(*map(pass_gate, looks), return_exceptions=True)
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
