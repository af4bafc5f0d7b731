"""A call that turns out to end at another time than its finished recording was made for."""

from dataclasses import replace
from datetime import timedelta

import pytest

from egress_manager.domain.incoming import ParticipantLeft, ParticipantSeen, Source
from egress_manager.domain.ledger import Fate
from egress_manager.domain.recordings import State
from egress_manager.errors import Conflict, RenderFailed
from egress_manager.flows import manual, poll, report
from egress_manager.flows.recover import Recovery
from egress_manager.flows.render import RETRIES
from tests.story.conftest import NOON, ROOM, Tale


async def ended_by_a_list(tale: Tale) -> None:
    """Six seconds into a call a list lacks it, and nobody who knows better is asked."""
    await tale.sees(tale.caller(), Source.CAPTURE, capture="cap_1")
    tale.clock.pass_(seconds=6)
    tale.recorder.capturing.clear()
    await poll.poll(tale.doors)
    await tale.works()


async def test_a_call_that_goes_on_is_recorded_on(tale: Tale) -> None:
    """A sighting takes the end back: nothing is over, and the file has all of it."""
    await ended_by_a_list(tale)
    made = [plan.ends_at for plan in tale.renderer.finished]
    tale.clock.pass_(seconds=2)
    await tale.sees(tale.caller(), Source.POLL)
    meanwhile = await report.draw_up(tale.doors, NOON, NOON + timedelta(1))
    tale.clock.pass_(seconds=14)
    await tale.loses(tale.caller())
    await tale.works()

    recording = await tale.recording()
    after = await report.draw_up(tale.doors, NOON, NOON + timedelta(1))
    assert made == [(NOON + timedelta(seconds=6)).timestamp()]
    assert meanwhile.lines[0].fate is Fate.UNDER_WAY
    assert (recording.state, recording.duration_sec) == (State.VERIFIED, 22)
    assert (after.lines[0].fate, after.lines[0].call_sec) == (Fate.VERIFIED, 22)


async def test_a_later_end_makes_the_files_again(tale: Tale) -> None:
    """The capture tells it first-hand, after the recording was verified."""
    await ended_by_a_list(tale)
    tale.clock.pass_(seconds=16)
    await tale.loses(tale.caller())
    await tale.works()

    recording = await tale.recording()
    assert recording.duration_sec == 22
    assert [event.reason for event in recording.history if event.reason] == [
        "not_listed",
        "other_end",
    ]


async def test_a_recording_of_an_older_version_is_made_again_too(tale: Tale) -> None:
    """Its document does not say for which end its files were made, only when they stop."""
    await ended_by_a_list(tale)
    recording = await tale.recording()
    tale.recordings.kept[recording.id] = replace(recording, rendered_until=None)
    tale.clock.pass_(seconds=16)
    await tale.loses(tale.caller())
    await tale.works()

    assert (await tale.recording()).duration_sec == 22


async def test_an_end_that_is_told_twice_makes_nothing_again(tale: Tale) -> None:
    """Webhook, capture and list never agree on the millisecond."""
    await ended_by_a_list(tale)
    tale.clock.pass_(seconds=0.3)
    await tale.loses(tale.caller())
    await tale.works()

    assert len(tale.renderer.finished) == 1


async def test_a_call_that_seemed_silent_is_listened_to_again(tale: Tale) -> None:
    """Nobody had spoken yet when the list lacked it."""

    class Nothing(RenderFailed):
        code = "no_audio"

    tale.renderer.trouble = Nothing("no audio came")
    await ended_by_a_list(tale)
    tale.renderer.trouble = None
    reason = (await tale.recording()).reason
    tale.clock.pass_(seconds=16)
    await tale.loses(tale.caller())
    await tale.works()

    assert reason == "no_audio"
    assert (await tale.recording()).state is State.VERIFIED


async def test_a_capture_is_not_settled_before(tale: Tale) -> None:
    """What it has of the call is not in the files yet."""
    await ended_by_a_list(tale)
    left = NOON + timedelta(seconds=22)
    tale.clock.pass_(seconds=60)
    tale.captures.told["cap_1"] = [
        ParticipantSeen(NOON, ROOM, tale.caller(), Source.CAPTURE, "cap_1"),
        ParticipantLeft(left, ROOM, tale.caller(), Source.CAPTURE),
    ]
    recovery = Recovery()
    await recovery.recover(tale.doors)
    settled_at_once = set(tale.captures.settled)
    await tale.works()
    await recovery.recover(tale.doors)

    assert settled_at_once == set()
    assert tale.captures.settled == {"cap_1"}
    assert (await tale.recording()).duration_sec == 22


async def test_files_are_made_again_where_somebody_asks(tale: Tale) -> None:
    """Rendering has failed for good, and what was wrong is mended: the captures are still there."""
    tale.renderer.trouble = RenderFailed("the disk is full")
    await ended_by_a_list(tale)
    for _ in range(len(RETRIES) + 1):
        tale.clock.pass_(seconds=700)
        await tale.works()
    failed = await tale.recording()
    tale.renderer.trouble = None

    asked = await manual.render(failed.id, tale.doors)
    again = await manual.render(failed.id, tale.doors)
    await tale.works()

    assert failed.state is State.FAILED
    assert (asked.status, again.state) == ("processing", State.CAPTURED)
    assert (await tale.recording()).state is State.VERIFIED


async def test_what_goes_on_or_was_never_captured_is_not_made_again(tale: Tale) -> None:
    """It is said which."""
    await tale.sees(tale.caller(), Source.CAPTURE, capture="cap_1")
    await tale.works()
    recording = await tale.recording()
    with pytest.raises(Conflict, match="made when it is over"):
        await manual.render(recording.id, tale.doors)
    tale.recordings.kept[recording.id] = replace(recording, captures=(), state=State.FAILED)

    with pytest.raises(Conflict, match="nothing to make files of"):
        await manual.render(recording.id, tale.doors)
