"""What the API says of calls and recordings: the user's field names, and ours beside them."""

from datetime import datetime
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from egress_manager.domain.calls import Call
from egress_manager.domain.policy import Engine
from egress_manager.domain.recordings import Recording

Item = TypeVar("Item")

#: The public statuses, as `domain/recordings.py` maps them from states.
Status = Literal["starting", "recording", "processing", "completed", "failed", "aborted", "deleted"]


class _Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class PageOut(BaseModel, Generic[Item]):
    """One page of a list, newest first."""

    items: list[Item]
    next_cursor: str | None = Field(
        description="Give it as `cursor` for the next page; null on the last one."
    )


class CallTrackOut(_Out):
    """An audio track that was published in the room while the call went on."""

    track_id: str = Field(validation_alias="track_sid", examples=["TR_AMx8Jk2vQ9sTnL"])
    participant_identity: str = Field(examples=["sip_+15550100"])
    first_seen_at: datetime


class CallOut(_Out):
    """One SIP call as it was seen in a room."""

    id: str = Field(examples=["call_5c2b1f0e9a7d4b3c2e1f"])
    room_name: str = Field(examples=["friday-assistant-room"])
    room_sid: str = Field(description="This life of the room.", examples=["RM_hy3KfQe7uVnA"])
    identity: str = Field(description="The caller in the room.", examples=["sip_+15550100"])
    participant_sids: list[str] = Field(
        description="The caller's stays: more than one where it dropped out and came back."
    )
    caller_number: str | None = Field(description="Who dialled.", examples=["+15550100"])
    called_number: str | None = Field(description="Who was dialled.", examples=["+15550199"])
    direction: str = Field(description="`inbound` or `outbound`, seen from us.")
    sip_call_id: str | None = Field(examples=["SCL_fA7hJ2nRq8Yt"])
    trunk_id: str | None = Field(examples=["ST_vT4mX8cKdQ2p"])
    dispatch_rule_id: str | None = Field(examples=["SDR_p6YbW3nLgE9h"])
    agent_identity: str | None = Field(examples=["agent-AJ_x"])
    joined_at: datetime = Field(description="When the caller was first seen in the room.")
    answered_at: datetime | None
    left_at: datetime | None = Field(description="Null while the call goes on.")
    left_reason: str
    tracks: list[CallTrackOut]
    recording_id: str | None = Field(examples=["rec_5c2b1f0e9a7d4b3c2e1f"])
    reason: str = Field(
        description="Why the call is not recorded; never empty once a call is over that has no "
        "recording.",
        examples=["policy_room_differs"],
    )

    @classmethod
    def of(cls, call: Call) -> "CallOut":
        """A call as the API shows it."""
        fields = {name: getattr(call, name, None) for name in cls.model_fields}
        room = {"room_name": call.room.name, "room_sid": call.room.sid}
        return cls.model_validate(fields | room)


class HoleOut(_Out):
    """A stretch of time for which no audio came. Seconds since the recording's start."""

    start_sec: float
    end_sec: float
    cause: str = Field(examples=["lost"])


class TrackOut(_Out):
    """One audio track: its own file, or the reason why there is none."""

    track_id: str = Field(validation_alias="track_sid", examples=["TR_AMx8Jk2vQ9sTnL"])
    participant_identity: str
    participant_kind: str = Field(examples=["SIP"])
    side: str = Field(description="The side of the mix on which it is heard.", examples=["left"])
    filepath: str | None
    started_at: datetime | None = Field(description="When its first kept sample belongs.")
    duration_sec: float | None
    size_bytes: int | None
    packets: int
    lost: int = Field(description="Packets that never came.")
    holes: list[HoleOut]
    offset_sec: float | None
    drift_ppm: float | None
    reason: str = Field(description="Why there is no file.")
    sha256: str = Field(description="Of the file, in hex; empty until it is sealed.")


class FindingOut(_Out):
    """One thing that was found when the files were listened to. Seconds since the mix's start."""

    name: str = Field(examples=["hole"])
    is_fault: bool = Field(description="Whether it is the recorder's, and not what the call was.")
    words: str = Field(examples=["sound is missing on the left side at 0:12.5 (1.02 s)"])
    side: str = Field(description="The side of the mix; empty where it is all of it.")
    track_id: str = Field(
        validation_alias="track_sid", description="The track in whose own file it is."
    )
    start_sec: float | None
    end_sec: float | None
    amount: float | None = Field(description="How much of it there is; `words` has the unit.")
    cause: str


class ChannelOut(_Out):
    """Which participants are heard on one side of the mix."""

    side: str = Field(examples=["left"])
    participants: list[str]


class EventOut(_Out):
    """One entry of a recording's history."""

    name: str = Field(examples=["recording.rendered"])
    at: datetime
    reason: str


class EgressOut(_Out):
    """One job of LiveKit Egress that served a recording."""

    egress_id: str
    kind: str = Field(description="`mix` or `track`.")
    status: str = Field(examples=["complete"])
    track_sid: str
    identity: str = Field(description="Whom it records, where it records one.")
    attempt: int
    sides: str = Field(description="Who is on which side of its file.", examples=["caller_left"])
    filepath: str | None
    is_delivered: bool = Field(description="Whether LiveKit says that the file is there.")
    asked_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    missed_sec: float | None = Field(
        description="How long nobody had recorded the call when a mix began."
    )
    error: str
    error_code: int


class RecordingIn(BaseModel):
    """What is to be recorded, from now on: a room, or one participant of it against all others."""

    model_config = ConfigDict(extra="forbid")

    room_name: str = Field(min_length=1, examples=["friday-assistant-room"])
    identity: str | None = Field(
        default=None,
        min_length=1,
        description="Whose side is the left one. Where it is not given: of the only call in the "
        "room, its caller; else the whole room is recorded.",
        examples=["sip_+15550100"],
    )
    engine: Engine | None = Field(
        default=None, description="Which recorder; where it is not given, the policy's."
    )


class SealOut(_Out):
    """The newest entry of the audit chain about it; `version` is the one that has it."""

    number: int
    hash: str
    version: int


class RecordingOut(_Out):
    """The promise of one trusted file for one call, and what has become of it."""

    id: str = Field(examples=["rec_5c2b1f0e9a7d4b3c2e1f"])
    room_name: str = Field(examples=["friday-assistant-room"])
    egress_id: str | None = Field(examples=["EG_4rVdJx7nTq2M"])
    caller_number: str | None = Field(examples=["+15550100"])
    agent_identity: str | None
    filepath: str | None = Field(
        description="The mix: the caller on the left, the others on the right.",
        examples=["/home/livekit/recordings/friday-assistant-room/sip_1001-….mp4"],
    )
    started_at: datetime | None
    stopped_at: datetime | None
    duration_sec: float | None
    status: Status
    tracks: list[TrackOut]
    call_id: str | None = Field(description="Null where it is not of a call.")
    identity: str = Field(
        description="Whose side is the left one; empty where a whole room is recorded."
    )
    source: str = Field(description="What began it: `call`, `manual`, `import` or `egress`.")
    engine: str = Field(description="Which recorder: `builtin`, `egress`, or `import`.")
    fell_back: str = Field(description="Why the built-in recorder had to take over, if it had to.")
    state: str = Field(description="The status, more exactly.", examples=["verified"])
    verdict: str = Field(
        validation_alias="public_verdict",
        description="What listening to the files found: `pending`, `verified`, `flawed`, "
        "`rejected`, `missing` or `unheard`; `none` if there is no file.",
        examples=["verified"],
    )
    findings: list[FindingOut] = Field(description="What was found, the gravest first.")
    repaired_from: str = Field(
        description="The mix that was there first, where it was made again; else empty."
    )
    reason: str = Field(description="Why it is in this state, where that needs one.")
    created_at: datetime
    answer_offset_sec: float | None = Field(
        description="The moment of the answer, in seconds since the start: players can begin there."
    )
    size_bytes: int | None
    sha256: str = Field(description="Of the mix, in hex; empty until it is sealed.")
    seal: SealOut | None = Field(description="Null until it is over and sealed.")
    channels: list[ChannelOut]
    holes: list[HoleOut]
    captures: list[str] = Field(description="What it was made from.")
    egresses: list[EgressOut]
    history: list[EventOut]

    @classmethod
    def of(cls, recording: Recording) -> "RecordingOut":
        """A recording as the API shows it."""
        return cls.model_validate(recording)


class WebhookOut(BaseModel):
    """What came of a webhook."""

    model_config = ConfigDict(from_attributes=True)

    outcome: str = Field(description="What it meant.", examples=["recorded"])
    call_id: str | None = None
    recording_id: str | None = None
    egress_id: str | None = None


class DifferenceOut(_Out):
    """One thing that does not fit between LiveKit, the disk and the documents."""

    kind: str = Field(examples=["lost_egress"])
    about: str = Field(description="What it is about: an egress, a file, a call, a capture.")
    recording_id: str | None
    words: str = Field(description="What it is, and what is done about it.")
    mended: bool = Field(default=False, description="Whether it was done.")


class ReconciliationOut(BaseModel):
    """Everything that does not fit, now."""

    differences: list[DifferenceOut]


class LineOut(_Out):
    """One call in the ledger, and what became of it."""

    call_id: str
    room_name: str
    identity: str
    caller_number: str | None
    joined_at: datetime
    left_at: datetime | None
    call_sec: float | None
    fate: str = Field(
        description="`verified`, `completed`, `with_holes`, `flawed`, `rejected`, "
        "`not_recorded` or `under_way`."
    )
    reason: str = Field(description="Never empty where the call was not recorded.")
    recording_id: str | None
    engine: str
    recorded_sec: float
    hole_sec: float = Field(description="How many seconds are missing.")
    tracks_published: int
    tracks_kept: int


class TotalsOut(_Out):
    """The sums over all lines."""

    calls: int
    by_fate: dict[str, int]
    by_reason: dict[str, int]
    call_sec: float
    recorded_sec: float
    hole_sec: float
    tracks_published: int
    tracks_kept: int


class ReportOut(_Out):
    """The ledger of calls that began from `since` on and before `until`."""

    since: datetime
    until: datetime
    made_at: datetime
    totals: TotalsOut
    lines: list[LineOut]


class PartOut(_Out):
    """How one part of the system is."""

    ok: bool
    detail: str = Field(examples=["3 rooms open"])


class WebhooksOut(_Out):
    """What came of webhooks since this process started."""

    taken: int
    refused: int = Field(description="Not signed, or not by a key that is known here.")
    last_refused_at: datetime | None
    refused_because: str = Field(description="Why the last one was.")


class RoomListsOut(_Out):
    """What LiveKit's lists of rooms were worth since this process started."""

    contradicted: int = Field(
        description="Lists that lacked somebody whom a live capture of this process saw."
    )
    last_contradicted_at: datetime | None


class KeysOut(_Out):
    """API keys that were wrong since this process started."""

    refused: int
    last_refused_at: datetime | None


class ConnectionsOut(_Out):
    """Connections of clients to this process."""

    open: int
    at_most: int
    turned_away: int = Field(description="Closed because of a limit: too many, too slow, too much.")


class HealthOut(BaseModel):
    """How the system is; `ill` names the parts that are not well."""

    status: Literal["ok", "ill"]
    ill: list[str]
    parts: dict[str, PartOut]
    webhooks: WebhooksOut
    room_lists: RoomListsOut
    keys: KeysOut
    connections: ConnectionsOut


class AliveOut(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"
