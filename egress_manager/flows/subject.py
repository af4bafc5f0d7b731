"""What a recording is of: its call, or what stands in for one."""

from egress_manager.domain.calls import Call
from egress_manager.domain.incoming import Room
from egress_manager.domain.recordings import Recording
from egress_manager.flows.doors import Doors
from egress_manager.flows.update import update


async def subject_of(recording: Recording, doors: Doors) -> Call:
    """The recording's call. Where no call began it: a call as it would be, which is never stored.

    Raises `NotFound`, `StoreUnavailable`.
    """
    if recording.call_id is not None:
        return await doors.calls.get(recording.call_id)
    began = recording.started_at or recording.created_at
    return Call(
        id="",
        room=Room(recording.room_name),
        identity=recording.identity,
        stays=(),
        joined_at=began,
        seen_at=doors.clock.now(),
        left_at=recording.stopped_at,
        seen_firsthand=True,
        recording_id=recording.id,
    )


async def note_reason(call: Call, reason: str, doors: Doors) -> None:
    """The call says why it is not recorded, or that it is; nothing to do where there is no call."""
    if call.id and call.reason != reason:
        await update(doors.calls, call.id, lambda known: known.because(reason))
