"""Every finished recording is listened to, and says what was found; what can be is mended."""

from dataclasses import replace

import pytest

from egress_manager.domain.evidence import Evidence
from egress_manager.domain.incoming import Source, Track, TrackSeen
from egress_manager.domain.policy import Engine, Policy
from egress_manager.domain.recordings import Recording, State, Verdict
from egress_manager.errors import ListenFailed, RenderFailed
from egress_manager.flows import ingest, reconcile, verify
from tests.story.conftest import ROOM, Tale, in_memory
from tests.story.test_livekit_egress import begins, delivers, leaves, mix, tale_ends


async def calls(tale: Tale) -> None:
    """A call of half a minute is captured and over, and nothing was done with it yet."""
    await tale.sees(tale.caller())
    await tale.sees(tale.caller(), Source.CAPTURE, capture="cap_1")
    tale.clock.pass_(seconds=30)
    await tale.loses(tale.caller())


def path_of(recording: Recording, mark: str = "") -> str:
    """Where its mix is, or the one that was made again."""
    return f"/recordings/{recording.file_stem}{mark}.mp4"


def swapped(evidence: Evidence) -> Evidence:
    """The caller is on the right."""
    sides = tuple(replace(side, likeness=0.1, crossed=0.97) for side in evidence.sides)
    return replace(evidence, sides=sides)


def both_same(evidence: Evidence) -> Evidence:
    """Somebody has mixed it down to one channel."""
    return replace(evidence, same_share=1.0)


def names(recording: Recording) -> list[str]:
    """What was found."""
    return [finding.name for finding in recording.findings]


def states(recording: Recording) -> list[str]:
    """The states that its history tells of, from the file on."""
    told = [event.name.removeprefix("recording.") for event in recording.history]
    return told[told.index("rendered") :]


async def test_a_good_file_is_verified(tale: Tale) -> None:
    """It is completed when it is there, and verified when it was listened to."""
    await calls(tale)
    await tale.works()

    recording = await tale.recording()
    (claim,) = tale.ears.heard
    assert (recording.state, recording.verdict) == (State.VERIFIED, Verdict.VERIFIED)
    assert (recording.findings[0].name, recording.reason) == ("not_compared", "")
    assert (claim.is_ours, claim.format, claim.duration_sec) == (True, "mp4", 30)
    assert claim.captures == (".captures/cap_1",)
    assert (claim.ends_at or 0) - (claim.begins_at or 0) == 30


async def test_a_fault_of_one_rendering_is_mended_by_another(tale: Tale) -> None:
    """The first mix is kept and named; the document has the one that was found to be right."""
    await calls(tale)
    first = path_of(await tale.recording())
    tale.ears.spoilt[first] = both_same
    await tale.works()

    recording = await tale.recording()
    assert (recording.state, recording.verdict) == (State.VERIFIED, Verdict.VERIFIED)
    assert states(recording) == ["rendered", "repaired", "verified"]
    assert recording.history[-2].reason == "both sides carry the same sound"
    assert (recording.filepath, recording.repaired_from) == (
        path_of(recording, ".repaired"),
        first,
    )
    assert {first, recording.filepath} <= tale.files.there
    assert [claim.path for claim in tale.ears.heard] == [first, recording.filepath]


async def test_what_is_no_better_the_second_time_is_rejected(tale: Tale) -> None:
    """With its reasons; the first file is kept, and the other one is removed."""
    await calls(tale)
    recording = await tale.recording()
    for mark in ("", ".repaired"):
        tale.ears.spoilt[path_of(recording, mark)] = both_same
    await tale.works()

    recording = await tale.recording()
    assert (recording.state, recording.verdict) == (State.REJECTED, Verdict.REJECTED)
    assert (recording.status, recording.reason) == ("completed", "both sides carry the same sound")
    assert states(recording) == ["rendered", "not_repaired", "rejected"]
    assert recording.filepath == path_of(recording) in tale.files.there
    assert path_of(recording, ".repaired") not in tale.files.there
    assert len(tale.renderer.finished) == 2


async def test_what_cannot_be_made_again_is_judged_as_it_is(tale: Tale) -> None:
    """The captures are gone."""
    await calls(tale)
    recording = await tale.recording()

    def spoil(evidence: Evidence) -> Evidence:
        tale.renderer.trouble = RenderFailed("the captures are gone")
        return both_same(evidence)

    tale.ears.spoilt[path_of(recording)] = spoil
    await tale.works()

    assert (await tale.recording()).verdict is Verdict.REJECTED


async def test_who_cannot_listen_tries_again(tale: Tale) -> None:
    """The renderer died now and then; nothing is said of the file before somebody has heard it."""
    await calls(tale)
    tale.ears.trouble = ListenFailed("the renderer process died again and again")
    await tale.works()
    recording = await tale.recording()
    assert (recording.status, recording.verdict) == ("completed", Verdict.PENDING)

    tale.ears.trouble = None
    tale.clock.pass_(seconds=5)
    await tale.works()
    assert (await tale.recording()).verdict is Verdict.VERIFIED


@pytest.mark.parametrize("trouble", [ListenFailed("it hangs"), ZeroDivisionError("ours")])
async def test_a_recording_is_never_pending_for_ever(tale: Tale, trouble: Exception) -> None:
    """Whatever keeps us from listening, a mistake of ours too: in the end that is what is said."""
    await calls(tale)
    tale.ears.trouble = trouble
    await tale.works()
    for wait in verify.RETRIES:
        assert (await tale.recording()).verdict is Verdict.PENDING
        tale.clock.at += wait
        await tale.works()

    recording = await tale.recording()
    assert (recording.state, recording.verdict) == (State.UNHEARD, Verdict.UNHEARD)
    assert names(recording) == ["not_heard"]
    assert recording.reason.startswith("listening to the file failed")


async def test_a_track_that_only_the_server_knows_is_a_fault(tale: Tale) -> None:
    """The journal is not its own witness: a track that it never heard of was not kept."""
    await tale.sees(tale.caller())
    await tale.sees(tale.caller(), Source.CAPTURE, capture="cap_1")
    tale.clock.pass_(seconds=10)
    news = TrackSeen(tale.clock.now(), ROOM, tale.caller(), Track("TR_1"), Source.WEBHOOK)
    await ingest.take(news, tale.doors)
    tale.clock.pass_(seconds=20)
    await tale.loses(tale.caller())
    await tale.works()

    recording = await tale.recording()
    assert recording.verdict is Verdict.FLAWED
    assert recording.findings[0].track_sid == "TR_1"
    assert names(recording)[0] == "track_missing"


async def test_a_capture_that_turns_up_late_begins_all_over(tale: Tale) -> None:
    """What was found in the old file says nothing of the new one."""
    await calls(tale)
    for mark in ("", ".repaired"):
        tale.ears.spoilt[path_of(await tale.recording(), mark)] = both_same
    await tale.works()
    assert (await tale.recording()).state is State.REJECTED

    tale.ears.spoilt.clear()
    await tale.sees(tale.caller(), Source.CAPTURE, capture="cap_2")
    await tale.works()

    recording = await tale.recording()
    assert (recording.state, recording.verdict) == (State.VERIFIED, Verdict.VERIFIED)
    assert set(recording.captures) == {"cap_1", "cap_2"}


@pytest.fixture
def theirs() -> Tale:
    """A house in which LiveKit Egress records every call."""
    return in_memory(Policy(engine=Engine.EGRESS))


async def recorded(tale: Tale) -> None:
    """A call of half a minute, and all its files are delivered."""
    await begins(tale)
    await leaves(tale, seconds=26)
    for order in list(tale.egress.ordered):
        await delivers(tale, order)


async def test_sides_that_livekit_egress_swapped_are_put_right_from_its_tracks(
    theirs: Tale,
) -> None:
    """The file of LiveKit Egress stays; the mix of its tracks takes its place."""
    tale = theirs
    await begins(tale)
    first = tale.doors.files.path(mix(tale).path)
    tale.ears.spoilt[first] = swapped
    await leaves(tale, seconds=26)
    for order in sorted(tale.egress.ordered, key=lambda order: not order.track_sid):
        await delivers(tale, order)
    await tale_ends(tale)

    recording = await tale.recording()
    (plan,) = tale.renderer.finished
    assert recording.verdict in (Verdict.VERIFIED, Verdict.FLAWED)
    assert "swapped" not in names(recording)
    assert recording.repaired_from == first
    assert states(recording) == ["rendered", "repaired", "verified"]
    assert plan.captures == ()
    assert {str(piece.layout) for piece in plan.pieces} == {"left", "right"}


async def test_a_file_that_somebody_removed_is_not_made_again(tale: Tale) -> None:
    """It was judged before: whoever took it away may have had to."""
    await calls(tale)
    await tale.works()
    tale.files.there.clear()

    await reconcile.sweep(tale.doors)
    await tale.works()

    recording = await tale.recording()
    assert (recording.state, recording.verdict) == (State.REJECTED, Verdict.MISSING)
    assert len(tale.renderer.finished) == 1
