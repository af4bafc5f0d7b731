"""One sound file, decoded from its first byte to its last, and measured as it goes by."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer

from egress_manager.audio import ogg, opus
from egress_manager.audio.container import Outside, look
from egress_manager.audio.levels import RATE, Levels, Tops
from egress_manager.audio.meter import Meter, sound_of
from egress_manager.domain.evidence import Heard, Span

#: Sound is measured in pieces of this length: so short that a piece stays in the processor's cache,
#: so long that numpy's own cost does not count. Seconds.
PIECE: Final = 1.0

#: Time stamps that are off by no more than this leave nothing out: containers round. Seconds.
STAMP: Final = 0.002

#: A file of another rate is brought to this one, unless 5 ms of its own are whole samples. Hz.
USUAL_RATE: Final = 48_000

#: More jumps than these are not told one by one.
MOST_JUMPS: Final = 100

#: Where the head of an Opus stream says how many channels it has (RFC 7845, section 5.1).
HEAD_CHANNELS: Final = 9


@dataclass(frozen=True, slots=True)
class Listened:
    """What was heard of a file, and the levels of its channels: (channels, n), dBFS.

    `tops` is the part of the samples that reached full scale, in percent (channels, n), `sum_tops`
    the part that can in a sum of the channels (n). `common` is what the first two channels have in
    common: the mean product of their samples (n).
    """

    heard: Heard
    levels: Levels
    tops: Tops
    sum_tops: Tops
    common: Levels


def hear(path: Path, *, exactly: bool = True) -> Generator[None, None, Listened]:
    """Decode and measure a file, in slices. What is wrong with it is told, not raised.

    `exactly`: Opus as phones and browsers hear it, by libopus. FFmpeg's own decoder takes little
    more than half the time, and now and then makes loud tones much louder (measured).

    Two channels under a head that says one are heard as two: a player makes one of them, in which
    what is in opposite phase is lost, and nothing can be compared with that.
    """
    outside = look(path)
    if outside.problem:
        return _nothing(outside, outside.problem)
    try:
        with av.open(str(path)) as container:
            known = [stream for stream in container.streams.audio if stream.codec_context]
            if not known:
                return _nothing(outside, "unreadable")
            decoding = Decoding(known[0], exactly=exactly, unfolds=_is_folded(path, known[0]))
            yield from decoding.run(container)
            return decoding.listened(outside, container.format.name, container.duration)
    except (av.FFmpegError, ValueError, OverflowError, MemoryError):
        return _nothing(outside, "unreadable")


def _is_folded(path: Path, stream: AudioStream) -> bool:
    """Whether the head of an Opus file says one channel, and a packet of it has two."""
    if stream.codec_context.name != "opus" or stream.channels != 1:
        return False
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        return any(map(opus.is_stereo_toc, ogg.first_bytes(data)))


def _nothing(outside: Outside, problem: str) -> Listened:
    heard = Heard(problem=problem, size_bytes=outside.size_bytes, sha256=outside.sha256)
    nothing = np.zeros((0, 0), np.float32)
    tops = nothing.astype(np.uint8)
    return Listened(heard, nothing, tops, tops.reshape(-1), nothing.reshape(-1))


def libopus(stream: AudioStream, *, unfolds: bool = False) -> AudioCodecContext:
    """The decoder that phones and browsers have; it unfolds what its head says is one channel."""
    context = av.CodecContext.create("libopus", "r")
    assert isinstance(context, AudioCodecContext)
    head = bytearray(stream.codec_context.extradata or b"")
    if unfolds and len(head) > HEAD_CHANNELS:
        head[HEAD_CHANNELS] = 2
    context.extradata = bytes(head)
    context.sample_rate = stream.rate
    context.layout = "stereo" if unfolds else stream.layout.name
    return context


class Decoding:
    """A file on its way through the decoder: what was decoded, and where something is left out."""

    def __init__(self, stream: AudioStream, *, exactly: bool, unfolds: bool = False) -> None:
        self._stream = stream
        self._codec = stream.codec_context.name
        self._unfolds = unfolds
        is_theirs = (exactly or unfolds) and self._codec == "opus"
        self._opus = libopus(stream, unfolds=unfolds) if is_theirs else None
        self._file_rate = stream.rate
        self._rate = stream.rate if stream.rate % RATE == 0 else USUAL_RATE
        layout = "stereo" if unfolds else stream.layout.name
        self._resampler = av.AudioResampler("fltp", layout, self._rate)
        self._fifo = av.AudioFifo()
        self._end = 0.0  # of what was decoded, in seconds
        self._meter = Meter(2 if unfolds else stream.channels, self._rate)
        self._errors = 0
        self._jumps: list[Span] = []

    def run(self, container: InputContainer) -> Iterator[None]:
        """Decode everything, in slices; what can't be is counted, and its time stays silent."""
        stamp = float(self._stream.time_base or 0)
        ticks = 1 / (stamp * self._file_rate)  # time stamps a sample: 1 in most files
        due, first = 0.0, True
        piece = round(PIECE * self._file_rate)
        for frame in self._frames(container):
            pts = frame.pts
            if pts is not None and pts != due:
                if (pts - due) * stamp > STAMP:
                    self._jump(due * stamp, pts * stamp, is_first=first)
                    due = pts
                elif first:
                    due = pts
            due += frame.samples * ticks
            first = False
            frame.pts = None
            self._fifo.write(frame)
            if self._fifo.samples >= piece:
                self._measure(piece)
                yield
        self._measure(0)
        self._end = due * stamp

    def _frames(self, container: InputContainer) -> Iterator[av.AudioFrame]:
        """What comes out of the decoder."""
        packets = container.demux(self._stream)
        while True:
            try:
                for packet in packets:
                    yield from self._decoded(packet)
                return
            except av.FFmpegError:
                self._errors += 1

    def _decoded(self, packet: "av.Packet[AudioStream]") -> Sequence[av.AudioFrame]:
        """The frames of a packet; what comes before the beginning is cut off by the decoder."""
        if self._opus is None:
            return packet.decode()
        frames = self._opus.decode(packet if packet.size else None)
        for frame in frames:
            frame.pts = None if frame.pts is None else max(0, frame.pts)
        return frames

    def _jump(self, start_sec: float, end_sec: float, *, is_first: bool) -> None:
        """There is nothing from one time to another."""
        self._measure(0)
        if not is_first:
            self._jumps.append(Span(round(start_sec, 3), round(end_sec, 3)))
        self._meter.go_to(end_sec)

    def _measure(self, samples: int) -> None:
        """Measure so much of what is waiting; 0 for all of it."""
        frame = self._fifo.read(samples, partial=True) if self._fifo.samples else None
        if frame is None:
            return
        if frame.format.name == "fltp" and frame.sample_rate == self._rate:
            self._meter.add(frame)
            return
        for resampled in self._resampler.resample(frame):
            self._meter.add(resampled)

    def listened(self, outside: Outside, format_name: str, duration: int | None) -> Listened:
        """All that is known now."""
        names = format_name.split(",")
        levels, tops = self._meter.levels, self._meter.tops
        heard = Heard(
            size_bytes=outside.size_bytes,
            sha256=outside.sha256,
            format="mp4" if "mp4" in names else names[0],
            codec=self._codec,
            sample_rate=self._file_rate,
            is_fast_start=outside.is_fast_start,
            has_end=outside.has_end,
            said_sec=round((duration or 0) / av.time_base, 3),
            decoded_sec=round(self._end, 3),
            errors=self._errors,
            jumps=tuple(self._jumps[:MOST_JUMPS]),
            is_folded=self._unfolds,
            channels=tuple(map(sound_of, levels, tops, self._meter.speech_sec)),
        )
        return Listened(heard, levels, tops, self._meter.sum_tops, self._meter.common)
