"""Tracks in stereo: heard in the mix whatever their phases are, and kept as they came."""

from pathlib import Path

import numpy as np
import pytest

from egress_manager.audio import ogg, opus
from egress_manager.audio.decode import Decoder, Sound
from egress_manager.domain.captures import TICKS
from egress_manager.domain.recordings import Layout
from tests.unit.audio import made_up
from tests.unit.audio.finished_files import file_of, mixed, piece
from tests.unit.audio.made_up import FRAME, Line
from tests.unit.audio.test_render import LEFT, RIGHT, chirping, level, off, rendered

SECONDS = 8.0
VOICE = made_up.babble(SECONDS, seed=3)
LATE = np.concatenate((np.zeros(FRAME // 8, np.float32), VOICE[: -FRAME // 8]))

#: The right channel beside `VOICE`, and in which spans the encoder has one channel only.
KINDS: dict[str, tuple[Sound, tuple[tuple[float, float], ...]]] = {
    "opposite": (-VOICE, ()),
    "opposite and weaker": (-0.6 * VOICE, ()),
    "late": (LATE, ()),
    "left only": (0 * VOICE, ()),
    "two voices": (made_up.babble(SECONDS, seed=9, pitch=210.0), ()),
    "opposite after mono": (np.where(np.arange(len(VOICE)) < 3 * TICKS, VOICE, -VOICE), ((0, 3),)),
    "back and forth": (
        np.where(np.arange(len(VOICE)) // TICKS % 2, VOICE, -VOICE),
        ((1, 2), (3, 4), (5, 6), (7, 8)),
    ),
}


def channels_of(path: Path) -> int:
    """How many channels the head of an Ogg Opus file says it has."""
    return ogg.read_pages(path.read_bytes())[0].packets[0][9]


def power(sound: Sound, start: float, end: float) -> float:
    """The mean level of all channels over a span, dBFS."""
    return float(10 * np.log10(np.mean([10 ** (level(one, start, end) / 10) for one in sound])))


@pytest.mark.parametrize("mix_format", ["mp4", "ogg"])
@pytest.mark.parametrize("kind", KINDS)
def test_stereo_is_heard_as_loud_as_it_was_sent(tmp_path, kind, mix_format):
    """In every second of the mix; and in the track's own file, in both channels."""
    right, mono = KINDS[kind]
    caller = Line("caller", VOICE, right=right, stereo=True, mono=mono, bits=96_000)
    agent = Line("agent", made_up.with_chirps(SECONDS, [0.5, 7.0]))

    made, mix = rendered(
        tmp_path, [caller, agent], SECONDS, mix_format=mix_format, mix_filepath=f"m.{mix_format}"
    )

    sent = np.stack([VOICE, right])
    file = tmp_path / next(t.filepath for t in made.tracks if t.side == "left")
    kept = made_up.decoded(file)
    assert channels_of(file) == len(kept) == 2
    spoken = [at for at in range(int(SECONDS) - 1) if power(sent, at, at + 1) > -40]
    for at in spoken:
        assert level(mix[LEFT], at, at + 1) == pytest.approx(power(sent, at, at + 1), abs=2)
        assert power(kept, at, at + 1) == pytest.approx(power(sent, at, at + 1), abs=1.5)
    assert len(spoken) > 3
    assert off(mix[RIGHT], [0.5, 7.0]) < 0.005


def test_packets_are_kept_as_they_came_also_behind_mono_ones(tmp_path):
    """Only the head knows, in the end, that there is stereo among them."""
    caller = Line("caller", VOICE, right=-VOICE, stereo=True, mono=((0, 3),), bits=96_000)

    made, _ = rendered(tmp_path, [caller], SECONDS)

    sent = [packet for packet in made_up.payloads(caller) if packet]
    pages = ogg.read_pages((tmp_path / made.tracks[0].filepath).read_bytes())
    kept = [packet for page in pages if not page.is_head for packet in page.packets]
    assert kept[: len(sent)] == sent
    assert [page.sequence for page in pages] == list(range(len(pages)))


def test_a_mono_track_stays_mono(tmp_path):
    """In its file, and to the decoder, which gives what libopus gives."""
    caller = Line("caller", VOICE)

    made, _ = rendered(tmp_path, [caller], SECONDS)

    file = tmp_path / made.tracks[0].filepath
    assert channels_of(file) == len(made_up.decoded(file)) == 1
    assert Decoder().decode([p for p in made_up.payloads(caller) if p]).ndim == 1


def test_stereo_is_at_its_place(tmp_path):
    """To the millisecond, also behind a hole, and where the encoder changes over."""
    marks = [0.5, 2.5, 4.5, 6.5]
    sound = made_up.with_chirps(SECONDS, marks)
    caller = chirping(
        "caller",
        SECONDS,
        marks,
        right=-sound,
        stereo=True,
        mono=((0, 0.4), (3.0, 4.4)),
        holes=[(5.0, 6.0)],
        drift_ppm=100,
    )

    _, mix = rendered(tmp_path, [caller], SECONDS)

    assert off(mix[LEFT], marks) < 0.005


def test_the_end_of_a_run_is_heard_where_it_is_mixed_in_two_slices(tmp_path):
    """What a run holds back for its fade is not left over for a slice that is written already."""
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(8 * TICKS) / TICKS)).astype(np.float32)
    for end in (2.0, 2.02):  # packets end there, and what they carry 6.5 ms earlier
        line = Line("caller", tone, right=-tone, stereo=True, holes=[(end, 5.0)], bits=96_000)

        _, mix = rendered(tmp_path / f"{end}", [line], SECONDS)

        whole = level(mix[LEFT], 1.0, 1.5)
        assert level(mix[LEFT], end - 0.02, end - 0.01) == pytest.approx(whole, abs=1)


def test_a_decoder_that_goes_over_to_stereo_knows_what_was_before():
    """It sounds as if it had decoded in stereo from the beginning."""
    noise = 0.1 * np.random.default_rng(1).standard_normal(3 * TICKS).astype(np.float32)
    line = Line("x", noise, right=0.5 * noise, stereo=True, mono=((0, 1.0),), bits=96_000)
    packets = [packet for packet in made_up.payloads(line) if packet]
    from_the_first = Decoder()
    from_the_first.decode([opus.silent_packet(FRAME, stereo=True)])
    wanted = from_the_first.decode(packets)

    decoder = Decoder()
    before, after = decoder.decode(packets[:50]), decoder.decode(packets[50:])

    assert (before.ndim, after.shape) == (1, wanted[:, 50 * FRAME :].shape)
    error = after - wanted[:, 50 * FRAME :]
    assert np.sqrt(np.mean(error**2)) < 1e-3 * np.sqrt(np.mean(after**2))


@pytest.mark.parametrize("ending", [".ogg", ".mp4"])
@pytest.mark.parametrize("layout", [Layout.LEFT, Layout.RIGHT, Layout.BOTH])
def test_a_finished_file_of_one_voice_does_not_cancel_itself(tmp_path, ending, layout):
    """As a track's file of LiveKit Egress, or one that was imported."""
    file_of(tmp_path / f"a{ending}", np.stack([VOICE, -VOICE]))

    _, mix = mixed(tmp_path, [piece(f"a{ending}", 0.5, layout)], SECONDS + 1)

    for side, others in ((LEFT, Layout.RIGHT), (RIGHT, Layout.LEFT)):
        wanted = -180 if layout is others else level(VOICE, 0.5, 7.0)
        heard = level(mix[side], 1.0, 7.5)
        assert heard < -80 if layout is others else heard == pytest.approx(wanted, abs=0.5)


def test_a_finished_file_in_stereo_is_at_its_place_to_its_end(tmp_path):
    """Nothing of it is held back for good."""
    marks = [0.01, 3.0, 5.85]
    sound = made_up.with_chirps(6.0, marks)
    file_of(tmp_path / "a.ogg", np.stack([sound, -sound]))

    made, mix = mixed(tmp_path, [piece("a.ogg", 0.5, Layout.LEFT)], 7.0)

    assert off(mix[LEFT], [mark + 0.5 for mark in marks]) < 0.002
    assert made.duration_sec == 7.0
