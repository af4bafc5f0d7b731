"""Made-up sounds, and what can be read off a recording of them.

Everything is mono 16 bit at 48 kHz, between 400 and 3400 Hz, so that it survives a
telephone, Opus and AAC. Levels are dBFS (0 = full scale), times are seconds.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

RATE = 48_000
PCM = NDArray[np.int16]
_Float = NDArray[np.floating[Any]]

LOW, HIGH = 400.0, 3400.0
#: Loud enough to be found after any codec, quiet enough that two voices add up unclipped.
_LEVEL = -9.0
_EDGE = 0.005
_FULL_SCALE = 32768.0
_FLOOR_DBFS = -120.0
_SENTENCES = Path(__file__).with_name("sounds")

#: Beep number n has the tone of n modulo this many.
BEEP_TONES = 60
_BEEP_FOR = 0.1
_BEEP_LOW, _BEEP_STEP = 500.0, 40.0


def silence(seconds: float) -> PCM:
    """Digital silence."""
    return np.zeros(round(seconds * RATE), np.int16)


def tone(seconds: float, frequency: float, level: float = _LEVEL) -> PCM:
    """A sine with soft edges."""
    return _pcm(np.sin(2 * np.pi * frequency * _time(seconds)), level)


def chirp(seconds: float, low: float = LOW, high: float = HIGH, level: float = _LEVEL) -> PCM:
    """A sine that rises evenly from `low` to `high` Hz: no two places of it are alike."""
    time = _time(seconds)
    phase = 2 * np.pi * (low * time + (high - low) / (2 * seconds) * time**2)
    return _pcm(np.sin(phase), level)


def beeps(seconds: float, level: float = _LEVEL) -> PCM:
    """A beep of 0.1 s at every full second, each higher than the one before; see `find_beeps`."""
    pcm = silence(seconds)
    for number in range(math.ceil(seconds)):
        place = pcm[number * RATE :]
        beep = tone(_BEEP_FOR, _beep_frequency(number), level)[: len(place)]
        place[: len(beep)] = beep
    return pcm


def speech(seconds: float, seed: int = 1, pitch: float = 130.0, level: float = _LEVEL) -> PCM:
    """Bursts of a buzzing voice with short breaks between them: loud and quiet as talk is."""
    chance = np.random.default_rng(seed)
    pcm = silence(seconds)
    at = 0.0
    while at < seconds:
        lasts = chance.uniform(0.15, 0.6)
        place = pcm[round(at * RATE) :]
        syllable = _syllable(lasts, pitch * chance.uniform(0.9, 1.1), level)[: len(place)]
        place[: len(syllable)] = syllable
        at += lasts + chance.uniform(0.05, 0.3)
    return pcm


def alternating(seconds: float, turn: float = 1.0) -> tuple[PCM, PCM]:
    """Two voices that never speak at the same time; the first begins, turns last `turn` s."""
    first, second = speech(seconds, seed=1, pitch=110), speech(seconds, seed=2, pitch=210)
    is_first = (np.arange(len(first)) // round(turn * RATE)) % 2 == 0
    return np.where(is_first, first, 0).astype(np.int16), np.where(is_first, 0, second).astype(
        np.int16
    )


def sentences() -> list[str]:
    """The names `load_sentence` knows: caller-1, agent-1 and so on."""
    return sorted(file.stem for file in _SENTENCES.glob("*.ogg"))


def load_sentence(name: str) -> PCM:
    """A spoken sentence of the demo; see `lab/sounds/README.md`."""
    file = _SENTENCES / f"{name}.ogg"
    if not file.is_file():
        raise LookupError(f"no sentence {name!r}; there are {', '.join(sentences())}")
    return load(file)


def load(file: Path) -> PCM:
    """Any sound file as mono at 48 kHz; several channels are averaged."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(file)) as container:
        frames = [
            piece.to_ndarray()[0]
            for frame in (*container.decode(audio=0), None)
            for piece in resampler.resample(frame)
        ]
    return np.concatenate(frames).astype(np.int16) if frames else silence(0)


def levels(pcm: NDArray[Any], rate: int = RATE, window: float = 0.02) -> _Float:
    """The level of every `window` seconds in dBFS (root mean square; -120 is digital silence)."""
    size = round(rate * window)
    whole = _unit(pcm[: len(pcm) // size * size]).reshape(-1, size)
    power = np.mean(whole**2, axis=1)
    quiet: _Float = np.maximum(power, 10 ** (_FLOOR_DBFS / 10))
    return 10 * np.log10(quiet)


@dataclass(frozen=True, slots=True)
class Found:
    """Where a sound begins in a recording, and how alike they are (1 = the same)."""

    at: float
    score: float


def locate(pcm: NDArray[Any], sound: NDArray[Any], rate: int = RATE) -> Found:
    """Where `sound` fits best; to a fraction of a sample for a broadband sound such as a chirp.

    It may hang over either end: before 0 when the recording began too late.
    """
    recording, wanted = _unit(pcm), _unit(sound)
    margin = len(wanted) - 1
    fit = _correlation(np.pad(recording, margin), wanted)
    best = int(np.argmax(fit))
    begin = best - margin
    there = recording[max(0, begin) : best + 1]
    # Against all of what was wanted: a part of it that hangs over the end counts as missing.
    both = float(np.linalg.norm(there) * np.linalg.norm(wanted))
    return Found((begin + _vertex(fit, best)) / rate, float(fit[best]) / both if both else 0.0)


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a known sound, `said_at` s into it, found `found_at` s into a recording."""

    said_at: float
    found_at: float
    score: float


def follow(
    pcm: NDArray[Any],
    sound: NDArray[Any],
    rate: int = RATE,
    *,
    piece: float = 0.2,
    slack: float = 0.1,
) -> list[Piece]:
    """Each piece of `sound` looked for where it ought to be, give or take `slack` seconds.

    A piece that was lost has a low score; one that was shifted has another `found_at - said_at`.
    """
    begin = locate(pcm, sound, rate).at
    size, pieces = round(piece * rate), []
    for offset in range(0, len(sound) - size + 1, size):
        first = max(0, round((begin - slack) * rate) + offset)
        window = pcm[first : first + size + 2 * round(slack * rate)]
        found = locate(window, sound[offset : offset + size], rate)
        pieces.append(Piece(offset / rate, first / rate + found.at, found.score))
    return pieces


@dataclass(frozen=True, slots=True)
class Beep:
    """A beep of `beeps`: `number` counts the seconds, modulo `BEEP_TONES`."""

    at: float
    number: int


def find_beeps(pcm: NDArray[Any], rate: int = RATE, threshold: float = -30.0) -> list[Beep]:
    """All beeps louder than `threshold` dBFS, to about a millisecond."""
    sound = _unit(pcm)
    envelope = _smooth(np.abs(sound), round(0.004 * rate))
    is_loud = envelope > 10 ** (threshold / 20)
    edges = np.flatnonzero(np.diff(is_loud.astype(np.int8), prepend=0, append=0))
    found = []
    for begin, end in edges.reshape(-1, 2):
        if (end - begin) / rate > _BEEP_FOR / 2:
            at = _rise(envelope, int(begin), int(end)) / rate - _EDGE / 2
            found.append(Beep(at, _beep_number(sound[begin:end], rate)))
    return found


def _rise(envelope: _Float, begin: int, end: int) -> float:
    """The sample at which a burst has half its height, which is the middle of its soft edge."""
    half = float(np.median(envelope[begin:end])) / 2
    first = max(0, begin - (end - begin))
    return first + float(np.argmax(envelope[first:end] >= half))


def _beep_frequency(number: int) -> float:
    return _BEEP_LOW + _BEEP_STEP * (number % BEEP_TONES)


def _beep_number(burst: _Float, rate: int) -> int:
    spectrum = np.abs(np.fft.rfft(burst * np.hanning(len(burst)), 8 * len(burst)))
    frequency = float(np.argmax(spectrum)) * rate / (8 * len(burst))
    return round((frequency - _BEEP_LOW) / _BEEP_STEP) % BEEP_TONES


def _syllable(seconds: float, pitch: float, level: float) -> PCM:
    """A buzz of harmonics of `pitch`, weaker the higher they are."""
    time = _time(seconds)
    harmonics = range(math.ceil(LOW / pitch), math.floor(HIGH / pitch) + 1)
    wave = np.sum([np.sin(2 * np.pi * n * pitch * time) / n for n in harmonics], axis=0)
    return _pcm(wave / np.max(np.abs(wave), initial=1e-9), level)


def _time(seconds: float) -> _Float:
    return np.arange(round(seconds * RATE)) / RATE


def _pcm(wave: _Float, level: float) -> PCM:
    """`wave` (peak 1) at a level, faded in and out so that it does not click."""
    edge = min(round(_EDGE * RATE), len(wave) // 2)
    fade = np.ones(len(wave))
    fade[:edge] = np.linspace(0, 1, edge)
    fade[len(wave) - edge :] = np.linspace(1, 0, edge)
    faded: PCM = np.round(wave * fade * 10 ** (level / 20) * (_FULL_SCALE - 1)).astype(np.int16)
    return faded


def _unit(pcm: NDArray[Any]) -> _Float:
    """Samples as floats between -1 and 1, whatever they came as."""
    if np.issubdtype(pcm.dtype, np.integer):
        return pcm.astype(np.float32) / _FULL_SCALE
    return pcm.astype(np.float32)


def _smooth(wave: _Float, size: int) -> _Float:
    return np.convolve(wave, np.ones(size) / size, mode="same")


def _correlation(recording: _Float, wanted: _Float) -> _Float:
    """How well `wanted` fits at each place, block by block so that hours fit into memory."""
    places = len(recording) - len(wanted) + 1
    size = 1 << max(16, (2 * len(wanted) - 1).bit_length())
    step = size - len(wanted) + 1
    pattern = np.conj(np.fft.rfft(wanted, size))
    fits = [
        np.fft.irfft(np.fft.rfft(recording[at : at + size], size) * pattern, size)[:step]
        for at in range(0, places, step)
    ]
    return np.concatenate(fits)[:places]


def _vertex(fit: _Float, best: int) -> float:
    """The true peak beside the highest sample, in samples: the top of a parabola through three."""
    if not 0 < best < len(fit) - 1:
        return 0.0
    left, top, right = (float(value) for value in fit[best - 1 : best + 2])
    bend = left - 2 * top + right
    return 0.5 * (left - right) / bend if bend else 0.0
