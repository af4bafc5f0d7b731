"""Who is in a room: LiveKit's list, held against what live captures of ours see.

LiveKit reads its lists from Redis. They are empty, or short, when Redis lost its keys, and stay so
until the participants change, while all calls go on. A capture hears who is there from the server
that carries the room. So a list adds participants; it never removes one whom a capture sees.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from egress_manager.domain.incoming import Participant, Room, RoomListed


@dataclass(frozen=True, slots=True)
class RoomView:
    """What live captures of ours see of a room now.

    `participants` are those whom the server showed and has not taken back; recorders are left out.
    `since` is when each was first seen, by sid. Not `is_complete`: a capture joins the room just
    now, or another process captures it, so somebody may be there whom this process does not see.
    """

    room: Room
    participants: tuple[Participant, ...] = ()
    since: Mapping[str, datetime] = field(default_factory=dict)
    is_complete: bool = True


def with_view(listed: RoomListed, view: RoomView | None) -> RoomListed:
    """The list with everybody whom a capture sees; it is as complete as both together."""
    if view is None:
        return listed
    known = {person.sid for person in listed.participants}
    unlisted = (person for person in view.participants if person.sid not in known)
    return replace(
        listed,
        room=view.room if view.room.sid else listed.room,
        participants=(*listed.participants, *unlisted),
        is_complete=listed.is_complete and view.is_complete,
    )


def lacking(listed: RoomListed, view: RoomView | None) -> frozenset[str]:
    """The sids that a list lacks though a capture saw them already when it was asked for."""
    if view is None:
        return frozenset()
    known = {person.sid for person in listed.participants}
    return frozenset(
        sid for sid, since in view.since.items() if sid not in known and since < listed.asked_at
    )
