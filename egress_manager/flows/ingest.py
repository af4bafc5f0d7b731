"""LiveKit said something: fold it into calls and recordings.

Safe to repeat, delay and reorder: every branch observes, none commands; only a caller who is there
now makes the recorder attend, and that comes before anything is stored, so that a store that is
away costs no audio.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial, reduce
from typing import Final

from egress_manager.domain.calls import (
    FOUND_LATE,
    SEEN_EVERY,
    Call,
    Stay,
    call_id_of,
    is_caller,
    new_call,
)
from egress_manager.domain.incoming import (
    EgressReported,
    Kind,
    News,
    Participant,
    ParticipantLeft,
    ParticipantSeen,
    Room,
    RoomFinished,
    RoomListed,
    Source,
    TrackSeen,
    Unrecognised,
)
from egress_manager.domain.policy import Engine, decide
from egress_manager.domain.recordings import MANUAL, Recording
from egress_manager.errors import LiveKitUnavailable, StoreUnavailable
from egress_manager.flows import accompany, egress_reports, record, render
from egress_manager.flows.crowds import newest_calls
from egress_manager.flows.doors import Doors
from egress_manager.flows.update import update, upsert

#: A caller whom only a webhook ever showed may be missing from the server's list for this long.
HEARSAY: Final = timedelta(seconds=60)

#: A call that was last seen longer ago than this ended then, not when it was found gone: somebody,
#: LiveKit or we, was away.
LONG_UNSEEN: Final = timedelta(seconds=12)

#: This many calls of a room, the newest of that time, are looked through for late news of a track.
MOST_CALLS: Final = 20
#: The stores keep moments as exactly as this.
TICK: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a piece of news."""

    outcome: str
    call_id: str | None = None
    recording_id: str | None = None
    egress_id: str | None = None


async def take(news: News, doors: Doors) -> Outcome:
    """Fold in one piece of news. Raises `StoreUnavailable` when it can't be kept."""
    try:
        return await _take(news, doors)
    except StoreUnavailable:
        await attend_without_store(news, doors)
        raise


async def _take(news: News, doors: Doors) -> Outcome:
    match news:
        case ParticipantSeen():
            return await _seen(news, doors)
        case ParticipantLeft():
            return await _left(news, doors)
        case TrackSeen():
            await _published(news, doors)
        case RoomListed():
            await _listed(news, doors)
        case RoomFinished():
            await _finished(news, doors)
        case EgressReported():
            return _outcome_of(await egress_reports.take(news, doors))
        case Unrecognised():
            return Outcome("ignored")
    return Outcome("taken")


async def attend_without_store(news: News, doors: Doors) -> None:
    """While nothing can be written down, LiveKit Egress can't be ordered to: the room is attended.

    Without a fallback nothing can be done before the store is back.
    """
    for seen in _sightings(news):
        decision = decide(doors.house.policy, seen.room.name)
        is_wanted = decision.record and decision.engine is Engine.EGRESS and doors.house.falls_back
        if is_wanted and is_caller(seen.participant) and not _is_stale(seen, doors):
            await doors.recorders[Engine.BUILTIN].attend(seen.room.name)


def _sightings(news: News) -> list[ParticipantSeen]:
    match news:
        case ParticipantSeen():
            return [news]
        case RoomListed(at, room, people):
            return [ParticipantSeen(at, room, person, Source.POLL) for person in people]
    return []


async def attend_if_wanted(news: News, doors: Doors) -> None:
    """Have the recorder go where a call is to be recorded. Needs no store."""
    if not isinstance(news, ParticipantSeen) or news.participant.is_recorder:
        return
    _learn_clock(news, doors)
    decision = decide(doors.house.policy, news.room.name)
    if not decision.record or _is_stale(news, doors):
        return
    recorder = doors.recorders[decision.engine]
    if news.room.name in doors.standing_rooms:
        await recorder.stand(news.room.name)
    if is_caller(news.participant):
        await recorder.attend(news.room.name, news.participant.sid)


def _learn_clock(news: ParticipantSeen, doors: Doors) -> None:
    """A webhook of a join comes at once: what lies between is the clocks' difference."""
    if news.source is Source.WEBHOOK and news.participant.joined_at:
        doors.livekit_clock.learn(news.participant.joined_at, news.at)


def _by_our_clock(news: ParticipantSeen, doors: Doors) -> ParticipantSeen:
    return replace(news, participant=doors.livekit_clock.corrected(news.participant, news.at))


def _is_stale(news: ParticipantSeen, doors: Doors) -> bool:
    """Old news: the room may be gone, and joining would open it again. Polling knows better."""
    if doors.clock.now() - news.at > FOUND_LATE:
        return True
    joined_at = news.participant.joined_at
    if news.source is not Source.WEBHOOK or joined_at is None:
        return False
    return doors.livekit_clock.delay(joined_at, news.at) > FOUND_LATE


async def _seen(news: ParticipantSeen, doors: Doors) -> Outcome:
    if news.participant.is_recorder:
        return Outcome("recorder")
    await accompany.tell_kept(news, doors)
    doors.listed.note(news)
    if not is_caller(news.participant):
        await _tell_calls(news.room.name, doors, partial(_met, news=news))
        return Outcome("participant")
    _learn_clock(news, doors)
    call = await _call_of(_by_our_clock(news, doors), doors)
    if not call.is_over:
        await attend_if_wanted(news, doors)
    call, recording = await record.begin(call, doors.clock.now(), doors)
    if recording is None or recording.stop_asked_at is not None:
        await doors.recorders[Engine.BUILTIN].leave_alone(call.room.name, news.participant.sid)
    elif recording.source == MANUAL and not call.is_over:
        await accompany.keep(recording, doors)
    if recording is not None and news.capture_id:
        recording = await record.captured_by(call, recording, news.capture_id, news.at, doors)
        if doors.attends(call.room.name):
            await render.follow(call, recording, doors)
    return _outcome("call", call, recording)


def _met(call: Call, news: ParticipantSeen) -> Call:
    """The call with somebody who was in the room during one of its stays."""
    return call.meet(news.participant).hear_all(news) if call.was_there(news.at) else call


async def _published(news: TrackSeen, doors: Doors) -> None:
    """A track belongs to the calls in whose stays it was heard, also if the news come later.

    A caller's track ends with the caller's stay: late news of it are of that stay, and not of who
    is in the room by now.
    """
    name, sid = news.room.name, news.participant.sid
    own = await doors.calls.by_participant(name, sid) if is_caller(news.participant) else ()
    ends = [stay.left_at for call in own for stay in call.stays if stay.participant_sid == sid]
    news = replace(news, at=min([news.at, *filter(None, ends)]))
    then: Sequence[Call] = ()
    if doors.clock.now() - news.at > FOUND_LATE:
        then = await newest_calls(name, news.at, news.at + TICK, doors, most=MOST_CALLS)
    await _tell_calls(name, doors, lambda call: call.hear(news), also=[*own, *then])


async def _left(news: ParticipantLeft, doors: Doors) -> Outcome:
    if news.participant.is_recorder:
        return Outcome("recorder")
    calls = list(await doors.calls.by_participant(news.room.name, news.participant.sid))
    if not calls and is_caller(news.participant):
        seen = ParticipantSeen(news.at, news.room, news.participant, news.source, news.capture_id)
        calls = [await _call_of(_by_our_clock(seen, doors), doors)]
        await record.begin(calls[0], doors.clock.now(), doors)
    for call in calls:
        call = await _lose(call, news, doors)
        return _outcome("left", call, None)
    return Outcome("participant")


async def _call_of(seen: ParticipantSeen, doors: Doors) -> Call:
    """The call of a caller who was seen, with what is new about it."""
    return await upsert(
        doors.calls,
        call_id_of(seen.room, seen.participant),
        lambda: record.decided(new_call(seen), doors),
        lambda known: known.see(seen),
        is_new=seen.source is Source.WEBHOOK,
    )


async def _lose(call: Call, news: ParticipantLeft, doors: Doors) -> Call:
    """One stay is over; with the last one, the call."""
    call = await update(doors.calls, call.id, lambda c: c.lose(news), known=call)
    if call.is_over:
        written = news.source is Source.CAPTURE or not doors.attends(call.room.name)
        await record.end(call, doors, is_written=written)
    return call


async def _listed(news: RoomListed, doors: Doors) -> None:
    """Who is there is seen; whose call goes on but who is not there has left."""
    people, sightings = news.participants, _sightings(news)
    for seen in sightings:
        await attend_if_wanted(seen, doors)
    others = [person for person in people if not is_caller(person)]
    for seen in sightings:
        if is_caller(seen.participant):
            await _seen(seen, doors)
    for call in await _tell_calls(
        news.room.name,
        doors,
        lambda call: reduce(Call.hear_all, sightings, reduce(Call.meet, others, call)),
    ):
        hearsay = not call.seen_firsthand and news.at - call.seen_at < HEARSAY
        for stay in call.stays if not hearsay and news.is_complete else ():
            if not _lacks(news, stay):
                continue
            is_unknown = not doors.listed.has_met(call)
            may_end = doors.listed.may_end(call, stay, news.at)
            if may_end or is_unknown:
                await _look_for(call, stay, news, doors, may_end=may_end)


def _lacks(news: RoomListed, stay: Stay) -> bool:
    """Whether a list lacks a stay that goes on and began before it was asked for."""
    came_before = stay.since is None or stay.since < news.asked_at
    listed = {person.sid for person in news.participants}
    return stay.left_at is None and came_before and stay.participant_sid not in listed


async def _look_for(
    call: Call, stay: Stay, news: RoomListed, doors: Doors, *, may_end: bool
) -> None:
    """A caller whom a list lacks has left, if nobody who knows better sees it.

    A capture that sees the room decides. Without one, the server that carries the room is asked: a
    list is empty when LiveKit's Redis lost its keys. An identity is in a room once. Not `may_end`:
    the caller may be in another LiveKit, so that who is not found has not left.
    """
    view = doors.view(call.room.name)
    if view is not None and (not view.is_complete or stay.participant_sid in view.since):
        return
    is_back = any(person.identity == call.identity for person in news.participants)
    try:
        is_there = (
            view is None
            and not is_back
            and await doors.rooms.carries(call.room.name, call.identity)
        )
    except LiveKitUnavailable:  # nobody can tell: it is asked again with the next list
        return
    if is_there:
        await _seen(_unlisted(call, stay, news), doors)
    elif may_end:
        await _lose_stay(call, stay, news, "not_listed", doors)


def _unlisted(call: Call, stay: Stay, news: RoomListed) -> ParticipantSeen:
    """The sighting of a caller who is there and on no list: what is known of it is in the call."""
    known = {"sip.callID": call.sip_call_id} if call.sip_call_id else {}
    person = Participant(stay.participant_sid, call.identity, kind=Kind.SIP, attributes=known)
    room = Room(call.room.name, stay.room_sid or call.room.sid)
    return ParticipantSeen(news.at, room, person, Source.POLL)


async def _finished(news: RoomFinished, doors: Doors) -> None:
    """Whoever was in this life of the room is gone."""
    await accompany.finish_room(news, doors)
    view = doors.view(news.room.name)
    for call in await doors.calls.going_on(news.room.name):
        for stay in call.stays:
            is_seen = view is not None and stay.participant_sid in view.since
            room_sid = stay.room_sid or (view.room.sid if view and is_seen else "")
            same = not news.room.sid or room_sid in ("", news.room.sid)
            if same and (stay.since is None or stay.since < news.at):
                await _lose_stay(call, stay, news, "room_finished", doors)


async def _lose_stay(
    call: Call, stay: Stay, news: RoomListed | RoomFinished, reason: str, doors: Doors
) -> None:
    """The end of a stay that nobody saw. Long unseen, it ended when it was last seen."""
    if stay.left_at is not None:
        return
    unseen_for = news.at - call.seen_at
    at = call.seen_at + SEEN_EVERY if unseen_for > LONG_UNSEEN else news.at
    person = Participant(stay.participant_sid, call.identity)
    await _lose(call, ParticipantLeft(at, news.room, person, Source.POLL, reason), doors)


async def _tell_calls(
    room_name: str, doors: Doors, change: Callable[[Call], Call], also: Sequence[Call] = ()
) -> Sequence[Call]:
    """Apply something to every call that goes on in the room, and to others: how they are then."""
    going_on = await doors.calls.going_on(room_name)
    calls = list({call.id: call for call in (*also, *going_on)}.values())
    for index, call in enumerate(calls):
        if change(call) == call:
            continue
        calls[index] = await update(doors.calls, call.id, change, known=call)
        if calls[index].agent_identity != call.agent_identity:
            await record.meet_agent(calls[index], doors)
        if calls[index].tracks != call.tracks:
            await record.meet_track(calls[index], doors)
    return calls


def _outcome_of(recording: Recording | None) -> Outcome:
    if recording is None:
        return Outcome("ignored")
    return Outcome("egress", recording.call_id, recording.id, recording.egress_id)


def _outcome(what: str, call: Call, recording: Recording | None) -> Outcome:
    return Outcome(
        what,
        call.id,
        call.recording_id,
        recording.egress_id if recording else None,
    )
