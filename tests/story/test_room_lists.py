"""LiveKit's lists are empty, or short, while calls go on: its Redis has lost its keys."""

import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from egress_manager.domain.incoming import (
    Kind,
    Participant,
    Room,
    RoomFinished,
    RoomListed,
    Source,
)
from egress_manager.domain.manual import GONE_FOR, Wish
from egress_manager.domain.presence import RoomView
from egress_manager.domain.recordings import State
from egress_manager.flows import ingest, manual, poll
from egress_manager.flows.listed import Listed
from tests.story.conftest import NOON, ROOM, Tale

AGENT = Participant("PA_agent", "agent", kind=Kind.AGENT)


def view_of(*people: Participant, room: Room = ROOM) -> RoomView:
    """A capture that has seen these since noon, and nobody else."""
    return RoomView(room, people, {person.sid: NOON for person in people})


async def is_captured(tale: Tale, *people: Participant) -> None:
    """A live capture sees the caller and these."""
    tale.recorder.views[ROOM.name] = view_of(tale.caller(), *people)
    await tale.sees(tale.caller(), Source.CAPTURE, capture="cap_1")


async def polls(tale: Tale, times: int = 1) -> None:
    """LiveKit is asked, every two seconds."""
    for _ in range(times):
        tale.clock.pass_(seconds=2)
        await poll.poll(tale.doors)


async def hangs_up(tale: Tale, caller: Participant) -> None:
    """The capture hears it first-hand; all that is due is done."""
    tale.recorder.views[ROOM.name] = view_of()
    await tale.loses(caller)
    await tale.works()


LISTS = pytest.mark.parametrize("people", [None, [], [AGENT]], ids=["no room", "nobody", "others"])


@LISTS
async def test_a_list_does_not_end_a_call_that_a_live_capture_sees(
    tale: Tale, people: list[Participant] | None
) -> None:
    """Whatever it lacks, and for however long; the capture's own word ends the call."""
    await is_captured(tale)
    if people is not None:
        tale.rooms.people[ROOM.name] = people
    await polls(tale, times=30)
    going_on = await tale.calls.going_on()
    await hangs_up(tale, tale.caller())

    (call,) = tale.calls.kept.values()
    recording = await tale.recording()
    assert len(going_on) == 1
    assert (recording.state, recording.duration_sec) == (State.VERIFIED, 60)
    assert not call.was_lost, "it was seen all the time"


async def test_a_caller_whom_neither_sees_has_left(tale: Tale) -> None:
    """The capture is in the room, knows nothing of the caller any more, and no list has it."""
    await is_captured(tale)
    tale.recorder.views[ROOM.name] = view_of(AGENT)
    await polls(tale)

    (call,) = tale.calls.kept.values()
    assert call.left_at == NOON + timedelta(seconds=2)


async def test_while_a_capture_joins_again_nobody_is_taken_for_gone(tale: Tale) -> None:
    """It is about to see for itself; when it has given up, LiveKit's word counts."""
    await is_captured(tale)
    tale.recorder.views[ROOM.name] = RoomView(ROOM, is_complete=False)
    await polls(tale, times=10)
    assert await tale.calls.going_on()

    del tale.recorder.views[ROOM.name]
    await polls(tale)
    assert not await tale.calls.going_on()


async def test_without_a_capture_the_server_that_carries_the_call_is_asked(tale: Tale) -> None:
    """A process that was just started finds no list: it goes to the caller, who is there."""
    await tale.sees(tale.caller(), Source.POLL)
    tale.rooms.unlisted[ROOM.name] = {tale.caller().identity}
    tale.recorder.attended.clear()
    await polls(tale, times=10)
    going_on = await tale.calls.going_on()
    attended = set(tale.recorder.attended)
    tale.rooms.unlisted.clear()
    await polls(tale)

    (call,) = tale.calls.kept.values()
    assert (len(going_on), attended) == (1, {ROOM.name})
    assert call.left_at == NOON + timedelta(seconds=22)


async def test_a_process_that_was_just_started_asks_with_the_first_list(tale: Tale) -> None:
    """It never saw the caller, who is there and on no list; it must not wait to go there."""
    await tale.sees(tale.caller(), Source.POLL)
    tale.rooms.unlisted[ROOM.name] = {tale.caller().identity}
    tale.recorder.attended.clear()
    started = replace(tale.doors, listed=Listed())
    tale.clock.pass_(seconds=2)
    await poll.poll(started)

    assert tale.recorder.attended == [ROOM.name]
    assert await tale.calls.going_on()


async def test_where_nobody_can_tell_a_call_is_not_ended(tale: Tale) -> None:
    """LiveKit lists nobody, and does not answer the question that would decide."""
    await tale.sees(tale.caller(), Source.POLL)
    tale.rooms.away = True
    empty = RoomListed(tale.clock.pass_(seconds=2), ROOM, (), tale.clock.now())
    await ingest.take(empty, tale.doors)

    assert await tale.calls.going_on()


async def test_a_caller_who_is_back_is_not_asked_for(tale: Tale) -> None:
    """An identity is in a room once: the list has it in another stay, so the first one is over."""
    await tale.sees(tale.caller("PA_1"), Source.POLL)
    tale.rooms.people[ROOM.name] = [tale.caller("PA_2")]
    await polls(tale)

    (call,) = await tale.calls.going_on()
    assert [stay.left_at is None for stay in call.stays] == [False, True]


async def test_the_end_of_another_room_of_that_name_ends_nothing(tale: Tale) -> None:
    """The stay's room is not known; that of the capture which sees the caller is."""
    await tale.sees(tale.caller(), Source.WEBHOOK, room=Room(ROOM.name))
    tale.recorder.views[ROOM.name] = view_of(tale.caller())
    other = RoomFinished(tale.clock.pass_(seconds=5), Room(ROOM.name, "RM_0"), Source.WEBHOOK)
    await ingest.take(other, tale.doors)
    assert await tale.calls.going_on()

    own = RoomFinished(tale.clock.pass_(seconds=5), ROOM, Source.WEBHOOK)
    await ingest.take(own, tale.doors)
    assert not await tale.calls.going_on()


class TestByHand:
    """Recordings of rooms and participants that are no calls."""

    async def test_a_list_does_not_end_what_a_capture_sees(self, tale: Tale) -> None:
        """The room is kept until the capture sees nobody any more."""
        browser = Participant("PA_b", "seccotine", kind=Kind.STANDARD)
        tale.rooms.people[ROOM.name] = [browser]
        await manual.start(Wish(ROOM.name), tale.doors)
        tale.recorder.views[ROOM.name] = view_of(browser)
        tale.rooms.people.clear()
        await polls(tale, times=30)
        assert (await tale.recording()).is_going_on

        tale.recorder.views[ROOM.name] = view_of()
        await polls(tale)
        tale.clock.at += GONE_FOR
        await polls(tale)
        assert not (await tale.recording()).is_going_on

    async def test_whom_a_capture_sees_can_be_recorded_from_now_on(self, tale: Tale) -> None:
        """No list has the room, so only the capture knows who is there."""
        browser = Participant("PA_b", "seccotine", kind=Kind.STANDARD)
        tale.recorder.views[ROOM.name] = view_of(browser)

        begun = await manual.start(Wish(ROOM.name, "seccotine"), tale.doors)

        assert (begun.is_new, begun.recording.room_sid) == (True, ROOM.sid)

    async def test_without_a_capture_the_server_is_asked(self, tale: Tale) -> None:
        """And the room is kept again."""
        browser = Participant("PA_b", "seccotine", kind=Kind.STANDARD)
        tale.rooms.people[ROOM.name] = [browser]
        begun = await manual.start(Wish(ROOM.name, "seccotine"), tale.doors)
        tale.rooms.people.clear()
        tale.rooms.unlisted[ROOM.name] = {"seccotine"}
        tale.recorder.kept.clear()
        await polls(tale, times=30)

        assert (await tale.recording()).is_going_on
        assert tale.recorder.kept_for(ROOM.name) == {begun.recording.id}

        tale.rooms.unlisted.clear()
        await polls(tale, times=7)
        assert (await tale.recording()).history[-1].reason == "participant_left"


class TestCounting:
    """Lists that a live capture contradicts."""

    async def test_they_are_counted_and_logged_once(
        self, tale: Tale, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Each list counts; the log has the room once, until its lists are right again."""
        await is_captured(tale, AGENT)
        with caplog.at_level(logging.WARNING):
            await polls(tale, times=4)
        tale.rooms.people[ROOM.name] = [tale.caller(), AGENT]
        await polls(tale, times=2)

        said = [record for record in caplog.records if record.msg == "room_list_contradicted"]
        assert tale.doors.room_lists.contradicted == 4
        assert tale.doors.room_lists.last_contradicted_at == NOON + timedelta(seconds=8)
        assert [vars(record)["participants"] for record in said] == [2]

    async def test_who_is_just_leaving_is_no_contradiction(self, tale: Tale) -> None:
        """LiveKit's list knows it a moment before the capture does."""
        await is_captured(tale)
        await polls(tale)
        tale.recorder.views[ROOM.name] = view_of()
        await polls(tale, times=2)

        assert tale.doors.room_lists.contradicted == 0
