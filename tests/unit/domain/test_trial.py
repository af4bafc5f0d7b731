"""When a mix that was made again may take the place of the first one."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from egress_manager.domain.egresses import Egress, EgressStatus
from egress_manager.domain.findings import Finding
from egress_manager.domain.incoming import EgressKind
from egress_manager.domain.proof import Judgement
from egress_manager.domain.recordings import Observation, Recording, State, TrackFile, Verdict
from egress_manager.domain.trial import claim_of, has_whole_tracks, is_better
from tests.integration.stored import call

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)

FOREIGN = Finding("foreign_sound", "left", amount=1.5)
GONE = Finding("not_kept", amount=2.6, cause="not_recorded")
MORE_GONE = replace(GONE, amount=4.5)


def flawed(*findings: Finding) -> Judgement:
    """A judgement with these faults."""
    return Judgement(Verdict.FLAWED if findings else Verdict.VERIFIED, findings)


@pytest.mark.parametrize(
    ("again", "first", "better"),
    [
        (flawed(), flawed(FOREIGN), True),
        (flawed(GONE), flawed(GONE, FOREIGN), True),
        (flawed(GONE), flawed(GONE), False),
        (flawed(MORE_GONE), flawed(GONE, FOREIGN), False),
        (Judgement(Verdict.REJECTED, (Finding("silent", "left"),)), flawed(FOREIGN), False),
    ],
)
def test_what_lacks_more_is_never_better(again: Judgement, first: Judgement, better: bool) -> None:
    """However many other faults are gone."""
    assert is_better(again, first) is better


@pytest.mark.parametrize("status", [EgressStatus.COMPLETE, EgressStatus.FAILED])
def test_no_mix_is_made_of_tracks_that_broke_off(status: EgressStatus) -> None:
    """The mix may have what they lack; so it is no fault that it has more than they."""
    track = TrackFile("TR_1", "sip_1", "SIP", "left", "a.ogg", NOON, 3.0)
    job = Egress("a.ogg", EgressKind.TRACK, NOON, status=status, track_sid="TR_1")
    seen = Observation(State.CAPTURED, NOON)
    recording = replace(
        Recording("rec_1", "call_1", "EG_1", "egress", "room", seen, NOON, started_at=NOON),
        tracks=(track,),
        egresses=(job,),
    )
    is_whole = status is EgressStatus.COMPLETE

    (claimed,) = claim_of(recording, call("call_1"), {}).tracks
    assert claimed.is_partial is not is_whole
    assert has_whole_tracks(recording, flawed(FOREIGN)) is is_whole
