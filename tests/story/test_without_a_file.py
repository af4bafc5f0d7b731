"""Recordings that never get a file: each has a reason, the verdict `none`, and leaves no folder."""

from datetime import timedelta

import pytest

from egress_manager.domain.incoming import EgressReported, Room, Source
from egress_manager.domain.policy import Engine, Policy
from egress_manager.domain.recordings import (
    OVER,
    STATUS,
    UNEXPLAINED,
    WITHOUT_FILE,
    Observation,
    Recording,
    State,
    Verdict,
)
from egress_manager.domain.seal import facts_of
from egress_manager.errors import RenderFailed
from egress_manager.flows import ingest
from tests.story.conftest import NOON, ROOM, Tale


@pytest.mark.parametrize(
    ("status", "ending"),
    [
        ("COMPLETE", ("failed", "no_file")),
        ("LIMIT_REACHED", ("failed", "no_file")),
        ("FAILED", ("failed", "egress_failed")),
        ("ABORTED", ("aborted", "no_audio")),
    ],
)
async def test_an_egress_that_nobody_knows_and_that_has_no_outputs_has_a_reason(
    tale: Tale, status: str, ending: tuple[str, str]
) -> None:
    """The webhook `egress_completed` of an egress of somebody else's, without an error."""
    at = tale.clock.now() - timedelta(minutes=5)
    await ingest.take(EgressReported(at, Room("elsewhere"), "EG_1", status), tale.doors)
    await tale.works()

    recording = await tale.recording()
    assert (recording.status, recording.reason) == ending
    assert recording.history[-1].reason == ending[1]
    assert recording.public_verdict is Verdict.NONE


@pytest.mark.parametrize("policy", [Policy(engine=Engine.EGRESS)])
async def test_a_call_whose_egress_left_no_file_and_no_error_has_a_reason(tale: Tale) -> None:
    """LiveKit says that the job is complete, and names no file."""
    caller = tale.caller()
    await tale.sees(caller)
    await tale.works()
    order = next(order for order in tale.egress.ordered if not order.track_sid)
    tale.clock.pass_(seconds=9)
    await tale.loses(caller, Source.WEBHOOK)
    now = tale.clock.pass_(seconds=5)
    done = EgressReported(now, ROOM, "EG_1", "COMPLETE", asked_path=order.path, ended_at=now)
    await ingest.take(done, tale.doors)
    for _ in range(5):
        tale.clock.pass_(seconds=60)
        await tale.works()

    recording = await tale.recording()
    assert (recording.status, recording.reason) == ("failed", "no_file")


@pytest.mark.parametrize("state", sorted(WITHOUT_FILE))
def test_no_recording_ends_without_a_file_and_without_a_reason(state: State) -> None:
    """Whoever reports the end: the document itself sees to it."""
    begun = Recording("rec_1", None, None, "egress", "room", Observation(State.PLANNED, NOON), NOON)

    observed = begun.observe(Observation(state, NOON))
    decided = begun.observe(Observation(State.CAPTURED, NOON)).advance(state, NOON)

    assert [observed.reason, decided.reason] == [UNEXPLAINED] * 2
    assert [observed.history[-1].reason, decided.history[-1].reason] == [UNEXPLAINED] * 2


def test_the_states_without_a_file_are_those_that_are_over_and_not_completed() -> None:
    """A state that is added later is in the right table."""
    without = OVER - {"completed"}
    assert {state for state in State if STATUS[state] in without} == WITHOUT_FILE


async def test_a_caller_who_is_not_answered_has_no_verdict_and_leaves_no_folder(
    tale: Tale,
) -> None:
    """Its mix was begun while it rang."""
    caller = tale.caller(attributes={"sip.callStatus": "ringing"})
    await tale.sees(caller, Source.CAPTURE, capture="cap_1")
    tale.clock.pass_(seconds=20)
    await tale.loses(caller)
    tale.clock.pass_(seconds=10)
    await tale.works()

    recording = await tale.recording()
    assert (recording.status, recording.reason) == ("aborted", "not_answered")
    assert recording.public_verdict is Verdict.NONE
    assert tale.files.tidied == [recording.track_stem, recording.file_stem]
    assert not tale.renderer.followed()


async def test_what_the_renderer_gives_up_for_good_leaves_no_folder(tale: Tale) -> None:
    """After its last try; and the seal of such a document has no verdict, as it always had none."""
    tale.renderer.trouble = RenderFailed("")
    caller = tale.caller()
    await tale.sees(caller, Source.CAPTURE, capture="cap_1")
    tale.clock.pass_(seconds=20)
    await tale.loses(caller)
    for _ in range(20):
        tale.clock.pass_(seconds=600)
        await tale.works()

    recording = await tale.recording()
    assert (recording.status, recording.reason) == ("failed", UNEXPLAINED)
    assert tale.files.tidied == [recording.track_stem, recording.file_stem]
    assert "verdict" not in facts_of(recording)


async def test_a_recording_that_gets_its_file_after_all_has_a_verdict_again(tale: Tale) -> None:
    """A capture turns up of a call that was given up."""
    caller = tale.caller()
    await tale.sees(caller)
    tale.clock.pass_(seconds=20)
    await tale.loses(caller, Source.WEBHOOK)
    tale.clock.pass_(seconds=10)
    await tale.works()
    given_up = (await tale.recording()).public_verdict
    await tale.sees(caller, Source.CAPTURE, capture="cap_1")
    tale.clock.pass_(seconds=10)
    await tale.works()

    assert given_up is Verdict.NONE
    assert (await tale.recording()).public_verdict is Verdict.VERIFIED
