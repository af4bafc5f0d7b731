"""The doors that the flows go through, and what the owner of the house decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from egress_manager.domain.incoming import Participant
from egress_manager.domain.policy import Engine, Policy
from egress_manager.domain.presence import RoomView
from egress_manager.domain.recordings import Recording
from egress_manager.flows.listed import Listed
from egress_manager.flows.room_lists import RoomListTally
from egress_manager.flows.sharing.doors import Carrier
from egress_manager.flows.sharing.membership import Membership
from egress_manager.ports import (
    Calls,
    Captures,
    Clock,
    Ears,
    Files,
    Inbox,
    Queue,
    Recorder,
    Recordings,
    Renderer,
    Reports,
    Rooms,
    Trunks,
    Webhooks,
)


@dataclass(frozen=True, slots=True)
class House:
    """What the settings say about recordings.

    `falls_back`: the built-in recorder takes over where LiveKit Egress does not record.
    `egress_dir`: where LiveKit Egress sees the recordings directory.
    """

    policy: Policy
    naming: str
    mix_format: str = "mp4"
    include_other_callers: bool = True
    falls_back: bool = True
    egress_dir: str = ""


#: Clocks further apart than this are none to learn from: somebody made the time up.
CLOCKS_APART: Final = timedelta(days=1)


#: Delays are remembered for so many minutes.
REMEMBERED: Final = 5
#: Clocks of hosts that work together are no further apart.
CLOCKS_AGREE: Final = timedelta(seconds=10)


@dataclass(slots=True)
class LiveKitClock:
    """How far LiveKit's clock is from ours: the least delay that was seen of anything it said.

    The delay of a webhook, or of an answer, is the time on its way and the difference of the
    clocks; the least one seen had hardly any way.
    """

    least: timedelta | None = None
    _by_minute: Mapping[int, timedelta] = field(default_factory=dict)

    def learn(self, theirs: datetime, ours: datetime) -> None:
        """Something that happened at `theirs`, by LiveKit's clock, was heard at `ours`.

        Only the last minutes count: clocks drift, and one that was stepped begins anew.
        """
        apart = ours - theirs
        if abs(apart) > CLOCKS_APART:
            return
        now = int(ours.timestamp() // 60)
        lately = {m: least for m, least in self._by_minute.items() if abs(now - m) < REMEMBERED}
        self._by_minute = {**lately, now: min(apart, lately.get(now, apart))}
        self.least = min(self._by_minute.values())

    def delay(self, theirs: datetime, ours: datetime) -> timedelta:
        """How long news was on its way, whatever the clocks say."""
        return ours - theirs - (self.least if self.least is not None else timedelta())

    def corrected(self, person: Participant, at: datetime) -> Participant:
        """Somebody who was seen `at`, with the time of joining by our clock.

        While nothing is known of LiveKit's clock, its word counts only for who came long ago.
        """
        if person.joined_at is None:
            return person
        if self.least is None:
            is_long_ago = at - person.joined_at > CLOCKS_AGREE
            return person if is_long_ago else replace(person, joined_at=None)
        return replace(person, joined_at=person.joined_at + self.least)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Every port that a flow may open, and what was learnt of the world beyond.

    `membership` is this process among the others. `named_rooms` are the fixed rooms of the
    settings, `standing_rooms` those and the ones that dispatch rules name now. `crowded` are rooms
    with more calls at once than are looked at, as far as that was logged.
    """

    house: House
    clock: Clock
    webhooks: Webhooks
    inbox: Inbox
    calls: Calls
    recordings: Recordings
    reports: Reports
    rooms: Rooms
    trunks: Trunks
    recorders: Mapping[Engine, Recorder]
    captures: Captures
    carrier: Carrier
    renderer: Renderer
    ears: Ears
    queue: Queue
    files: Files
    membership: Membership
    named_rooms: frozenset[str] = frozenset()
    standing_rooms: set[str] = field(default_factory=set)
    livekit_clock: LiveKitClock = field(default_factory=LiveKitClock)
    listed: Listed = field(default_factory=Listed)
    room_lists: RoomListTally = field(default_factory=RoomListTally)
    crowded: set[str] = field(default_factory=set)

    @property
    def place(self) -> str:
        """The recordings directory that this process works on."""
        return self.membership.me.place

    def is_here(self, recording: Recording) -> bool:
        """Whether this process can work on its files; one of no place is anybody's."""
        return recording.place in ("", self.place)

    def view(self, room_name: str) -> RoomView | None:
        """Who is in the room by our live captures; None where none of ours is."""
        return self.recorders[Engine.BUILTIN].view(room_name)

    def attends(self, room_name: str) -> bool:
        """Whether a recorder is in the room, or on its way."""
        return any(recorder.attends(room_name) for recorder in self.recorders.values())
