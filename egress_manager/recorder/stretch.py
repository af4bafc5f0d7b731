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
from egress_manager.domain.quotas import Quotas
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
#: so that a publisher whose timestamps stand still does not make a file of each packet: until then
#: each is placed by when it came. Seconds.
SHORTEST: Final = 1.0
#: A packet whose timestamp is not believed stands where the one before it ends, unless the clock
#: says that it belongs later by this. Ticks.
UNEVEN: Final = round(STALL * TICKS)
#: Sender reports are journaled no more often than this; LiveKit sends one in three. Seconds.
REPORT_EVERY: Final = 0.5
#: What the head says. An encoder may go over to stereo in any packet; a player makes two channels
#: of mono, too, and of stereo under a mono head it would lose what is in opposite phase.
CHANNELS: Final = 2


class StretchWriter:
    """Writes one stretch; what it did goes to `tell` as journal entries.

    Of what is over the quotas of its participant `leave_out` hears: what it is, when it came, and
    how many.
    """

    def __init__(
        self,
        path: Path,
        began: StretchBegan,
        tell: Callable[[Entry], None],
        quotas: Quotas,
        leave_out: Callable[[str, float, int], None],
    ) -> None:
        self.began = began
        self.file = AppendFile(path)
        self._tell = tell
        self.quotas = quotas
        self._leave_out = leave_out
        self._base = began.rtp
        self._serial = began.ssrc
        self._sequence = 0
        self.is_closed = False
        self._packets: list[bytes] = []
        self._segments = 0
        self._page_start = 0
        self._came, self._first = began.at, 0
        self._end = self._lasted = 0
        self._arrived = began.at
        self._anchor: tuple[int, float] | None = None
        self._placed: Kept | None = None
        self._reached_back = False
        self._reported_at = float("-inf")
        self._least: tuple[float, int, float] = (float("inf"), 0, 0.0)
        self._latest = float("-inf")
        self.counts = Counts()

    def fits(self, kept: Kept) -> bool:
        """Whether a packet goes on where this stretch stands, by its timestamp and arrival.

        Where timestamps once reached back nothing is believed behind a gap, so another stretch
        begins there as soon as this one is old enough.
        """
        step = kept.timestamp - self._base - self._end
        is_young = kept.arrived - self.began.at < SHORTEST
        if -OVERLAP <= step < 0:
            return opus.is_silent(kept.payload) or is_young
        if step > 0 and self._reached_back and not is_young:
            return False
        return step == 0 or (step > 0 and abs(step - (kept.arrived - self._arrived) * TICKS) < LEAP)

    def leaps(self, kept: Kept) -> bool:
        """Whether a packet begins another stretch, because its timestamp leaps.

        If its participant has leapt too often, it does not: no timestamp of it is believed then,
        and the packet is placed by when it came. So a leap a packet makes no file a packet.
        """
        if self.fits(kept):
            return False
        if self.quotas.may_leap(kept.arrived):
            return True
        self._place_by_arrival(kept, may_gap=self.quotas.short_pages.has(1, kept.arrived))
        return False

    def add(self, kept: Kept) -> None:
        """Take the next packet. No Opus, and silence whose time is taken, are passed over.

        A voice whose time is taken lies where it came, behind what is there.
        """
        ticks = opus.duration(kept.payload)
        if not self._has_place(kept, ticks):
            return
        granule = kept.timestamp - self._base
        if granule != self._end or kept.arrived - self._arrived > STALL:
            granule = self._break(kept, granule)
        segments = ogg.segments(len(kept.payload))
        if self._segments + segments > ogg.MAX_SEGMENTS:
            self.flush()
        if not self._packets:
            self._page_start = self._first = granule
            self._came = kept.arrived
        if kept.arrived < self._came:
            self._came, self._first = kept.arrived, granule
        self._packets.append(kept.payload)
        self._segments += segments
        self._end, self._lasted = granule + ticks, ticks
        self._arrived = kept.arrived
        delay = kept.arrived - granule / TICKS
        if delay < self._least[0]:
            self._least = (delay, granule, kept.arrived)
        self._latest = max(self._latest, delay)
        if self._end - self._page_start >= PAGE:
            self.flush()

    def _has_place(self, kept: Kept, ticks: int) -> bool:
        """Whether a packet can be kept and may be; if not, it is counted where it belongs.

        One whose time is taken is given a place, unless it is silent: LiveKit ends a track so.
        """
        is_back = kept.timestamp - self._base < self._end
        if not ticks or (is_back and opus.is_silent(kept.payload)):
            self.counts.skipped += 1
            self.counts.skipped_octets += len(kept.payload)
            return False
        if not self.quotas.may_keep(ticks, len(kept.payload), kept.arrived):
            self._leave_out("packets", kept.arrived, 1)
            return False
        if is_back:
            self._reached_back = True
            self._place_by_arrival(kept, may_gap=self.quotas.short_pages.has(1, kept.arrived))
        return True

    def _break(self, kept: Kept, granule: int) -> int:
        """End the page before a gap or a stall, if pages may end early still.

        Where the packet stands: directly behind the one before if they may not, and by the clock
        if a timestamp of this stretch was not believed before, so that what was passed over does
        not add up.
        """
        may_gap = self.quotas.short_pages.take(1, kept.arrived)
        if may_gap:
            self.flush()
        if granule != self._end and (not may_gap or self._anchor is not None):
            self._place_by_arrival(kept, may_gap=may_gap)
        return kept.timestamp - self._base

    def _place_by_arrival(self, kept: Kept, *, may_gap: bool) -> None:
        """Count granules so that this packet stands where the clock says, whatever its own says.

        All such packets are placed from one anchor, so that what is uneven in the arrivals does
        not add up.
        """
        if kept is self._placed:
            return
        if self._anchor is None:
            self._anchor = (self._end, self._arrived + self._lasted / TICKS)
        granule, arrived = self._anchor
        granule += round((kept.arrived - arrived) * TICKS)
        is_later = may_gap and granule > self._end + UNEVEN
        self._base = kept.timestamp - (granule if is_later else self._end)
        self._placed = kept
        self._leave_out("timestamps", kept.arrived, 1)

    def note(self, counts: Counts) -> None:
        """Add what happened to packets meanwhile; it stands in the next page's entry."""
        self.counts.add(counts)

    def report(self, report: Report, timestamp: int, now: float, held: Amount) -> None:
        """Journal a sender report whose unwrapped timestamp is given; `held` is yet to be added."""
        if now - self._reported_at < REPORT_EVERY:
            return
        self._reported_at = now
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
