"""Somebody publishes, or comes and goes, without end: no document grows without end."""

import logging
from dataclasses import replace
from datetime import timedelta

import bson
import pytest

from egress_manager.adapters.mongo_documents import document_of
from egress_manager.domain import quotas
from egress_manager.domain.history import LEFT_OUT
from egress_manager.domain.incoming import (
    Kind,
    Participant,
    ParticipantSeen,
    RoomListed,
    Source,
    Track,
    TrackSeen,
)
from egress_manager.domain.manual import looked_at
from egress_manager.domain.recordings import MANUAL, Observation, Recording, State
from egress_manager.flows import ingest
from tests.story.conftest import NOON, ROOM, Tale

MALLORY = Participant("PA_mallory", "mallory", kind=Kind.STANDARD)
#: How often somebody publishes, and how often a caller comes back.
OFTEN = quotas.TRACKS_OF_ONE + 50
AGAIN = quotas.STAYS_OF_CALL + 20


async def publishes(tale: Tale, who: Participant, sid: str) -> None:
    """A webhook says so."""
    seen = TrackSeen(tale.clock.now(), ROOM, who, Track(sid), Source.WEBHOOK)
    await ingest.take(seen, tale.doors)


async def hangs_up(tale: Tale, sid: str = "PA_caller") -> Recording:
    """The call is over, and its recording has a verdict."""
    tale.clock.pass_(seconds=30)
    await tale.loses(tale.caller(sid))
    await tale.works()
    return await tale.recording()


async def test_who_publishes_without_end_is_remembered_with_so_many_tracks(tale: Tale) -> None:
    """The others' tracks are all known; how many are not is in the call, and in a finding."""
    caller = tale.caller()
    await tale.sees(caller)
    await tale.sees(caller, Source.CAPTURE, capture="cap_1")
    for number in range(OFTEN):
        await publishes(tale, MALLORY, f"TR_{number:05}")
    agent = Participant("PA_agent", "agent-1", kind=Kind.AGENT, tracks=(Track("TR_agent"),))
    await tale.sees(agent)

    (call,) = tale.calls.kept.values()
    assert len(call.tracks) == quotas.TRACKS_OF_ONE + 1
    assert "TR_agent" in {track.track_sid for track in call.tracks}
    assert call.tracks_left_out == OFTEN - quotas.TRACKS_OF_ONE

    (found,) = [f for f in (await hangs_up(tale)).findings if f.name == "not_noted"]
    assert (found.cause, found.amount) == ("listed tracks", OFTEN - quotas.TRACKS_OF_ONE)


async def test_what_is_told_again_of_a_full_call_changes_nothing(tale: Tale) -> None:
    """LiveKit is asked every few seconds: a call that changed with each look would cost that."""
    await tale.sees(tale.caller())
    tracks = tuple(Track(f"TR_{number}") for number in range(OFTEN))
    crowd = replace(MALLORY, tracks=tracks)
    await tale.sees(crowd, Source.POLL)
    (before,) = tale.calls.kept.values()

    await tale.sees(crowd, Source.POLL)

    assert tale.calls.kept[before.id] == before
    assert (len(before.tracks), before.tracks_left_out) == (quotas.TRACKS_OF_ONE, 1)


async def test_many_who_publish_without_end_fill_no_document(tale: Tale) -> None:
    """MongoDB takes 16 MB: a full call has a fiftieth of that, and is not written any more."""
    await tale.sees(tale.caller())
    (call,) = tale.calls.kept.values()
    for number in range(3 * quotas.TRACKS_OF_CALL):
        person = Participant(f"PA_{number % 9:012}", f"guest-{number % 9:020}")
        seen = TrackSeen(NOON, ROOM, person, Track(f"TR_{number:012}"), Source.WEBHOOK)
        call = call.hear(seen)

    assert len(call.tracks) == quotas.TRACKS_OF_CALL
    assert call.tracks_left_out == quotas.COUNTED
    assert len(bson.encode(document_of(call))) < 16e6 / 50


async def test_who_calls_again_without_end_is_remembered_with_so_many_stays(tale: Tale) -> None:
    """Each time the call goes on, and in the end it is over; the newest stays are known."""
    for number in range(AGAIN):
        caller = tale.caller(f"PA_{number:04}")
        await tale.sees(caller)
        await tale.sees(caller, Source.CAPTURE, capture="cap_1")
        tale.clock.pass_(seconds=2)
        await tale.loses(caller)
        await tale.works()

    (call,) = tale.calls.kept.values()
    assert call.participant_sids[-1] == f"PA_{AGAIN - 1:04}"
    assert (len(call.stays), call.stays_left_out) == (quotas.STAYS_OF_CALL, 20)
    assert (call.is_over, call.take) == (True, AGAIN - 1)

    recording = await tale.recording()
    assert recording.status == "completed"
    assert [f.amount for f in recording.findings if f.cause == "stays"] == [20]
    assert len(recording.history) == quotas.EVENTS
    first, second, *_, last = recording.history
    assert (first.name, second.name, last.name) == (
        "recording.starting",
        LEFT_OUT,
        "recording.verified",
    )
    assert int(second.reason) > AGAIN


async def test_stays_that_all_go_on_are_not_forgotten(tale: Tale) -> None:
    """One more is none of the call, and told of again it changes nothing."""
    await tale.sees(tale.caller("PA_0"))
    (call,) = tale.calls.kept.values()
    for number in range(AGAIN):
        seen = ParticipantSeen(NOON, ROOM, tale.caller(f"PA_{number}"), Source.POLL)
        call = call.see(seen)

    assert (len(call.stays), call.stays_left_out) == (quotas.STAYS_OF_CALL, 1)
    assert "PA_0" in call.participant_sids
    assert call.see(seen) == call


def test_a_recording_by_hand_remembers_no_more_tracks_than_a_call() -> None:
    """It has no call to remember them."""
    seen = Observation(State.ACTIVE, NOON)
    recording = Recording("rec_1", None, "EG_1", "builtin", ROOM.name, seen, NOON, source=MANUAL)
    tracks = tuple(Track(f"TR_{number}") for number in range(OFTEN))
    listed = RoomListed(NOON, ROOM, (replace(MALLORY, tracks=tracks),), NOON)
    recording = looked_at(recording, listed, NOON)

    assert len(recording.tracks) == quotas.TRACKS_OF_ONE
    assert recording.tracks_left_out == 1
    assert looked_at(recording, listed, NOON + timedelta(seconds=5)) == recording


async def test_what_a_caller_says_of_itself_is_cut(tale: Tale) -> None:
    """The call is the same with each sighting."""
    long = {"sip.callID": "S" * 60_000, "sip.phoneNumber": "+1" * 30_000}
    long |= {"sip.trunkPhoneNumber": "2" * 60_000, "sip.ruleID": "D" * 60_000}
    for _ in range(2):
        await tale.sees(tale.caller(attributes=long), Source.POLL)

    (call,) = tale.calls.kept.values()
    said = (call.sip_call_id, call.caller_number, call.called_number, call.dispatch_rule_id)
    assert [len(text or "") for text in said] == [quotas.NAME] * 4


async def test_that_older_calls_of_a_room_are_not_looked_at_is_said_once(
    tale: Tale, caplog: pytest.LogCaptureFixture
) -> None:
    """More callers at once than are told apart: late news of a track may miss some."""
    callers = [
        tale.caller(f"PA_{number}", attributes={"sip.callID": f"SCL_{number}"})
        for number in range(ingest.MOST_CALLS + 1)
    ]
    for caller in callers:
        await tale.sees(caller)
    seen = TrackSeen(tale.clock.now(), ROOM, MALLORY, Track("TR_1"), Source.WEBHOOK)
    tale.clock.pass_(seconds=60)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            await ingest.take(seen, tale.doors)

    said = [record for record in caplog.records if record.msg == "calls_not_looked_at"]
    assert [record.__dict__["looked_at"] for record in said] == [ingest.MOST_CALLS]


async def test_calls_that_were_over_are_not_missed(
    tale: Tale, caplog: pytest.LogCaptureFixture
) -> None:
    """A fixed room has many calls, one after the other: there is nothing to say."""
    for number in range(ingest.MOST_CALLS + 2):
        caller = tale.caller(f"PA_{number}", attributes={"sip.callID": f"SCL_{number}"})
        await tale.sees(caller)
        tale.clock.pass_(seconds=2)
        await tale.loses(caller)
    seen = TrackSeen(tale.clock.now(), ROOM, MALLORY, Track("TR_1"), Source.WEBHOOK)
    tale.clock.pass_(seconds=60)
    with caplog.at_level(logging.WARNING):
        await ingest.take(seen, tale.doors)

    assert "calls_not_looked_at" not in {record.msg for record in caplog.records}
