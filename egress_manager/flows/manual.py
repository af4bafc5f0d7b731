"""Somebody has something recorded, or stops a recording, whatever the policy says."""

from dataclasses import dataclass, replace
from functools import partial

from egress_manager.domain.calls import Call, egress_id_of
from egress_manager.domain.incoming import Room, RoomListed
from egress_manager.domain.manual import (
    Wish,
    id_by_key,
    looked_at,
    next_id,
    shows,
    stopped,
)
from egress_manager.domain.pages import RecordingFilter
from egress_manager.domain.policy import Engine, engine_of
from egress_manager.domain.presence import with_view
from egress_manager.domain.recordings import MANUAL, Observation, Recording, State
from egress_manager.errors import Conflict, NotFound
from egress_manager.flows import accompany, ingest, record
from egress_manager.flows.doors import Doors
from egress_manager.flows.subject import subject_of
from egress_manager.flows.update import update


@dataclass(frozen=True, slots=True)
class Begun:
    """A recording that goes on as was wished; whether it was begun for that."""

    recording: Recording
    is_new: bool


async def start(wish: Wish, doors: Doors) -> Begun:
    """Have it recorded from now on. What goes on already is answered with, and not begun again.

    One call is meant where its caller is named, or where it is the only call of the room. Raises
    `NotFound` where nobody is there to be recorded, `Conflict` where the key began something else,
    `LiveKitUnavailable`, `LiveKitRefused`, `StoreUnavailable`.
    """
    known = await _by_key(wish, doors)
    if known is not None:
        return Begun(known, is_new=False)
    listed = await _visit(wish, doors)
    call = await _call_in(wish, doors)
    if call is not None:
        wish = replace(wish, identity=call.identity)
    own, newest = await _own_of(call, doors), await _newest(wish, doors)
    for recording in (own, newest):
        if recording is not None and recording.is_going_on:
            return Begun(recording, is_new=False)
    new_id = id_by_key(wish.key) if wish.key else next_id(wish, newest)
    if call is None:
        now = doors.clock.now()
        subject = Call("", listed.room, wish.identity, (), now, now, recording_id=new_id)
    elif own is None:
        subject = await _claimed(call, new_id, doors)
    else:
        subject = replace(call, recording_id=new_id)
    begun = await _kept(subject, wish, listed, doors)
    await accompany.keep(begun.recording, doors)
    await doors.queue.soon(begun.recording.id)
    return replace(begun, recording=await doors.recordings.get(begun.recording.id))


async def stop(recording_id: str, doors: Doors) -> Recording:
    """End it here, whatever goes on in its room; what is over already stays as it is.

    Raises `NotFound`, `StoreUnavailable`.
    """
    recording = await doors.recordings.get(recording_id)
    mark = partial(stopped, at=doors.clock.now())
    if recording.is_going_on:
        call = await subject_of(mark(recording), doors)
        await record.end(call, doors, is_written=False, mark=mark)
        for sid in call.participant_sids:
            await doors.recorders[Engine.BUILTIN].leave_alone(call.room.name, sid)
    return await update(doors.recordings, recording_id, mark)


async def render(recording_id: str, doors: Doors) -> Recording:
    """Have its files made again, of all there is of it; one whose files are being made stays so.

    Raises `NotFound`, `StoreUnavailable`; `Conflict` where it goes on, or nothing is left to make
    files of.
    """
    recording = await doors.recordings.get(recording_id)
    if not recording.material:
        raise Conflict("there is nothing to make files of: no capture, and no file of an egress")
    if not recording.is_final:
        if recording.state is State.CAPTURED:
            return recording
        raise Conflict(f"it is {recording.status}: its files are made when it is over")
    now = doors.clock.now()
    again = await update(
        doors.recordings,
        recording_id,
        lambda r: r.advance(State.CAPTURED, now, "asked") if r.is_final else r,
    )
    await doors.queue.soon(recording_id)
    return again


async def _by_key(wish: Wish, doors: Doors) -> Recording | None:
    """The recording that the key began. Raises `Conflict` where that was another wish."""
    if not wish.key:
        return None
    try:
        known = await doors.recordings.get(id_by_key(wish.key))
    except NotFound:
        return None
    if known.room_name != wish.room_name or wish.identity not in ("", known.identity):
        raise Conflict(f"this key has begun {known.id}, in another room or of somebody else")
    return known


async def _visit(wish: Wish, doors: Doors) -> RoomListed:
    """Who is in the room, which is news, too. Raises `NotFound`."""
    asked_at = doors.clock.now()
    rooms = (room for room in await doors.rooms.rooms() if room.name == wish.room_name)
    room, view = next(rooms, None), doors.view(wish.room_name)
    if room is None and (view is None or not view.participants):
        raise NotFound(f"room {wish.room_name} is not open at LiveKit: nobody is in it")
    people = tuple(await doors.rooms.participants(wish.room_name))
    listed = RoomListed(doors.clock.now(), room or Room(wish.room_name), people, asked_at)
    listed = with_view(listed, view)
    if not shows(listed, ""):
        raise NotFound(f"nobody is in room {wish.room_name}")
    if not shows(listed, wish.identity):
        raise NotFound(f"nobody in room {wish.room_name} has the identity {wish.identity}")
    await ingest.take(listed, doors)
    return listed


async def _call_in(wish: Wish, doors: Doors) -> Call | None:
    """The call that is meant: of that caller, or the only one of the room."""
    calls = [
        call
        for call in await doors.calls.going_on(wish.room_name)
        if wish.identity in ("", call.identity)
    ]
    return calls[0] if len(calls) == 1 else None


async def _own_of(call: Call | None, doors: Doors) -> Recording | None:
    """The call's own recording."""
    if call is None or call.recording_id is None:
        return None
    try:
        return await doors.recordings.get(call.recording_id)
    except NotFound:  # whoever promised it has not come to it
        return None


async def _newest(wish: Wish, doors: Doors) -> Recording | None:
    """The newest recording by hand of the same."""
    where = RecordingFilter(room_name=wish.room_name, source=MANUAL, identity=wish.identity)
    page = await doors.recordings.page(where, cursor=None, limit=1)
    return next(iter(page.items), None)


async def _claimed(call: Call, recording_id: str, doors: Doors) -> Call:
    """The call that had no recording, with the id of its own: of two at once, one gives it."""
    return await update(
        doors.calls,
        call.id,
        lambda c: c if c.recording_id else replace(c, recording_id=recording_id, reason=""),
    )


async def _kept(subject: Call, wish: Wish, listed: RoomListed, doors: Doors) -> Begun:
    """The room is kept before the recording begins: else what ends there just now leaves a hole."""
    engine = wish.engine or engine_of(doors.house.policy, subject.room.name)
    recorder, room_name = doors.recorders[Engine.BUILTIN], subject.room.name
    recording_id = subject.recording_id or ""
    if engine is not Engine.BUILTIN:
        return await _begin(subject, wish, listed, doors)
    await recorder.keep(room_name, recording_id)
    try:
        return await _begin(subject, wish, listed, doors)
    except BaseException:
        await recorder.let_go(room_name, recording_id)
        raise


async def _begin(subject: Call, wish: Wish, listed: RoomListed, doors: Doors) -> Begun:
    """Store it; of two that store the same at once, one has begun it."""
    now = doors.clock.now()
    subject = replace(subject, joined_at=now)
    planned = record.planned(subject, now, doors, engine=wish.engine)
    planned = replace(
        planned,
        source=MANUAL,
        egress_id=planned.egress_id and egress_id_of(planned.id),
        seen=Observation(State.PLANNED, now, take=subject.take),
    )
    if not subject.id:
        planned = looked_at(planned, replace(listed, room=subject.room), now)
    try:
        return Begun(await doors.recordings.add(record.begun(planned, subject, now)), is_new=True)
    except Conflict:
        return Begun(await doors.recordings.get(planned.id), is_new=False)
