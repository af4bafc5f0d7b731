"""Stores of both kinds, and what tests put into them."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from egress_manager.adapters.mongo_calls import MongoCalls
from egress_manager.adapters.mongo_client import Database
from egress_manager.adapters.mongo_inbox import MongoInbox
from egress_manager.adapters.mongo_keys import MongoKeys
from egress_manager.adapters.mongo_recordings import MongoRecordings
from egress_manager.domain.calls import Call, CallTrack, Direction, Stay
from egress_manager.domain.incoming import Room, Unrecognised, Webhook
from egress_manager.domain.recordings import (
    Channel,
    Event,
    Hole,
    Observation,
    Recording,
    State,
    TrackFile,
    Verdict,
)
from egress_manager.errors import (
    BadRequest,
)
from egress_manager.ports import (
    Calls,
    Inbox,
    Keys,
    Recordings,
)
from egress_manager.testing import MemoryCalls, MemoryInbox, MemoryKeys, MemoryRecordings

NOON = datetime(2026, 11, 22, 12, 0, 0, 123_000, tzinfo=UTC)


@dataclass
class Stores:
    """One of each, all in memory or all in MongoDB."""

    calls: Calls
    recordings: Recordings
    inbox: Inbox
    keys: Keys


def read_again(body: bytes, at: datetime) -> Webhook:
    """What the inbox reads bodies with: here, the body is the event's name."""
    if body == b"illegible":
        raise BadRequest("illegible")
    name = body.decode()
    return Webhook("read anew", name, Unrecognised(at, name), body)


def in_memory() -> Stores:
    """All in memory."""
    return Stores(MemoryCalls(), MemoryRecordings(), MemoryInbox(), MemoryKeys())


def in_mongo(db: Database) -> Stores:
    """All in MongoDB."""
    return Stores(MongoCalls(db), MongoRecordings(db), MongoInbox(db, read_again), MongoKeys(db))


def call(call_id: str, **fields: Any) -> Call:
    """A call of the marsupilami, who joined at noon."""
    sids = fields.pop("participant_sids", (f"PA_{call_id}",))
    stays = tuple(Stay(sid) for sid in sids)
    room = fields.pop("room", Room("palombia", "RM_1"))
    joined_at = fields.pop("joined_at", NOON)
    stays = tuple(map(Stay, sids))
    return Call(call_id, room, "sip_marsupilami", stays, joined_at, joined_at, **fields)


def recording(recording_id: str, **fields: Any) -> Recording:
    """A recording that was planned at noon."""
    given: dict[str, Any] = {
        "call_id": f"call_of_{recording_id}",
        "egress_id": f"EG_{recording_id}",
        "engine": "builtin",
        "room_name": "palombia",
        "seen": Observation(State.PLANNED, NOON),
        "created_at": NOON,
    }
    return Recording(recording_id, **(given | fields))


FULL_CALL = call(
    "call_full",
    participant_sids=("PA_1", "PA_2"),
    caller_number="+15550100",
    called_number="+15550199",
    direction=Direction.OUTBOUND,
    sip_call_id="SCL_1",
    trunk_id="ST_1",
    dispatch_rule_id="SDR_1",
    agent_identity="agent-houba",
    answered_at=NOON + timedelta(seconds=3),
    left_at=NOON + timedelta(seconds=30),
    left_reason="hangup",
    status="active",
    seen_firsthand=True,
    tracks=(CallTrack("TR_1", "PA_1", "sip_marsupilami", NOON),),
    recording_id="rec_full",
    reason="all_calls",
)

FULL_RECORDING = recording(
    "rec_full",
    caller_number="+15550100",
    agent_identity="agent-houba",
    started_at=NOON,
    stopped_at=NOON + timedelta(seconds=30),
    duration_sec=30.5,
    answer_offset_sec=3.0,
    filepath="/recordings/palombia/a.mp4",
    size_bytes=1234,
    state=State.VERIFIED,
    since=NOON,
    attempts=2,
    reason="hung_up",
    verdict=Verdict.FLAWED,
    source="manual",
    room_sid="RM_1",
    stop_asked_at=NOON + timedelta(seconds=30),
    missing_since=NOON + timedelta(seconds=29),
    captures=("cap_1", "cap_2"),
    channels=(Channel("left", ("sip_marsupilami",)), Channel("right", ("agent-houba", "b"))),
    tracks=(
        TrackFile(
            "TR_1",
            "sip_marsupilami",
            "SIP",
            "left",
            filepath="/recordings/palombia/a.tracks/TR_1.ogg",
            started_at=NOON,
            duration_sec=30.5,
            size_bytes=99,
            packets=1500,
            lost=3,
            holes=(Hole(1.0, 1.06, "lost"),),
            offset_sec=0.02,
            drift_ppm=-31.0,
        ),
        TrackFile("TR_2", "b", "STANDARD", "right", reason="never_sent"),
    ),
    holes=(Hole(0.0, 0.5, "joining"),),
    history=(Event("recording.planned", NOON), Event("recording.rendered", NOON, "done")),
)


def webhook(name: str) -> Webhook:
    """A webhook whose id and body are its name."""
    return replace(read_again(name.encode(), NOON), event_id=name)
