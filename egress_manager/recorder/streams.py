"""The streams of one connection: which SSRC is whose, from the first packet to long after the last.

A standing attendance sees callers come and go for weeks, so nothing here may outlive its track: an
SSRC that no offer names any more and that has fallen silent is forgotten.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from egress_manager.domain.quotas import packets
from egress_manager.recorder.capture import Capture
from egress_manager.recorder.rtp import Report, RtpPacket
from egress_manager.recorder.stream import Stream

#: Packets of an SSRC that no offer has named yet are held for the offer: so many of each …
UNCLAIMED: Final = 50
#: … of so many SSRCs.
UNCLAIMED_SSRCS: Final = 32
#: An SSRC that is not offered any more is forgotten after this long without a packet. Seconds.
FORGET: Final = 2.0


class Streams:
    """Hands each packet to its stream, and that to the capture of the moment, if there is one.

    `flowing(track_sid)` is called when a track's first packet has come.
    """

    def __init__(self, flowing: Callable[[str], None]) -> None:
        self._flowing = flowing
        self._streams: dict[int, Stream] = {}
        self._offered: Mapping[int, tuple[str, str]] = {}
        self._unclaimed: dict[int, deque[tuple[RtpPacket, float]]] = {}
        self._handed_over: set[int] = set()

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._streams.values())

    def __len__(self) -> int:
        return len(self._streams)

    def offered(self, owners: Mapping[int, tuple[str, str]], capture: Capture | None) -> None:
        """The newest offer says whose each SSRC is; what has come of one already is its own."""
        self._offered = owners
        idle = {stream.participant_sid: stream.idle for stream in self}
        for ssrc, (participant_sid, track_sid) in owners.items():
            if ssrc in self._streams:
                continue
            bucket = idle.setdefault(participant_sid, packets())
            self._streams[ssrc] = Stream(ssrc, participant_sid, track_sid, bucket)
            for packet, arrived in self._unclaimed.pop(ssrc, ()):
                self.take(packet, arrived, capture)

    def admits(self, data: bytes, arrived: float, capture: Capture | None) -> bool:
        """Whether an RTP packet that is still encrypted is to be read (RFC 3550, section 5.1)."""
        stream = self._streams.get(int.from_bytes(data[8:12], "big"))
        return stream is None or stream.admits(arrived, capture)

    def take(self, packet: RtpPacket, arrived: float, capture: Capture | None) -> bool:
        """One packet as it comes; whether anything of its stream is missing."""
        ssrc = packet.ssrc
        stream = self._streams.get(ssrc)
        if stream is None:
            self._hold(packet, arrived)
            return False
        if ssrc in self._handed_over:
            return False
        if stream.heard_at is None:
            self._flowing(stream.track_sid)
        stream.take(packet, arrived, capture)
        return stream.has_gaps

    def report(self, report: Report, arrived: float) -> None:
        """A sender report, if it is of one of the streams."""
        stream = self._streams.get(report.ssrc)
        if stream is not None:
            stream.report(report, arrived)

    def missing(self, moment: float) -> Iterator[tuple[int, list[int]]]:
        """SSRCs, and the sequence numbers of each to ask for again now."""
        for ssrc in self._streams:
            if missing := self.missing_of(ssrc, moment):
                yield ssrc, missing

    def missing_of(self, ssrc: int, moment: float) -> list[int]:
        """The sequence numbers of one SSRC to ask for again now."""
        stream = self._streams.get(ssrc)
        return stream.missing(moment) if stream is not None and stream.has_gaps else []

    def tick(self, read_until: float, capture: Capture | None) -> list[int]:
        """Let go of what waits too long; the SSRCs that were forgotten.

        All that came by `read_until` was read. Later than that, what is missing may have come.
        """
        for stream in self._streams.values():
            stream.tick(read_until, capture)
        gone = [
            ssrc
            for ssrc, stream in self._streams.items()
            if ssrc not in self._offered and read_until - (stream.heard_at or 0.0) > FORGET
        ]
        for ssrc in gone:
            self._streams.pop(ssrc).close("unpublished")
            self._handed_over.discard(ssrc)
        return gone

    def drain(self, capture: Capture | None, track_sid: str = "") -> None:
        """Let go of what is held back of one track, or of all: what is missing is given up."""
        for stream in self._streams.values():
            if not track_sid or stream.track_sid == track_sid:
                stream.drain(capture)

    def hand_over(self, track_sid: str) -> None:
        """Another connection brings this track now: close it here."""
        for ssrc, stream in self._streams.items():
            if stream.track_sid == track_sid and ssrc not in self._handed_over:
                self._handed_over.add(ssrc)
                stream.close("handed_over")

    @property
    def are_handed_over(self) -> bool:
        """Whether other connections bring everything that ever flowed here."""
        return all(
            ssrc in self._handed_over or stream.heard_at is None
            for ssrc, stream in self._streams.items()
        )

    def close(self) -> None:
        """End all stretches."""
        for stream in self._streams.values():
            stream.close("connection_closed")

    def _hold(self, packet: RtpPacket, arrived: float) -> None:
        waiting = self._unclaimed.get(packet.ssrc)
        if waiting is None:
            if len(self._unclaimed) >= UNCLAIMED_SSRCS:
                del self._unclaimed[next(iter(self._unclaimed))]
            waiting = self._unclaimed[packet.ssrc] = deque(maxlen=UNCLAIMED)
        waiting.append((packet, arrived))
