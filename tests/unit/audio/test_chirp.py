"""A sound that is known again."""

from pathlib import Path

import numpy as np
import pytest

from egress_manager.audio import chirp
from egress_manager.audio.decode import Sound
from egress_manager.audio.encode import RECIPES, Encoder
from egress_manager.domain.captures import TICKS


def silence(seconds: float) -> Sound:
    """Nothing, mono."""
    return np.zeros(round(seconds * TICKS), np.float32)


@pytest.mark.parametrize("format_name", RECIPES)
def test_it_is_found_in_a_finished_file(tmp_path: Path, format_name: str) -> None:
    """Whole on its side, and nowhere on the other."""
    left = np.concatenate([silence(1.2), chirp.chirp(), silence(0.3)])
    file = tmp_path / f"a.{format_name}"
    encoder = Encoder(file, format_name)
    encoder.write(np.stack([left, np.zeros_like(left)]))
    encoder.close()

    heard_left, heard_right = chirp.read(file.read_bytes())

    assert chirp.likeness(heard_left, chirp.chirp()) > 0.95
    assert chirp.likeness(heard_right, chirp.chirp()) < 0.1
    assert chirp.loudest(heard_right) < -60
    assert len(heard_left) == pytest.approx(len(left), abs=0.1 * TICKS)


@pytest.mark.parametrize(
    ("side", "least", "most"),
    [
        (chirp.chirp()[: TICKS // 2], 0.4, 0.6),
        (np.roll(chirp.chirp(), TICKS), 0.5, 0.8),
        (np.random.default_rng(1).normal(0, 0.2, 4 * TICKS).astype(np.float32), 0, 0.1),
        (silence(3), 0, 0),
        (silence(0), 0, 0),
    ],
    ids=["a quarter", "halves exchanged", "noise", "silence", "nothing"],
)
def test_what_is_not_all_of_it_is_told(side: Sound, least: float, most: float) -> None:
    """A part that is missing or elsewhere counts as missing."""
    assert least <= chirp.likeness(side, chirp.chirp()) <= most


def test_levels_are_told_of_silence_too() -> None:
    """-120 dBFS is digital silence."""
    assert chirp.loudest(silence(1)) == -120
    assert chirp.loudest(chirp.chirp()) == pytest.approx(-9.1, abs=0.1)
