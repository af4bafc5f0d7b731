"""Finished files that are missing, empty, cut off or damaged: the rest is made all the same."""

import numpy as np
import pytest

from egress_manager.audio import ogg
from egress_manager.audio.finished import NoAudio
from egress_manager.domain.captures import TICKS
from egress_manager.domain.recordings import Layout
from egress_manager.errors import RenderFailed
from tests.unit.audio import made_up
from tests.unit.audio.finished_files import (
    HERS,
    causes,
    file_of,
    mixed,
    piece,
    stereo,
    talk,
    tone,
)
from tests.unit.audio.made_up import Line
from tests.unit.audio.test_render import LEFT, RIGHT, chirping, level, off


def damaged(path, whole: bytes, how: str) -> None:
    """Leave of a file what that kind of damage leaves of it."""
    kept = {"empty": b"", "garbage": bytes(range(256)) * 40, "header": ogg.head_pages(1, 2)}
    if how != "missing":
        path.write_bytes(kept[how] if how in kept else whole[: len(whole) // 2])


@pytest.mark.parametrize("how", ["missing", "empty", "garbage", "header"])
def test_what_can_not_be_read_is_a_hole_with_that_name(tmp_path, how):
    """The rest of the call is there all the same."""
    file_of(tmp_path / "b.ogg", talk())
    damaged(tmp_path / "a.mp4", b"", how)

    made, mix = mixed(tmp_path, [piece("a.mp4"), piece("b.ogg", 5.0)], 18.0)

    assert off(mix[LEFT], [mark + 5.0 for mark in HERS]) < 0.002
    assert causes(made) == [(0.0, 5.0, "piece_unreadable"), (15.0, 18.0, "not_recorded")]


def test_a_piece_that_can_not_be_read_explains_what_was_not_captured(tmp_path):
    """The recorder took over at six; what was before is lost with the file."""
    line = chirping("caller", 12.0, [9.0])
    made_up.capture([line], starts=6.0, ends_at=12.0).write(tmp_path / "cap_1")

    made, mix = mixed(tmp_path, [piece("gone.ogg")], 12.0, captures=("cap_1",))

    assert off(mix[LEFT], [9.0]) < 0.005
    assert causes(made) == [(0.0, 6.0, "piece_unreadable")]


def test_a_track_that_can_not_be_read_is_missing_whoever_else_is_heard(tmp_path):
    """The agent is there for all of the call, the caller is not."""
    file_of(tmp_path / "agent.ogg", tone(10.0)[None])
    tracks = [piece("caller.ogg", 2.0, Layout.LEFT), piece("agent.ogg", 0.0, Layout.RIGHT)]

    made, mix = mixed(tmp_path, tracks)

    assert level(mix[RIGHT], 1.0, 9.0) == pytest.approx(-12.6, abs=0.5)
    assert causes(made) == [(2.0, 10.0, "piece_unreadable")]


def test_an_mp4_that_was_cut_off_is_heard_as_far_as_it_goes(tmp_path):
    """Its index still says how long it was."""
    file_of(tmp_path / "a.mp4", talk())
    first, _ = mixed(tmp_path, [piece("a.mp4")])
    whole = (tmp_path / first.filepath).read_bytes()  # ours has the index in front
    damaged(tmp_path / "b.mp4", whole, "cut")

    made, mix = mixed(tmp_path, [piece("b.mp4")])

    assert off(mix[LEFT], [1.0]) < 0.002
    ((start, end, cause),) = causes(made)
    assert 2.0 < start < 8.0
    assert (end, cause) == (10.0, "piece_unreadable")


@pytest.mark.parametrize("ending", [".ogg", ".mp4"])
def test_damage_in_the_middle_costs_what_was_damaged(tmp_path, ending):
    """What is behind it is still at its place; where another mix has the time, that is heard."""
    sound = stereo(made_up.babble(20.0))
    path = file_of(tmp_path / f"a{ending}", sound)
    whole = bytearray(path.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 12_000] = b"\x55" * 12_000
    path.write_bytes(whole)
    file_of(tmp_path / "b.ogg", stereo(np.zeros(20 * TICKS, np.float32), tone(20.0)))

    alone, mix = mixed(tmp_path, [piece(path.name)], 20.0)
    both, other = mixed(tmp_path, [piece(path.name), piece("b.ogg", 0.001)], 20.0)

    ((start, end, cause),) = causes(alone)
    assert cause == "piece_unreadable"
    assert 8.0 < start < end < 15.0
    assert level(mix[LEFT], start + 0.2, end - 0.2) < -80
    for since, until in ((1.0, start - 0.3), (end + 0.3, 19.0)):
        there = slice(round(since * TICKS), round(until * TICKS))
        assert np.corrcoef(mix[LEFT][there], sound[LEFT][there])[0, 1] > 0.9
    assert both.holes == ()
    assert level(other[RIGHT], start + 0.2, end - 0.2) == pytest.approx(-12.6, abs=0.5)
    assert level(other[RIGHT], 1.0, start - 0.3) < -70


@pytest.mark.parametrize("first", [0, 30 * TICKS])
def test_a_track_that_pauses_has_no_hole(tmp_path, first):
    """A publisher sent nothing for four seconds; what it said then is where the file puts it.

    Timestamps may begin anywhere: the file's first sound is its beginning.
    """
    packets = list(made_up.payloads(Line("agent", made_up.with_chirps(12.0, [1.0, 10.0]))))
    with (tmp_path / "a.ogg").open("wb") as file:
        file.write(ogg.head_pages(1, 1, 312))
        for number, start in enumerate([*range(0, 200, 25), *range(400, 600, 25)], 2):
            page = packets[start : start + 25]
            is_last = start == 575
            file.write(ogg.page(page, first + (start + 25) * 960, 1, number, last=is_last))

    made, mix = mixed(tmp_path, [piece("a.ogg", 0.0, Layout.RIGHT)], 12.0)

    assert off(mix[RIGHT], [1.0, 10.0]) < 0.010
    assert made.holes == ()


def test_nothing_to_be_read_is_no_file(tmp_path):
    """The sentence names the files; of a call that is in none of them there was no audio."""
    (tmp_path / "a.ogg").touch()
    with pytest.raises(RenderFailed, match=r"no audio to be read in a\.ogg, b\.mp4") as failure:
        mixed(tmp_path, [piece("a.ogg"), piece("b.mp4", 3.0)])
    assert failure.value.code == "render_failed"

    file_of(tmp_path / "early.ogg", talk())
    with pytest.raises(NoAudio):
        mixed(tmp_path, [piece("early.ogg", -10.5), piece("early.ogg", 10.5)])

    assert not (tmp_path / "room/mix.mp4").exists()
