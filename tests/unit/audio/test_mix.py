"""The parts of a mix: summing, limiting, following a clock, and reading what is not whole."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egress_manager.audio.decode import LOOKAHEAD, Decoder
from egress_manager.audio.mix import FADE, KNEE, Late, Sum, Voice, limited
from egress_manager.audio.slew import DEAD_BAND, Slew, stretched
from egress_manager.audio.source import CaptureFiles, SoundPage
from egress_manager.audio.weave import Strand, Weave
from egress_manager.domain.captures import TICKS
from tests.unit.audio import made_up
from tests.unit.audio.made_up import BEGINS_AT, Line


def tone(seconds: float, hertz: float = 440.0) -> np.ndarray:
    """Half of full scale."""
    t = np.arange(round(seconds * TICKS)) / TICKS
    return (0.5 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def test_a_sum_is_taken_once_and_in_order():
    """What was added is found on its side, at its place."""
    mixed = Sum()
    mixed.add("left", 10, np.ones(5, np.float32) / 4)
    mixed.add("right", 12, np.ones(5, np.float32) / 2)
    mixed.add("left", 12, np.ones(1, np.float32) / 4)

    taken = np.concatenate((mixed.take(11), mixed.take(20)), axis=1)

    assert taken[0].tolist() == [0] * 10 + [0.25, 0.25, 0.5, 0.25, 0.25] + [0] * 5
    assert taken[1].tolist() == [0] * 12 + [0.5] * 5 + [0] * 3


def test_who_is_on_both_sides_is_heard_on_both():
    """Beside whoever is on one."""
    mixed = Sum()
    mixed.add("both", 1, np.ones(2, np.float32) / 4)
    mixed.add("right", 2, np.ones(1, np.float32) / 2)

    assert mixed.take(4).tolist() == [[0, 0.25, 0.25, 0], [0, 0.25, 0.75, 0]]


def test_sound_that_comes_too_late_is_not_lost_silently():
    """Whoever mixes has to begin again; at the very end the rest is taken."""
    mixed = Sum()
    mixed.take(100)
    with pytest.raises(Late):
        mixed.add("left", 99, np.ones(10, np.float32))

    last = Sum(is_strict=False)
    last.take(100)
    last.add("left", 99, np.ones(10, np.float32) / 2)
    assert last.take(110)[0].tolist() == [0.5] * 9 + [0]


def test_what_lies_before_the_beginning_is_left_out():
    """Not an error: the track was there before the call."""
    mixed = Sum()
    mixed.add("left", -3, np.arange(1, 6, dtype=np.float32) / 10)

    assert mixed.take(3)[0] == pytest.approx([0.4, 0.5, 0.0])


@given(st.lists(st.floats(-4, 4, width=32), min_size=1))
def test_the_limiter_touches_nothing_below_its_knee(samples):
    """Above it, everything stays in order and within full scale."""
    before = np.array([samples], np.float32)

    after = limited(before.copy())

    quiet = np.abs(before) <= KNEE
    assert (after[quiet] == before[quiet]).all()
    assert (np.abs(after) <= 1.0).all()
    order = np.argsort(before[0], kind="stable")
    assert (np.diff(after[0][order]) >= 0).all()


def test_a_track_whose_clock_is_right_is_not_touched(tmp_path):
    """Sample for sample what the decoder gave, but for the fades at its ends."""
    made_up.capture([Line("caller", tone(5.0))], ends_at=5.0).write(tmp_path)
    capture = CaptureFiles(tmp_path)
    capture.read()
    weave = Weave("TR_caller")
    weave.look([capture])
    pieces = list(weave.take(np.inf))
    mixed = Sum()
    voice = Voice("left", BEGINS_AT, mixed)

    for piece in pieces:
        voice.hear(piece)
    voice.rest()

    plain = Decoder().decode([packet for piece in pieces for packet in piece.packets])
    heard = mixed.take(len(plain) - LOOKAHEAD)[0]
    assert (heard[FADE:-FADE] == plain[LOOKAHEAD:][FADE:-FADE]).all()


def test_a_clock_that_is_off_is_followed_without_being_heard():
    """A minute at 200 ppm, in steps of half a second: in its place, and still a clean tone."""
    sound, slew = tone(60.0), Slew()
    parts = []
    for n in range(120):
        part = sound[n * 24_000 : (n + 1) * 24_000]
        parts.append(slew.follow(part, 200e-6 * n * 24_000))

    heard = np.concatenate(parts)

    assert len(heard) - len(sound) == pytest.approx(200e-6 * len(sound), abs=DEAD_BAND + 10)
    spectrum = np.abs(np.fft.rfft(heard[: 48_000 * 59] * np.hanning(48_000 * 59)))
    peak = int(spectrum.argmax())
    away = np.concatenate((spectrum[: peak - 59 * 200], spectrum[peak + 59 * 200 :]))
    assert 20 * np.log10(away.max() / spectrum[peak]) < -70


@settings(max_examples=50, deadline=None)
@given(st.integers(-12, 12).filter(bool), st.integers(24_000, 30_000))
def test_sound_is_stretched_by_exactly_so_many_samples(samples, length):
    """Its ends stay where they are, and nothing in it jumps."""
    sound = tone(1.0)[:length]

    longer = stretched(sound, samples)

    assert len(longer) == length + samples
    assert (longer[0], longer[-1]) == pytest.approx((sound[0], sound[-1]), abs=1e-6)
    assert np.abs(np.diff(longer)).max() <= np.abs(np.diff(sound)).max() * 1.1


def test_packets_that_are_no_opus_are_silence():
    """A page whose checksum is right can still hold anything."""
    sound = Decoder().decode([b"\xfb\x05", b"\x7b\x06" + b"\xff" * 7, b"\xfc" + b"\x01" * 40])

    assert np.isfinite(sound).all()


def test_a_journal_is_read_up_to_its_last_whole_line(tmp_path):
    """The rest of a line comes later; a damaged one is passed over."""
    script = made_up.capture([Line("caller", tone(2.0))], ends_at=2.0)
    script.write(tmp_path)
    journal = tmp_path / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:300])
    capture = CaptureFiles(tmp_path)

    capture.read()
    seen = len(capture.story.stretches)
    journal.write_bytes(whole[:300] + whole[300:] + b'garbage\n{"is": "page", "stretch": 9}\n[]\n')
    while capture.read():
        pass

    assert seen == 0
    assert len(capture.story.stretches) == 1
    assert capture.story.ended is not None


def test_pages_know_where_they_begin(tmp_path):
    """A page's granule is that of its end; a hole is between pages."""
    line = Line("caller", tone(3.0), holes=[(1.0, 1.5)])
    made_up.capture([line], ends_at=3.0).write(tmp_path)
    capture = CaptureFiles(tmp_path)
    capture.read()

    pages: list[SoundPage] = []
    file = capture.file_of(capture.story.stretches[1])
    while new := file.read():
        pages += new

    gaps = [(a.end, b.start) for a, b in pairwise(pages) if a.end != b.start]
    assert gaps == [(48_000, 72_000)]


def weave_of(*captures: CaptureFiles) -> Weave:
    """The caller's track, all that is there."""
    weave = Weave("TR_caller")
    for capture in captures:
        while capture.read():
            pass
    weave.look(captures)
    return weave


@pytest.mark.parametrize("step", [0.3, 1.0, np.inf])
def test_two_stretches_of_one_track_are_woven_into_one(tmp_path, step):
    """However it is read: no moment twice, the earlier one first, the later where it has a hole."""
    first = Line("caller", tone(20.0), holes=[(6.0, 8.0)])
    made_up.capture([first], ends_at=12.0, ended=False).write(tmp_path / "a")
    second = Line("caller", tone(20.0), delay=0.004)
    made_up.capture([second], starts=4.0, ends_at=20.0).write(tmp_path / "b")
    weave = weave_of(CaptureFiles(tmp_path / "a"), CaptureFiles(tmp_path / "b"))

    pieces, until = [], BEGINS_AT
    while until < BEGINS_AT + 24:
        until += step
        pieces += weave.take(until)

    spans = sorted((p.start_at - BEGINS_AT, p.end_at - BEGINS_AT) for p in pieces)
    assert all(b[0] > a[1] - 0.006 for a, b in pairwise(spans))
    assert sum(end - start for start, end in spans) == pytest.approx(20.0, abs=0.1)
    strands: list[Strand] = weave.strands
    filled = [p for p in pieces if p.strand is strands[1] and p.end_at < BEGINS_AT + 11.5]
    assert min(p.start_at for p in filled) == pytest.approx(BEGINS_AT + 6.0, abs=0.03)
    assert max(p.end_at for p in filled) == pytest.approx(BEGINS_AT + 8.0, abs=0.03)
