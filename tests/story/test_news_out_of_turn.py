"""News that come late, twice, out of turn, or not at all."""

from dataclasses import replace
from datetime import timedelta

import pytest

from egress_manager.domain.incoming import (
    Participant,
    ParticipantLeft,
    ParticipantSeen,
    Room,
    RoomFinished,
    RoomListed,
    Source,
    Track,
)
from egress_manager.domain.policy import Policy, Scope
from egress_manager.domain.recordings import State
from egress_manager.flows import ingest, poll
from egress_manager.flows.recover import Recovery
from tests.story.conftest import ROOM, Tale

AGENT = Participant("PA_agent", "agent", tracks=(Track("TR_agent", "agent", "audio/opus"),))


async def ringing_beside_an_agent(tale: Tale) -> Participant:
    """A recorder in the room sees a caller whose phone rings, and an agent who speaks."""
    caller = tale.caller(attributes={"sip.callStatus": "ringing"})
    await tale.sees(caller, Source.CAPTURE)
    await tale.sees(AGENT, Source.CAPTURE)
    return caller


@pytest.mark.parametrize("policy", [Policy(Scope.NONE)])
async def test_a_standing_room_is_left_alone_where_nothing_is_recorded(tale: Tale) -> None:
    """The policy is asked before the recorder goes anywhere."""
    tale.doors.standing_rooms.add(ROOM.name)
    await tale.sees(tale.caller())
    await tale.sees(Participant("PA_agent", "agent"))

    assert (tale.recorder.stood, tale.recorder.attended) == ([], [])


async def test_a_time_that_was_made_up_spoils_nobody_elses(tale: Tale) -> None:
    """One webhook by hand says that somebody joined years ago: the next caller is recorded."""
    noon = tale.clock.now()
    for joined_at in (noon - timedelta(days=9000), noon + timedelta(days=9000)):
        await tale.sees(tale.caller("PA_1", joined_at=joined_at))
    tale.recorder.attended.clear()

    await tale.sees(tale.caller("PA_2", attributes={"sip.callID": "SCL_2"}, joined_at=noon))
    calls = await tale.calls.going_on()

    assert tale.recorder.attended == [ROOM.name]
    assert [call.joined_at for call in calls if call.sip_call_id == "SCL_2"] == [noon]


async def test_a_caller_who_comes_back_while_a_poll_is_under_way_is_not_ended(tale: Tale) -> None:
    """The answer is older than the stay it does not list."""
    first, second = tale.caller("PA_1"), tale.caller("PA_2")
    await tale.sees(first, Source.CAPTURE, capture="cap_1")
    await tale.loses(first)
    tale.clock.pass_(seconds=5)
    asked_at = tale.clock.now()
    tale.clock.pass_(seconds=0.1)
    await tale.sees(second, Source.CAPTURE, capture="cap_2")
    await ingest.take(RoomListed(tale.clock.now(), ROOM, (), asked_at), tale.doors)

    (call,) = await tale.calls.going_on()
    assert call.left_at is None


async def test_who_is_seen_after_a_poll_missed_it_has_not_left(tale: Tale) -> None:
    """A presumed end is taken back by a sighting; an exact one never is."""
    caller = tale.caller()
    await tale.sees(caller, Source.CAPTURE, capture="cap_1")
    asked_at = tale.clock.pass_(seconds=5)
    await ingest.take(RoomListed(tale.clock.pass_(seconds=1), ROOM, (), asked_at), tale.doors)
    assert not await tale.calls.going_on()

    tale.clock.pass_(seconds=1)
    await tale.sees(caller, Source.POLL)
    assert await tale.calls.going_on()

    await tale.loses(caller)
    tale.clock.pass_(seconds=1)
    await tale.sees(caller, Source.POLL)
    assert not await tale.calls.going_on()


async def test_the_end_of_an_earlier_room_does_not_end_a_call_in_the_next(tale: Tale) -> None:
    """A fixed room was closed and opened again: the sid tells which of the two is finished."""
    await tale.sees(tale.caller(), Source.CAPTURE, capture="cap_1")
    late = RoomFinished(tale.clock.pass_(seconds=5), Room(ROOM.name, "RM_0"), Source.WEBHOOK)
    await ingest.take(late, tale.doors)

    assert await tale.calls.going_on()


async def test_a_capture_that_is_heard_of_late_gets_into_the_file(tale: Tale) -> None:
    """The recording is made again, of all captures, however late one tells of itself."""
    caller = tale.caller()
    began = tale.clock.now()
    await tale.sees(caller, Source.CAPTURE, capture="cap_2")
    tale.clock.pass_(seconds=30)
    await tale.loses(caller)
    await tale.works()
    assert tale.renderer.finished[-1].captures == (".captures/cap_2",)

    await ingest.take(ParticipantSeen(began, ROOM, caller, Source.CAPTURE, "cap_1"), tale.doors)
    await tale.works()

    recording = await tale.recording()
    assert tale.renderer.finished[-1].captures == (".captures/cap_2", ".captures/cap_1")
    assert recording.status == "completed"
    assert not recording.lacks_material


async def test_an_answer_that_is_told_late_makes_a_recording_after_all(tale: Tale) -> None:
    """Ringing is all that was known when it ended; then the journal tells of the answer."""
    ringing = tale.caller(attributes={"sip.callStatus": "ringing"})
    await tale.sees(ringing, Source.CAPTURE, capture="cap_1")
    tale.clock.pass_(seconds=10)
    await tale.loses(ringing)
    await tale.works()
    assert (await tale.recording()).status == "aborted"

    await tale.sees(tale.caller(), Source.CAPTURE, capture="cap_1")
    await tale.works()

    assert (await tale.recording()).status == "completed"


async def test_a_call_that_was_lost_during_an_outage_is_as_long_as_it_was_seen(
    tale: Tale,
) -> None:
    """Eight hours without LiveKit do not make a recording of eight hours."""
    caller = tale.caller()
    await tale.sees(caller, Source.CAPTURE, capture="cap_1")
    tale.clock.pass_(minutes=2)
    await tale.sees(caller, Source.POLL)
    tale.recorder.capturing.clear()
    tale.clock.pass_(hours=8)
    await poll.poll(tale.doors)
    await tale.works()

    assert (await tale.recording()).status == "completed"
    assert (await tale.recording()).duration_sec == pytest.approx(125)


async def test_a_call_whose_livekit_never_comes_back_is_finished(tale: Tale) -> None:
    """No state without a deadline, also where nobody can be asked."""
    await tale.sees(tale.caller(), Source.CAPTURE, capture="cap_1")
    tale.recorder.capturing.clear()
    tale.rooms.away = True
    tale.clock.pass_(hours=2)
    await tale.works()

    assert (await tale.recording()).status == "completed"


async def test_one_room_that_cannot_be_read_does_not_hide_the_others(tale: Tale) -> None:
    """Each is looked at by itself."""
    tale.rooms.people["fine"] = [tale.caller()]
    tale.rooms.people["broken"] = []
    tale.rooms.closed.add("broken")

    assert await poll.poll(tale.doors) == 1


async def test_one_capture_that_cannot_be_read_does_not_hide_the_others(tale: Tale) -> None:
    """The next one is recovered all the same."""
    caller = tale.caller()
    tale.captures.told["cap_1"] = [None]  # type: ignore[list-item]
    tale.captures.told["cap_2"] = [
        ParticipantSeen(tale.clock.now(), ROOM, caller, Source.CAPTURE, "cap_2"),
        ParticipantLeft(tale.clock.pass_(seconds=9), ROOM, caller, Source.CAPTURE),
    ]
    await Recovery().recover(tale.doors)
    await tale.works()

    assert (await tale.recording()).state is State.VERIFIED


async def test_a_livekit_whose_clock_is_slow_is_not_taken_for_late(tale: Tale) -> None:
    """Its time of joining is a minute behind from the first webhook on: the next ones are fresh."""
    for number in range(2):
        room = Room(f"room-{number}", f"RM_{number}")
        behind = tale.clock.now() - timedelta(seconds=50)
        await tale.sees(tale.caller(f"PA_{number}", joined_at=behind), room=room)
        tale.clock.pass_(seconds=30)

    assert tale.recorder.attended == ["room-0", "room-1"]
    assert {call.joined_at.second for call in tale.calls.kept.values()} == {0, 30}


async def test_a_call_that_is_seen_some_seconds_late_began_when_livekit_says(tale: Tale) -> None:
    """What LiveKit's clock says is known from its answers: what was missed is told as missing."""
    noon = tale.clock.now()
    tale.doors.livekit_clock.learn(noon - timedelta(minutes=2), noon)
    joined_at = noon - timedelta(minutes=2, seconds=6)
    await tale.sees(tale.caller("PA_1", joined_at=joined_at), Source.POLL)

    (call,) = await tale.calls.going_on()
    assert call.joined_at == noon - timedelta(seconds=6)


async def test_while_nothing_is_known_of_livekits_clock_a_few_seconds_mean_nothing(
    tale: Tale,
) -> None:
    """Its word counts for a call that began long before."""
    noon = tale.clock.now()
    await tale.sees(tale.caller("PA_1", joined_at=noon - timedelta(seconds=6)), Source.POLL)

    (call,) = await tale.calls.going_on()
    assert call.joined_at == noon


async def test_what_a_clock_was_before_it_was_stepped_is_forgotten(tale: Tale) -> None:
    """An hour ahead for a while, it is right again after."""
    clock, noon = tale.doors.livekit_clock, tale.clock.now()
    hour, second = timedelta(hours=1), timedelta(seconds=1)
    clock.learn(noon, noon)
    clock.learn(noon + second, noon + second - hour)
    stepped = clock.least
    clock.learn(noon + 2 * second, noon + 2 * second)

    assert (stepped, clock.least) == (-hour, timedelta())


async def test_a_call_that_nobody_was_there_to_see_is_not_called_unanswered(tale: Tale) -> None:
    """All its webhooks came at once after it was over: an agent had spoken, so it was a call."""
    noon = tale.clock.now()
    tale.doors.livekit_clock.learn(noon, noon)
    caller = tale.caller(
        joined_at=noon - timedelta(seconds=9), attributes={"sip.callStatus": "ringing"}
    )
    await tale.sees(caller)
    await tale.sees(AGENT)
    await tale.loses(caller, Source.WEBHOOK)
    await tale.works()

    recording = await tale.recording()
    assert (recording.status, recording.reason) == ("failed", "never_captured")


async def test_a_recorder_whose_way_was_cut_does_not_say_that_nobody_answered(tale: Tale) -> None:
    """It saw the phone ring; of the rest only webhooks told, and those tell no answer."""
    caller = await ringing_beside_an_agent(tale)
    tale.clock.pass_(seconds=20)
    await tale.loses(caller, Source.WEBHOOK)
    tale.clock.pass_(seconds=10)
    await tale.works()

    recording = await tale.recording()
    assert (recording.status, recording.reason) == ("failed", "never_captured")


async def test_who_found_out_on_coming_back_did_not_see_the_end(tale: Tale) -> None:
    """A recorder that was away while the caller left may have missed the answer."""
    caller = await ringing_beside_an_agent(tale)
    now = tale.clock.pass_(seconds=20)
    left = ParticipantLeft(now, ROOM, caller, Source.CAPTURE, "missing_on_rejoin")
    await ingest.take(left, tale.doors)
    tale.clock.pass_(seconds=10)
    await tale.works()

    recording = await tale.recording()
    assert (recording.status, recording.reason) == ("failed", "never_captured")


async def test_who_stood_still_while_it_rang_does_not_say_that_nobody_answered(tale: Tale) -> None:
    """Ten seconds later LiveKit does not list the caller any more; other webhooks are to come."""
    await tale.sees(tale.caller(attributes={"sip.callStatus": "ringing"}), Source.WEBHOOK)
    now = tale.clock.pass_(seconds=10)
    left = ParticipantLeft(now, ROOM, tale.caller(), Source.POLL, "not_listed")
    await ingest.take(left, tale.doors)
    tale.clock.pass_(seconds=10)
    await tale.works()

    assert (await tale.recording()).reason == "never_captured"


async def test_of_a_call_that_was_lost_sight_of_nobody_says_that_it_was_not_answered(
    tale: Tale,
) -> None:
    """It rang when LiveKit was last reached; what came then is not known."""
    await tale.sees(tale.caller(attributes={"sip.callStatus": "ringing"}), Source.POLL)
    for _ in range(2):
        tale.clock.pass_(minutes=20)
        await tale.works()

    recording = await tale.recording()
    assert recording.is_over
    assert recording.reason != "not_answered"


async def test_a_caller_who_is_heard_was_answered_whatever_the_attributes_say(tale: Tale) -> None:
    """After livekit-server was restarted, callers have the attributes that they came with."""
    ringing = tale.caller(attributes={"sip.callStatus": "ringing"})
    await tale.sees(ringing, Source.CAPTURE, capture="cap_1")
    await tale.sees(replace(ringing, is_heard=True), Source.CAPTURE, capture="cap_1")
    await tale.loses(ringing, Source.CAPTURE)
    await tale.works()

    recording = await tale.recording()
    assert (recording.status, recording.captures) == ("completed", ("cap_1",))
