"""One track's own file: its packets as they came, and silence where none came.

No packet is decoded or made anew, so it is made fast and sounds as it was sent. It spans the whole
call, so that a player or a transcriber that counts from its beginning is right all along.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from egress_manager.audio import ogg, opus
from egress_manager.audio.decode import LOOKAHEAD
from egress_manager.audio.mix import CONCEALED, JUMP
from egress_manager.audio.weave import Piece, Strand
from egress_manager.domain.captures import TICKS
from egress_manager.domain.drift import USUAL_DRIFT

#: Packets from so long before the beginning are there for the decoder to settle, and are not played
#: (RFC 7845, section 4.6). Ticks.
PREROLL: Final = 3840

#: A page of the file is at most so long. Ticks.
PAGE: Final = TICKS

#: Out of place by this, a track is put right where it is silent; by that, where it is quietest. A
#: word is never further off than that and what a clock loses meanwhile. Ticks.
OFF_IN_SILENCE: Final = 240
OFF: Final = 480

#: The writer corrects a track with a large clock drift every so many packets. It drops at most one
#: packet with sound in so many.
FAR_OFF_SHARE: Final = 5

#: A slice of work is so many pieces.
SLICE: Final = 1000


class PageWriter:
    """Gathers packets into pages; `position` is the granule that was reached.

    A player makes as many channels as the head says, of any packet: of two it would make one, in
    which what is in opposite phase is lost. So the head says two if any packet has two.
    """

    def __init__(self, path: Path, pre_skip: int) -> None:
        self._file = path.open("wb")
        self._pre_skip = pre_skip
        self._channels = 1
        self._file.write(self._head())
        self._sequence = 2
        self._packets: list[bytes] = []
        self._segments = 0
        self._page_start = 0
        self.position = 0

    def add(self, packets: Iterable[bytes]) -> None:
        """Append packets, one after another."""
        for packet in packets:
            segments = len(packet) // 255 + 1
            if self._segments + segments > ogg.MAX_SEGMENTS or self._is_long:
                self._flush(self.position)
            if self._channels == 1 and opus.is_stereo(packet):
                self._channels = 2
            self._packets.append(packet)
            self._segments += segments
            self.position += opus.duration(packet)

    @property
    def _is_long(self) -> bool:
        return self.position - self._page_start >= PAGE

    def close(self, end: int) -> None:
        """Write the last page; a player stops at granule `end`, if that is within it."""
        self._flush(min(end, self.position), last=True)
        if self._channels > 1:
            self._file.seek(0)
            self._file.write(self._head())
        self._file.close()

    def _head(self) -> bytes:
        """The head, which is as long for one channel as for two."""
        return ogg.head_pages(1, self._channels, self._pre_skip)

    def abandon(self) -> None:
        """Let go of the file as it is; harmless where it is closed."""
        with suppress(OSError):  # what is waiting finds no room: it is closed all the same
            self._file.close()

    def _flush(self, granule: int, *, last: bool = False) -> None:
        if self._packets:
            self._file.write(ogg.page(self._packets, granule, 1, self._sequence, last=last))
            self._sequence += 1
        self._packets, self._segments, self._page_start = [], 0, self.position


class TrackWriter:
    """Puts pieces, in the order of time, to their places in the file."""

    def __init__(self, path: Path, begins_at: float, ends_at: float) -> None:
        self._path = path
        self._begins_at = begins_at
        self._length = round((ends_at - begins_at) * TICKS)
        self._pages: PageWriter | None = None
        self._shift = 0.0  # from the recording's time to the file's granules
        self._end = 0
        self._stereo = False  # the packets before, and so what fills a hole behind them
        self._last: tuple[Strand, int] | None = None
        self._likeness = b""
        self._whole = 0  # packets written since the writer last dropped one

    def write(self, pieces: Iterable[Piece]) -> Iterator[None]:
        """Write the whole file, in slices; however that ends, it is not open afterwards."""
        try:
            for n, piece in enumerate(pieces):
                self._add(piece)
                if n % SLICE == SLICE - 1:
                    yield
            pages = self._pages or self._open(None)
            pages.add(opus.silence(self._end - pages.position + opus.SHORTEST, stereo=self._stereo))
            pages.close(self._end)
            yield
        finally:
            if self._pages is not None:
                self._pages.abandon()

    def _add(self, piece: Piece) -> None:
        """Add one piece, or what of it lies within the call."""
        granule, packets = self._within(piece)
        if not packets:
            return
        pages = self._pages or self._open((piece.strand.placement.at(granule), packets))
        is_far_off = abs(piece.strand.placement.drift_ppm) > USUAL_DRIFT * 1e6
        share = FAR_OFF_SHARE if is_far_off else len(packets)
        for n in range(0, len(packets), share):
            part = packets[n : n + share]
            self._append(pages, piece, granule, part)
            granule += sum(map(opus.duration, part))
            self._last = (piece.strand, granule)

    def _append(self, pages: PageWriter, piece: Piece, granule: int, packets: list[bytes]) -> None:
        """Append packets that follow one another, as near to their place as they can be."""
        off = round(self._wanted(piece, granule)) - pages.position
        goes_on = self._last == (piece.strand, granule)
        # Timestamps that leap between packets that follow one another leave no hole either.
        is_near = self._last is not None and self._last[0] is piece.strand and not piece.after_loss
        if (goes_on or (is_near and off >= -JUMP)) and off <= JUMP:
            packets = self._corrected(packets, off)
        elif off > 0:
            pages.add(self._filling(off, piece.after_loss))
        pages.add(packets)
        if packets:
            self._likeness = packets[-1]
            self._stereo = opus.is_stereo(packets[-1])

    def _corrected(self, packets: list[bytes], off: int) -> list[bytes]:
        self._whole += len(packets)
        is_spare = self._whole >= FAR_OFF_SHARE
        nearer = corrected(packets, off, stereo=self._stereo, is_spare=is_spare)
        if nearer is not packets:
            self._whole = 0
        return nearer

    def _wanted(self, piece: Piece, granule: int) -> float:
        """The position in the file at which a granule of a piece belongs."""
        return (piece.strand.placement.at(granule) - self._begins_at) * TICKS + self._shift

    def _within(self, piece: Piece) -> tuple[int, list[bytes]]:
        """The packets of a piece within the call, or just before it, and where they begin."""
        first = self._begins_at - PREROLL / TICKS
        last = self._begins_at + (self._length + LOOKAHEAD) / TICKS
        if piece.start_at >= first and piece.end_at <= last:
            return piece.start, list(piece.packets)
        at = piece.strand.placement.at
        granule = begin = piece.start
        kept: list[bytes] = []
        for packet in piece.packets:
            if first <= at(granule) < last:
                begin = begin if kept else granule
                kept.append(packet)
            granule += opus.duration(packet)
        return begin, kept

    def _open(self, first: tuple[float, list[bytes]] | None) -> PageWriter:
        """Open the file so that the first packet is at its place to the sample.

        What a player skips at the beginning is the encoder's look-ahead, and what is kept from
        before the call; where the track begins later it takes up what silence can't measure out.
        """
        wanted = 0 if first is None else round((first[0] - self._begins_at) * TICKS)
        self._stereo = first is not None and opus.is_stereo(first[1][0])
        filled = max(0, wanted) // opus.SHORTEST * opus.SHORTEST
        self._shift = filled - wanted
        pre_skip = LOOKAHEAD + int(self._shift)
        self._end = self._length + pre_skip
        self._pages = PageWriter(self._path, pre_skip)
        return self._pages

    def _filling(self, ticks: int, after_loss: bool) -> list[bytes]:
        """What stands in a hole: silence; for a few lost packets, whatever a player makes up."""
        if after_loss and self._likeness and ticks <= CONCEALED:
            stand_in = opus.lost_packet(self._likeness)
            count, ticks = divmod(ticks, opus.duration(stand_in))
            return [stand_in] * count + opus.silence(ticks, stereo=self._stereo)
        return opus.silence(ticks, stereo=self._stereo)


def corrected(
    packets: list[bytes], off: int, *, stereo: bool, is_spare: bool = True
) -> list[bytes]:
    """Packets that last longer by `off` ticks (shorter, where negative), if it is worth it.

    The place is the quietest of them, and that is the smallest: encoders spend bits on sound. One
    that carries sound gives way only if it `is_spare`. Of a single packet nothing may be left.
    """
    if abs(off) < OFF_IN_SILENCE:
        return packets
    place = min(range(len(packets)), key=lambda n: len(packets[n]))
    quiet = packets[place]
    has_to_wait = abs(off) < OFF or (off < 0 and not is_spare)
    if has_to_wait and not opus.is_silent(quiet):
        return packets
    if off > 0:
        instead = [*opus.silence(off, stereo=stereo), quiet]
    else:
        instead = opus.silence(max(0, opus.duration(quiet) + off), stereo=stereo)
    return [*packets[:place], *instead, *packets[place + 1 :]]
