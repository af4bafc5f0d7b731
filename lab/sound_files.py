"""Sound files of every usual kind, as other programs leave them."""

from pathlib import Path
from typing import Final

import av
import numpy as np

from lab.sounds import PCM, RATE

#: The codec that a file of that ending usually has.
CODECS: Final = {
    ".aac": "aac",
    ".flac": "flac",
    ".m4a": "aac",
    ".mka": "libopus",
    ".mp3": "libmp3lame",
    ".mp4": "aac",
    ".ogg": "libopus",
    ".opus": "libopus",
    ".wav": "pcm_s16le",
    ".webm": "libopus",
}
_PIECE: Final = 960


def write(file: Path, *voices: PCM, rate: int = RATE, codec: str = "") -> Path:
    """The voices, a channel each (one or two), in a file of the kind that its ending says."""
    file.parent.mkdir(parents=True, exist_ok=True)
    layout = "stereo" if len(voices) > 1 else "mono"
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec or CODECS[file.suffix], rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout = layout
        stream.codec_context.open()  # only then it knows the size of its frames
        resampler = av.AudioResampler(stream.codec_context.format, layout, rate)
        packed = np.ascontiguousarray(np.stack(voices, axis=1).reshape(1, -1))
        size = (stream.codec_context.frame_size or _PIECE) * RATE // rate
        for at in range(0, len(voices[0]), size):
            piece = packed[:, at * len(voices) : (at + size) * len(voices)]
            frame = av.AudioFrame.from_ndarray(piece, format="s16", layout=layout)
            frame.sample_rate, frame.pts = RATE, at
            for made in resampler.resample(frame):
                container.mux(stream.encode(made))
        for made in resampler.resample(None):
            container.mux(stream.encode(made))
        container.mux(stream.encode(None))
    return file
