"""A mix that is not what it should be is made again: real files, real renderer, real ears."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from egress_manager import jobs
from egress_manager.adapters.local_files import LocalFiles
from egress_manager.adapters.process_renderer import ProcessRenderer
from egress_manager.domain.calls import Call, Stay
from egress_manager.domain.captures import FOLDER
from egress_manager.domain.egresses import Egress, EgressStatus
from egress_manager.domain.evidence import Claim
from egress_manager.domain.incoming import EgressKind
from egress_manager.domain.policy import Policy
from egress_manager.domain.recordings import Observation, Recording, State, Verdict
from egress_manager.flows import render
from tests.story.conftest import ROOM, Tale, in_memory
from tests.unit.audio import made_up
from tests.unit.audio.made_up import BEGINS_AT
from tests.unit.proof import calls

SECONDS = 16.0

Spoiling = Callable[[np.ndarray], np.ndarray]


def at(seconds: float) -> datetime:
    """A moment of the call."""
    return datetime.fromtimestamp(BEGINS_AT + seconds, UTC)


CALL = Call(
    id="call_1",
    room=ROOM,
    identity="caller",
    stays=(Stay("PA_caller", at(0), ROOM.sid, at(SECONDS)),),
    joined_at=at(0),
    seen_at=at(SECONDS),
    left_at=at(SECONDS),
    recording_id="rec_1",
)

RECORDING = Recording(
    id="rec_1",
    call_id="call_1",
    egress_id="EG_1",
    engine="builtin",
    room_name=ROOM.name,
    seen=Observation(State.CAPTURED, at(SECONDS)),
    created_at=at(0),
    identity="caller",
    file_stem="room/call",
    track_stem="room/call.tracks/{track_id}",
    state=State.CAPTURED,
)


@asynccontextmanager
async def house(directory: Path, recording: Recording) -> AsyncIterator[Tale]:
    """A house with that recording, whose files are real."""
    tale = in_memory(Policy())
    process = ProcessRenderer(directory)
    await process.start()
    try:
        files = LocalFiles(directory)
        tale.doors = replace(tale.doors, renderer=process, ears=process, files=files)
        await tale.calls.add(CALL)
        await tale.recordings.add(recording)
        yield tale
    finally:
        await process.aclose()


def swapped(sound: np.ndarray) -> np.ndarray:
    """Left is right."""
    return sound[::-1]


def one_silent(sound: np.ndarray) -> np.ndarray:
    """Nothing on the caller's side."""
    sound[0] = 0
    return sound


def spoil(path: Path, spoiling: Spoiling) -> None:
    """Write a mix anew, with another sound."""
    calls.write(path, spoiling(made_up.decoded(path)), "aac", 96_000)


def cut_in_half(mix: Path, track: Path) -> None:
    """The mix breaks off, and a track is gone."""
    mix.write_bytes(mix.read_bytes()[: mix.stat().st_size // 2])
    track.unlink()


def size_of(path: str) -> int:
    """How long a file is; 0 where there is none."""
    file = Path(path)
    return file.stat().st_size if file.is_file() else 0


@pytest.mark.parametrize(("spoiling", "found"), [(swapped, "swapped"), (one_silent, "silent")])
async def test_a_mix_that_was_spoilt_is_made_again_of_the_captures(
    tmp_path: Path, spoiling: Spoiling, found: str
) -> None:
    """Between rendering and listening somebody wrote over it; what is there in the end is right."""
    lines = calls.scene("lively", seconds=SECONDS).lines
    made_up.capture(lines, ends_at=SECONDS).write(tmp_path / FOLDER / "cap_1")

    async with house(tmp_path, replace(RECORDING, captures=("cap_1",))) as tale:
        rendered = await render.render(await tale.recording(), tale.doors)
        spoil(Path(rendered.filepath or ""), spoiling)
        await jobs.work_on("rec_1", tale.doors)
        recording = await tale.recording()

    repaired = next(event for event in recording.history if event.name == "recording.repaired")
    assert (recording.state, recording.verdict) == (State.VERIFIED, Verdict.VERIFIED)
    assert found in repaired.reason or "silent" in repaired.reason
    assert recording.repaired_from == str(tmp_path / "room/call.mp4")
    assert recording.filepath == str(tmp_path / "room/call.repaired.mp4")
    assert recording.size_bytes == size_of(recording.filepath)
    assert size_of(recording.repaired_from)


def theirs(directory: Path, spoiling: Spoiling | None) -> tuple[Recording, Claim]:
    """The same call as LiveKit Egress records it: jobs, their files, and a mix that is spoilt."""
    made = calls.make(calls.scene("lively", seconds=SECONDS), directory / "made")
    claim = calls.as_theirs(made, directory)
    if spoiling is not None:
        spoil(Path(claim.path), spoiling)
    late = SECONDS - (claim.duration_sec or 0.0)
    jobs_done = [
        _job(EgressKind.MIX, claim.path, directory, late, duration_sec=claim.duration_sec),
        *(
            _job(
                EgressKind.TRACK,
                track.path or "",
                directory,
                late + track.begins_sec,
                track_sid=track.track_sid,
                identity="caller" if track.side == "left" else "agent",
            )
            for track in claim.tracks
        ),
    ]
    return replace(RECORDING, engine="egress", egresses=tuple(jobs_done)), claim


def _job(kind: EgressKind, path: str, directory: Path, began: float, **more: object) -> Egress:
    name = str(Path(path).relative_to(directory))
    return Egress(
        asked_path=name,
        kind=kind,
        asked_at=at(0),
        status=EgressStatus.COMPLETE,
        at=at(SECONDS),
        egress_id=f"EG_{name}",
        filepath=name,
        is_delivered=True,
        started_at=at(began),
        ended_at=at(SECONDS),
        **more,  # type: ignore[arg-type]
    )


async def test_files_of_livekit_egress_that_are_right_stay_as_they_are(tmp_path: Path) -> None:
    """Although its clocks are others."""
    recording, claim = theirs(tmp_path, None)

    async with house(tmp_path, recording) as tale:
        await jobs.work_on("rec_1", tale.doors)
        recording = await tale.recording()

    assert not [finding.words for finding in recording.findings if finding.is_fault]
    assert (recording.filepath, recording.repaired_from) == (claim.path, "")


@pytest.mark.parametrize("spoiling", [swapped, one_silent])
async def test_a_mix_of_livekit_egress_is_made_again_of_its_tracks(
    tmp_path: Path, spoiling: Spoiling
) -> None:
    """The first one is kept beside it."""
    recording, claim = theirs(tmp_path, spoiling)

    async with house(tmp_path, recording) as tale:
        await jobs.work_on("rec_1", tale.doors)
        recording = await tale.recording()

    assert (recording.state, recording.verdict) == (State.VERIFIED, Verdict.VERIFIED)
    assert recording.repaired_from == claim.path
    assert size_of(claim.path)
    assert recording.filepath == str(tmp_path / "room/call.repaired.mp4")
    assert [channel.participants for channel in recording.channels] == [("caller",), ("agent",)]
    left, right = made_up.decoded(Path(recording.filepath))
    assert min(np.abs(left).max(), np.abs(right).max()) > 0.1


async def test_what_cannot_be_mended_is_rejected_and_kept(tmp_path: Path) -> None:
    """The mix breaks off, and a track that it could be made of is not there."""
    recording, claim = theirs(tmp_path, None)
    cut_in_half(Path(claim.path), Path(claim.tracks[0].path or ""))

    async with house(tmp_path, recording) as tale:
        await jobs.work_on("rec_1", tale.doors)
        recording = await tale.recording()

    assert (recording.state, recording.verdict) == (State.REJECTED, Verdict.REJECTED)
    assert recording.reason.startswith("the file breaks off")
    assert recording.filepath == claim.path
    assert size_of(claim.path)
