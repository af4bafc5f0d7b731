"""Several channels become one, and nothing of their sound is lost."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egress_manager.audio.decode import Sound
from egress_manager.audio.downmix import FRAME, Downmix
from egress_manager.domain.captures import TICKS
from tests.unit.audio import made_up
from tests.unit.proof import calls

VOICE = made_up.babble(8.0, seed=3)
OTHER = made_up.babble(8.0, seed=5, pitch=210.0)
#: Samples since the beginning.
AT = np.arange(len(VOICE))


def downmixed(sound: Sound, size: int = 24_000) -> Sound:
    """The one channel, of a sound that comes in pieces of a size."""
    downmix = Downmix()
    made = [downmix.add(sound[:, at : at + size]) for at in range(0, sound.shape[1], size)]
    return np.concatenate([*made, downmix.rest()])


def late(sound: Sound, seconds: float) -> Sound:
    """The same sound, later."""
    count = round(seconds * TICKS)
    return np.concatenate((np.zeros(count, np.float32), sound[: len(sound) - count]))


def turned(sound: Sound, degrees: float) -> Sound:
    """The same sound, every frequency of it turned by an angle."""
    spectrum = np.fft.rfft(sound) * np.exp(1j * np.radians(degrees))
    return np.fft.irfft(spectrum, len(sound)).astype(np.float32)


def decibels(sound: Sound) -> float:
    """The level of a sound of any number of channels: the mean of their powers."""
    return 10 * float(np.log10(np.mean(np.square(sound, dtype=np.float64)) + 1e-12))


PAIRS = {
    "the same": (VOICE, VOICE),
    "opposite": (VOICE, -VOICE),
    "opposite and weaker": (VOICE, -0.7 * VOICE),
    "the left only": (VOICE, 0 * VOICE),
    "the right only": (0 * VOICE, VOICE),
    "two voices": (VOICE, OTHER),
    "a quarter turned": (VOICE, turned(VOICE, 90)),
    "a quarter turned back": (VOICE, turned(VOICE, -90)),
    "an eighth from opposite": (VOICE, turned(VOICE, 135)),
    "0.3 ms late": (VOICE, late(VOICE, 0.0003)),
    "1 ms late": (VOICE, late(VOICE, 0.001)),
    "1 ms late and opposite": (VOICE, -late(VOICE, 0.001)),
    "5 ms late": (VOICE, late(VOICE, 0.005)),
    "20 ms late": (VOICE, late(VOICE, 0.02)),
    "wandering": (VOICE * np.cos(AT / 30_000), VOICE * np.sin(AT / 30_000)),
    "turning": (VOICE, VOICE * (1 - 2 * (AT // TICKS % 2))),
}


@pytest.mark.parametrize("name", PAIRS)
def test_both_channels_are_heard_as_loud_as_they_are(name):
    """All along: in no 20 ms with sound in it does the one channel fall silent."""
    sound = np.stack(PAIRS[name]).astype(np.float32)

    made = downmixed(sound)

    assert made.shape == (len(VOICE),)
    assert decibels(made) == pytest.approx(decibels(sound), abs=0.5)
    given = np.square(sound).mean(axis=0).reshape(-1, FRAME).mean(axis=1)
    heard = np.square(made).reshape(-1, FRAME).mean(axis=1)
    loud = given > 1e-5
    assert np.quantile(heard[loud] / given[loud], 0.02) > 0.4


@settings(max_examples=30, deadline=None)
@given(st.floats(80, 6000), st.floats(0, 2 * np.pi), st.floats(0.05, 1))
def test_a_tone_is_heard_whatever_its_phases_are(hertz, phase, share):
    """Of a tone an average may leave nothing at all."""
    angle = 2 * np.pi * hertz * np.arange(TICKS) / TICKS
    sound = np.stack([np.sin(angle), share * np.sin(angle + phase)]).astype(np.float32) / 2

    made = downmixed(sound)

    assert decibels(made[FRAME:-FRAME]) == pytest.approx(decibels(sound), abs=0.3)


@pytest.mark.parametrize("channels", [2, 3, 6])
def test_what_all_channels_have_comes_out_as_it_is(channels):
    """To the last bit of 16."""
    made = downmixed(np.stack([VOICE] * channels))

    assert np.abs(made - VOICE).max() < 2**-16


def test_a_single_channel_is_not_touched():
    """Nothing is held back of it either."""
    downmix = Downmix()

    assert (downmix.add(VOICE) == VOICE).all()
    assert (downmix.add(VOICE[None]) == VOICE).all()
    assert downmix.pending == 0
    assert not len(downmix.rest())


def test_a_channel_in_opposite_phase_among_six_cancels_nothing():
    """As in a file of surround sound."""
    sound = np.stack([VOICE, -VOICE, VOICE, -VOICE, 0 * VOICE, VOICE])

    assert decibels(downmixed(sound)) == pytest.approx(decibels(sound), abs=0.3)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=30))
def test_it_is_the_same_in_whatever_pieces_it_comes(sizes):
    """And nothing of it is left behind."""
    length = sum(sizes)
    sound = np.stack([VOICE[:length], -late(VOICE, 0.002)[:length]])
    downmix = Downmix()
    ends = np.cumsum(sizes)

    parts = [downmix.add(sound[:, end - size : end]) for size, end in zip(sizes, ends, strict=True)]
    made = np.concatenate([*parts, downmix.rest()])

    assert len(made) == sound.shape[1]
    assert made == pytest.approx(downmixed(sound), abs=1e-5)


def test_one_channel_after_two_follows_what_is_pending():
    """And two after one; everything is in its place."""
    downmix = Downmix()
    both = np.stack([VOICE, VOICE])

    parts = [
        downmix.add(VOICE[:5000]),
        downmix.add(both[:, 5000:12_345]),
        downmix.add(VOICE[12_345:20_000]),
        downmix.add(both[:, 20_000:]),
        downmix.rest(),
    ]

    assert np.concatenate(parts) == pytest.approx(VOICE, abs=1e-4)


@pytest.mark.parametrize("name", ["turning", "opposite", "0.3 ms late", "1 ms late"])
def test_nothing_clicks(name):
    """No step from one sample to the next is larger than the sound's own ones."""
    tone = (0.5 * np.sin(2 * np.pi * 300 * AT / TICKS)).astype(np.float32)
    change = {
        "turning": tone * (1 - 2 * (AT // TICKS % 2)),
        "opposite": -tone,
        "0.3 ms late": late(tone, 0.0003),
        "1 ms late": late(tone, 0.001),
    }

    made = downmixed(np.stack([tone, change[name]]).astype(np.float32))

    inside = made[FRAME:-FRAME]
    assert np.abs(np.diff(inside)).max() < 1.5 * np.abs(np.diff(tone)).max()


def test_music_whose_channels_agree_in_nothing_stays_what_it_is():
    """It is summed, and no frequency of it turned over again and again."""
    left, right = (calls.music(random.Random(seed), 8.0) for seed in (1, 2))

    made = downmixed(np.stack([left, right]))

    ideal = (left + right) / np.sqrt(2)
    assert decibels(made - ideal) < decibels(ideal) - 10


def test_silence_stays_silent_and_what_is_broken_stays_finite():
    """Nothing is divided by nothing."""
    loud = np.full((2, 4800), 1e4, np.float32) * np.array([[1], [-1]], np.float32)
    sound = np.concatenate((np.zeros((2, 4800), np.float32), loud, 0 * loud, 1e-18 * loud), axis=1)

    made = downmixed(sound)

    assert np.isfinite(made).all()
    assert not made[: 4800 - FRAME].any()
