"""One uninterrupted run of one track's packets -> one Ogg Opus file that survives any cut.

Nothing is invented: where audio is missing, a page ends and the next one's granule is further on.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Final

from egress_manager.audio import ogg, opus
from egress_manager.domain.captures import (
    TICKS,
    Entry,
    PageKept,
    SenderReport,
    StretchBegan,
    StretchEnded,
)
from egress_manager.recorder.append import AppendFile
from egress_manager.recorder.reception import Amount, Counts, Kept
from egress_manager.recorder.rtp import Report

#: A page is written when it holds this much: what a kill may cost. Ticks.
PAGE: Final = TICKS // 2
#: A timestamp that is this far from where the clock says it should be begins a new stretch. Ticks.
LEAP: Final = 2 * TICKS
#: A packet that comes this long after the one before begins a page, so that a publisher who stopped
#: counting while it sent nothing is found out where it stopped. Seconds; a packet a 20 ms is usual.
STALL: Final = 0.08
#: LiveKit ends a track with frames of silence whose timestamps reach back a little; they are passed
#: over. A packet is at most this long (RFC 6716, section 3.4). Ticks.
OVERLAP: Final = opus.LONGEST
#: Timestamps that leap back in the sound begin a new stretch; not in one that is younger than this,
#: so that a publisher whose timestamps stand still does not make a file of each packet. Seconds.
SHORTEST: Final = 1.0
#: What the head says. An encoder may go over to stereo in any packet; a player makes two channels
#: of mono, too, and of stereo under a mono head it would lose what is in opposite phase.
CHANNELS: Final = 2


class StretchWriter:
    """Writes one stretch; what it did goes to `tell` as journal entries."""

    def __init__(self, path: Path, began: StretchBegan, tell: Callable[[Entry], None]) -> None:
        self.began = began
        self.file = AppendFile(path)
        self._tell = tell
        self._base = began.rtp
        self._serial = began.ssrc
        self._sequence = 0
        self.is_closed = False
        self._packets: list[bytes] = []
        self._segments = 0
        self._page_start = 0
        self._came, self._first = began.at, 0
        self._end = 0
        self._arrived = began.at
        self._least: tuple[float, int, float] = (float("inf"), 0, 0.0)
        self._latest = float("-inf")
        self.counts = Counts()

    def fits(self, kept: Kept) -> bool:
        """Whether a packet goes on where this stretch stands, by its timestamp and arrival."""
        step = kept.timestamp - self._base - self._end
        if -OVERLAP <= step < 0:
            return opus.is_silent(kept.payload) or kept.arrived - self.began.at < SHORTEST
        return step == 0 or (step > 0 and abs(step - (kept.arrived - self._arrived) * TICKS) < LEAP)

    def add(self, kept: Kept) -> None:
        """Take the next packet. One that is no Opus, or whose time is taken, is passed over.

        A voice that is passed over is not counted: the server's counts show that it is missing.
        """
        ticks = opus.duration(kept.payload)
        granule = kept.timestamp - self._base
        if not ticks or granule < self._end:
            if not ticks or opus.is_silent(kept.payload):
                self.counts.skipped += 1
                self.counts.skipped_octets += len(kept.payload)
            return
        segments = ogg.segments(len(kept.payload))
        stalled = kept.arrived - self._arrived > STALL
        if granule != self._end or stalled or self._segments + segments > ogg.MAX_SEGMENTS:
            self.flush()
        if not self._packets:
            self._page_start = self._first = granule
            self._came = kept.arrived
        if kept.arrived < self._came:
            self._came, self._first = kept.arrived, granule
        self._packets.append(kept.payload)
        self._segments += segments
        self._end = granule + ticks
        self._arrived = kept.arrived
        delay = kept.arrived - granule / TICKS
        if delay < self._least[0]:
            self._least = (delay, granule, kept.arrived)
        self._latest = max(self._latest, delay)
        if self._end - self._page_start >= PAGE:
            self.flush()

    def note(self, counts: Counts) -> None:
        """Add what happened to packets meanwhile; it stands in the next page's entry."""
        self.counts.add(counts)

    def report(self, report: Report, timestamp: int, now: float, held: Amount) -> None:
        """Journal a sender report whose unwrapped timestamp is given; `held` is yet to be added."""
        granule = timestamp - self._base
        extra = self.counts.extra
        self._tell(
            SenderReport(
                now,
                self.began.stretch,
                granule,
                report.ntp,
                report.packets,
                report.octets,
                waiting=len(self._packets) + extra.packets + held.packets,
                waiting_octets=sum(map(len, self._packets)) + extra.octets + held.octets,
            )
        )

    def flush(self) -> None:
        """Write the page that is being filled, if anything is in it."""
        if not self._packets:
            return
        if self._sequence == 0:
            self.file.write(ogg.head_pages(self._serial, CHANNELS))
            self._sequence = 2
        self.file.write(ogg.page(self._packets, self._end, self._serial, self._sequence))
        self._sequence += 1
        self._tell(self._page_kept())
        self._packets, self._segments = [], 0
        self._least, self.counts = (float("inf"), 0, 0.0), Counts()
        self._latest = float("-inf")

    def flush_older_than(self, moment: float) -> None:
        """Write the page that is being filled if its last packet came before `moment`."""
        if self._packets and self._arrived < moment:
            self.flush()

    def close(self, now: float, reason: str) -> None:
        """Write the rest and end the stretch; the file is closed by whoever has it synced."""
        self.flush()
        self.is_closed = True
        self._tell(StretchEnded(now, self.began.stretch, self._end, reason))

    def _page_kept(self) -> PageKept:
        delay, granule, arrived = self._least
        return PageKept(
            at=arrived,
            stretch=self.began.stretch,
            granule=granule,
            arrived=arrived,
            until=self._end,
            packets=len(self._packets),
            octets=sum(map(len, self._packets)),
            came=self._came,
            start=self._page_start,
            first=self._first,
            jitter=round(self._latest - delay, 6),
            is_silent=all(map(opus.is_silent, self._packets)),
            **dataclasses.asdict(self.counts),
        )
