"""Putting one SSRC's packets in order: waits a little for what is missing, asks for it again.

Pure: time comes in as an argument, packets go out in order. Sequence numbers and timestamps are
unwrapped to integers that never wrap.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from egress_manager.recorder.rtp import RtpPacket

#: How long a missing packet is waited for. Seconds. Half a second is what a kill may cost, so the
#: packets held back behind a hole must not be older than that.
PATIENCE: Final = 0.4
#: Ask again this often while waiting. Seconds. A bit more than a usual round trip.
ASK_EVERY: Final = 0.06
#: A jump of the sequence number by more than this is another sender's numbering, not loss.
RESTART: Final = 3000


class Kept(NamedTuple):
    """One packet in its place: unwrapped timestamp, payload, moment of arrival."""

    timestamp: int
    payload: bytes
    arrived: float


@dataclass(slots=True)
class Counts:
    """What happened to packets since it was last asked."""

    lost: int = 0
    recovered: int = 0
    late: int = 0
    duplicate: int = 0


@dataclass(slots=True)
class _Gap:
    """A sequence number that is missing: since when, and when it was last asked for."""

    since: float
    asked_at: float = 0.0


@dataclass(slots=True)
class Reception:
    """The packets of one SSRC, in order."""

    counts: Counts = field(default_factory=Counts)
    _next: int = -1
    _seen_until: int = 0
    _timestamp: int = 0
    _held: dict[int, Kept] = field(default_factory=dict)
    _gaps: dict[int, _Gap] = field(default_factory=dict)

    def take(self, packet: RtpPacket, arrived: float) -> list[Kept]:
        """Take one packet as it arrives; the packets that are in order now."""
        if self._next < 0:
            self._next = self._seen_until = packet.sequence
            self._timestamp = packet.timestamp
        sequence = _unwrap(packet.sequence, self._next, 16)
        if abs(sequence - self._next) > RESTART:
            return self._restart(packet, arrived)
        kept = Kept(_unwrap(packet.timestamp, self._timestamp, 32), packet.payload, arrived)
        if sequence == self._next and not self._held:
            self._next = self._seen_until = sequence + 1
            self._timestamp = kept.timestamp
            return [kept]
        return self._take_out_of_order(sequence, kept)

    def give_up(self, now: float) -> list[Kept]:
        """Stop waiting for what is missing too long; the packets that are in order now."""
        released: list[Kept] = []
        while self._gaps and self._next in self._gaps:
            if now - self._gaps[self._next].since < PATIENCE:
                break
            del self._gaps[self._next]
            self.counts.lost += 1
            self._next += 1
            released += self._release()
        return released

    def drain(self) -> list[Kept]:
        """Everything that is held back: nothing more will come."""
        return self.give_up(float("inf"))

    def missing(self, now: float) -> list[int]:
        """The sequence numbers (16 bit) to ask for again now."""
        due = [s for s, gap in self._gaps.items() if now - gap.asked_at >= ASK_EVERY]
        for sequence in due:
            self._gaps[sequence].asked_at = now
        return [sequence & 0xFFFF for sequence in due]

    @property
    def has_counts(self) -> bool:
        """Whether anything was counted since `take_counts`."""
        counts = self.counts
        return bool(counts.lost or counts.recovered or counts.late or counts.duplicate)

    def take_counts(self) -> Counts:
        """The counts since the last call."""
        counts, self.counts = self.counts, Counts()
        return counts

    def unwrap(self, timestamp: int) -> int:
        """The unwrapped timestamp nearest to the packet that came last."""
        return _unwrap(timestamp, self._timestamp, 32)

    def _take_out_of_order(self, sequence: int, kept: Kept) -> list[Kept]:
        if sequence < self._next:
            self.counts.late += 1
            return []
        if sequence in self._held:
            self.counts.duplicate += 1
            return []
        if self._gaps.pop(sequence, None) is not None:
            self.counts.recovered += 1
        for missing in range(self._seen_until, sequence):
            self._gaps[missing] = _Gap(kept.arrived)
        self._seen_until = max(self._seen_until, sequence + 1)
        self._held[sequence] = kept
        return self._release()

    def _release(self) -> list[Kept]:
        """The held packets from the next one on, as far as they reach."""
        released: list[Kept] = []
        while (kept := self._held.pop(self._next, None)) is not None:
            released.append(kept)
            self._next += 1
        if released:
            self._timestamp = released[-1].timestamp
        return released

    def _restart(self, packet: RtpPacket, arrived: float) -> list[Kept]:
        """Another numbering begins: let go of what is held, and count from here."""
        released = self.drain()
        self._held.clear()
        self._gaps.clear()
        self._next = self._seen_until = packet.sequence + 1
        self._timestamp = packet.timestamp
        return [*released, Kept(packet.timestamp, packet.payload, arrived)]


def _unwrap(value: int, near: int, bits: int) -> int:
    """The integer that ends in these bits and lies nearest to `near`."""
    span = 1 << bits
    return near + ((value - near + span // 2) % span) - span // 2
