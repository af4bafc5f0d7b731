"""The doors that the flows go through, and what the owner of the house decided."""

from dataclasses import dataclass, field

from egress_manager.domain.policy import Policy
from egress_manager.ports import (
    Calls,
    Captures,
    Clock,
    Files,
    Inbox,
    Queue,
    Recorder,
    Recordings,
    Renderer,
    Rooms,
    Trunks,
    Webhooks,
)


@dataclass(frozen=True, slots=True)
class House:
    """What the settings say about recordings."""

    policy: Policy
    naming: str
    mix_format: str = "mp4"
    include_other_callers: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Every port that a flow may open. `standing_rooms` changes when dispatch rules do."""

    house: House
    clock: Clock
    webhooks: Webhooks
    inbox: Inbox
    calls: Calls
    recordings: Recordings
    rooms: Rooms
    trunks: Trunks
    recorder: Recorder
    captures: Captures
    renderer: Renderer
    queue: Queue
    files: Files
    standing_rooms: set[str] = field(default_factory=set)
