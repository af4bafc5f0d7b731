"""Measures sound as it goes by: how loud it is, where it is at full scale, how much is speech.

What stays in memory is the levels, some 3 MB for an hour of a channel.
"""

from typing import Final

import av
import numpy as np
from av.audio.plane import AudioPlane
from numpy.typing import NDArray

from egress_manager.audio.levels import RATE, SILENCE, TOPPED, Levels, Tops, dbfs, power_of
from egress_manager.audio.voice import SECONDS as VOICE_SECONDS
from egress_manager.audio.voice import Voice
from egress_manager.domain.evidence import Sound

#: One sample of so many pieces is listened to for a voice.
PIECES_A_VOICE: Final = 10

#: So much below its loudest moments a voice can be before it is the room that is heard. Decibels.
VOICE_RANGE: Final = 25.0

#: What lies above has reached full scale: our limiter and encoders leave ordinary sound below.
FULL: Final = 0.95

#: Full scale is reached only where 5 ms have at least this power (-10 dBFS).
LOUD: Final = 0.1

#: What a channel has below this power (-20 dBFS) takes no sum to full scale.
FAINT: Final = 0.01


class Meter:
    """Measures sound that comes in pieces, all channels together."""

    def __init__(self, channels: int, rate: int) -> None:
        self._step = rate // RATE
        self._ears = [Ear(rate) for _ in range(channels)]
        self._common: list[Levels] = []
        self._sum_tops: list[tuple[int, Tops]] = []
        self._rows = 0

    def add(self, frame: av.AudioFrame) -> None:
        """Measure a piece; a rest shorter than 5 ms counts as 5 ms."""
        sides = [_rows(plane, frame.samples, self._step) for plane in frame.planes]
        for ear, rows in zip(self._ears, sides, strict=True):
            ear.take(rows)
        if len(sides) > 1:
            self._common.append(np.einsum("ij,ij->i", sides[0], sides[1]))
            self._add_up(sides)
        self._rows += len(sides[0])

    def go_to(self, at: float) -> None:
        """Go on at a time, in seconds; there is nothing until then."""
        count = max(0, round(at * RATE) - self._rows)
        for ear in self._ears:
            ear.wait(count)
        if len(self._ears) > 1:
            self._common.append(np.zeros(count, np.float32))
        self._rows += count

    @property
    def levels(self) -> Levels:
        """How loud each 5 ms of each channel are, dBFS."""
        return dbfs(np.stack([_joined(ear.power) for ear in self._ears]))

    @property
    def tops(self) -> Tops:
        """Which part of them reached full scale, in percent."""
        return np.stack([self._filled(ear.tops) for ear in self._ears])

    @property
    def sum_tops(self) -> Tops:
        """Which part of them can reach full scale in a sum of all channels, in percent.

        What such a sum is: as loud as its channels on average. So two that agree in nothing may
        reach full scale in it where neither does.
        """
        return self._filled(self._sum_tops)

    def _add_up(self, sides: list[NDArray[np.float32]]) -> None:
        """Note where the sum of a piece's channels can reach full scale."""
        power = np.stack([ear.power[-1] for ear in self._ears])
        loud = (power.sum(axis=0) > LOUD) & (power.min(axis=0) > FAINT)
        if not loud.any():
            return
        highest = np.sum([np.abs(rows[loud]) for rows in sides], axis=0) / np.sqrt(len(sides))
        tops = np.zeros(len(loud), np.uint8)
        tops[loud] = _percent(highest)
        self._sum_tops.append((self._rows, tops))

    def _filled(self, found: list[tuple[int, Tops]]) -> Tops:
        """What was found in some pieces, by the rows of all of them."""
        tops = np.zeros(self._rows, np.uint8)
        for at, some in found:
            tops[at : at + len(some)] = some
        return tops

    @property
    def common(self) -> Levels:
        """The mean product of the samples of the first two channels."""
        return _joined(self._common) / np.float32(self._step)

    @property
    def speech_sec(self) -> list[float]:
        """For how long there is a voice on each channel."""
        return [ear.speech_sec() for ear in self._ears]


class Ear:
    """Measures one channel."""

    def __init__(self, rate: int) -> None:
        self.power: list[Levels] = []
        self.tops: list[tuple[int, Tops]] = []
        self._rate = rate
        self._at = 0
        self._voice = Voice()
        self._speech_sec = 0.0
        self._waiting: list[Levels] = []  # pieces that no voice was looked for in
        self._loudest: tuple[float, NDArray[np.float32]] = (0.0, np.zeros((0, 1), np.float32))

    def take(self, rows: NDArray[np.float32]) -> None:
        """Measure a piece: a row for every 5 ms."""
        power = np.einsum("ij,ij->i", rows, rows)
        power *= np.float32(1 / rows.shape[1])
        self._keep(power)
        if power.max(initial=0.0) > LOUD:
            self.tops.append((self._at, _tops(rows, power)))
        self._at += len(power)
        self._waiting.append(power)
        whole = float(power.sum())
        if whole > self._loudest[0]:
            self._loudest = (whole, rows)
        if len(self._waiting) >= PIECES_A_VOICE:
            self._listen()

    def wait(self, count: int) -> None:
        """There is nothing for so many rows."""
        self._keep(np.zeros(count, np.float32))
        self._at += count

    def speech_sec(self) -> float:
        """For how many seconds there was a voice, as far as samples tell."""
        self._listen()
        return round(self._speech_sec, 2)

    def _keep(self, power: Levels) -> None:
        self.power.append(power)

    def _listen(self) -> None:
        """Listen to the loudest moment of the pieces that are waiting."""
        whole, rows = self._loudest
        power = _joined(self._waiting)
        self._waiting, self._loudest = [], (0.0, rows[:0])
        width = round(VOICE_SECONDS * RATE)
        if whole < len(rows) * 10 ** (SILENCE / 10) or len(rows) < width:
            return
        share = self._voice.share(_loudest_part(rows, width), self._rate)
        least = max(float(power.max()) * 10 ** (-VOICE_RANGE / 10), 10 ** (SILENCE / 10))
        self._speech_sec += share * float((power > least).sum()) / RATE


def _rows(plane: AudioPlane, samples: int, step: int) -> NDArray[np.float32]:
    """The samples of a plane, a row for every step."""
    sound = np.frombuffer(memoryview(plane), np.float32, samples)
    if short := -samples % step:
        sound = np.pad(sound, (0, short))
    return sound.reshape(-1, step)


def _joined(pieces: list[Levels]) -> Levels:
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def _tops(rows: NDArray[np.float32], power: Levels) -> Tops:
    """The part of each row's samples that reached full scale, in percent."""
    tops = np.zeros(len(rows), np.uint8)
    loud = power > LOUD
    tops[loud] = _percent(np.abs(rows[loud]))
    return tops


def _percent(rows: NDArray[np.float32]) -> Tops:
    """Which part of each row reaches full scale, in percent."""
    found: Tops = np.round((rows >= FULL).mean(axis=1) * 100).astype(np.uint8)
    return found


def _loudest_part(rows: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """The loudest run of so many rows, as one."""
    peaks = np.abs(rows[:, ::8]).max(axis=1)
    sums = np.cumsum(np.concatenate(([0.0], peaks)))
    start = int((sums[width:] - sums[:-width]).argmax())
    return rows[start : start + width].reshape(-1)


def sound_of(levels: Levels, tops: Tops, speech_sec: float) -> Sound:
    """What the levels of one channel tell."""
    active = levels[levels > SILENCE]
    power = float(np.mean(power_of(active), dtype=np.float64)) if len(active) else 0.0
    return Sound(
        active_sec=round(len(active) / RATE, 2),
        level_dbfs=round(10 * float(np.log10(power)), 1) if power else None,
        noise_dbfs=round(float(np.percentile(levels, 10)), 1) if len(levels) else None,
        speech_sec=speech_sec,
        clipped_sec=round(float((tops >= TOPPED).sum()) / RATE, 2),
    )
