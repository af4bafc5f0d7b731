"""The two sides of a call: where every track's sound is summed, and taken out when it is whole."""

from math import inf
from typing import Final

import numpy as np

from egress_manager.audio.decode import LOOKAHEAD, Decoder, Sound
from egress_manager.audio.downmix import Downmix
from egress_manager.audio.slew import Slew
from egress_manager.audio.weave import Piece
from egress_manager.domain.captures import TICKS

SIDES: Final = ("left", "right")
#: The rows of the sum that a side is.
ROWS: Final = {"left": slice(0, 1), "right": slice(1, 2), "both": slice(0, 2)}

#: Fades at the edges of a hole, so that it does not click: 3 ms. Samples.
FADE: Final = 144

#: Up to so much is made up where packets were lost; a longer hole is silent: 60 ms. Ticks.
CONCEALED: Final = 2880

#: A run that is further from its place is not drawn there, but begun anew: 15 ms. Its publisher may
#: have stopped counting in a pause. Samples.
JUMP: Final = 720

#: Above this the sum of several voices is bent softly to full scale; below it is what it is.
KNEE: Final = 0.9


#: There is room for so much at first: a slice, what is decoded ahead of it, and a page. Samples.
ROOM: Final = 6 * TICKS


class Late(Exception):
    """Sound came for a time that is mixed already."""


class Sum:
    """What is to be heard from `done` on: voices add to it, the encoder takes from it."""

    def __init__(self, *, is_strict: bool = True) -> None:
        self.done = 0
        self._is_strict = is_strict
        self._sides: Sound = np.zeros((2, ROOM), np.float32)

    def add(self, side: str, at: int, sound: Sound) -> None:
        """Add sound at a sample position; what lies before the beginning is not in the recording.

        Raises `Late` where that time was taken already; if it is not strict, that is left out.
        """
        if at < 0:
            at, sound = 0, sound[-at:]
        if at < self.done and len(sound):
            if self._is_strict:
                raise Late(f"{(self.done - at) / TICKS:.3f} s")
            at, sound = self.done, sound[self.done - at :]
        start, end = at - self.done, at - self.done + len(sound)
        if end > self._sides.shape[1]:
            wider = np.zeros((2, 2 * end), np.float32)
            wider[:, : self._sides.shape[1]] = self._sides
            self._sides = wider
        self._sides[ROWS[side], start:end] += sound

    def take(self, until: int) -> Sound:
        """What is to be heard from `done` to `until`, and count it as done."""
        length = until - self.done
        taken = np.zeros((2, length), np.float32)
        held = self._sides[:, :length]
        taken[:, : held.shape[1]] = held
        rest = self._sides[:, length:]
        self._sides[:, : rest.shape[1]] = rest
        self._sides[:, rest.shape[1] :] = 0
        self.done = until
        return limited(taken)


def limited(sound: Sound) -> Sound:
    """The sound within full scale: untouched up to `KNEE`, bent softly above it.

    It looks at one sample at a time, so it can't pump; a single voice hardly ever comes so high.
    """
    over = np.abs(sound) > KNEE
    if over.any():
        loud = sound[over]
        room = 1 - KNEE
        sound[over] = np.sign(loud) * (KNEE + room * np.tanh((np.abs(loud) - KNEE) / room))
    return sound


class Voice:
    """One stretch on its way into the sum: decoded, in one channel, at its place, faded at holes.

    `used` notes which shift was used up to which granule, for comparison with what is known later;
    `heard_until` is the moment at which its last piece ended.
    """

    def __init__(self, side: str, begins_at: float, into: Sum) -> None:
        self.side = side
        self.used: list[tuple[int, int]] = []
        self.heard_until = -inf
        self._begins_at = begins_at
        self._sum = into
        self._decoder = Decoder()
        self._downmix = Downmix()
        self._slew = Slew()
        self._next: int | None = None  # the granule at which the open run goes on
        self._at = 0  # the output position of `_held`
        self._held: Sound = np.zeros(0, np.float32)
        self._fades_in = False

    def hear(self, piece: Piece, before: "Voice | None" = None) -> None:
        """Add a piece to the sum. Raises `Late`.

        `before`: the voice whose last packet was the one before the first of this piece. Its
        decoder knows what was before: one that does not is off by -12 dB, for a tenth of a second.
        """
        wanted = self.wanted(piece.start_at, piece.start)
        is_seam = before is not None and self._next != piece.start
        if before is not None and is_seam:
            self._decoder, before._decoder = before._decoder, self._decoder
        if is_seam or not self._goes_on(piece, wanted):
            self.rest()
            if piece.after_loss and not is_seam:
                self._decoder.reset()
            self._slew.anchor(wanted)
            self._at = piece.start + self._slew.shift
            self._fades_in = True
        sound = self._downmix.add(self._decoder.decode(piece.packets))
        # It may be off at its end by what its clock loses in it.
        self._put(self._slew.follow(sound, self.wanted(piece.end_at, piece.end - 1)))
        self.used.append((piece.end - 1, self._slew.shift))
        self._next = piece.end
        self.heard_until = piece.end_at

    def wanted(self, at: float, granule: int) -> float:
        """The shift that brings a granule that belongs to a moment to its place."""
        return (at - self._begins_at) * TICKS - LOOKAHEAD - granule

    def rest(self) -> None:
        """The run ends here: nothing follows at once."""
        if self._downmix.pending:
            self._put(self._downmix.rest())
        held = self._held * np.linspace(1, 0, len(self._held), dtype=np.float32)
        self._sum.add(self.side, self._at, held)
        self._at += len(held)
        self._held = held[:0]
        self._next = None

    def rest_before(self, position: int) -> None:
        """End a run that has not gone on, before what it holds back is taken at that position."""
        if self._next is not None and self._at < position:
            self.rest()

    def _goes_on(self, piece: Piece, wanted: float) -> bool:
        """Whether a piece continues the open run, if need be over a few packets that were lost."""
        if self._next is None or abs(wanted - self._slew.shift) > JUMP:
            return False
        lost = piece.start - self._next
        if piece.after_loss and 0 < lost <= CONCEALED:
            self._put(self._downmix.add(self._decoder.conceal(lost)))
            return True
        return lost == 0

    def _put(self, sound: Sound) -> None:
        """Add sound to the run, holding back as much as a fade needs."""
        if self._fades_in and len(sound):
            count = min(FADE, len(sound))
            sound[:count] *= np.linspace(0, 1, count, dtype=np.float32)
            self._fades_in = False
        whole = np.concatenate((self._held, sound))
        ready = max(0, len(whole) - FADE)
        self._sum.add(self.side, self._at, whole[:ready])
        self._at += ready
        self._held = whole[ready:]
