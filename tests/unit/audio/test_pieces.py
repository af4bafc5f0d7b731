"""Mixes made of finished files: what is heard of them, where, and for how long."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.audio.finished import Encrypted
from egress_manager.audio.piece import Span
from egress_manager.audio.pieces import EDGE, faded, merged, narrowed, without
from egress_manager.audio.render import Render
from egress_manager.domain.captures import TICKS
from egress_manager.domain.recordings import Layout
from tests.unit.audio import made_up
from tests.unit.audio.finished_files import (
    HERS,
    HIS,
    causes,
    file_of,
    mixed,
    piece,
    stereo,
    talk,
    tone,
)
from tests.unit.audio.test_render import LEFT, RIGHT, chirping, finished, follow, level, off, plan


@pytest.mark.parametrize(
    ("ending", "rate", "channels"),
    [(".ogg", 48_000, 2), (".mp4", 48_000, 2), (".mp4", 44_100, 2), (".mp4", 16_000, 1)],
)
def test_a_finished_file_is_heard_at_its_place(tmp_path, ending, rate, channels):
    """Whatever it is coded in, at whatever rate; one channel is heard on both sides."""
    file_of(tmp_path / f"a{ending}", talk()[:channels], rate)

    made, mix = mixed(tmp_path, [piece(f"a{ending}")])

    assert off(mix[LEFT], HERS) < 0.002
    assert off(mix[RIGHT], HIS if channels == 2 else HERS) < 0.002
    assert (made.holes, made.tracks, made.channels) == ((), (), ())
    assert made.duration_sec == 10.0
    assert mix.shape[1] / TICKS == pytest.approx(10.0, abs=0.025)


@pytest.mark.parametrize(
    ("layout", "left", "right"),
    [
        (Layout.STEREO, 1.0, 0.0),
        (Layout.SWAPPED, 0.0, 1.0),
        (Layout.BOTH, 0.71, 0.71),
        (Layout.LEFT, 0.71, 0.0),
        (Layout.RIGHT, 0.0, 0.71),
    ],
)
def test_a_layout_says_which_sides_are_filled(tmp_path, layout, left, right):
    """A tone on the file's left; if the file is one voice, its channels' powers are averaged."""
    file_of(tmp_path / "a.ogg", stereo(tone(5.0)))

    _, mix = mixed(tmp_path, [piece("a.ogg", 0.0, layout)], 5.0)

    for side, share in ((LEFT, left), (RIGHT, right)):
        heard = np.abs(mix[side][TICKS : 4 * TICKS]).max()
        assert heard == pytest.approx(0.33 * share, abs=0.03)


def test_a_file_that_began_before_the_call_is_cut(tmp_path):
    """The call's own beginning is where the mix begins; the end is missing, and told."""
    file_of(tmp_path / "a.mp4", talk())

    made, mix = mixed(tmp_path, [piece("a.mp4", -0.5)])

    assert off(mix[LEFT], [0.5, 4.5, 8.0]) < 0.002
    assert causes(made) == [(9.5, 10.0, "not_recorded")]


@pytest.mark.parametrize("ending", [".ogg", ".mp4"])
def test_a_file_that_began_long_before_the_call_is_found_its_place_in(tmp_path, ending):
    """A room was recorded for minutes before the caller came."""
    sound = stereo(made_up.with_chirps(120.0, [60.0, 95.0, 101.0, 108.5]))
    file_of(tmp_path / f"a{ending}", sound)

    made, mix = mixed(tmp_path, [piece(f"a{ending}", -100.0)])

    assert off(mix[LEFT], [1.0, 8.5]) < 0.002
    assert level(mix[LEFT], 2.0, 8.0) < -80
    assert made.holes == ()


def test_a_file_that_begins_late_follows_silence(tmp_path):
    """What was before is told as a hole."""
    file_of(tmp_path / "a.ogg", talk())

    made, mix = mixed(tmp_path, [piece("a.ogg", 3.25)], 14.0)

    assert off(mix[RIGHT], [mark + 3.25 for mark in HIS]) < 0.002
    assert level(mix[LEFT], 0.0, 3.0) < -80
    assert causes(made) == [(0.0, 3.2, "not_recorded"), (13.2, 14.0, "not_recorded")]


def test_of_two_mixes_the_first_counts_until_it_ends(tmp_path):
    """They say the same: it gets no louder where both are there, and nothing is heard between."""
    file_of(tmp_path / "a.ogg", stereo(tone(6.0)))
    file_of(tmp_path / "b.ogg", stereo(tone(7.0, begins=3.0)))

    made, mix = mixed(tmp_path, [piece("b.ogg", 3.0), piece("a.ogg")])

    levels = [level(mix[LEFT], n / 100, (n + 1) / 100) for n in range(10, 980)]
    assert max(levels) - min(levels) < 1.5
    assert np.abs(np.diff(mix[LEFT], 3))[TICKS:-TICKS].max() < 0.005
    assert made.holes == ()


def test_one_egress_follows_another_after_a_hole(tmp_path):
    """The first died after four seconds, and the next came three seconds later: soft edges."""
    file_of(tmp_path / "a.mp4", stereo(tone(4.0)))
    file_of(tmp_path / "b.mp4", stereo(tone(3.0, begins=7.0)))

    made, mix = mixed(tmp_path, [piece("a.mp4"), piece("b.mp4", 7.0)])

    assert causes(made) == [(4.0, 7.0, "not_recorded")]
    assert level(mix[LEFT], 4.1, 6.9) < -80
    assert np.abs(np.diff(mix[LEFT], 3))[TICKS : 9 * TICKS].max() < 0.01


def test_tracks_are_summed(tmp_path):
    """The caller and two agents, who talk at once."""
    file_of(tmp_path / "caller.ogg", tone(10.0, 300)[None])
    for name, hertz in (("one", 500.0), ("two", 800.0)):
        file_of(tmp_path / f"{name}.ogg", stereo(tone(8.0, hertz), tone(8.0, hertz)))

    agents = [piece("one.ogg", 1.0, Layout.RIGHT), piece("two.ogg", 2.0, Layout.RIGHT)]
    made, mix = mixed(tmp_path, [piece("caller.ogg", 0.0, Layout.LEFT), *agents])

    def loudness(side: int, hertz: float, second: int) -> float:
        part = mix[side][second * TICKS :][:TICKS]
        return float(np.abs(np.fft.rfft(part * np.hanning(TICKS)))[round(hertz)] * 4 / TICKS)

    assert loudness(LEFT, 300, 4) == pytest.approx(0.33, abs=0.02)
    assert loudness(LEFT, 500, 4) < 0.001
    assert loudness(RIGHT, 500, 4) == pytest.approx(0.33, abs=0.02)
    assert loudness(RIGHT, 800, 4) == pytest.approx(0.33, abs=0.02)
    assert loudness(RIGHT, 800, 1) < 0.02
    assert made.holes == ()


def test_a_mix_is_made_again_from_its_tracks(tmp_path):
    """A call is rendered; its tracks alone give a mix with every word at its place."""
    marks = {"caller": [0.5, 9.0, 18.0], "agent": [3.0, 12.0], "other": [6.0, 15.0]}
    lines = [
        chirping(who, 20.0, mine, jitter=0.02, drift_ppm=ppm, published=published)
        for (who, mine), ppm, published in zip(
            marks.items(), (100, -100, 50), (0.0, 0.3, 4.0), strict=True
        )
    ]
    made_up.capture(lines, ends_at=20.0).write(tmp_path / "cap_1")
    first = finished(Render(tmp_path, plan(20.0)))
    tracks = [piece(track.filepath or "", 0.0, Layout(track.side)) for track in first.tracks]

    made, mix = mixed(tmp_path, tracks, 20.0)

    assert off(mix[LEFT], marks["caller"]) < 0.010
    assert off(mix[RIGHT], marks["agent"] + marks["other"]) < 0.010
    assert level(mix[LEFT], 2.9, 3.2) < -60
    assert made.holes == ()
    assert made.filepath == first.filepath


def test_what_was_captured_comes_first(tmp_path):
    """Egress recorded throughout, the recorder was there twice: it is heard where that was not."""
    line = chirping("caller", 20.0, [7.0, 15.0])
    made_up.capture([line], starts=6.0, ends_at=9.0).write(tmp_path / "cap_1")
    made_up.capture([line], starts=13.0, ends_at=16.0, name="cap_2").write(tmp_path / "cap_2")
    file_of(tmp_path / "a.ogg", stereo(tone(20.0), tone(20.0)))

    made, mix = mixed(tmp_path, [piece("a.ogg")], 20.0, captures=("cap_1", "cap_2"))

    for start, end in ((1.0, 5.9), (9.1, 12.9), (16.1, 19.9)):
        assert level(mix[RIGHT], start, end) == pytest.approx(-12.6, abs=0.5)
    for start, end in ((6.1, 8.9), (13.1, 15.9)):
        assert level(mix[RIGHT], start, end) < -70
    assert off(mix[LEFT], [7.0, 15.0]) < 0.005
    assert np.abs(np.diff(mix[RIGHT], 3))[TICKS : 19 * TICKS].max() < 0.005
    assert made.holes == ()
    assert [channel.participants for channel in made.channels] == [("caller",), ()]


def test_a_takeover_that_took_a_while_leaves_a_hole(tmp_path):
    """Egress fell silent after five seconds, and the recorder came at eight."""
    file_of(tmp_path / "a.ogg", talk(5.0))
    line = chirping("caller", 12.0, [9.0])
    made_up.capture([line], starts=8.0, ends_at=12.0).write(tmp_path / "cap_1")

    made, mix = mixed(tmp_path, [piece("a.ogg")], 12.0, captures=("cap_1",))

    assert off(mix[LEFT], [1.0, 9.0]) < 0.005
    assert off(mix[RIGHT], [2.0]) < 0.005
    assert causes(made) == [(5.0, 8.0, "joining")]
    assert [hole.cause for hole in made.tracks[0].holes] == ["joining"]


def test_a_capture_that_can_not_be_understood_is_none(tmp_path):
    """The room was encrypted for us; LiveKit Egress, which has the key, has the whole call."""
    line = chirping("caller", 10.0, [3.0], encrypted=True)
    made_up.capture([line], ends_at=10.0).write(tmp_path / "cap_1")
    file_of(tmp_path / "a.ogg", talk())

    made, mix = mixed(tmp_path, [piece("a.ogg")], captures=("cap_1",))

    assert off(mix[LEFT], HERS) < 0.005
    assert made.holes == ()
    with pytest.raises(Encrypted):
        mixed(tmp_path, [piece("gone.ogg")], captures=("cap_1",))


def test_a_head_start_is_given_up_for_pieces(tmp_path):
    """The call was followed before anybody knew of them."""
    line = chirping("caller", 20.0, [12.0, 18.0])
    made_up.capture([line], starts=10.0, ends_at=20.0).write(tmp_path / "cap_1")
    file_of(tmp_path / "a.ogg", talk())
    render = Render(tmp_path, plan(None))
    follow(render)
    had_begun = render._mixing is not None
    render.replan(plan(20.0, pieces=(piece("a.ogg"),)))

    made = finished(render)

    mix = made_up.decoded(tmp_path / made.filepath)
    assert had_begun
    assert off(mix[LEFT], [*HERS, 12.0, 18.0]) < 0.005
    assert off(mix[RIGHT], HIS) < 0.005
    assert not list(tmp_path.rglob("*.part"))


def test_a_call_with_pieces_is_mixed_at_its_end_only(tmp_path):
    """Following it would be for nothing."""
    made_up.capture([chirping("caller", 20.0, [2.0])], ends_at=20.0).write(tmp_path / "cap_1")
    render = Render(tmp_path, plan(None, pieces=(piece("a.ogg"),)))

    follow(render)

    assert render._mixing is None
    assert not list(tmp_path.rglob("*.part"))


def test_a_file_is_never_replaced_by_what_is_made_of_it(tmp_path):
    """LiveKit Egress and the mix were given the same name: made again, it is the same again."""
    file_of(tmp_path / "room/mix.mp4", talk())
    before = (tmp_path / "room/mix.mp4").read_bytes()

    first, _ = mixed(tmp_path, [piece("room/mix.mp4", 1.5)], 12.0)
    again, mix = mixed(tmp_path, [piece("room/mix.mp4", 1.5)], 12.0)

    assert (tmp_path / "room/mix.mp4").read_bytes() == before
    assert first == replace(again, size_bytes=first.size_bytes)
    assert first.filepath == "room/mix.whole.mp4"
    assert off(mix[LEFT], [mark + 1.5 for mark in HERS]) < 0.002


spans = st.lists(
    st.tuples(st.integers(0, 9000), st.integers(1, 4000)).map(lambda s: Span(s[0], s[0] + s[1])),
    max_size=6,
)


@given(spans, spans)
def test_what_is_left_is_what_was_there_and_not_taken(some, taken):
    """Sample by sample."""
    left = without(merged(some), merged(taken))

    def inside(found) -> np.ndarray:
        there = np.zeros(14_000, bool)
        for start, end in found:
            there[start:end] = True
        return there

    assert (inside(left) == inside(some) & ~inside(taken)).all()


@given(spans)
def test_one_gives_way_as_the_other_comes(taken):
    """Two that say the same are never louder together than one, and never quieter."""
    first = [s for s in merged(taken) if s.end - s.start > 2 * EDGE]
    second = without([Span(-EDGE, 15_000)], narrowed(first))

    both = faded(first, 0, 14_000) + faded(second, 0, 14_000)

    assert np.abs(both - 1).max() < 1e-5
