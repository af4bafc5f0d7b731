"""LiveKit's rooms, and the recorders that go there, in memory."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from egress_manager.domain.incoming import EgressReported, Participant, Room
from egress_manager.domain.policy import Engine
from egress_manager.domain.presence import RoomView
from egress_manager.errors import LiveKitUnavailable
from egress_manager.ports import Order


@dataclass
class MemoryRooms:
    """`Rooms` and `Trunks`: whoever a test puts into a room is there; `closed` can't be read.

    `unlisted` has the identities, by room, of those who are there and on no list.
    """

    unlisted: dict[str, set[str]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    people: dict[str, list[Participant]] = field(default_factory=dict)
    direct: list[str] = field(default_factory=list)
    away: bool = False

    async def rooms(self) -> Sequence[Room]:
        self._answer()
        return [Room(name, f"RM_{name}") for name in self.people]

    async def participants(self, room_name: str) -> Sequence[Participant]:
        self._answer()
        if room_name in self.closed:
            raise LiveKitUnavailable("told not to be read")
        return list(self.people.get(room_name, ()))

    async def carries(self, room_name: str, identity: str) -> bool:
        self._answer()
        listed = {person.identity for person in self.people.get(room_name, ())}
        return identity in listed | self.unlisted.get(room_name, set())

    async def direct_rooms(self) -> Sequence[str]:
        self._answer()
        return list(self.direct)

    def _answer(self) -> None:
        if self.away:
            raise LiveKitUnavailable("told to be away")


@dataclass
class MemoryRecorder:
    """`Recorder` that goes where it is asked to; `attended` and `stood` have the rooms in order.

    `ordered` and `stopped` have what it was told, `doing` is what it answers about its jobs. `kept`
    has the rooms it was told to keep, and for which recordings; `captures` is what it answers then.
    `views` has what it sees of rooms.
    """

    engine: Engine = Engine.BUILTIN
    attended: list[str] = field(default_factory=list)
    ordered: list[Order] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    doing: list[EgressReported] = field(default_factory=list)
    away: bool = False
    stood: list[str] = field(default_factory=list)
    capturing: set[str] = field(default_factory=set)
    kept: dict[str, set[str]] = field(default_factory=dict)
    captures: dict[str, str] = field(default_factory=dict)
    left_alone: dict[str, set[str]] = field(default_factory=dict)
    views: dict[str, RoomView] = field(default_factory=dict)

    async def attend(self, room_name: str, participant_sid: str = "") -> None:
        if participant_sid not in self.left_alone.get(room_name, ()):
            self.attended.append(room_name)

    async def leave_alone(self, room_name: str, participant_sid: str) -> None:
        self.left_alone.setdefault(room_name, set()).add(participant_sid)

    async def keep(self, room_name: str, recording_id: str) -> str | None:
        self.kept.setdefault(room_name, set()).add(recording_id)
        return self.captures.get(room_name)

    async def let_go(self, room_name: str, recording_id: str) -> None:
        self.kept.get(room_name, set()).discard(recording_id)

    def kept_for(self, room_name: str) -> Collection[str]:
        return frozenset(self.kept.get(room_name, ()))

    async def stand(self, room_name: str) -> None:
        self.stood.append(room_name)

    async def order(self, order: Order) -> None:
        self.ordered.append(order)

    async def stop(self, egress_id: str) -> None:
        self.stopped.append(egress_id)

    async def jobs(self, room_name: str | None = None) -> Sequence[EgressReported]:
        if self.away:
            raise LiveKitUnavailable("told to be away")
        return [job for job in self.doing if room_name in (None, job.room.name)]

    def attends(self, room_name: str) -> bool:
        return room_name in self.capturing

    def view(self, room_name: str) -> RoomView | None:
        return self.views.get(room_name)
