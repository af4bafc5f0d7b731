"""Publishers whose timestamps do what no book says: all words lie where they were said."""

import numpy as np
import pytest

from egress_manager.audio import ogg, opus
from egress_manager.audio.render import Render
from egress_manager.domain.captures import TrackChanged
from tests.unit.audio import made_up
from tests.unit.audio.made_up import BEGINS_AT, Line
from tests.unit.audio.test_render import finished, plan

LENGTH = 24.0
#: Words of a second and a half, made of marks that are found to the sample.
WORDS = [1.0, 4.0, 6.5, 11.0, 13.0, 18.0, 21.0]
MARKS = [word + n * 0.2 for word in WORDS for n in range(8)]
#: How far a mark may lie from where it was said. Seconds.
PLACE = 0.02


def places(directory, length: float = LENGTH, marks=MARKS, **how) -> tuple[float, float]:
    """How far the worst mark of a call is from its place, in the mix and in the track's file."""
    line = Line("caller", made_up.with_chirps(length, marks), **how)
    made_up.capture([line], ends_at=length).write(directory / "cap_1")
    made = finished(Render(directory, plan(length)))
    mix = made_up.decoded(directory / made.filepath)[0]
    track = made_up.decoded(directory / made.tracks[0].filepath)[0]
    return worst(mix, marks), worst(track, marks)


def test_a_line_that_takes_a_quicker_way_waits_for_nothing(tmp_path):
    """Its first stretch came over a slow network, and nothing of it was sent ahead of time."""
    marks = [3.0, 6.0, 9.0]
    lines = [
        Line("caller", _without_pause(2.0, [0.5]), delay=0.4, ssrc=7),
        Line(
            "caller",
            _without_pause(10.0, marks),
            published=2.0,
            delay=0.401,
            late=[(0.06, 10.0, -0.4)],
            ssrc=7,
        ),
    ]
    made_up.capture(lines, ends_at=10.0).write(tmp_path / "cap_1")
    made = finished(Render(tmp_path, plan(10.0)))
    for filepath in (made.filepath, made.tracks[0].filepath):
        assert worst(made_up.decoded(tmp_path / filepath)[0], marks) < PLACE


def test_what_is_lost_before_a_mute_is_lost(tmp_path):
    """The server's silence behind it tells so, and is nobody's sound."""
    line = Line(
        "caller", _without_pause(10.0, [1.0]), holes=[(3.6, 4.0)], muted=[(4.0, 7.0)], reports=False
    )
    mute = [
        TrackChanged(BEGINS_AT + at, line.track_sid, line.participant_sid, is_muted=is_muted)
        for at, is_muted in ((4.0, True), (7.0, False))
    ]
    made_up.capture([line], ends_at=10.0, extra=mute).write(tmp_path / "cap_1")
    (track,) = finished(Render(tmp_path, plan(10.0))).tracks

    assert track.lost == 20
    assert [hole.cause for hole in track.holes] == ["loss", "mute"]
    assert track.holes[0].end_sec == pytest.approx(4.0, abs=0.05)


def _without_pause(seconds: float, marks: list[float]) -> np.ndarray:
    """Marks above a little noise."""
    sound = made_up.with_chirps(seconds, marks)
    return sound + np.random.default_rng(1).normal(0, 0.005, len(sound)).astype(sound.dtype)


def worst(sound, marks) -> float:
    return max(abs(made_up.found(sound, mark, within=0.09) - mark) for mark in marks)


@pytest.mark.parametrize("jitter", [0.0, 0.01])
@pytest.mark.parametrize("dtx", [True, False])
@pytest.mark.parametrize("ahead", [0.1, 0.32, 1.5])
def test_a_publisher_that_sends_ahead_of_time(tmp_path, ahead, dtx, jitter):
    """Nobody could have heard a word before its first packet came."""
    assert max(places(tmp_path, ahead=ahead, dtx=dtx, jitter=jitter)) < PLACE


def test_what_is_said_before_all_that_was_sent_ahead_of_time_has_been_heard(tmp_path):
    """Its timestamps have leapt, so it is a stretch of its own; it is heard behind the other."""
    first, second = [0.3 * n for n in range(1, 9)], [2.5, 2.8, 3.1]
    lines = [
        Line("caller", _without_pause(3.01, first), ahead=1.0, ssrc=7),
        Line("caller", _without_pause(3.4, second), published=2.2, ssrc=7),
    ]
    made_up.capture(lines, ends_at=5.0).write(tmp_path / "cap_1")
    made = finished(Render(tmp_path, plan(5.0)))
    for filepath in (made.filepath, made.tracks[0].filepath):
        sound = made_up.decoded(tmp_path / filepath)[0]
        assert worst(sound, [*first, *(mark + 0.8 for mark in second)]) < PLACE


@pytest.mark.parametrize("leap", [0.05, 0.1, 0.5, 1.9])
@pytest.mark.parametrize("at", [[10.0], [3.5, 10.0, 16.0]])
def test_timestamps_that_leap_although_no_time_goes_by(tmp_path, leap, at):
    """An encoder was restarted, a stream restamped."""
    assert max(places(tmp_path, leaps=[(moment, leap) for moment in at])) < PLACE


def test_timestamps_that_leap_in_the_middle_of_a_word(tmp_path):
    """Both parts of the word lie where they were said."""
    assert max(places(tmp_path, leaps=[(4.7, 0.3), (13.7, 0.8)])) < PLACE


@pytest.mark.parametrize("jitter", [0.0, 0.01])
def test_timestamps_that_stand_still_and_are_put_right(tmp_path, jitter):
    """A muted client does not count; at some unmutes the server makes up for it."""
    stops = [(2.7, 3.7), (8.2, 10.2), (14.8, 17.3)]
    leaps = [(9.9, 1.3), (17.2, 2.0), (20.5, -0.2)]

    assert max(places(tmp_path, stops=stops, leaps=leaps, jitter=jitter)) < PLACE


@pytest.mark.parametrize("dtx", [True, False])
@pytest.mark.parametrize("share", [-0.02, -0.019, -0.003, 0.001, 0.003, 0.01, 0.019, 0.0203])
def test_a_clock_that_is_far_off(tmp_path, share, dtx):
    """A loop that sleeps too long, a bad sound card: it is followed up to 2 %."""
    length = 70.0
    marks = [mark + 22 * n for n in range(3) for mark in MARKS]
    off = places(tmp_path, length, marks, drift_ppm=share * 1e6, jitter=0.002, dtx=dtx)

    assert max(off) < PLACE


@pytest.mark.parametrize("more", [0.04, 1.88, 0.005])
def test_what_was_kept_is_in_the_files_however_the_timestamps_run_away(tmp_path, more):
    """A packet every 20 ms, each of which says that more time went by."""
    leaps = [(n * 0.02, more) for n in range(1, 1200)]
    line = Line("caller", made_up.babble(LENGTH), leaps=leaps)
    made_up.capture([line], ends_at=LENGTH).write(tmp_path / "cap_1")

    made = finished(Render(tmp_path, plan(LENGTH)))

    track = (tmp_path / made.tracks[0].filepath).read_bytes()
    voice = [p for page in ogg.read_pages(track) for p in page.packets if not opus.is_silent(p)]
    sent = [packet for packet in made_up.payloads(line) if not opus.is_silent(packet)]
    # Where a clock is put right, a packet may give way to silence.
    assert len(set(sent) - set(voice)) <= 3
    mix = made_up.decoded(tmp_path / made.filepath)[0]
    assert np.sqrt(np.mean(mix**2)) > 0.5 * np.sqrt(np.mean(made_up.babble(LENGTH) ** 2))
