"""Finished files on a disk that has no room for them."""

import os
from pathlib import Path

import numpy as np
import pytest

from egress_manager.audio.decode import Sound
from egress_manager.audio.encode import RECIPES, Encoder
from lab.disk import NoDisk, disk, fill


@pytest.mark.parametrize("format_name", RECIPES)
@pytest.mark.parametrize("kilobytes", [0, 64])
def test_a_file_that_could_not_be_written_is_let_go_of(format_name: str, kilobytes: int) -> None:
    """Whether already its first bytes had no room or later ones: nothing is left open."""
    try:
        with disk(megabytes=1) as directory:
            fill(directory, leave_bytes=kilobytes * 1024)
            encoder = Encoder(directory / "mix", format_name)
            noise = np.random.default_rng(1).normal(0, 0.1, (2, 48_000)).astype(np.float32)
            with pytest.raises(OSError, match="No space left"):
                _write_on(encoder, noise)
            encoder.abandon()

            assert not [name for name in _open_files() if name.startswith(str(directory))]
    except NoDisk as no:
        pytest.skip(str(no))


def _write_on(encoder: Encoder, sound: Sound) -> None:
    """A minute of it."""
    for _ in range(60):
        encoder.write(sound)


def _open_files() -> list[str]:
    links = list(Path("/proc/self/fd").iterdir())
    return [os.readlink(link) for link in links if link.is_symlink()]
