"""A recording begun by hand goes on: keep its room, note its captures, see when it is over.

A call's recording hears of all that from the news of its caller; what is of no call is looked after
here, with every look around.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from egress_manager.domain.egresses import tracks_without_job
from egress_manager.domain.incoming import (
    Kind,
    News,
    Participant,
    ParticipantLeft,
    ParticipantSeen,
    Room,
    RoomFinished,
    RoomListed,
)
from egress_manager.domain.manual import GONE_FOR, is_left, looked_at, shows
from egress_manager.domain.pages import RecordingFilter
from egress_manager.domain.policy import Engine
from egress_manager.domain.presence import with_view
from egress_manager.domain.recordings import MANUAL, Recording, State
from egress_manager.errors import LiveKitUnavailable, NotFound, StoreUnavailable
from egress_manager.flows import record, render
from egress_manager.flows.doors import Doors
from egress_manager.flows.subject import subject_of
from egress_manager.flows.update import update

log = logging.getLogger(__name__)

#: So many recordings by hand of a room are looked through for those that a capture is of.
MOST_OF_A_ROOM: Final = 50
#: Moments are told as exactly as this.
TICK: Final = timedelta(milliseconds=1)


async def keep(recording: Recording, doors: Doors) -> Recording:
    """See to it that the recorder keeps what is said in the room, if it is the built-in one."""
    if recording.engine != Engine.BUILTIN or not recording.is_going_on:
        return recording
    recorder = doors.recorders[Engine.BUILTIN]
    capture_id = await recorder.keep(recording.room_name, recording.id)
    if capture_id is None:
        return recording
    return await captured(recording, capture_id, doors.clock.now(), doors)


async def captured(recording: Recording, capture_id: str, at: datetime, doors: Doors) -> Recording:
    """Its room is in a capture: note it, and have the mix made meanwhile."""
    if capture_id in recording.captures and recording.state is State.ACTIVE:
        return recording
    call = await subject_of(recording, doors)
    after = await record.captured_by(call, recording, capture_id, at, doors)
    if not call.is_over:
        await render.follow(call, after, doors)
    return after


async def tell_kept(news: ParticipantSeen, doors: Doors) -> None:
    """A capture sees somebody: it is the capture of all for whom its room is kept."""
    if news.capture_id is None:
        return
    for recording_id in doors.recorders[Engine.BUILTIN].kept_for(news.room.name):
        try:
            recording = await doors.recordings.get(recording_id)
        except NotFound:  # it is about to be stored
            continue
        if recording.created_at <= news.at:
            await captured(recording, news.capture_id, news.at, doors)


async def look_round(
    going_on: Sequence[Recording],
    seen: Mapping[str, RoomListed],
    asked_at: datetime,
    doors: Doors,
) -> None:
    """LiveKit was asked: what its answer means for recordings by hand that go on.

    `seen` has those rooms that could be read, and those that LiveKit does not list. Raises
    `StoreUnavailable`.
    """
    await _let_go_of_the_rest(seen, {recording.id for recording in going_on}, doors)
    for recording in going_on:
        listed = seen.get(recording.room_name)
        if listed is None or recording.created_at >= asked_at:
            continue
        try:
            await look(recording, listed, doors)
        except StoreUnavailable:
            raise
        except Exception:  # one that can't be looked after must not hide the others
            log.exception("recording_not_looked_after", extra={"recording": recording.id})


async def _let_go_of_the_rest(
    rooms: Iterable[str], going_on: Collection[str], doors: Doors
) -> None:
    """Another process may have ended a recording for which this one still keeps a room."""
    recorder = doors.recorders[Engine.BUILTIN]
    for name in rooms:
        for recording_id in set(recorder.kept_for(name)) - set(going_on):
            with suppress(NotFound):  # it is about to be stored
                if not (await doors.recordings.get(recording_id)).is_going_on:
                    await recorder.let_go(name, recording_id)


async def look(recording: Recording, listed: RoomListed, doors: Doors) -> Recording:
    """Who is in its room now: keep it, or see that it is over."""
    now = doors.clock.now()
    if recording.call_id is None:
        listed = await _with_unlisted(recording, listed, doors)
        recording = await update(
            doors.recordings,
            recording.id,
            lambda r: looked_at(r, listed, now) if r.is_going_on else r,
            known=recording,
        )
        if listed.is_complete and is_left(recording, now):
            return await end(
                recording, "participant_left" if recording.identity else "room_empty", doors
            )
        if recording.missing_since is not None:
            return recording
    call = await subject_of(recording, doors)
    if call.is_over:
        await record.end(call, doors, is_written=True)
        return recording
    if recording.engine == Engine.EGRESS and tracks_without_job(
        recording.egresses, (track.track_sid for track in call.tracks)
    ):
        await doors.queue.soon(recording.id)
    return await keep(recording, doors)


async def _with_unlisted(recording: Recording, listed: RoomListed, doors: Doors) -> RoomListed:
    """The list, with one of whom the recording is who is there and on no list.

    LiveKit is asked when one is missing for the first time, and before that ends the recording.
    """
    is_asked = recording.missing_since is None or is_left(recording, doors.clock.now())
    if shows(listed, recording.identity) or not (listed.is_complete and is_asked):
        return listed
    if doors.view(recording.room_name) is not None:
        return listed
    known = {track.participant_identity for track in recording.tracks} - {""}
    try:
        for identity in sorted({recording.identity} if recording.identity else known):
            if await doors.rooms.carries(recording.room_name, identity):
                unlisted = Participant("", identity, kind=Kind.STANDARD)
                return replace(listed, participants=(*listed.participants, unlisted))
    except LiveKitUnavailable:  # nobody can tell
        return replace(listed, is_complete=False)
    return listed


async def end(recording: Recording, reason: str, doors: Doors) -> Recording:
    """A recording without a call is over: since nobody was there, or now."""
    at = recording.missing_since or doors.clock.now()
    mark = partial(replace, stopped_at=at)
    call = replace(await subject_of(mark(recording), doors), left_reason=reason)
    written = not doors.attends(recording.room_name)
    await record.end(call, doors, is_written=written, mark=mark)
    return await doors.recordings.get(recording.id)


async def finish_room(news: RoomFinished, doors: Doors) -> None:
    """The room is closed: recordings without a call, of this life of it, are over."""
    for recording in await doors.recordings.by_hand(news.room.name):
        same = not news.room.sid or recording.room_sid in ("", news.room.sid)
        if recording.call_id is None and same and recording.created_at < news.at:
            await end(recording, "room_finished", doors)


async def look_after(recording: Recording, doors: Doors) -> Recording:
    """PLANNED, STARTING, ACTIVE: order what is to be ordered, unless nobody is there to record."""
    if recording.source == MANUAL and recording.call_id is None:
        recording = await _looked_into(recording, doors)
        if not recording.is_going_on:
            return recording
        if recording.missing_since is not None:
            return await record.postpone(recording, GONE_FOR, doors)
    return await record.look_after(recording, doors)


async def _looked_into(recording: Recording, doors: Doors) -> Recording:
    """Look into its room, unless the recorder is there; unseen for long, it is over."""
    if doors.attends(recording.room_name):
        return recording
    try:
        asked_at = doors.clock.now()
        people = tuple(await doors.rooms.participants(recording.room_name))
    except LiveKitUnavailable:
        now = doors.clock.now()
        recording = await update(
            doors.recordings,
            recording.id,
            lambda r: replace(r, missing_since=r.missing_since or now) if r.is_going_on else r,
        )
        since = recording.missing_since
        if since is not None and now - since > record.LOST:
            return await end(recording, "livekit_unreachable", doors)
        return recording
    room = Room(recording.room_name, recording.room_sid)
    listed = RoomListed(doors.clock.now(), room, people, asked_at)
    return await look(recording, with_view(listed, doors.view(room.name)), doors)


async def hear_out(capture_id: str, story: Sequence[News], doors: Doors) -> frozenset[str]:
    """A capture has told all: recordings by hand that it is of take note of it; their ids."""
    seen = [news for news in story if isinstance(news, ParticipantSeen | ParticipantLeft)]
    if not seen:
        return frozenset()
    began, after = seen[0].at, seen[-1].at + TICK
    where = RecordingFilter(room_name=seen[0].room.name, source=MANUAL, until=after)
    page = await doors.recordings.page(where, cursor=None, limit=MOST_OF_A_ROOM)
    ours = [recording for recording in page.items if await _went_on(recording, began, doors)]
    for recording in ours:
        await captured(recording, capture_id, max(began, recording.created_at), doors)
    return frozenset(recording.id for recording in ours)


async def _went_on(recording: Recording, at: datetime, doors: Doors) -> bool:
    """Whether the built-in recorder still had to do with it then."""
    try:
        left_at = (await subject_of(recording, doors)).left_at
    except NotFound:  # its call was deleted
        return False
    return recording.engine == Engine.BUILTIN and (left_at is None or left_at > at)
