"""Opus packets -> sound, with libopus.

Mono always: a track goes to one side of the mix, and libopus mixes a stereo packet down itself.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from egress_manager.audio import opus
from egress_manager.domain.captures import TICKS

#: Sound: float32, full scale is ±1.0, 48 kHz. Mono (n,) or both sides (2, n).
Sound = NDArray[np.float32]

FULL_SCALE: Final = 32768.0

#: An encoder that looks ahead delays what it is given by 6.5 ms: libopus in the modes that WebRTC
#: uses. So a sound belongs that much earlier than the packets that carry it. Ticks.
LOOKAHEAD: Final = 312

#: Silent packets in a row that are decoded, until what was before them has faded out; those behind
#: are known to be silent without being decoded.
FADES_WITHIN: Final = 4


class Decoder:
    """The decoder of one stretch; feed it packets in order."""

    def __init__(self) -> None:
        context = av.CodecContext.create("libopus", "r")
        assert isinstance(context, av.AudioCodecContext)
        context.sample_rate = TICKS
        context.layout = "mono"
        self._context = context
        self._silent = 0
        self._last = opus.silent_packet(960)

    def reset(self) -> None:
        """Forget what was before: the next packet follows a hole."""
        self._context.flush_buffers()
        self._silent = 0

    def conceal(self, ticks: int) -> Sound:
        """What libopus makes up for packets that were lost, from those before them."""
        stand_in = opus.lost_packet(self._last)
        count = -(-ticks // opus.duration(stand_in))
        return self.decode([stand_in] * count)[:ticks]

    def decode(self, packets: Sequence[bytes]) -> Sound:
        """The sound of packets that follow one another: as many samples as they say they last.

        Silence for a packet that can't be decoded.
        """
        lengths = [opus.duration(packet) for packet in packets]
        samples = np.zeros(sum(lengths), np.int16)
        at = 0
        for packet, length in zip(packets, lengths, strict=True):
            self._silent = self._silent + 1 if opus.is_silent(packet) else 0
            if self._silent <= FADES_WITHIN:
                self._into(samples[at : at + length], packet)
            at += length
        if packets:
            self._last = packets[-1]
        return samples.astype(np.float32) / np.float32(FULL_SCALE)

    def _into(self, samples: NDArray[np.int16], packet: bytes) -> None:
        """Decode one packet to its place."""
        with suppress(av.FFmpegError):
            at = 0
            for frame in self._context.decode(av.Packet(packet)):
                count = min(frame.samples, len(samples) - at)
                samples[at : at + count] = np.frombuffer(
                    memoryview(frame.planes[0]), np.int16, count
                )
                at += count
