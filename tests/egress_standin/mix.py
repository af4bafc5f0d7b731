"""Makes a file of what the stand-in recorded: `python mix.py job.json`.

Every track is decoded packet by packet and laid where its RTP timestamps say, beginning at the
earliest that a packet of it can have been sent; where nothing came is silence. It knows nothing of
the product's own mixing, so that one can be held against the other.
"""

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

RATE = 48_000
_HEAD = struct.Struct(">QIH")
_LONGEST = 5760
_WRAP = 1 << 32
_CODECS = {".ogg": "libopus", ".mp4": "aac", ".mp3": "libmp3lame"}
_PICTURE = (320, 180)

Sound = NDArray[np.float32]


def packets(file: Path) -> Iterator[tuple[int, int, bytes]]:
    """Arrival (ns since 1970), RTP timestamp and Opus of every packet, as they came."""
    data, at = file.read_bytes(), 0
    while at < len(data):
        arrival, timestamp, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        yield arrival, timestamp, data[at : at + length]
        at += length


def unwrapped(file: Path) -> list[tuple[int, int, bytes]]:
    """The same in the order they were sent in, each once, with timestamps that only grow."""
    found: dict[int, tuple[int, int, bytes]] = {}
    last = 0
    for arrival, timestamp, opus in packets(file):
        ahead = (timestamp - last + _WRAP // 2) % _WRAP - _WRAP // 2 if found else timestamp
        last += ahead
        found.setdefault(last, (arrival, last, opus))
    return [found[timestamp] for timestamp in sorted(found)]


def lay(side: Sound, file: Path, began: int) -> None:
    """Add what a track says to one side, which begins at `began` (ns since 1970)."""
    track = unwrapped(file)
    if not track:
        return
    origin = min(arrival - timestamp * 1_000_000_000 // RATE for arrival, timestamp, _ in track)
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout = RATE, "mono"
    for _, timestamp, opus in track:
        at = timestamp + (origin - began) * RATE // 1_000_000_000
        for frame in decoder.decode(av.Packet(opus)):
            pcm = np.frombuffer(frame.planes[0], np.int16)[: frame.samples] / np.float32(32768)
            begin, end = max(at, 0), min(at + len(pcm), len(side))
            if begin < end:
                side[begin:end] += pcm[begin - at : end - at]
            at += len(pcm)


def mixed(job: dict[str, Any]) -> Sound:
    """Both sides of the recording, from its first sound to its end."""
    length = max(1, (job["ended_at"] - job["started_at"]) * RATE // 1_000_000_000)
    sides = np.zeros((2, length), np.float32)
    for track in job["tracks"]:
        voice = np.zeros(length, np.float32)
        lay(voice, Path(track["packets"]), job["started_at"])
        for number, channel in enumerate(("left", "right")):
            if track["channel"] in (channel, "both"):
                sides[number] += voice
    return np.clip(sides, -1, 1)


def write(file: Path, sides: Sound, bitrate: int, *, picture: bool) -> None:
    """Write both sides as Opus, AAC or MP3, after the file's extension."""
    with av.open(str(file), "w") as container:
        sound = container.add_stream(_CODECS[file.suffix], rate=RATE)
        sound.layout, sound.bit_rate = "stereo", bitrate * 1000
        sound.codec_context.open()  # only then it knows the size of its frames
        if picture:
            _add_picture(container, sides.shape[1] / RATE)
        resampler = av.AudioResampler(format=sound.codec_context.format, layout="stereo", rate=RATE)
        size = sound.codec_context.frame_size or 960
        for at in range(0, sides.shape[1], size):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(sides[:, at : at + size]), format="fltp", layout="stereo"
            )
            frame.sample_rate, frame.pts = RATE, at
            for piece in resampler.resample(frame):
                container.mux(sound.encode(piece))
        container.mux(sound.encode(None))


def _add_picture(container: Any, seconds: float) -> None:
    """One black picture a second, as the real one has where nobody has a camera."""
    video = container.add_stream("libx264", rate=1)
    video.width, video.height = _PICTURE
    video.pix_fmt = "yuv420p"
    black = np.zeros((_PICTURE[1], _PICTURE[0], 3), np.uint8)
    for number in range(int(seconds) + 1):
        frame = av.VideoFrame.from_ndarray(black, format="rgb24")
        frame.pts = number
        container.mux(video.encode(frame))
    container.mux(video.encode(None))


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    write(Path(job["file"]), mixed(job), job["bitrate"], picture=job["video"])


if __name__ == "__main__":
    main()
