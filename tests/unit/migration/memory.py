"""Houses in memory for the migration, and what stands in them."""

from datetime import UTC, datetime
from typing import Any

from egress_manager.domain.dispatch import Facts
from egress_manager.domain.policy import Policy
from egress_manager.domain.recordings import Observation, Recording, State, TrackFile
from egress_manager.flows.migration.doors import Movers, Switchboard
from egress_manager.testing import (
    FixedClock,
    MemoryCalls,
    MemoryDispatchRules,
    MemoryLedger,
    MemoryRecordings,
    MemoryShelf,
)

NOON = datetime(2026, 11, 22, 12, 0, 0, 123_000, tzinfo=UTC)


def switchboard(*facts: Facts) -> Switchboard:
    """LiveKit with these dispatch rules, and an empty ledger."""
    rules = MemoryDispatchRules({each["sip_dispatch_rule_id"]: each for each in facts})
    return Switchboard(rules=rules, ledger=MemoryLedger(), clock=FixedClock(NOON), policy=Policy())


def direct(rule_id: str = "SDR_1", room: str = "friday-assistant-room", **more: Any) -> Facts:
    """A rule of the direct kind, as LiveKit tells it."""
    rule = {"dispatch_rule_direct": {"room_name": room}}
    return {"sip_dispatch_rule_id": rule_id, "name": "friday", "rule": rule, **more}


def movers(*recordings: Recording) -> Movers:
    """Recordings whose files are on the shelf: each holds its own first name."""
    content = {path: path.encode() for each in recordings for path in paths(each)}
    return Movers(
        recordings=MemoryRecordings({each.id: each for each in recordings}),
        calls=MemoryCalls(),
        shelf=MemoryShelf(content=content),
        ledger=MemoryLedger(),
        clock=FixedClock(NOON),
    )


def paths(recording: Recording) -> list[str]:
    """The files that a recording's document names."""
    named = (recording.filepath, *(track.filepath for track in recording.tracks))
    return [path for path in named if path]


def recorded(number: int, *, base: str = "/recordings", **fields: Any) -> Recording:
    """A finished recording with the names that the user's document gave, and two tracks."""
    recording_id, time = f"rec_{number:020x}", "2026-11-22T12-00-00"
    room = fields.pop("room_name", "friday-assistant-room")
    sides = (("left", "sip_1001", "SIP"), ("right", "agent", "AGENT"))
    tracks = tuple(
        TrackFile(track_id, who, kind, side, f"{base}/{room}-{track_id}-{time}.ogg")
        for side, who, kind in sides
        if (track_id := f"TR_{number}{side}")
    )
    given: dict[str, Any] = {
        "call_id": f"call_{number}",
        "egress_id": f"EG_{number}",
        "engine": "builtin",
        "room_name": room,
        "seen": Observation(State.CAPTURED, NOON),
        "created_at": NOON,
        "started_at": NOON,
        "identity": f"sip_100{number}",
        "state": State.VERIFIED,
        "filepath": f"{base}/{room}-sip_100{number}-{time}.mp4",
        "file_stem": f"{room}-sip_100{number}-{time}",
        "track_stem": f"{room}-{{track_id}}-{time}",
        "tracks": tracks,
    }
    return Recording(recording_id, **(given | fields))
