"""The life of a call, from the first ring to the finished file."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egress_manager.domain.incoming import EgressReported, Kind, Participant, Room, Source
from egress_manager.domain.policy import Policy, Scope
from egress_manager.domain.recordings import State, Verdict
from egress_manager.errors import RenderFailed, StoreUnavailable
from egress_manager.flows import ingest, poll, receive
from egress_manager.flows.recover import Recovery
from tests.story.conftest import ROOM, Tale


async def test_a_call_becomes_a_finished_recording(tale: Tale) -> None:
    """Joined, captured, left, rendered: every step stands in the history."""
    caller = tale.caller()
    outcome = await tale.sees(caller)
    await tale.sees(caller, Source.CAPTURE, capture="cap_1")
    tale.clock.pass_(seconds=30)
    await tale.loses(caller)
    await tale.works()

    recording = await tale.recording()

    assert outcome.recording_id == recording.id
    assert outcome.egress_id == recording.egress_id
    assert tale.recorder.attended[0] == ROOM.name
    assert recording.status == "completed"
    assert recording.duration_sec == 30
    assert recording.filepath == f"/recordings/{recording.file_stem}.mp4"
    assert [event.name for event in recording.history] == [
        "recording.starting",
        "recording.active",
        "recording.ending",
        "recording.captured",
        "recording.rendered",
        "recording.verified",
    ]
    assert recording.verdict is Verdict.VERIFIED


async def test_the_mix_is_made_while_the_call_goes_on(tale: Tale) -> None:
    """The renderer follows as soon as the capture has seen the caller."""
    await tale.sees(tale.caller())
    await tale.sees(tale.caller(), Source.CAPTURE, capture="cap_1")

    assert [plan.captures for plan in tale.renderer.followed_plans] == [(".captures/cap_1",)]


async def test_a_caller_who_hangs_up_while_it_rings_is_aborted(tale: Tale) -> None:
    """Nobody answered: no file, and the reason stands in the call too."""
    caller = tale.caller(attributes={"sip.callStatus": "ringing"})
    await tale.sees(caller)
    await tale.sees(caller, Source.CAPTURE, capture="cap_1")
    await tale.loses(caller)
    await tale.works()

    recording = await tale.recording()

    assert (recording.status, recording.reason) == ("aborted", "not_answered")
    assert (await tale.calls.get(recording.call_id)).reason == "not_answered"
    assert recording.filepath is None


async def test_nobody_speaking_at_all_is_aborted(tale: Tale) -> None:
    """An answered call without a single packet leaves no empty file."""

    class Nothing(RenderFailed):
        code = "no_audio"

    tale.renderer.trouble = Nothing("no audio came")
    await tale.sees(tale.caller(), Source.CAPTURE, capture="cap_1")
    await tale.loses(tale.caller())
    await tale.works()

    recording = await tale.recording()

    assert (recording.status, recording.reason) == ("aborted", "no_audio")


@pytest.mark.parametrize("policy", [Policy(Scope.ROOMS, ("support-*",))])
async def test_a_call_that_is_not_recorded_has_a_reason(tale: Tale) -> None:
    """The policy's word stands in the call, and the recorder stays away."""
    outcome = await tale.sees(tale.caller())
    await tale.sees(tale.caller(), room=Room("support-7", "RM_2"))

    calls = {call.room.name: call for call in tale.calls.kept.values()}

    assert outcome.recording_id is None
    assert calls[ROOM.name].reason == "policy_room_differs"
    assert tale.recorder.attended == ["support-7"]


async def test_recorders_egresses_and_agents_are_no_callers(tale: Tale) -> None:
    """Also when they are called like one."""
    for kind in (Kind.EGRESS, Kind.AGENT, Kind.INGRESS):
        await tale.sees(Participant("PA_1", "sip_1", kind=kind))
    await tale.sees(Participant("PA_2", "sip_2", is_recorder=True))

    assert not tale.calls.kept
    assert not tale.recorder.attended


async def test_the_agent_stands_in_the_document(tale: Tale) -> None:
    """Whoever of kind AGENT is in the room first."""
    await tale.sees(tale.caller())
    await tale.sees(Participant("PA_agent", "agent-houba", kind=Kind.AGENT))

    assert (await tale.recording()).agent_identity == "agent-houba"


async def test_edge_case_5_two_callers_in_one_room_are_two_calls(tale: Tale) -> None:
    """Each has its own recording and its own file."""
    first = tale.caller("PA_1", identity="sip_1", attributes={"sip.callID": "SCL_1"})
    second = tale.caller("PA_2", identity="sip_1", attributes={"sip.callID": "SCL_2"})
    for caller in (first, second):
        await tale.sees(caller, Source.CAPTURE, capture="cap_1")
    for caller in (first, second):
        await tale.loses(caller)
    await tale.works()

    paths = {recording.filepath for recording in tale.recordings.kept.values()}

    assert len(paths) == 2
    assert None not in paths


async def test_a_caller_who_comes_back_is_the_same_call(tale: Tale) -> None:
    """With the same sip.callID: the recording is opened again and made of both stays."""
    first, second = tale.caller("PA_1"), tale.caller("PA_2")
    await tale.sees(first, Source.CAPTURE, capture="cap_1")
    tale.clock.pass_(seconds=10)
    await tale.loses(first)
    await tale.works()
    tale.clock.pass_(seconds=5)
    await tale.sees(second, Source.CAPTURE, capture="cap_2")
    tale.clock.pass_(seconds=10)
    await tale.loses(second)
    await tale.works()

    recording = await tale.recording()

    assert recording.status == "completed"
    assert recording.duration_sec == 25
    assert tale.renderer.finished[-1].captures == (".captures/cap_1", ".captures/cap_2")
    assert tale.renderer.finished[-1].caller_sids == ("PA_1", "PA_2")


async def test_a_call_whose_webhooks_were_all_lost_is_found_by_asking(tale: Tale) -> None:
    """Polling sees the caller come, and sees that the caller is gone."""
    tale.rooms.people[ROOM.name] = [tale.caller()]
    assert await poll.poll(tale.doors) == 1
    assert tale.recorder.attended

    tale.clock.pass_(seconds=20)
    tale.rooms.people.clear()
    await poll.poll(tale.doors)
    await tale.works()

    assert (await tale.recording()).reason == "never_captured"
    assert (await tale.recording()).is_final


async def test_a_store_that_is_away_costs_no_audio(tale: Tale) -> None:
    """The recorder goes before anything is stored; LiveKit is told to come again."""
    tale.webhooks.says[b"1"] = (await _joined(tale),)[0]
    tale.inbox.away = tale.calls.away = True

    with pytest.raises(StoreUnavailable):
        await receive.Intake(tale.doors).receive(b"1", "signed")
    assert tale.recorder.attended == [ROOM.name]

    tale.rooms.people[ROOM.name] = [tale.caller()]
    with pytest.raises((StoreUnavailable, BaseExceptionGroup)):
        await poll.poll(tale.doors)
    assert tale.recorder.attended == [ROOM.name, ROOM.name]


async def test_a_capture_that_was_left_behind_is_heard_out(tale: Tale) -> None:
    """Killed, or MongoDB away until after the call: the journal tells all, then it is settled."""
    caller = tale.caller()
    tale.captures.told["cap_1"] = [
        ingest.ParticipantSeen(tale.clock.now(), ROOM, caller, Source.CAPTURE, "cap_1"),
        ingest.ParticipantLeft(tale.clock.pass_(seconds=9), ROOM, caller, Source.CAPTURE),
    ]
    tale.clock.pass_(minutes=5)

    recovery = Recovery()
    await recovery.recover(tale.doors)
    await tale.works()
    await recovery.recover(tale.doors)

    assert (await tale.recording()).status == "completed"
    assert (await tale.recording()).duration_sec == 9
    assert tale.captures.settled == {"cap_1"}
    assert not tale.recorder.attended, "nobody goes to a room of five minutes ago"


async def test_rendering_is_tried_again_and_then_fails_with_the_reason(tale: Tale) -> None:
    """A full disk may be emptied; for ever it is not waited for."""
    tale.renderer.trouble = RenderFailed("no space left on the disk")
    await tale.sees(tale.caller(), Source.CAPTURE, capture="cap_1")
    await tale.loses(tale.caller())
    await tale.works()
    assert (await tale.recording()).state is State.CAPTURED

    for _ in range(6):
        tale.clock.pass_(minutes=15)
        await tale.works()

    recording = await tale.recording()
    assert (recording.status, recording.reason) == ("failed", "no space left on the disk")


async def test_what_failed_rests_until_its_time_whoever_asks(tale: Tale) -> None:
    """Another process that starts takes up what is unfinished: no try is spent on that."""
    tale.renderer.trouble = RenderFailed("no space left on the disk")
    await tale.sees(tale.caller(), Source.CAPTURE, capture="cap_1")
    await tale.loses(tale.caller())
    await tale.works()
    for _ in range(5):
        await tale.queue.soon((await tale.recording()).id)
        await tale.works()
    asked_early = (await tale.recording()).attempts
    tale.renderer.trouble = None
    tale.clock.pass_(seconds=10)
    await tale.works()

    assert asked_early == 1
    assert (await tale.recording()).status == "completed"


async def test_edge_case_1_a_quick_leave_is_kept_with_its_reason(tale: Tale) -> None:
    """Joined and left before any recorder could come; nothing is lost silently."""
    await tale.sees(tale.caller())
    tale.clock.pass_(seconds=0.2)
    await tale.loses(tale.caller(), Source.WEBHOOK)
    await tale.works()

    recording = await tale.recording()

    assert (recording.status, recording.reason) == ("aborted", "left_before_capture")
    assert recording.egress_id is not None
    assert recording.caller_number == "+15550100"


async def test_the_simulated_egress_completed_completes_the_recording(tale: Tale) -> None:
    """Checklist step 5: status completed, the path as told, the verdict that no file is there."""
    joined = await tale.sees(tale.caller(attributes={"sip.callID": ""}))
    path = "/recordings/friday-assistant-room-sip_1001-2025-10-17T06-15-13.mp4"
    assert (await tale.recording()).status == "starting"

    await ingest.take(
        EgressReported(
            tale.clock.now(),
            ROOM,
            joined.egress_id or "",
            "COMPLETE",
            filepath=path,
            is_delivered=True,
            duration_sec=32,
        ),
        tale.doors,
    )

    recording = await tale.recording()
    assert (recording.status, recording.filepath) == ("completed", path)
    assert recording.verdict is Verdict.MISSING
    assert recording.duration_sec == 32


async def test_a_caller_nobody_ever_saw_is_given_up(tale: Tale) -> None:
    """A webhook told of somebody whom the server never showed: a deadline ends it."""
    await tale.sees(tale.caller())
    tale.clock.pass_(seconds=61)
    await tale.works()

    recording = await tale.recording()

    assert (recording.status, recording.reason) == ("aborted", "caller_never_seen")


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
async def test_order_and_repetition_of_news_never_matter(seed: int) -> None:
    """However the news are shuffled and doubled, the recording is the same."""
    from tests.story.conftest import tale as make

    tale: Tale = make.__wrapped__(Policy())  # type: ignore[attr-defined]
    caller = tale.caller()
    began = tale.clock.now()
    left = tale.clock.pass_(seconds=30)
    news = [
        ingest.ParticipantSeen(began, ROOM, caller, Source.WEBHOOK),
        ingest.ParticipantSeen(began, ROOM, caller, Source.CAPTURE, "cap_1"),
        ingest.ParticipantLeft(left, ROOM, caller, Source.WEBHOOK),
        ingest.ParticipantLeft(left, ROOM, caller, Source.CAPTURE),
    ] * 2
    random.Random(seed).shuffle(news)

    for piece in news:
        await ingest.take(piece, tale.doors)
        await tale.works()
    tale.clock.pass_(seconds=10)
    await tale.works()
    for piece in news:
        await ingest.take(piece, tale.doors)
    await tale.works()

    recording = await tale.recording()
    assert recording.captures == ("cap_1",)
    assert recording.status == "completed"


async def _joined(tale: Tale) -> ingest.ParticipantSeen:
    return ingest.ParticipantSeen(tale.clock.now(), ROOM, tale.caller(), Source.WEBHOOK)
