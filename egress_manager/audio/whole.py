"""A sound file of anybody's, decoded from its beginning to its end: its header may promise more."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import av

from egress_manager.domain.importing import NoSound, SoundFile

#: The containers that are read, by FFmpeg's names: each is one file. Not playlists, which would
#: have other files opened, and not what takes any text for a picture.
CONTAINERS: Final = (
    "aac aiff amr asf au avi caf flac matroska,webm mov,mp4,m4a,3gp,3g2,mj2 mp3 mpegts ogg w64 wav"
)

#: The usual ending of a container whose FFmpeg's name is no ending.
_ENDINGS: Final = {"matroska": "mka", "mov": "mp4", "mpegts": "ts", "asf": "wma"}

_OPTIONS: Final = {
    "format_whitelist": CONTAINERS.replace(" ", ","),
    "protocol_whitelist": "file",
}


def sound_of(path: Path) -> SoundFile:
    """What is heard in it, of the first audio stream. Raises `NoSound`."""
    try:
        with av.open(str(path), options=_OPTIONS, metadata_errors="replace") as container:
            if not container.streams.audio:
                raise NoSound("there is no sound in it")
            return _heard(container)
    except (av.InvalidDataError, av.ArgumentError, av.EOFError) as error:
        raise NoSound("it is no sound file, or one of an unknown kind") from error
    except (av.FFmpegError, OSError) as error:
        raise NoSound(f"it can't be read: {error.strerror or type(error).__name__}") from error


@dataclass(slots=True)
class _Tally:
    """What came out so far; `samples` by their rate, `begins` and `ends` by their time stamps."""

    samples: Counter[int] = field(default_factory=Counter)
    channels: int = 0
    begins: float | None = None
    ends: float = 0.0

    def take(self, frame: av.AudioFrame) -> None:
        self.samples[frame.sample_rate] += frame.samples
        self.channels = max(self.channels, frame.layout.nb_channels)
        at = frame.time or 0.0
        self.begins = at if self.begins is None else self.begins
        self.ends = at + frame.samples / frame.sample_rate

    def lasts(self, said: float) -> float:
        """How long the file lasts: what is heard, and the silence that it leaves out.

        That counts where time stamps and header, which says so many seconds, agree on it. LiveKit
        Egress writes nothing while a track is muted.
        """
        heard = sum(count / rate for rate, count in self.samples.items())
        stamped = self.ends - (self.begins or 0.0)
        return round(stamped if heard < stamped <= said + 1 else heard, 6)


def _heard(container: av.container.InputContainer) -> SoundFile:
    stream = container.streams.audio[0]
    tally, good, damaged = _Tally(), 0, 0
    for frames in _decoded(container, stream):
        good, damaged = good + bool(frames), damaged + (frames is None)
        for frame in frames or ():
            tally.take(frame)
    if not tally.samples or damaged > good:
        raise NoSound("nothing in it can be decoded")
    name = container.format.name.split(",")[0]
    return SoundFile(
        duration_sec=tally.lasts((container.duration or 0) / av.time_base),
        channels=tally.channels,
        sample_rate=tally.samples.most_common(1)[0][0],
        codec=stream.codec_context.codec.canonical_name,
        container=_ENDINGS.get(name, name),
        damaged=damaged,
    )


def _decoded(
    container: av.container.InputContainer, stream: av.AudioStream
) -> Iterator[list[av.AudioFrame] | None]:
    """The frames of each packet; None for one that is damaged, and for the rest where it is cut."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
            yield list(stream.decode(packet))
        except StopIteration:
            return
        except av.EOFError:
            return
        except av.FFmpegError:
            yield None
