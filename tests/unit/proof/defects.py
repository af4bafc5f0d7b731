"""Recordings that something is wrong with: clean calls, spoilt on purpose, in several degrees.

Each defect takes a clean call and leaves a file that is wrong in one way, as real recorders have
left them, and says by which name it has to be found.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from egress_manager.audio import ogg
from egress_manager.audio.encode import RECIPES, Encoder
from egress_manager.audio.mix import limited
from egress_manager.domain.captures import JOURNAL, TICKS
from egress_manager.domain.evidence import Claim
from tests.unit.audio import made_up
from tests.unit.proof import calls
from tests.unit.proof.calls import Made

LEFT, RIGHT = 0, 1

#: Both sides of a mix: (2, n), 48 kHz.
Both = np.ndarray


@dataclass(frozen=True)
class Clean:
    """What defects are made of: a call, another one, the sound of both, and a place to write."""

    call: Made
    other: Made
    directory: Path

    @property
    def sound(self) -> Both:
        """The mix of the call, decoded; a new array."""
        return made_up.decoded(Path(self.call.claim.path))

    @property
    def strange(self) -> Both:
        """The mix of the other call, just as long."""
        sound, length = made_up.decoded(Path(self.other.claim.path)), self.sound.shape[1]
        return np.pad(sound, ((0, 0), (0, max(0, length - sound.shape[1]))))[:, :length]


@dataclass(frozen=True)
class Defect:
    """`name` is what it has to be found as; `spoil` leaves the files, and returns their claim.

    `needs_long`: it shows only in a call of some minutes. `only`: the one format that has it.
    """

    name: str
    degree: str
    spoil: Callable[[Clean], Claim]
    needs_long: bool = False
    only: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.degree}"


# --- ways to spoil --------------------------------------------------------------------------------


def remixed(clean: Clean, sound: Both, *, rate: int = TICKS, **recipe: object) -> Claim:
    """A mix of another sound under the call's claim; its size is that of the new file."""
    claim = clean.call.claim
    path = clean.directory / f"spoilt{Path(claim.path).suffix}"
    if rate == TICKS and not recipe:
        encoder = Encoder(path, claim.format or "mp4")
        encoder.write(np.ascontiguousarray(sound, np.float32))
        encoder.close()
    else:
        _encode(path, sound, rate, **recipe)
    return replace(claim, path=str(path), size_bytes=path.stat().st_size)


def _encode(path: Path, sound: Both, rate: int, *, fast_start: bool = True) -> None:
    """Any sound at any rate, in one channel or two."""
    name = path.suffix[1:]
    recipe = RECIPES[name]
    layout = "stereo" if len(sound) == 2 else "mono"
    options = dict(recipe.container_options) if fast_start else {}
    with av.open(str(path), "w", format=name, options=options) as container:
        stream = container.add_stream(recipe.codec, rate=rate, options=dict(recipe.codec_options))
        stream.layout, stream.bit_rate = layout, recipe.bits
        resampler = av.AudioResampler(recipe.sample_format, layout, rate)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), "fltp", layout)
        frame.sample_rate = TICKS
        written = 0
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            piece.pts, written = written, written + piece.samples
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


def rewritten(clean: Clean, change: Callable[[bytes], bytes]) -> Claim:
    """The same file with other bytes."""
    claim = clean.call.claim
    path = clean.directory / f"spoilt{Path(claim.path).suffix}"
    path.write_bytes(change(Path(claim.path).read_bytes()))
    return replace(claim, path=str(path))


def rewritten_track(clean: Clean, change: Callable[[bytes], bytes]) -> Claim:
    """The caller's track file with other bytes; the mix is as it was."""
    claim = clean.call.claim
    first, *rest = claim.tracks
    path = clean.directory / "spoilt-track.ogg"
    path.write_bytes(change(Path(first.path or "").read_bytes()))
    return replace(claim, tracks=(replace(first, path=str(path)), *rest))


def lively(sound: np.ndarray, seconds: float) -> int:
    """Where a side has most sound for so long, not near the ends. In samples."""
    loud = np.sqrt(np.abs(sound[: len(sound) // 480 * 480]).reshape(-1, 480).mean(axis=1))
    width = round(seconds * 100)
    sums = np.convolve(np.minimum(loud, 0.1), np.ones(width), "valid")
    inside = sums[300 : len(sums) - 300]
    return (300 + int(inside.argmax())) * 480


def quiet(sound: np.ndarray, seconds: float) -> int:
    """Where a side has least sound for so long, not near the ends. In samples."""
    loud = np.square(sound[: len(sound) // 480 * 480]).reshape(-1, 480).mean(axis=1)
    sums = np.convolve(loud, np.ones(round(seconds * 100)), "valid")
    return (100 + int(sums[100 : len(sums) - 100].argmin())) * 480


def first_word(sound: Both) -> int:
    """Where the first sound of either side is, in samples."""
    return int(np.argmax(np.abs(sound).max(axis=0) > 0.02))


def last_word(sound: Both) -> int:
    """Where the last sound of either side ends, in samples."""
    return sound.shape[1] - int(np.argmax(np.abs(sound[:, ::-1]).max(axis=0) > 0.02))


def faster(sound: np.ndarray, pace: float) -> np.ndarray:
    """A sound played so many times as fast."""
    moments = np.arange(int(len(sound) / pace)) * pace
    return np.interp(moments, np.arange(len(sound)), sound).astype(np.float32)


def samples(seconds: float) -> int:
    """As many samples."""
    return round(seconds * TICKS)


def decibels(value: float) -> float:
    """The factor that they are."""
    return float(10 ** (value / 20))


# --- defects --------------------------------------------------------------------------------------

Spoil = Callable[[Clean], Claim]
Facts = dict[str, Any]


def _silent(sides: tuple[int, ...], level: float | None) -> Spoil:
    def spoil(clean: Clean) -> Claim:
        sound = clean.sound
        for side in sides:
            sound[side] = (
                0
                if level is None
                else calls.noise(random.Random(1), sound.shape[1] / TICKS, level)[: sound.shape[1]]
            )
        return remixed(clean, sound)

    return spoil


def _goes_silent(side: int, at: float) -> Spoil:
    def spoil(clean: Clean) -> Claim:
        sound = clean.sound
        sound[side, samples(at) :] = 0
        return remixed(clean, sound)

    return spoil


def _swapped(clean: Clean) -> Claim:
    return remixed(clean, clean.sound[::-1])


def _leak(level: float, sides: tuple[int, ...] = (LEFT,), until: float | None = None) -> Spoil:
    def spoil(clean: Clean) -> Claim:
        sound, dry = clean.sound, clean.sound
        end = None if until is None else samples(until)
        for side in sides:
            sound[side, :end] += dry[1 - side, :end] * decibels(level)
        return remixed(clean, limited(sound))

    return spoil


def _both_same(kept: int | None) -> Spoil:
    def spoil(clean: Clean) -> Claim:
        sound = clean.sound
        one = sound.sum(axis=0) if kept is None else sound[kept]
        return remixed(clean, limited(np.stack([one, one])))

    return spoil


def _fast_start(pace: float, seconds: float, *, catches_up: bool) -> Spoil:
    """The first words at another speed: early from then on, or late before."""

    def spoil(clean: Clean) -> Claim:
        sound = clean.sound
        start = max(0, first_word(sound) - samples(0.1))
        part = sound[:, start : start + samples(seconds)]
        quick = np.stack([faster(side, pace) for side in part])
        saved = part.shape[1] - quick.shape[1]
        before = sound[:, :start]
        rest = sound[:, start + samples(seconds) :]
        if catches_up:
            before = np.pad(before, ((0, 0), (saved, 0)))
        return remixed(clean, np.concatenate((before, quick, rest), axis=1))

    return spoil


def _cut_start(seconds: float, *, silenced: bool = False) -> Spoil:
    def spoil(clean: Clean) -> Claim:
        sound = clean.sound
        if not silenced:
            return remixed(clean, sound[:, samples(seconds) :])
        sound[:, : first_word(sound) + samples(seconds)] = 0
        return remixed(clean, sound)

    return spoil


def _cut_end(seconds: float, *, silenced: bool = False) -> Spoil:
    def spoil(clean: Clean) -> Claim:
        sound = clean.sound
        if not silenced:
            return remixed(clean, sound[:, : -samples(seconds)])
        sound[:, last_word(sound) - samples(seconds) :] = 0
        return remixed(clean, sound)

    return spoil


def _hole(seconds: float, sides: tuple[int, ...]) -> Spoil:
    def spoil(clean: Clean) -> Claim:
        sound = clean.sound
        at = lively(sound[sides[0]], seconds)
        sound[list(sides), at : at + samples(seconds)] = 0
        return remixed(clean, sound)

    return spoil


def _drift(ppm: float, sides: tuple[int, ...] = (LEFT, RIGHT)) -> Spoil:
    def spoil(clean: Clean) -> Claim:
        sound = clean.sound
        for side in sides:
            slow = faster(sound[side], 1 - ppm * 1e-6)
            count = min(sound.shape[1], len(slow))
            sound[side, :count] = slow[:count]
        return remixed(clean, sound)

    return spoil


def _offset(seconds: float, sides: tuple[int, ...]) -> Spoil:
    def spoil(clean: Clean) -> Claim:
        sound = clean.sound
        late = samples(seconds)
        for side in sides:
            sound[side] = np.roll(sound[side], late)
            sound[side, : max(0, late)] = 0
        return remixed(clean, sound)

    return spoil


def _spliced(seconds: float) -> Spoil:
    """A piece in the middle is left out (or, negative, silence is put in)."""

    def spoil(clean: Clean) -> Claim:
        sound = clean.sound
        middle = sound.shape[1] // 2
        if seconds < 0:
            pause = np.zeros((2, samples(-seconds)), np.float32)
            return remixed(
                clean, np.concatenate((sound[:, :middle], pause, sound[:, middle:]), axis=1)
            )
        return remixed(clean, np.delete(sound, np.s_[middle : middle + samples(seconds)], axis=1))

    return spoil


def _overdriven(gain: float, sides: tuple[int, ...] = (LEFT, RIGHT)) -> Spoil:
    """Too loud for full scale."""

    def spoil(clean: Clean) -> Claim:
        sound = clean.sound
        for side in sides:
            sound[side] = np.clip(sound[side] * decibels(gain), -1, 1)
        return remixed(clean, sound)

    return spoil


def _tops_cut(part: float) -> Spoil:
    """What is louder than a part of the peak is cut off; the rest is as loud as before."""

    def spoil(clean: Clean) -> Claim:
        sound = clean.sound
        most = part * np.abs(sound).max(axis=1, keepdims=True)
        return remixed(clean, np.clip(sound, -most, most))

    return spoil


def _level(gain: float, sides: tuple[int, ...]) -> Spoil:
    def spoil(clean: Clean) -> Claim:
        sound = clean.sound
        sound[list(sides)] *= decibels(gain)
        return remixed(clean, sound)

    return spoil


def _noise(level: float, seconds: float, side: int) -> Spoil:
    """Noise where there is none in any track."""

    def spoil(clean: Clean) -> Claim:
        sound = clean.sound
        at = quiet(sound[side], seconds)
        more = calls.noise(random.Random(2), seconds, level)
        sound[side, at : at + len(more)] += more
        return remixed(clean, limited(sound))

    return spoil


def _other_call(sides: tuple[int, ...]) -> Spoil:
    def spoil(clean: Clean) -> Claim:
        sound = clean.sound
        sound[list(sides)] = clean.strange[list(sides)]
        return remixed(clean, sound)

    return spoil


def in_stereo(clean: Clean, kind: str) -> Clean:
    """Another clean call, of a kind in which a party is in stereo."""
    mix_format = clean.call.claim.format or "mp4"
    scene = calls.scene(kind, 11, 26.0, mix_format=mix_format)
    return replace(clean, call=calls.make(scene, clean.directory / kind))


def averaged(clean: Clean) -> Claim:
    """A mix for which each track was mixed down by an average, so that phases cancel."""
    sound = clean.sound
    for track in clean.call.claim.tracks:
        one = made_up.decoded(Path(track.path or "")).mean(axis=0)[: sound.shape[1]]
        sound[("left", "right").index(track.side), : len(one)] = one
    return remixed(clean, sound)


def folded(claim: Claim) -> Claim:
    """The same tracks in files whose heads say mono, whatever their packets are."""
    tracks = []
    for track in claim.tracks:
        path = Path(track.path or "").with_suffix(".folded.ogg")
        data = Path(track.path or "").read_bytes()
        head, *_ = ogg.read_pages(data)
        pre_skip = int.from_bytes(head.packets[0][10:12], "little")
        heads = ogg.head_pages(1, 1, pre_skip)
        path.write_bytes(heads + data[len(heads) :])
        tracks.append(replace(track, path=str(path)))
    return replace(claim, tracks=tuple(tracks))


def _averaged(kind: str) -> Spoil:
    return lambda clean: averaged(in_stereo(clean, kind))


def _folded(kind: str) -> Spoil:
    return lambda clean: folded(in_stereo(clean, kind).call.claim)


def _truncated(part: float) -> Spoil:
    return lambda clean: rewritten(clean, lambda data: data[: int(len(data) * part)])


def _damage(count: int, at: float, *, zeros: bool = False) -> Callable[[bytes], bytes]:
    """So many bytes are others, at a part of the file."""

    def change(data: bytes) -> bytes:
        start = int(len(data) * at)
        other = bytes(count) if zeros else random.Random(3).randbytes(count)
        return data[:start] + other + data[start + count :]

    return change


def _damaged(count: int, at: float, *, zeros: bool = False) -> Spoil:
    return lambda clean: rewritten(clean, _damage(count, at, zeros=zeros))


def _slightly_damaged(change: Callable[[bytes], bytes]) -> Spoil:
    """Less than a frame of AAC, which decodes to something: the sum of the file tells."""

    def spoil(clean: Clean) -> Claim:
        whole = sha256(Path(clean.call.claim.path).read_bytes()).hexdigest()
        return replace(rewritten(clean, change), sha256=whole)

    return spoil


def _one_bit(data: bytes) -> bytes:
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _missing(clean: Clean) -> Claim:
    return replace(clean.call.claim, path=str(clean.directory / "nowhere.mp4"))


def _at_rate(rate: int) -> Spoil:
    return lambda clean: remixed(clean, clean.sound, rate=rate)


def _tempo(pace: float) -> Spoil:
    """Everything at another speed, as when a rate is mistaken for another."""
    return lambda clean: remixed(clean, np.stack([faster(side, pace) for side in clean.sound]))


def _other_format(clean: Clean) -> Claim:
    claim = remixed(clean, clean.sound)
    return replace(claim, format={"mp4": "ogg", "ogg": "mp4"}[claim.format or "mp4"])


def _index_last(clean: Clean) -> Claim:
    return remixed(clean, clean.sound, fast_start=False)


def _one_channel(clean: Clean) -> Claim:
    return remixed(clean, clean.sound.mean(axis=0, keepdims=True), fast_start=True)


def _pages_dropped(count: int) -> Spoil:
    """Some pages of the caller never reached the journal, in the middle of the call."""

    def change(pages: list[Facts]) -> list[Facts]:
        middle = len(pages) // 2
        return [*pages[:middle], *pages[middle + count :]]

    return lambda clean: _journaled(clean, change)


def _octets_lost(part: float) -> Spoil:
    """Of what was in the caller's packets, so much was not kept."""

    def change(pages: list[Facts]) -> list[Facts]:
        return [page | {"octets": round(page["octets"] * (1 - part))} for page in pages]

    return lambda clean: _journaled(clean, change)


def _came_later(seconds: float, part: float) -> Spoil:
    """From a part of the call on, the caller's words came later than the files play them."""

    def change(pages: list[Facts]) -> list[Facts]:
        first = int(len(pages) * part)
        moved = [
            page | {"came": page["came"] + seconds, "arrived": page["arrived"] + seconds}
            for page in pages[first:]
        ]
        return [*pages[:first], *moved]

    return lambda clean: _journaled(clean, change, with_sound=True)


def _not_played(seconds: float) -> Spoil:
    """The capture has so much of the caller's words that is in none of the files."""

    def spoil(clean: Clean) -> Claim:
        scene = clean.call.scene
        caller, *others = scene.lines
        at = lively(caller.sound, seconds) / TICKS
        lacks = replace(caller, holes=((at, at + seconds),))
        made = calls.make(replace(scene, lines=(lacks, *others)), clean.directory / "lacks")
        tracks = tuple(replace(track, holes=()) for track in made.claim.tracks)
        return replace(made.claim, tracks=tracks, captures=clean.call.claim.captures)

    return spoil


def _captured(span: tuple[float, float], *, ended: bool = True) -> Spoil:
    """Recorded is only a span of the call; a recorder that is killed does not end its journal."""

    def spoil(clean: Clean) -> Claim:
        scene = clean.call.scene
        starts, ends = span[0], min(span[1], scene.seconds)
        written = made_up.capture(scene.lines, starts=starts, ends_at=ends, ended=ended)
        return calls.make(scene, clean.directory / "captured", written=written).claim

    return spoil


def _without_track(clean: Clean) -> Claim:
    """The caller's own file was not made."""
    claim = clean.call.claim
    first, *rest = claim.tracks
    return replace(claim, tracks=(replace(first, path=None, reason="failed"), *rest))


def _journaled(
    clean: Clean, change: Callable[[list[Facts]], list[Facts]], *, with_sound: bool = False
) -> Claim:
    """The same files, of a capture whose journal has other pages of the caller."""
    claim = clean.call.claim
    lines = (Path(claim.captures[0]) / JOURNAL).read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    pages = [entry for entry in entries if entry["is"] == "page" and entry["stretch"] == 1]
    kept = {page["until"]: page for page in change(pages)}
    spoilt = clean.directory / "cap_spoilt"
    spoilt.mkdir()
    for file in Path(claim.captures[0]).glob("*.ogg") if with_sound else ():
        (spoilt / file.name).symlink_to(file)
    with (spoilt / JOURNAL).open("w") as journal:
        for entry in entries:
            entry = kept.get(entry["until"]) if entry in pages else entry
            if entry is not None:
                journal.write(json.dumps(entry) + "\n")
    return replace(claim, captures=(str(spoilt),))


def _other_size(more: int) -> Spoil:
    return lambda clean: replace(
        clean.call.claim, size_bytes=(clean.call.claim.size_bytes or 0) + more
    )


def _longer(seconds: float) -> Spoil:
    return lambda clean: remixed(clean, np.pad(clean.sound, ((0, 0), (0, samples(seconds)))))


def _cut_alone(seconds: float) -> Spoil:
    """The end is cut off, and there are no tracks that tell which end it was."""
    return lambda clean: replace(_cut_end(seconds)(clean), tracks=(), captures=())


BOTH: Final = (LEFT, RIGHT)


def _of_one_side(side: int, name: str) -> Iterator[Defect]:
    """What goes wrong with one party: a subscription, a channel, a gain that was meant for both."""
    yield Defect("silent", f"{name}, digital silence", _silent((side,), None))
    yield Defect("silent", f"{name}, noise at -75 dBFS", _silent((side,), -75))
    yield Defect("goes_silent", f"{name}, from 8 s on", _goes_silent(side, 8))
    yield Defect("goes_silent", f"{name}, from 12 s on", _goes_silent(side, 12))
    yield Defect("other_call", f"{name} only", _other_call((side,)))
    yield Defect("both_sides_same", f"the {name} one on both", _both_same(side))
    yield Defect("foreign_sound", f"1 s of noise, {name}", _noise(-35, 1.0, side))
    yield Defect("clipped", f"{name}, 16 dB too loud", _overdriven(16, (side,)))
    for level in (-10, -20, -30, -36):
        yield Defect("leak", f"{level} dB on the {name}", _leak(level, (side,)))
    for seconds in (0.2, 0.5, 1.0, 3.0):
        yield Defect("hole", f"{seconds} s, {name}", _hole(seconds, (side,)))
    for seconds in (0.05, 0.1, 0.4, 2.0, 8.0):
        yield Defect("offset", f"{name} {seconds} s late", _offset(seconds, (side,)))
    for gain in (-20, -6, 5):
        yield Defect("level", f"{name} {gain:+} dB", _level(gain, (side,)))


def _of_both_sides() -> Iterator[Defect]:
    """What goes wrong with both at once: a mixer, a channel map, another call's files."""
    yield Defect("silent", "both", _silent(BOTH, None))
    yield Defect("swapped", "all along", _swapped)
    yield Defect("other_call", "both", _other_call(BOTH))
    yield Defect("both_sides_same", "a mono mix on both", _both_same(None))
    yield Defect("leak", "-20 dB both ways", _leak(-20, BOTH))
    yield Defect("leak", "-15 dB for 10 s", _leak(-15, (LEFT,), until=10))
    yield Defect("hole", "1 s, both", _hole(1.0, BOTH))
    yield Defect("hole", "0.3 s, both", _hole(0.3, BOTH))
    yield Defect("foreign_sound", "0.3 s of noise", _noise(-30, 0.3, LEFT))
    yield Defect("silent", "opposite phase cancelled in the mix", _averaged("opposite phase"))
    yield Defect("silent", "opposite phase after mono cancelled", _averaged("mono, then stereo"))
    for gain in (12, 16, 24):
        yield Defect("clipped", f"{gain} dB too loud", _overdriven(gain))
    for part in (0.4, 0.25):
        yield Defect("clipped", f"cut at {part} of the peak", _tops_cut(part))


def _of_time() -> Iterator[Defect]:
    """What goes wrong with time: late beginnings, clocks, buffers that are let out quickly."""
    yield Defect("offset", "both 0.3 s late", _offset(0.3, BOTH))
    yield Defect("offset", "both 0.1 s early", _offset(-0.1, BOTH))
    for pace, seconds in ((1.03, 2.0), (1.03, 5.0), (1.03, 10.0), (1.1, 1.5), (1.1, 3.0)):
        for word, catches_up in (("caught up", True), ("early from then on", False)):
            spoil = _fast_start(pace, seconds, catches_up=catches_up)
            yield Defect("fast_start", f"{pace:.0%} for {seconds} s, {word}", spoil)
    for seconds in (0.2, 0.5, 2.0):
        for word, silenced in (("", False), (" of words silent", True)):
            yield Defect("cut_start", f"{seconds} s{word}", _cut_start(seconds, silenced=silenced))
            yield Defect("cut_end", f"{seconds} s{word}", _cut_end(seconds, silenced=silenced))
    for ppm in (100, 150, 300, -100, -400):
        yield Defect("drift", f"{ppm} ppm", _drift(ppm), needs_long=True)
    yield Defect("drift", "100 ppm, left", _drift(100, (LEFT,)), needs_long=True)
    for seconds in (0.06, 0.2, 0.5, 2.0, -0.2, -1.0):
        yield Defect("jump", f"{seconds} s left out", _spliced(seconds))
    for pace in (44.1 / 48, 1.03, 0.97, 1.01, 2.0):
        yield Defect("tempo", f"{pace:.3f} times as fast", _tempo(pace))
    yield Defect("too_long", "2 s", _longer(2.0))
    yield Defect("too_long", "0.2 s", _longer(0.2))
    yield Defect("too_short", "2 s, and no tracks", _cut_alone(2.0))
    yield Defect("too_short", "0.2 s, and no tracks", _cut_alone(0.2))


def _of_the_file() -> Iterator[Defect]:
    """What goes wrong with files: full disks, killed writers, other settings, other documents."""
    for part in (0.99, 0.9, 0.5, 0.1):
        yield Defect("truncated", f"{part:.0%} of the bytes", _truncated(part))
    for count, at in ((600, 0.4), (1000, 0.7), (3000, 0.5)):
        yield Defect("damaged", f"{count} other bytes", _damaged(count, at))
    yield Defect("damaged", "600 bytes are zero", _damaged(600, 0.3, zeros=True))
    yield Defect("damaged", "4000 bytes are zero", _damaged(4000, 0.5, zeros=True))
    yield Defect("damaged", "one bit", _slightly_damaged(_one_bit))
    yield Defect("damaged", "16 other bytes", _slightly_damaged(_damage(16, 0.6)))
    yield Defect("damaged", "64 bytes are zero", _slightly_damaged(_damage(64, 0.4, zeros=True)))
    yield Defect("empty", "no byte", lambda clean: rewritten(clean, lambda data: b""))
    yield Defect("unreadable", "all zeros", lambda c: rewritten(c, lambda data: bytes(len(data))))
    yield Defect("unreadable", "other bytes", _damaged(1 << 24, 0.0))
    yield Defect("unreadable", "no beginning", _damaged(4000, 0.0, zeros=True))
    yield Defect("missing", "no file", _missing)
    for rate in (8_000, 16_000, 24_000):
        yield Defect("sample_rate", f"{rate} Hz", _at_rate(rate), only="mp4")
    yield Defect("format", "the other one", _other_format)
    yield Defect("one_channel", "a mono file", _one_channel)
    yield Defect("folded", "mono, then stereo under a mono head", _folded("mono, then stereo"))
    yield Defect("folded", "now and then stereo under a mono head", _folded("mono and stereo"))
    yield Defect("index_last", "mp4 as it is written", _index_last, only="mp4")
    yield Defect("size", "one byte more", _other_size(-1))
    yield Defect("size", "a thousand bytes less", _other_size(1000))


def _of_the_counts() -> Iterator[Defect]:
    """What is lost between the wire and the disk: the server has counted it."""
    for pages in (2, 4, 10):
        yield Defect("packets_missing", f"{pages} pages", _pages_dropped(pages))
    for part in (0.5, 0.9):
        yield Defect("octets_missing", f"{part} of what was in packets", _octets_lost(part))


def _of_the_capture() -> Iterator[Defect]:
    """What comes of recorders that are late or die, and of words that are put somewhere else."""
    for seconds in (1.5, 0.4):
        for part in (0.5, 0.2):
            degree = f"{seconds} s too early from {part} of the call on"
            yield Defect("misplaced", degree, _came_later(seconds, part))
    yield Defect("misplaced", "0.4 s too late", _came_later(-0.4, 0.0))
    for seconds in (6.0, 3.0):
        yield Defect("not_played", f"{seconds} s of words", _not_played(seconds))
    for seconds in (8.0, 3.0):
        yield Defect("late_start", f"{seconds} s", _captured((seconds, 1e6)))
    for seconds in (12.0, 20.0):
        yield Defect("not_kept", f"from {seconds} s on", _captured((0.0, seconds), ended=False))
    yield Defect("track_missing", "no file of the caller's", _without_track)


DEFECTS: Final = (
    *_of_one_side(LEFT, "left"),
    *_of_one_side(RIGHT, "right"),
    *_of_both_sides(),
    *_of_time(),
    *_of_the_file(),
    *_of_the_counts(),
    *_of_the_capture(),
)
