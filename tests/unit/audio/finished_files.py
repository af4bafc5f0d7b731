"""Finished files made up for tests, and what the renderer makes of them."""

from pathlib import Path

import av
import numpy as np

from egress_manager.audio.render import Render
from egress_manager.domain.captures import TICKS
from egress_manager.domain.recordings import Layout, Piece, Rendered
from tests.unit.audio import made_up
from tests.unit.audio.made_up import BEGINS_AT
from tests.unit.audio.test_render import finished, plan

HERS, HIS = [1.0, 5.0, 8.5], [2.0, 6.0, 7.5]


def file_of(path: Path, sound: np.ndarray, rate: int = TICKS) -> Path:
    """A finished file of that sound (channels, samples) at 48 kHz, coded by its ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    layout = "stereo" if len(sound) == 2 else "mono"
    with av.open(str(path), "w") as container:
        stream = container.add_stream({".ogg": "libopus", ".mp4": "aac"}[path.suffix], rate=rate)
        stream.layout, stream.bit_rate = layout, 96_000
        stream.codec_context.open()  # only then it knows the size of its frames
        size = stream.codec_context.frame_size
        resampler = av.AudioResampler(stream.codec_context.format.name, layout, rate, size)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), "fltp", layout)
        frame.sample_rate, frame.pts = TICKS, 0
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def tone(seconds: float, hertz: float = 440.0, begins: float = 0.0) -> np.ndarray:
    """A third of full scale, in step with the same tone that begins at another time."""
    t = begins + np.arange(round(seconds * TICKS)) / TICKS
    return (0.33 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def stereo(left: np.ndarray, right: np.ndarray | None = None) -> np.ndarray:
    """Both sides; the right one is silent unless it is given."""
    return np.stack((left, np.zeros_like(left) if right is None else right))


def talk(length: float = 10.0) -> np.ndarray:
    """She chirps left, he right."""
    return stereo(made_up.with_chirps(length, HERS), made_up.with_chirps(length, HIS))


def piece(filepath: str, begins: float = 0.0, layout: Layout = Layout.STEREO) -> Piece:
    """A piece that begins so many seconds after `BEGINS_AT`."""
    return Piece(filepath, BEGINS_AT + begins, layout)


def mixed(directory, pieces, ends_at: float = 10.0, **more) -> tuple[Rendered, np.ndarray]:
    """What is made of pieces, of a call of ten seconds that nobody captured."""
    fields = {"captures": (), "pieces": tuple(pieces), **more}
    made = finished(Render(directory, plan(ends_at, **fields)))
    return made, made_up.decoded(directory / made.filepath)


def causes(made: Rendered) -> list[tuple[float, float, str]]:
    """The holes, to a tenth of a second."""
    return [(round(h.start_sec, 1), round(h.end_sec, 1), h.cause) for h in made.holes]
