"""One SSRC of one connection: puts its packets in order and into stretches."""

from egress_manager.domain.quotas import Bucket
from egress_manager.domain.witness import HEADER
from egress_manager.recorder.capture import Capture
from egress_manager.recorder.reception import Amount, Kept, Reception
from egress_manager.recorder.rtp import Report, RtpPacket
from egress_manager.recorder.stretch import StretchWriter


class Stream:
    """Packets in as they arrive, packets out in order into the capture that is running.

    `idle` limits what is decrypted of its participant while no capture runs.
    """

    def __init__(self, ssrc: int, participant_sid: str, track_sid: str, idle: Bucket) -> None:
        self.ssrc = ssrc
        self.participant_sid = participant_sid
        self.track_sid = track_sid
        self.heard_at: float | None = None
        self._reception = Reception()
        self.idle = idle
        self._writer: StretchWriter | None = None
        self._capture: Capture | None = None
        # What the server has sent: by its newest report, and by what has come since.
        self._sent, self._octets_sent = 0, 0

    def admits(self, arrived: float, capture: Capture | None) -> bool:
        """Whether a packet that has just come is to be decrypted; a flood is too dear."""
        if capture is None:
            return self.idle.take(1, arrived)
        return capture.admits(self.participant_sid, self.track_sid, arrived)

    def take(self, packet: RtpPacket, arrived: float, capture: Capture | None) -> None:
        """One packet as it comes; without a capture it is only counted."""
        self.heard_at = arrived
        self._sent += 1
        self._octets_sent += len(packet.payload)
        self._keep(self._reception.take(packet, arrived), capture)

    def report(self, report: Report, arrived: float) -> None:
        """A sender report for this SSRC."""
        self.heard_at = arrived
        self._sent = report.packets
        self._octets_sent = report.octets - HEADER * report.packets
        if self._writer is not None and not self._writer.is_closed:
            timestamp = self._reception.unwrap(report.timestamp)
            self._writer.report(report, timestamp, arrived, self._reception.waiting)

    @property
    def has_gaps(self) -> bool:
        """Whether packets are missing that may still come."""
        return self._reception.has_gaps

    def missing(self, moment: float) -> list[int]:
        """The sequence numbers to ask for again now."""
        return self._reception.missing(moment)

    def tick(self, read_until: float, capture: Capture | None) -> None:
        """Stop waiting for packets that are missing too long, in what was read."""
        if self._reception.has_gaps:
            self._keep(self._reception.give_up(read_until), capture)

    def drain(self, capture: Capture | None) -> None:
        """Nothing more will come, or what came is wanted now: let go of what is held back."""
        if self._reception.has_gaps:
            self._keep(self._reception.drain(), capture)

    def close(self, reason: str) -> None:
        """End its stretch."""
        self.drain(self._capture)
        if self._capture is not None and self._writer is not None:
            self._capture.close_stretch(self._writer, reason)
        self._writer = None

    def _keep(self, packets: list[Kept], capture: Capture | None) -> None:
        if capture is not self._capture:
            self._capture, self._writer = capture, None
        if capture is None:
            self._reception.take_counts()  # what happened then is no capture's
            return
        for n, kept in enumerate(packets):
            writer = self._writer
            if writer is None or writer.is_closed or writer.leaps(kept):
                writer = self._next_writer(packets[n:], capture)
                if writer is None:
                    return
            writer.add(kept)
        if self._writer is not None and (counts := self._reception.take_counts()) is not None:
            self._writer.note(counts)

    def _next_writer(self, packets: list[Kept], capture: Capture) -> StretchWriter | None:
        """A writer for these packets, and for what is held back behind them."""
        last = self._writer
        if last is not None:
            capture.close_stretch(last, "timestamps_jumped")
        self._writer = capture.open_stretch(
            self.track_sid, self.participant_sid, self.ssrc, packets, self._before(packets)
        )
        if last is not None and self._writer is not None:
            self._writer.note(last.counts)  # of what came after its last page
        return self._writer

    def _before(self, packets: list[Kept]) -> Amount:
        """What the server had sent before these packets came."""
        waiting = self._reception.waiting
        octets = waiting.octets + sum(len(kept.payload) for kept in packets)
        return Amount(
            max(0, self._sent - waiting.packets - len(packets)),
            max(0, self._octets_sent - octets),
        )
