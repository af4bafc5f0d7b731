"""The ledger: every call has one line, every line one fate, and the totals add up."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.calls import Call, Stay
from egress_manager.domain.findings import Finding
from egress_manager.domain.incoming import Room
from egress_manager.domain.ledger import Fate, line_of, report_of, totals_of
from egress_manager.domain.recordings import (
    MANUAL,
    Hole,
    Observation,
    Recording,
    State,
    TrackFile,
    Verdict,
)

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def call(**given: object) -> Call:
    """A call of half a minute."""
    left = NOON + timedelta(seconds=30)
    stays = (Stay("PA_1", NOON, "RM_1", left),)
    made = Call("call_1", Room("room"), "sip_1", stays, NOON, NOON, recording_id="rec_1")
    return replace(made, left_at=left, **given)  # type: ignore[arg-type]


def recording(state: State, **given: object) -> Recording:
    """Its recording."""
    seen = Observation(state, NOON)
    made = Recording("rec_1", "call_1", "EG_1", "builtin", "room", seen, NOON, state=state)
    return replace(made, **given)  # type: ignore[arg-type]


FATES = [
    (call(), recording(State.RENDERED), Fate.COMPLETED, ""),
    (
        call(),
        recording(State.VERIFIED, verdict=Verdict.VERIFIED, duration_sec=30.0),
        Fate.VERIFIED,
        "",
    ),
    (
        call(),
        recording(State.VERIFIED, verdict=Verdict.VERIFIED),
        Fate.COMPLETED,
        "length_unknown",
    ),
    (call(), recording(State.REJECTED, verdict=Verdict.MISSING), Fate.REJECTED, "missing"),
    (call(), recording(State.UNHEARD, verdict=Verdict.UNHEARD), Fate.COMPLETED, "unheard"),
    (
        call(),
        recording(State.REJECTED, verdict=Verdict.REJECTED, findings=(Finding("swapped"),)),
        Fate.REJECTED,
        "swapped",
    ),
    (
        call(),
        recording(State.VERIFIED, verdict=Verdict.FLAWED, findings=(Finding("drift"),)),
        Fate.FLAWED,
        "drift",
    ),
    (
        call(),
        recording(State.RENDERED, holes=(Hole(0, 0.1, "loss"), Hole(3, 5, "killed"))),
        Fate.WITH_HOLES,
        "killed",
    ),
    (call(), recording(State.FAILED, reason="egress_lost"), Fate.NOT_RECORDED, "egress_lost"),
    (call(), recording(State.ABORTED, reason="not_answered"), Fate.NOT_RECORDED, "not_answered"),
    (call(), recording(State.CAPTURED), Fate.UNDER_WAY, ""),
    (call(reason="policy_none"), None, Fate.NOT_RECORDED, "policy_none"),
    (call(), None, Fate.NOT_RECORDED, "no_recording_found"),
]


@pytest.mark.parametrize(("of", "by", "fate", "reason"), FATES)
def test_a_call_has_one_fate(of: Call, by: Recording | None, fate: Fate, reason: str) -> None:
    """And a reason where it was not recorded as it should be."""
    line = line_of(of, by)

    assert (line.fate, line.reason) == (fate, reason)


def test_what_is_missing_is_counted() -> None:
    """Seconds of holes; tracks that were published, against those that have a file."""
    tracks = (TrackFile("TR_1", "sip_1", "SIP", "left", "a.ogg"), TrackFile("TR_2", "a", "", "r"))
    holes = (Hole(1, 2.5, "loss"), Hole(5, 6, "loss"))

    line = line_of(call(), recording(State.RENDERED, tracks=tracks, holes=holes))

    assert (line.hole_sec, line.tracks_kept, line.call_sec) == (2.5, 1, 30)


def by_hand(**given: object) -> Recording:
    """A recording of the ten seconds from 5 s to 15 s after noon."""
    began, stopped = NOON + timedelta(seconds=5), NOON + timedelta(seconds=15)
    times = {"source": MANUAL, "started_at": began, "stop_asked_at": stopped}
    return verified(10.0, **(times | given))


def verified(seconds: float | None, **given: object) -> Recording:
    """A verified recording of that length, made of a capture."""
    made = {"verdict": Verdict.VERIFIED, "duration_sec": seconds, "captures": ("cap_1",)}
    return recording(State.VERIFIED, **(made | given))


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        (verified(30.0), ""),
        (verified(29.2), ""),
        (verified(7.25), "shorter_than_call"),
        (verified(44.0), "longer_than_call"),
        (verified(7.25, holes=(Hole(3, 4, "loss"),)), "shorter_than_call"),
        (verified(33.0), "longer_than_call"),
        (verified(33.0, captures=(), engine="egress"), ""),
        (verified(27.2, captures=(), engine="egress"), ""),
        (verified(16.0, captures=(), engine="egress"), "shorter_than_call"),
        (by_hand(), ""),
        (by_hand(duration_sec=4.0), "shorter_than_call"),
    ],
)
def test_what_is_not_as_long_as_its_call_is_not_verified(by: Recording, reason: str) -> None:
    """Of half a minute; one that was begun and stopped by hand is held to what it is of.

    LiveKit Egress's own files begin late and end late.
    """
    line = line_of(call(), by)

    assert (line.fate, line.reason) == (Fate.FLAWED if reason else Fate.VERIFIED, reason)


def test_what_is_missing_outside_the_file_is_told_by_its_holes() -> None:
    """LiveKit Egress began 8 s late, and says so."""
    late = verified(22.0, captures=(), engine="egress", holes=(Hole(-8, 0, "recorder_not_ready"),))
    line = line_of(call(), late)

    assert (line.fate, line.reason) == (Fate.WITH_HOLES, "recorder_not_ready")


@given(st.lists(st.sampled_from(FATES), max_size=40))
def test_the_totals_add_up(drawn: list[tuple[Call, Recording | None, Fate, str]]) -> None:
    """Whatever the calls: the fates sum up to the calls, and so does everything else."""
    lines = [line_of(of, by) for of, by, _, _ in drawn]
    totals = totals_of(lines)

    assert totals.by_fate is not None
    assert totals.by_reason is not None
    assert sum(totals.by_fate.values()) == totals.calls == len(lines)
    assert totals.hole_sec == pytest.approx(sum(line.hole_sec for line in lines))
    assert totals.by_fate["not_recorded"] <= sum(totals.by_reason.values())


def test_a_report_is_in_the_order_of_the_calls() -> None:
    """Oldest first."""
    early, late = line_of(call(), None), replace(line_of(call(), None), joined_at=NOON.max)

    report = report_of([replace(late, joined_at=NOON + timedelta(1)), early], NOON, NOON, NOON)

    assert [line.joined_at for line in report.lines] == [NOON, NOON + timedelta(1)]
