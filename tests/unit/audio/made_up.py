"""Captures made up for tests: real Opus packets of known sounds, as a recorder would keep them.

    talk = Line("caller", sound=beeps, drift_ppm=80, jitter=0.05, loss=0.01, clock_error=3600)
    capture([talk, Line("agent", sound=other)], ends_at=60.0).write(tmp_path / "captures/cap_1")

A `Line` is one track of one participant. Its `sound` is what was to be heard in the room, 48 kHz
mono float, from the call's beginning on: where it belongs in a finished file is where it is in that
array. Everything between is made up: the publisher's clock, the network, what was lost.

`capture` gives a `Script`: what was appended to which file when. `write` puts it into a directory,
as a whole or up to a moment, so that a growing capture can be played. Times here are seconds since
`BEGINS_AT`, unless they are called `…_at` in an entry.
"""

import json
import random
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, compress, pairwise
from math import inf
from pathlib import Path

import av
import numpy as np

from egress_manager.audio import ogg, opus
from egress_manager.domain.captures import (
    JOURNAL,
    TICKS,
    Began,
    ConnectionChanged,
    Ended,
    Entry,
    PageKept,
    ParticipantChanged,
    SenderReport,
    StretchBegan,
    StretchEnded,
    TrackChanged,
    to_json,
)
from egress_manager.recorder.stretch import CHANNELS, STALL

#: When the made-up calls begin.
BEGINS_AT = 1_790_000_000.0

FRAME = 960
#: The timestamp of a publisher's first sample.
RTP_BEGINS = 4711
PAGE = 24_000
#: Octets that LiveKit counts with every packet beside what is in it.
RTP_HEADER = 12
#: Octets of a packet of silence.
SILENT = 3
#: How often LiveKit reports, and how often its SDK does on average. Seconds (measured).
REPORT_EVERY = 3.0
PUBLISHERS_REPORT_EVERY = 5.0


#: A frame of the silence that LiveKit's server adds, and the gap between two. Ticks.
LIVEKIT_SILENCE = opus.silent_packet(FRAME).ljust(80, b"\0")
GAP = 24


@dataclass(frozen=True)
class Line:
    """One participant's track, what it carries, and what its packets go through.

    `drift_ppm`: by how much the publisher's clock is slow. `delay` and `jitter` in seconds: every
    packet takes the delay, and up to the jitter more; `late` adds to those in spans of time.
    `loss`: this part of packets is lost; `holes`: all packets in these spans. `dtx`: frames of
    digital silence are not sent. `clock_error`: its sender reports' clock is off by so much.
    `stops`: spans, in the time of the room, in which the publisher sends nothing and does not count
    either; its `sound` has to be silent there, and goes on where it was. `leaps`: when its
    timestamps leap, and by how much. `ahead`: so much of each utterance (after a frame of digital
    silence) is sent at once, and the rest of it as early. `before`: so many packets were sent to
    the recorder before the call, to which it listened all the time. `skipped`: behind every pause
    come so many packets that have no place, as the server adds them to a mute. `stereo`: its
    packets have two channels, except in the spans of `mono`; the second is `right`, or the same as
    the first. `ssrc`: its stream's, the same as another line's; 0 for one of its own. `muted`:
    spans in which the server sends its own silence instead, for the first second.
    """

    identity: str
    sound: "np.ndarray | Chirps"
    kind: str = "STANDARD"
    published: float = 0.0
    drift_ppm: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    late: Sequence[tuple[float, float, float]] = ()
    loss: float = 0.0
    holes: Sequence[tuple[float, float]] = ()
    dtx: bool = False
    stops: Sequence[tuple[float, float]] = ()
    leaps: Sequence[tuple[float, float]] = ()
    ahead: float = 0.0
    heard_from: float = 0.0
    stereo: bool = False
    right: np.ndarray | None = None
    mono: Sequence[tuple[float, float]] = ()
    clock_error: float = 0.0
    reports: bool = True
    bits: int = 32_000
    seed: int = 1
    encrypted: bool = False
    before: int = 0
    skipped: int = 0
    ssrc: int = 0
    muted: Sequence[tuple[float, float]] = ()

    @property
    def track_sid(self) -> str:
        return f"TR_{self.identity}"

    @property
    def participant_sid(self) -> str:
        return f"PA_{self.identity}"


@dataclass(frozen=True)
class Append:
    """Bytes that a recorder appended to a file."""

    at: float
    file: str
    data: bytes


@dataclass
class Script:
    """All that was written to a capture's directory, in the order of time."""

    appends: list[Append] = field(default_factory=list)

    def write(self, directory: Path, *, after: float = -inf, until: float = inf) -> None:
        """Append to the files what was written after one moment, until another."""
        directory.mkdir(parents=True, exist_ok=True)
        for append in self.appends:
            if after < append.at - BEGINS_AT <= until:
                with (directory / append.file).open("ab") as file:
                    file.write(append.data)


@dataclass(frozen=True)
class Sent:
    """A packet that reached the recorder. Granules count from the publisher's first sample."""

    granule: int
    sent: float
    arrived: float
    payload: bytes
    lost_before: int


def capture(
    lines: Sequence[Line],
    *,
    ends_at: float,
    starts: float = 0.0,
    name: str = "cap_1",
    extra: Iterable[Entry] = (),
    ended: bool = True,
) -> Script:
    """What a recorder writes that is in the room from `starts` to `ends_at`, and hears these."""
    entries: list[Entry] = [
        Began(BEGINS_AT + starts, name, "room"),
        ConnectionChanged(BEGINS_AT + starts, "media", "recorder"),
        *extra,
    ]
    script = Script()
    for number, line in enumerate(lines, 1):
        there_at = BEGINS_AT + max(starts, line.published)
        entries += [
            ParticipantChanged(
                there_at, line.participant_sid, line.identity, line.identity, line.kind
            ),
            TrackChanged(
                there_at, line.track_sid, line.participant_sid, is_encrypted=line.encrypted
            ),
        ]
        since = max(starts, line.heard_from)
        packets = [p for p in arrivals(line) if since <= p.arrived - BEGINS_AT < ends_at]
        if packets:
            kept, pages = _stretch(line, number, packets)
            entries += kept if ended else kept[:-1]
            script.appends += pages
    if ended:
        entries.append(Ended(BEGINS_AT + ends_at, "left"))
    script.appends += [
        Append(entry.at, JOURNAL, json.dumps(to_json(entry)).encode() + b"\n") for entry in entries
    ]
    script.appends.sort(key=lambda append: append.at)
    return script


def arrivals(line: Line) -> Iterator[Sent]:
    """The packets of a line as they come, in order."""
    chance = random.Random(line.seed)
    pace = 1 + line.drift_ppm * 1e-6
    newest, lost, skipped, begun = 0.0, 0, 0, 0.0
    for frame, payload in enumerate(payloads(line)):
        n = frame - skipped
        at = frame * FRAME / TICKS * pace
        if _is_stopped(line, frame):
            skipped += 1
            continue
        delay = line.delay + chance.random() * line.jitter
        delay += sum(more for start, end, more in line.late if start <= at < end)
        if payload is None or opus.is_silent(payload):
            begun = at + FRAME / TICKS
        in_hole = any(start <= at < end for start, end in line.holes)
        if payload is None or in_hole or chance.random() < line.loss:
            lost += payload is not None
            continue
        silence = next((at - since for since, until in line.muted if since <= at < until), None)
        if silence is not None:
            if silence < 1.0:
                gaps = GAP * (1 + round(silence / FRAME * TICKS))
                arrived = BEGINS_AT + line.published + at + delay
                yield Sent(n * FRAME + gaps, at, arrived, LIVEKIT_SILENCE, lost)
                lost = 0
            continue
        at = max(min(begun, at), at - line.ahead)
        newest = max(newest, BEGINS_AT + line.published + at + delay)
        leapt = sum(more for since, more in line.leaps if since <= frame * FRAME / TICKS)
        yield Sent(n * FRAME + round(leapt * TICKS), at, newest, payload, lost)
        lost = 0


def payloads(line: Line) -> Iterator[bytes | None]:
    """The frames of a line, coded; None where DTX sends nothing, and where the publisher stops.

    Frames of digital silence are not given to the encoder, so that a long quiet line is made fast.
    What comes after a stop is coded as if there had been none.
    """
    frames = list(_frames(line))
    stopped = [_is_stopped(line, n) for n in range(len(frames))]
    stereo = [_is_stereo(line, n) for n in range(len(frames))]
    given = compress(zip(frames, stereo, strict=True), (not is_stopped for is_stopped in stopped))
    coded = _coded(line, list(given))
    for is_stopped in stopped:
        yield None if is_stopped else next(coded)


def _is_stopped(line: Line, frame: int) -> bool:
    """Whether the publisher neither sends nor counts then."""
    at = frame * FRAME / TICKS * (1 + line.drift_ppm * 1e-6)
    return any(start <= at < end for start, end in line.stops)


def _is_stereo(line: Line, frame: int) -> bool:
    """Whether the packet then has two channels."""
    at = frame * FRAME / TICKS
    return line.stereo and not any(start <= at < end for start, end in line.mono)


def _coded(line: Line, frames: list[tuple[np.ndarray | None, bool]]) -> Iterator[bytes | None]:
    """Frames one after the other, coded; in one channel or in two."""
    encoder, was_stereo = None, False
    for n, (frame, stereo) in enumerate(frames):
        if all(near is None for near, _ in frames[max(0, n - 4) : n + 5]):
            encoder = None
            yield None if line.dtx else opus.silent_packet(FRAME, stereo=stereo)
            continue
        if encoder is None or stereo is not was_stereo:
            encoder, was_stereo = _encoder(line, stereo=stereo), stereo
        sound = np.zeros((1, FRAME), np.float32) if frame is None else np.atleast_2d(frame)
        sound = np.broadcast_to(sound, (2, FRAME)) if stereo else sound.mean(axis=0, keepdims=True)
        samples = (sound.T.reshape(1, -1) * 32767).astype(np.int16)
        layout = "stereo" if stereo else "mono"
        given = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
        given.sample_rate = TICKS
        yield from map(bytes, encoder.encode(given))


def _frames(line: Line) -> Iterator[np.ndarray | None]:
    """The line's sound, (n,) or (2, n), from its publication on; None for silence."""
    if line.right is None:
        yield from _sampled(line, line.sound)
        return
    for sides in zip(_sampled(line, line.sound), _sampled(line, line.right), strict=True):
        filled = [np.zeros(FRAME, np.float32) if side is None else side for side in sides]
        yield None if all(side is None for side in sides) else np.stack(filled)


def _sampled(line: Line, sound: "np.ndarray | Chirps") -> Iterator[np.ndarray | None]:
    """A sound as the line's own clock samples it, frame by frame; None for silence."""
    first = round(line.published * TICKS)
    pace = 1 + line.drift_ppm * 1e-6
    for n in range(int((len(sound) - first - 2) / pace) // FRAME):
        start = int(n * FRAME * pace)
        part = sound[first + start : first + start + FRAME + 3]
        if not part.any():
            yield None
        elif pace == 1:
            yield part[:FRAME]
        else:
            moments = (n * FRAME + np.arange(FRAME)) * pace - start
            yield np.interp(moments, np.arange(len(part)), part).astype(np.float32)


def _encoder(line: Line, *, stereo: bool) -> av.AudioCodecContext:
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.format = TICKS, "s16"
    encoder.layout = "stereo" if stereo else "mono"
    encoder.bit_rate = line.bits
    encoder.options = {"application": "voip", "compression_level": "2"}
    return encoder


def _stretch(line: Line, number: int, packets: list[Sent]) -> tuple[list[Entry], list[Append]]:
    """The journal's lines and the file's pages for the packets of one line."""
    first, file = packets[0], f"stretch-{number:04}.ogg"
    entries: list[Entry] = [
        StretchBegan(
            first.arrived,
            number,
            file,
            line.track_sid,
            line.participant_sid,
            line.ssrc or number,
            RTP_BEGINS + first.granule,
            line.before,
            line.before * SILENT,
        )
    ]
    pages = list(_pages(packets))
    skipped = list(_skipped(line, pages))
    appends = [Append(first.arrived, file, ogg.head_pages(number, CHANNELS))]
    for sequence, page in enumerate(pages, 2):
        until = page[-1].granule + FRAME - first.granule
        delays = [p.arrived - p.granule / TICKS for p in page]
        least = page[delays.index(min(delays))]
        at = page[-1].arrived
        entries.append(
            PageKept(
                at=at,
                stretch=number,
                granule=least.granule - first.granule,
                arrived=least.arrived,
                until=until,
                packets=len(page),
                octets=sum(len(p.payload) for p in page),
                lost=sum(p.lost_before for p in page),
                came=page[0].arrived,
                start=page[0].granule - first.granule,
                first=page[0].granule - first.granule,
                jitter=max(delays) - min(delays),
                is_silent=all(opus.is_silent(p.payload) for p in page),
                skipped=skipped[sequence - 2],
                skipped_octets=skipped[sequence - 2] * SILENT,
            )
        )
        data = ogg.page([p.payload for p in page], until, number, sequence)
        appends.append(Append(at, file, data))
    entries += _reports(line, number, pages, skipped) if line.reports else []
    until = packets[-1].granule + FRAME - first.granule
    entries.append(StretchEnded(packets[-1].arrived, number, until, "unpublished"))
    return entries, appends


def _pages(packets: list[Sent]) -> Iterator[list[Sent]]:
    """Packets in pages of half a second; a page ends before every hole, and before a stall."""
    page: list[Sent] = []
    for packet in packets:
        if page and (
            packet.granule != page[-1].granule + FRAME
            or packet.granule - page[0].granule >= PAGE
            or packet.arrived - page[-1].arrived > STALL
        ):
            yield page
            page = []
        page.append(packet)
    yield page


def _skipped(line: Line, pages: list[list[Sent]]) -> Iterator[int]:
    """How many packets without a place came with each page: behind a pause some."""
    yield 0
    for before, page in pairwise(pages):
        yield line.skipped if page[0].granule != before[-1].granule + FRAME else 0


def _reports(
    line: Line, number: int, pages: list[list[Sent]], skipped: list[int]
) -> Iterator[SenderReport]:
    """The server's reports, one in three seconds.

    They count what was sent, and are made up from the publisher's newest one, as LiveKit does it.
    """
    packets = [packet for page in pages for packet in page]
    chance = random.Random(line.seed + 1)
    sizes = list(accumulate((len(packet.payload) for packet in packets), initial=0))
    more = [n for n, page in zip(skipped, pages, strict=True) for n in (n, *[0] * (len(page) - 1))]
    extra = list(accumulate(more, initial=0))
    ends = [page[-1].arrived for page in pages]
    written = list(accumulate(map(len, pages), initial=0))
    sent = [packet.sent for packet in packets]
    publishers = list(_publishers_reports(line, packets, chance))
    newest, at = 0, packets[0].sent + REPORT_EVERY
    while at < packets[-1].sent:
        while newest + 1 < len(publishers) and publishers[newest + 1][0] <= at:
            newest += 1
        since, granule, ntp = publishers[newest]
        count = bisect_right(sent, at)
        came_at = max(packets[count - 1].arrived, BEGINS_AT + line.published + at + line.delay)
        before = written[bisect_right(ends, came_at)]
        come = bisect_right(packets, came_at, key=lambda packet: packet.arrived)
        total = line.before + count + extra[count]
        yield SenderReport(
            came_at,
            number,
            round(granule + (at - since) * TICKS) - packets[0].granule,
            ntp + at - since,
            total,
            sizes[count] + (line.before + extra[count]) * SILENT + total * RTP_HEADER,
            come - before + extra[come] - extra[before],
            sizes[come] - sizes[before] + (extra[come] - extra[before]) * SILENT,
        )
        at += REPORT_EVERY


def _publishers_reports(
    line: Line, packets: list[Sent], chance: random.Random
) -> Iterator[tuple[float, float, float]]:
    """When, at which granule, and the time by the publisher's wall clock, give or take 3 ms.

    Where it sends nothing it goes on from the last packet.
    """
    sent = [packet.sent for packet in packets]
    at = packets[0].sent
    while at <= packets[-1].sent:
        last = packets[bisect_right(sent, at) - 1]
        wall = BEGINS_AT + line.published + at + line.clock_error
        ntp = wall + chance.uniform(-0.003, 0.003)
        yield at, last.granule + (at - last.sent) * TICKS, ntp
        at += chance.uniform(0.5, 1.5) * PUBLISHERS_REPORT_EVERY


def silence(seconds: float) -> np.ndarray:
    """Nothing, 48 kHz mono float."""
    return np.zeros(round(seconds * TICKS), np.float32)


def chirp(seconds: float = 0.1, low: float = 400, high: float = 3200) -> np.ndarray:
    """A sweep that a matched filter finds to the sample, with soft edges, half of full scale."""
    t = np.arange(round(seconds * TICKS)) / TICKS
    phase = 2 * np.pi * (low * t + (high - low) / (2 * seconds) * t**2)
    return (0.5 * np.sin(phase) * np.hanning(len(t))).astype(np.float32)


def with_chirps(seconds: float, at: Iterable[float]) -> np.ndarray:
    """Silence with a chirp that begins at each of those times."""
    sound, mark = silence(seconds), chirp()
    for moment in at:
        start = round(moment * TICKS)
        room = min(len(mark), len(sound) - start)
        sound[start : start + room] += mark[:room]
    return sound


class Chirps:
    """Like `with_chirps`, for hours: a span is made when it is asked for."""

    def __init__(self, seconds: float, at: Iterable[float]) -> None:
        self._length = round(seconds * TICKS)
        self._starts = sorted(round(moment * TICKS) for moment in at)
        self._mark = chirp()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, span: slice) -> np.ndarray:
        part = np.zeros(min(span.stop, self._length) - span.start, np.float32)
        nearest = bisect_right(self._starts, span.start + len(part)) - 1
        if nearest >= 0:
            offset = self._starts[nearest] - span.start
            inside = self._mark[max(0, -offset) : len(part) - offset]
            part[max(0, offset) : max(0, offset) + len(inside)] = inside
        return part


def found(sound: np.ndarray, near: float, within: float = 0.1) -> float:
    """When the chirp that was put at `near` begins in a sound, in seconds, to the sample."""
    start = max(0, round((near - within) * TICKS))
    part = sound[start : round((near + within + 0.1) * TICKS)]
    match = np.abs(np.correlate(part, chirp(), mode="valid"))
    return (start + int(match.argmax())) / TICKS


def babble(seconds: float, seed: int = 1, pitch: float = 130.0) -> np.ndarray:
    """Something like speech: a voice in syllables, breath, and pauses. 48 kHz mono float."""
    chance = np.random.default_rng(seed)
    t = np.arange(round(seconds * TICKS)) / TICKS
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * t + seed))) / TICKS
    voice = sum(np.sin(k * phase) / k for k in range(1, 20))
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * t + seed), 0, 1)
    phrases = np.sin(2 * np.pi * 0.21 * t + seed) > -0.3
    breath = chance.standard_normal(len(t)) * 0.1
    sound = (voice + breath) * syllables * phrases
    return (0.4 * sound / max(1e-9, np.abs(sound).max())).astype(np.float32)


def worst(path: Path, channel: int, marks: Sequence[float]) -> float:
    """How far the worst of the chirps in a long file is from its place, in seconds."""
    spans = [(round((mark - 0.3) * TICKS), round((mark + 0.5) * TICKS)) for mark in marks]
    kept: list[list[np.ndarray]] = [[] for _ in spans]
    starts: list[int | None] = [None for _ in spans]
    at, n = 0, 0
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            while n < len(spans) - 1 and at >= spans[n][1]:
                n += 1
            if spans[n][0] <= at < spans[n][1]:
                kept[n].append(_planar(frame)[channel])
                starts[n] = at if starts[n] is None else starts[n]
            at += frame.samples
    return max(
        abs(start / TICKS + found(np.concatenate(part), 0.3) - mark)
        for start, part, mark in zip(starts, kept, marks, strict=True)
    )


def _planar(frame: av.AudioFrame) -> np.ndarray:
    """The samples of a frame, (channels, samples), float."""
    planar = av.AudioResampler("fltp", frame.layout.name, TICKS).resample(frame)
    return np.concatenate([part.to_ndarray() for part in planar], axis=1)


def decoded(path: Path) -> np.ndarray:
    """What a player makes of a file: (channels, samples) at 48 kHz, float."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler("fltp", stream.layout.name, TICKS)
        frames = [f for frame in container.decode(stream) for f in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
