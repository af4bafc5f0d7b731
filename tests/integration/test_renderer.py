"""The renderer process: real files, a real process, and what happens when it is killed."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import psutil
import pytest

from egress_manager.adapters.process_renderer import ProcessRenderer
from egress_manager.audio.finished import Encrypted, NoAudio
from egress_manager.domain.recordings import Layout, Piece, RenderPlan
from egress_manager.errors import RenderFailed
from tests.unit.audio import made_up
from tests.unit.audio.finished_files import file_of
from tests.unit.audio.made_up import BEGINS_AT, Line

LENGTH = 20.0
MARKS = {"caller": [2.0, 9.0, 18.0], "agent": [4.0, 12.0]}


def plan(n: int = 1, *, over: bool = True) -> RenderPlan:
    """A plan of the call that `script` makes up."""
    return RenderPlan(
        recording_id=f"rec_{n}",
        captures=("captures/cap_1",),
        caller_sids=("PA_caller",),
        begins_at=BEGINS_AT,
        ends_at=BEGINS_AT + LENGTH if over else None,
        mix_filepath=f"room/call-{n}.mp4",
        track_filepath=f"room/call-{n}-{{track_id}}.ogg",
    )


def script() -> made_up.Script:
    """A call of a caller and an agent who chirp by turns."""
    lines = [
        Line(who, made_up.with_chirps(LENGTH, marks), jitter=0.02) for who, marks in MARKS.items()
    ]
    return made_up.capture(lines, ends_at=LENGTH)


@asynccontextmanager
async def renderer(directory):
    """A renderer that is up."""
    one = ProcessRenderer(directory)
    await one.start()
    try:
        yield one
    finally:
        await one.aclose()


def assert_right(directory, rendered) -> None:
    """Every chirp is in its place, on its side, and nothing is left lying about."""
    sound = made_up.decoded(directory / rendered.filepath)
    for side, marks in enumerate(MARKS.values()):
        for mark in marks:
            assert made_up.found(sound[side], mark) == pytest.approx(mark, abs=0.005)
    assert (directory / rendered.filepath).stat().st_size == rendered.size_bytes
    assert not [path.name for path in directory.rglob("*.part")]


async def test_a_call_is_finished_that_was_never_followed(tmp_path):
    """The files are made from what lies there."""
    script().write(tmp_path / "captures/cap_1")

    async with renderer(tmp_path) as one:
        rendered = await one.finish(plan())

    assert_right(tmp_path, rendered)
    assert [track.side for track in rendered.tracks] == ["left", "right"]
    assert all((tmp_path / track.filepath).is_file() for track in rendered.tracks)


async def test_a_call_is_followed_while_it_goes_on(tmp_path):
    """What grows is mixed as it grows, and finished when the call is over."""
    written = script()
    directory = tmp_path / "captures/cap_1"
    written.write(directory, until=10.0)

    async with renderer(tmp_path) as one:
        await one.follow(plan(over=False))
        await one.follow(replace(plan(over=False)))
        written.write(directory, after=10.0)
        rendered = await one.finish(plan())

    assert_right(tmp_path, rendered)


async def test_the_recorder_took_over_from_livekit_egress(tmp_path):
    """Egress had the agent on the left, and died after six seconds; the head start lacks that."""
    sides = [made_up.with_chirps(6.0, marks) for marks in MARKS.values()]
    file_of(tmp_path / "room/egress.ogg", np.stack(sides[::-1]))
    lines = [Line(who, made_up.with_chirps(LENGTH, marks)) for who, marks in MARKS.items()]
    captured = made_up.capture(lines, starts=7.0, ends_at=LENGTH)
    captured.write(tmp_path / "captures/cap_1")
    egress = Piece("room/egress.ogg", BEGINS_AT, Layout.SWAPPED)

    async with renderer(tmp_path) as one:
        await one.follow(plan(over=False))
        rendered = await one.finish(replace(plan(), pieces=(egress,)))

    assert_right(tmp_path, rendered)
    assert [(hole.end_sec, hole.cause) for hole in rendered.holes] == [
        (pytest.approx(7.0, abs=0.1), "joining")
    ]


async def test_a_mix_is_rendered_again_from_its_tracks(tmp_path):
    """No journal is needed for that; a track that is gone is told of."""
    script().write(tmp_path / "captures/cap_1")

    async with renderer(tmp_path) as one:
        first = await one.finish(plan())
        tracks = [Piece(t.filepath, BEGINS_AT, Layout(t.side)) for t in first.tracks]
        again = await one.finish(replace(plan(), captures=(), pieces=tuple(tracks)))
        assert_right(tmp_path, again)
        (tmp_path / tracks[0].filepath).unlink()
        damaged = await one.finish(replace(plan(), captures=(), pieces=tuple(tracks)))

    assert (again.filepath, again.holes, again.channels) == (first.filepath, (), ())
    assert [hole.cause for hole in damaged.holes] == ["piece_unreadable"]


async def test_pieces_of_which_nothing_is_left_fail_with_their_names(tmp_path):
    """The sentence says which files; more of them may turn up later."""
    pieces = (Piece("room/a.ogg", BEGINS_AT), Piece("room/b.mp4", BEGINS_AT + 5.0))

    async with renderer(tmp_path) as one:
        with pytest.raises(RenderFailed, match=r"in room/a\.ogg, room/b\.mp4") as failure:
            await one.finish(replace(plan(), captures=(), pieces=pieces))

    assert failure.value.code == "render_failed"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_a_process_that_is_killed_is_replaced_and_the_call_is_finished(tmp_path):
    """kill -9 costs a moment, no call."""
    script().write(tmp_path / "captures/cap_1")

    async with renderer(tmp_path) as one:
        await one.follow(plan(over=False))
        asked = [asyncio.create_task(one.finish(plan(n))) for n in range(1, 9)]
        await asyncio.sleep(0)
        os.kill(one.pid, signal.SIGKILL)
        rendered = await asyncio.gather(*asked)

    for made in rendered:
        assert_right(tmp_path, made)


async def test_many_calls_are_finished_at_once(tmp_path):
    """They share the process by turns, and each gets its own files."""
    script().write(tmp_path / "captures/cap_1")

    async with renderer(tmp_path) as one:
        rendered = await asyncio.gather(*(one.finish(plan(n)) for n in range(5)))

    assert len({made.filepath for made in rendered}) == 5
    assert_right(tmp_path, rendered[3])


async def test_asking_twice_for_the_same_call_gives_the_same_answer(tmp_path):
    """Neither asker disturbs the other."""
    script().write(tmp_path / "captures/cap_1")

    async with renderer(tmp_path) as one:
        first, second = await asyncio.gather(one.finish(plan()), one.finish(plan()))
        again = await one.finish(plan())

    assert first == second == again
    assert_right(tmp_path, again)


async def test_a_call_without_audio_fails_with_its_reason(tmp_path):
    """The caller can tell it from an encrypted one."""
    made_up.capture([], ends_at=LENGTH).write(tmp_path / "captures/cap_1")

    async with renderer(tmp_path) as one:
        with pytest.raises(NoAudio, match="no audio was kept"):
            await one.finish(plan())

    assert not list(tmp_path.rglob("*.mp4"))


async def test_an_encrypted_call_is_never_called_finished(tmp_path):
    """Noise in a file would look like a recording."""
    lines = [Line("caller", made_up.babble(5), encrypted=True)]
    made_up.capture(lines, ends_at=LENGTH).write(tmp_path / "captures/cap_1")

    async with renderer(tmp_path) as one:
        with pytest.raises(Encrypted):
            await one.finish(plan())


async def test_a_call_that_is_forgotten_leaves_nothing(tmp_path):
    """What was begun is removed."""
    script().write(tmp_path / "captures/cap_1")

    async with renderer(tmp_path) as one:
        await one.follow(plan(over=False))
        await one.forget("rec_1")
        await one.start()

    assert not [path for path in tmp_path.rglob("*") if "call-1" in path.name]


async def test_the_process_ends_with_the_one_that_owns_it(tmp_path):
    """Closing is enough, and a call that goes on is no error."""
    async with renderer(tmp_path) as one:
        pid = one.pid
        with pytest.raises(RenderFailed):
            await one.finish(plan(over=False))

    assert not psutil.pid_exists(pid)
