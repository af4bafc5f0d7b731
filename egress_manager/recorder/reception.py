"""Putting one SSRC's packets in order: waits a little for what is missing, asks for it again.

Pure: time comes in as an argument, packets go out in order. Sequence numbers and timestamps are
unwrapped to integers that never wrap.
"""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final, NamedTuple

from egress_manager.domain.captures import TICKS
from egress_manager.domain.quotas import ASKS, ASKS_A_SECOND, LOSSES, LOSSES_A_SECOND, Bucket
from egress_manager.recorder.rtp import RtpPacket

#: How long a missing packet is waited for, once it was asked for. Seconds. Half a second is what a
#: kill may cost, so the packets held back behind a hole must not be older than that.
PATIENCE: Final = 0.4
#: How long to wait for packets before the first that came. Seconds.
HEAD_PATIENCE: Final = 0.2
#: The first packet to come may not be the first that was sent: so many before it are asked for.
HEAD: Final = 3
#: Ask again this often while waiting. Seconds. A bit more than a usual round trip.
ASK_EVERY: Final = 0.06
#: Ask for no more than so many at a time, the newest: the server remembers a second or two.
ASK_FOR: Final = 100
#: Each time we ask costs a datagram, so a stream is asked for no sooner after the last. Seconds.
ASK_PAUSE: Final = 0.005
#: A jump of the sequence number by more than this is another sender's numbering, not loss.
RESTART: Final = 3000

#: Packets follow each other at least so closely, until it is known how they do: 2.5 ms. Ticks.
SHORTEST: Final = 120
#: A packet may come so much earlier than any before it, and be no leap of the timestamps. Ticks.
EARLIER: Final = TICKS // 2

#: Of so many packets that came after asking it is known that they did, should they come once more.
REMEMBERED: Final = 256

_SPAN: Final = 1 << 16


class Amount(NamedTuple):
    """So many packets, and the octets in them."""

    packets: int = 0
    octets: int = 0


class Kept(NamedTuple):
    """One packet in its place: unwrapped timestamp, payload, moment of arrival."""

    timestamp: int
    payload: bytes
    arrived: float


@dataclass(slots=True)
class Counts:
    """What happened to packets since it was last asked (see `PageKept`)."""

    lost: int = 0
    recovered: int = 0
    late: int = 0
    duplicate: int = 0
    again: int = 0
    skipped: int = 0
    skipped_octets: int = 0

    def add(self, other: "Counts") -> None:
        """Count what another one has counted, too."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def extra(self) -> Amount:
        """What came beside the packets that were kept."""
        return Amount(self.recovered + self.duplicate + self.skipped, self.skipped_octets)


@dataclass(slots=True)
class _Gap:
    """Sequence numbers that are missing, `first` up to `end`: since when, and for how long at most.

    Those before the first packet may never have been sent: they do not count as lost. `asked` is
    how often they were asked for, `asked_at` when they were last.
    """

    first: int
    end: int
    since: float
    patience: float = PATIENCE
    is_certain: bool = True
    asked_at: float = 0.0
    asked: int = 0

    def ask(self, now: float) -> None:
        """They are asked for: what was read late could not be asked for when it came."""
        self.since = self.since if self.asked_at else now
        self.asked_at = now
        self.asked += 1


@dataclass(slots=True)
class Reception:
    """The packets of one SSRC, in order.

    Every number from `_next` to `_seen_until` is either held or in a gap; none outside is. Gaps are
    spans in order, so that a number that leaps costs no more than one that is missing.
    """

    _counts: Counts | None = None
    _next: int = -1
    _seen_until: int = 0
    _timestamp: int = 0
    _step: int = 0
    _earliest: float = inf
    _held: dict[int, Kept] = field(default_factory=dict)
    _gaps: list[_Gap] = field(default_factory=list)
    _recovered: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _losses: Bucket = field(default_factory=lambda: Bucket(LOSSES_A_SECOND, LOSSES))
    _asks: Bucket = field(default_factory=lambda: Bucket(ASKS_A_SECOND, ASKS))
    _asked_at: float = 0.0
    _began_at: float = -inf

    def take(self, packet: RtpPacket, arrived: float) -> list[Kept]:
        """Take one packet as it arrives; the packets that are in order now."""
        if self._next < 0:
            self._timestamp = packet.timestamp
            self._begin(packet, arrived)
        timestamp = _unwrap(packet.timestamp, self._timestamp, 32)
        if packet.sequence == self._next % _SPAN and not self._held:
            self._next = self._seen_until = self._next + 1
            step, delay = timestamp - self._timestamp, arrived * TICKS - timestamp
            if step > 0 and (step < self._step or not self._step):
                self._step = step
            if delay < self._earliest:
                self._earliest = delay
            self._timestamp = timestamp
            return [Kept(timestamp, packet.payload, arrived)]
        sequence = _unwrap(packet.sequence, self._next, 16)
        kept = Kept(timestamp, packet.payload, arrived)
        missing = sequence - self._seen_until
        is_loss = missing <= 0 or (
            self._may_lack(missing, kept) and self._losses.take(missing, arrived)
        )
        if abs(sequence - self._next) > RESTART or (missing > HEAD and not is_loss):
            released = self.drain()
            self._begin(packet, arrived)
            return [*released, *self.take(packet, arrived)]
        return self._take_out_of_order(sequence, kept, is_loss=is_loss)

    def give_up(self, now: float) -> list[Kept]:
        """Stop waiting for what is missing too long; the packets that are in order now."""
        released: list[Kept] = []
        while self._gaps and (gap := self._gaps[0]).since + gap.patience <= now:
            del self._gaps[0]
            if gap.is_certain:
                self._count.lost += gap.end - gap.first
            self._next = gap.end
            released += self._release()
        return released

    def drain(self) -> list[Kept]:
        """Everything that is held back: nothing more will come."""
        return self.give_up(inf) if self._gaps else []

    @property
    def waiting(self) -> Amount:
        """What came and was not let go of."""
        extra = self._counts.extra if self._counts else Amount()
        held = sum(len(kept.payload) for kept in self._held.values())
        return Amount(len(self._held) + extra.packets, held + extra.octets)

    @property
    def has_gaps(self) -> bool:
        """Whether anything is waited for."""
        return bool(self._gaps)

    def missing(self, now: float) -> list[int]:
        """The sequence numbers (16 bit) to ask for again now, in order.

        Only the newest gaps are looked at: what lies further back the server has forgotten.
        """
        if now - self._asked_at < ASK_PAUSE or not self._asks.has(1, now):
            return []
        asked: list[range] = []
        room = ASK_FOR
        for gap in self._gaps[: -ASK_FOR - 1 : -1]:
            if room and now - gap.asked_at >= ASK_EVERY:
                at = self._index(gap.first)
                due = self._gaps[self._cut(at, max(gap.first, gap.end - room), gap.end)]
                due.ask(now)
                asked.append(range(due.first, due.end))
                room -= due.end - due.first
        self._asks.spend(ASK_FOR - room)
        self._asked_at = now if asked else self._asked_at
        return [number % _SPAN for span in reversed(asked) for number in span]

    def take_counts(self) -> Counts | None:
        """What was counted since the last call, if anything was."""
        counts, self._counts = self._counts, None
        return counts

    def unwrap(self, timestamp: int) -> int:
        """The unwrapped timestamp nearest to the packet that came last."""
        return _unwrap(timestamp, self._timestamp, 32)

    @property
    def _count(self) -> Counts:
        """What is counted into; most packets need nothing counted."""
        if self._counts is None:
            self._counts = Counts()
        return self._counts

    def _begin(self, packet: RtpPacket, arrived: float) -> None:
        """Count from this packet, with room for some that may have been sent before it.

        Not for a sender that has numbered anew just now: it may do so with each packet.
        """
        self._recovered.clear()
        first = packet.sequence + _SPAN  # so that no number below it is ever negative
        self._earliest = inf
        self._next = self._seen_until = first
        if arrived - self._began_at >= HEAD_PATIENCE:
            self._next = first - HEAD
            self._gaps = [_Gap(first - HEAD, first, arrived, HEAD_PATIENCE, is_certain=False)]
        self._began_at = arrived

    def _may_lack(self, missing: int, kept: Kept) -> bool:
        """Whether so many packets may be missing before this one, or it is numbered anew.

        They need time: on the publisher's clock since the packet before, and on ours since that
        one could have come. A publisher who was held up sends much at once, and what it lost
        meanwhile is missing although hardly any time has gone by since the last one came.
        """
        newest = self._held.get(self._seen_until - 1)
        since = newest.timestamp if newest else self._timestamp
        by_clock = kept.arrived * TICKS - self._earliest + EARLIER if self._earliest < inf else inf
        room = min(kept.timestamp, by_clock) - since
        return missing < room / max(self._step, SHORTEST)

    def _take_out_of_order(self, sequence: int, kept: Kept, *, is_loss: bool) -> list[Kept]:
        if sequence < self._next or sequence in self._held:
            if sequence in self._recovered:
                self._count.duplicate += 1
            else:
                self._count.late += 1
            return []
        at = self._index(sequence)
        if at >= 0 and sequence < self._gaps[at].end:
            gap = self._gaps.pop(self._cut(at, sequence, sequence + 1))
            if gap.asked_at and gap.is_certain:
                self._count.recovered += 1
                self._count.again += gap.asked - 1
                self._recovered.append(sequence)
        if self._earliest == inf:
            self._earliest = kept.arrived * TICKS - kept.timestamp
        if sequence > self._seen_until:
            patience = PATIENCE if is_loss else HEAD_PATIENCE
            missing = _Gap(self._seen_until, sequence, kept.arrived, patience, is_certain=is_loss)
            self._gaps.append(missing)
        self._seen_until = max(self._seen_until, sequence + 1)
        self._held[sequence] = kept
        return self._release()

    def _index(self, sequence: int) -> int:
        """Where the last gap stands that begins with this number or before; -1: there is none."""
        return bisect_right(self._gaps, sequence, key=_first) - 1

    def _cut(self, at: int, first: int, end: int) -> int:
        """Cut a part out of the gap that stands there; where the part stands then."""
        gap = self._gaps[at]
        spans = ((gap.first, first), (first, end), (end, gap.end))
        self._gaps[at : at + 1] = [replace(gap, first=a, end=b) for a, b in spans if a < b]
        return at + (gap.first < first)

    def _release(self) -> list[Kept]:
        """The held packets from the next one on, as far as they reach."""
        released: list[Kept] = []
        while (kept := self._held.pop(self._next, None)) is not None:
            released.append(kept)
            self._next += 1
        if released:
            self._timestamp = released[-1].timestamp
        return released


def _first(gap: _Gap) -> int:
    return gap.first


def _unwrap(value: int, near: int, bits: int) -> int:
    """The integer that ends in these bits and lies nearest to `near`."""
    span = 1 << bits
    return near + ((value - near + span // 2) % span) - span // 2
