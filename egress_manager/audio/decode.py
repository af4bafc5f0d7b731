"""Opus packets -> sound, with libopus.

In one channel as long as all packets have one, which costs half; in two from the first packet on
that has two. libopus could mix them down itself, and would lose what is in opposite phase: that is
left to `downmix`.
"""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from egress_manager.audio import opus
from egress_manager.domain.captures import TICKS

#: Sound: float32, full scale is ±1.0, 48 kHz. Mono (n,) or several channels (channels, n).
Sound = NDArray[np.float32]

FULL_SCALE: Final = 32768.0

#: An encoder that looks ahead delays what it is given by 6.5 ms: libopus in the modes that WebRTC
#: uses. So a sound belongs that much earlier than the packets that carry it. Ticks.
LOOKAHEAD: Final = 312

#: Silent packets in a row that are decoded, until what was before them has faded out; those behind
#: are known to be silent without being decoded.
FADES_WITHIN: Final = 4

#: A decoder that takes over from another one decodes so many packets from before first: a packet
#: builds on those before it.
SETTLES_WITHIN: Final = 20


class Decoder:
    """The decoder of one stretch; feed it packets in order."""

    def __init__(self) -> None:
        self._channels = 1
        self._context = _context(1)
        self._silent = 0
        self._last = opus.silent_packet(960)
        self._before: deque[bytes] = deque(maxlen=SETTLES_WITHIN)

    def reset(self) -> None:
        """Forget what was before: the next packet follows a hole."""
        self._context.flush_buffers()
        self._silent = 0
        self._before.clear()

    def conceal(self, ticks: int) -> Sound:
        """What libopus makes up for packets that were lost, from those before them."""
        stand_in = opus.lost_packet(self._last)
        count = -(-ticks // opus.duration(stand_in))
        return self.decode([stand_in] * count)[..., :ticks]

    def decode(self, packets: Sequence[bytes]) -> Sound:
        """The sound of packets that follow one another: as many samples as they say they last.

        Mono (n,), or (2, n) once there was a packet with two channels. Silence for a packet that
        can't be decoded.
        """
        if self._channels == 1 and any(map(opus.is_stereo, packets)):
            self._widen()
        lengths = [opus.duration(packet) for packet in packets]
        samples = np.zeros((sum(lengths), self._channels), np.int16)
        at = 0
        for packet, length in zip(packets, lengths, strict=True):
            self._silent = self._silent + 1 if opus.is_silent(packet) else 0
            if self._silent <= FADES_WITHIN:
                self._into(samples[at : at + length], packet)
            at += length
        if packets:
            self._last = packets[-1]
            self._before.extend(packets[-SETTLES_WITHIN:])
        sound: Sound = samples.astype(np.float32) / np.float32(FULL_SCALE)
        return sound.T if self._channels > 1 else sound[:, 0]

    def _widen(self) -> None:
        """Go on in two channels."""
        self._channels, self._context = 2, _context(2)
        for packet in self._before:
            self._into(np.zeros((opus.LONGEST, 2), np.int16), packet)

    def _into(self, samples: NDArray[np.int16], packet: bytes) -> None:
        """Decode one packet to its place (n, channels)."""
        with suppress(av.FFmpegError):
            at = 0
            for frame in self._context.decode(av.Packet(packet)):
                count = min(frame.samples, len(samples) - at)
                given = np.frombuffer(memoryview(frame.planes[0]), np.int16, count * self._channels)
                samples[at : at + count] = given.reshape(count, self._channels)
                at += count


def _context(channels: int) -> av.AudioCodecContext:
    """libopus, for so many channels."""
    context = av.CodecContext.create("libopus", "r")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate = TICKS
    context.layout = "mono" if channels == 1 else "stereo"
    return context
