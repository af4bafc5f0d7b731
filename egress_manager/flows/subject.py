"""What a recording is of: its call as far as it is recorded, or what stands in for one."""

from egress_manager.domain.calls import Call, CallTrack
from egress_manager.domain.incoming import Room
from egress_manager.domain.manual import as_recorded
from egress_manager.domain.recordings import Recording
from egress_manager.flows.doors import Doors
from egress_manager.flows.update import update


async def subject_of(recording: Recording, doors: Doors) -> Call:
    """The recording's call, from where the recording begins to where it ends.

    Where no call began it: a call as it would be, which is never stored.

    Raises `NotFound`, `StoreUnavailable`.
    """
    if recording.call_id is not None:
        return as_recorded(await doors.calls.get(recording.call_id), recording)
    began = recording.started_at or recording.created_at
    return Call(
        id="",
        room=Room(recording.room_name, recording.room_sid),
        identity=recording.identity,
        stays=(),
        joined_at=began,
        seen_at=doors.clock.now(),
        agent_identity=recording.agent_identity,
        left_at=recording.stopped_at,
        left_reason="stopped" if recording.stop_asked_at else "",
        seen_firsthand=True,
        tracks=tuple(
            CallTrack(track.track_sid, "", track.participant_identity, began)
            for track in recording.tracks
        ),
        recording_id=recording.id,
    )


async def note_reason(call: Call, reason: str, doors: Doors) -> None:
    """The call says why it is not recorded, or that it is; nothing to do where there is no call.

    Of several recordings of a call, its own has the say.
    """
    if call.id and call.reason != reason:
        ours = call.recording_id
        await update(
            doors.calls, call.id, lambda c: c.because(reason) if c.recording_id == ours else c
        )
