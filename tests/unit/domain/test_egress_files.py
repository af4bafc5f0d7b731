"""What the files of LiveKit Egress are to a recording."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from egress_manager.domain.calls import Call, CallTrack, Stay
from egress_manager.domain.egress_files import (
    channels_of,
    pieces_of,
    tracks_of,
    whole_mix,
    with_missed,
    with_mix,
)
from egress_manager.domain.egresses import Egress, EgressStatus, egress_of
from egress_manager.domain.incoming import EgressKind, EgressReported, Room, Sides
from egress_manager.domain.recordings import Layout, Observation, Recording, State

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So many seconds into the call."""
    return NOON + timedelta(seconds=seconds)


def call() -> Call:
    """A minute between a caller and an agent, answered after a second."""
    stay = Stay("PA_1", NOON, "RM_1", at(60))
    tracks = (
        CallTrack("TR_caller", "PA_1", "sip_1", NOON),
        CallTrack("TR_agent", "PA_2", "agent-1", NOON),
    )
    made = Call("call_1", Room("room"), "sip_1", (stay,), NOON, NOON, agent_identity="agent-1")
    return replace(made, left_at=at(60), answered_at=at(1), tracks=tracks)


def mix(number: int = 1, *, since: float = 2, until: float = 63, **given: Any) -> Egress:
    """A mix that was delivered."""
    job = Egress(f"a.{number}.mp4", EgressKind.MIX, at(since - 1), EgressStatus.COMPLETE)
    facts = {"started_at": at(since), "ended_at": at(until), "attempt": number}
    facts |= {"filepath": f"a.{number}.mp4", "is_delivered": True}
    return replace(job, **(facts | given))


def track(sid: str, **given: Any) -> Egress:
    """A track's job that was delivered."""
    job = Egress(f"{sid}.ogg", EgressKind.TRACK, NOON, EgressStatus.COMPLETE, track_sid=sid)
    facts = {"filepath": f"{sid}.ogg", "is_delivered": True, "started_at": at(2)}
    return replace(job, **(facts | given))


def recording(*jobs: Egress, **given: Any) -> Recording:
    """A recording that these jobs served."""
    seen = Observation(State.CAPTURED, NOON)
    made = Recording("rec_1", "call_1", "EG_1", "egress", "room", seen, NOON, egresses=jobs)
    return replace(made, **given)


@pytest.mark.parametrize(
    ("sides", "left", "right"),
    [
        (Sides.CALLER_LEFT, ("sip_1",), ("agent-1",)),
        (Sides.AGENTS_LEFT, ("agent-1",), ("sip_1",)),
        (Sides.ONE_VOICE, ("sip_1",), ("sip_1",)),
        (Sides.EVERYBODY_BOTH, ("agent-1", "sip_1"), ("agent-1", "sip_1")),
    ],
)
def test_the_document_says_who_is_on_which_side(
    sides: Sides, left: tuple[str, ...], right: tuple[str, ...]
) -> None:
    """Whatever could be had from that server."""
    channels = channels_of(sides, call())

    assert [channel.participants for channel in channels] == [left, right]


def test_one_file_of_the_whole_is_the_mix() -> None:
    """What was missed before it began is a hole before its start."""
    done = with_mix(recording(mix()), call(), mix())

    assert whole_mix(recording(mix())) == mix()
    assert (done.started_at, done.answer_offset_sec) == (at(2), 0.0)
    assert [(hole.start_sec, hole.end_sec) for hole in done.holes] == [(-2.0, 0.0)]


def test_two_files_are_pieces_as_is_one_beside_a_capture() -> None:
    """Then no file is the whole."""
    tries = recording(mix(1, until=20), mix(2, since=25))

    assert whole_mix(tries) is None
    assert [p.begins_at for p in pieces_of(tries, call())] == [
        at(2).timestamp(),
        at(25).timestamp(),
    ]
    assert whole_mix(recording(mix(), captures=("cap_1",))) is None


def test_where_there_is_no_mix_tracks_are_the_pieces() -> None:
    """The caller's goes left, everybody else's right."""
    tracks = recording(track("TR_1", identity="sip_1"), track("TR_2", identity="agent-1"))

    assert [piece.layout for piece in pieces_of(tracks, call())] == [Layout.LEFT, Layout.RIGHT]


def test_every_track_has_a_file_or_a_reason() -> None:
    """The best of its tries counts."""
    failed = track("TR_1", status=EgressStatus.FAILED, is_delivered=False, error="signal: killed")
    again = track("TR_1", asked_path="TR_1.2.ogg", filepath="TR_1.2.ogg")
    never = track("TR_2", status=EgressStatus.LOST, is_delivered=False, error="egress_lost")

    one, two = tracks_of(recording(failed, again, never), call())

    assert (one.filepath, one.reason) == ("TR_1.2.ogg", "")
    assert (two.filepath, two.reason) == (None, "egress_lost")


def test_each_try_says_how_long_nobody_recorded() -> None:
    """From the caller's joining, or from the end of the try before."""
    tries = with_missed(recording(mix(1, since=2, until=20), mix(2, since=25)), call())

    assert [job.missed_sec for job in tries.egresses] == [2.0, 5.0]


@pytest.mark.parametrize("directory", ["/recordings", "/recordings/"])
def test_paths_stand_below_the_directory_wherever_livekit_sees_it(directory: str) -> None:
    """`EGRESS_RECORDINGS_DIR`; a path that lies elsewhere stays what it is."""
    report = EgressReported(
        NOON,
        Room("room"),
        "EG_1",
        "COMPLETE",
        asked_path="/recordings/room/a.mp4",
        filepath="/recordings/room/a.mp4",
    )

    job = egress_of(report, directory)
    elsewhere = egress_of(replace(report, filepath="/other/a.mp4"), directory)

    assert job is not None
    assert elsewhere is not None
    assert (job.asked_path, job.filepath) == ("room/a.mp4", "room/a.mp4")
    assert elsewhere.filepath == "/other/a.mp4"
