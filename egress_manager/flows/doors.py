"""The doors that the flows go through, and what the owner of the house decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from egress_manager.domain.incoming import Participant
from egress_manager.domain.policy import Engine, Policy
from egress_manager.domain.recordings import Recording
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


@dataclass(slots=True)
class LiveKitClock:
    """How far LiveKit's clock is from ours, learnt from webhooks: the least delay that was seen.

    The delay of a webhook is the time on its way and the difference of the clocks; the least one
    seen had hardly any way.
    """

    least: timedelta | None = None

    def learn(self, theirs: datetime, ours: datetime) -> None:
        """Something that happened at `theirs`, by LiveKit's clock, was heard at `ours`."""
        apart = ours - theirs
        if abs(apart) <= CLOCKS_APART:
            self.least = apart if self.least is None else min(self.least, apart)

    def delay(self, theirs: datetime, ours: datetime) -> timedelta:
        """How long news was on its way, whatever the clocks say."""
        return ours - theirs - (self.least if self.least is not None else timedelta())

    def corrected(self, person: Participant) -> Participant:
        """A participant whose joining is told by our clock."""
        if person.joined_at is None or self.least is None:
            return person
        return replace(person, joined_at=person.joined_at + self.least)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Every port that a flow may open, and what was learnt of the world beyond.

    `membership` is this process among the others. `named_rooms` are the fixed rooms of the
    settings, `standing_rooms` those and the ones that dispatch rules name now.
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

    @property
    def place(self) -> str:
        """The recordings directory that this process works on."""
        return self.membership.me.place

    def is_here(self, recording: Recording) -> bool:
        """Whether this process can work on its files; one of no place is anybody's."""
        return recording.place in ("", self.place)

    def attends(self, room_name: str) -> bool:
        """Whether a recorder is in the room, or on its way."""
        return any(recorder.attends(room_name) for recorder in self.recorders.values())
