"""Sound -> the finished file of a mix, written as it comes."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import av
import numpy as np

from egress_manager.audio.decode import Sound
from egress_manager.domain.captures import TICKS


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a format is made. Bits are per second, for both sides together."""

    codec: str
    sample_format: str
    bits: int
    codec_options: Mapping[str, str]
    container_options: Mapping[str, str] = field(default_factory=dict)


#: The formats of a mix. AAC: the fast coder takes a third of the CPU of the other; no mid/side and
#: no intensity stereo, so that nothing of one side can be heard on the other. The index comes first
#: (faststart), so a player can begin before it has everything. The muxer's edit list takes the
#: encoder's priming off, in Ogg the pre-skip does.
RECIPES: Final[Mapping[str, Recipe]] = {
    "mp4": Recipe(
        "aac",
        "fltp",
        64_000,
        {"aac_coder": "fast", "aac_ms": "0", "aac_is": "0", "aac_pns": "0", "aac_tns": "0"},
        {"movflags": "+faststart"},
    ),
    "ogg": Recipe("libopus", "flt", 64_000, {"compression_level": "3", "application": "audio"}),
}


class Encoder:
    """Writes a stereo file at 48 kHz. Raises `OSError` where the file can't be written.

    The file is opened here and not by the container, which never closes one whose first bytes
    could not be written.
    """

    def __init__(self, path: Path, format_name: str) -> None:
        recipe = RECIPES[format_name]
        # Unbuffered: to move the index to the front, the container reads it by its name.
        self._file = path.open("w+b", buffering=0)
        self._container = av.open(
            self._file, "w", format=format_name, options=dict(recipe.container_options)
        )
        stream = self._container.add_stream(
            recipe.codec, rate=TICKS, options=dict(recipe.codec_options)
        )
        assert isinstance(stream, av.AudioStream)
        self._stream = stream
        self._stream.layout = "stereo"
        self._stream.format = recipe.sample_format
        self._stream.bit_rate = recipe.bits
        self._is_planar = recipe.sample_format.endswith("p")
        self._written = 0

    def write(self, sound: Sound) -> None:
        """Append both sides (2, n)."""
        if not sound.shape[1]:
            return
        samples = sound if self._is_planar else sound.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples), format=self._stream.format.name, layout="stereo"
        )
        frame.sample_rate = TICKS
        frame.pts = self._written
        self._written += sound.shape[1]
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write the rest and the index."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        self._file.close()

    def abandon(self) -> None:
        """Let go of the file as it is; what could not be written is of no interest any more."""
        with self._file, suppress(Exception):
            self._container.close()
