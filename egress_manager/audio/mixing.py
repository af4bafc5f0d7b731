"""One attempt at a call's mix. It goes only forward, and says when it can't be trusted any more.

Everything is done in slices (generators that yield between them), so that one process can work on
many calls in turn.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Final

from egress_manager.audio.encode import Encoder
from egress_manager.audio.mix import Sum, Voice
from egress_manager.audio.pieces import Pieces
from egress_manager.audio.source import CaptureFiles
from egress_manager.audio.weave import Piece, Strand, Weave
from egress_manager.domain.captures import TICKS, Story, TrackChanged
from egress_manager.domain.codecs import unusable
from egress_manager.domain.recordings import RenderPlan
from egress_manager.domain.sides import sides

#: Packets are taken so long before the mix takes their sound, because two stretches of a track are
#: read one behind the other. Seconds.
AHEAD: Final = 2.5

#: One slice of work mixes so much of the call: some 20 ms of CPU. Seconds.
SLICE: Final = 2.0

#: What stands further from where it is now known to belong is not good enough: words must be in
#: their place to 20 ms, and to find the place itself a part of that is needed. Seconds.
DOUBT: Final = 0.015
#: What is mixed while the call goes on is begun again for that only so early, when it costs little;
#: later it is made again once, at the end. Otherwise a machine that is late with everything would
#: have the more to do. Seconds of the call.
EARLY: Final = 15.0

#: What one stretch goes on with where another ended is nearer than this: half a packet. Seconds.
SEAM: Final = 0.01

#: Sound that ends so long before the call is not decoded. Seconds.
WARM_UP: Final = 0.5


class Doubt(Exception):
    """What was mixed is not what would be mixed now."""


class Mixing:
    """Mixes a call into a file, as far as it is told to.

    With `is_final` everything that there will be is there: sound that comes for a time that is
    mixed is left out then, where otherwise `Late` is raised. `pieces` are heard where nothing was
    captured.
    """

    def __init__(
        self,
        captures: Sequence[CaptureFiles],
        plan: RenderPlan,
        path: Path,
        *,
        is_final: bool = False,
        pieces: Pieces | None = None,
    ) -> None:
        self.plan = plan
        self._is_final = self._is_over = is_final
        self._captures = captures
        self._pieces = pieces
        self._weaves: dict[str, Weave] = {}
        self._voices: dict[Strand, Voice] = {}
        self._sum = Sum(is_strict=not is_final)
        self._encoder = Encoder(path, plan.mix_format)

    def advance(self, until: float) -> Iterator[None]:
        """Mix until a moment, in slices. Raises `Doubt`, `Late`."""
        self._look()
        end = self._position(until)
        while self._sum.done < end:
            to = min(end, self._sum.done + round(SLICE * TICKS))
            self._hear(self.plan.begins_at + to / TICKS + AHEAD)
            for voice in self._voices.values():
                voice.rest_before(to)
            if self._pieces:
                self._pieces.hear(self._sum, to)
            self._encoder.write(self._sum.take(to))
            yield

    def finish(self) -> Iterator[None]:
        """Mix to the end of the call, and close the file. Raises `Doubt`, `Late`."""
        assert self.plan.ends_at is not None
        self._is_over = True
        yield from self.advance(self.plan.ends_at)
        self._compare()
        self._encoder.close()

    def abandon(self) -> None:
        """Give it up."""
        self._encoder.abandon()

    def _position(self, at: float) -> int:
        """A moment, in samples since the call's beginning."""
        return round((at - self.plan.begins_at) * TICKS)

    def _look(self) -> None:
        """Take in what is new: tracks, stretches, better placements."""
        stories = [capture.story for capture in self._captures]
        now = inf if self._is_over else max((story.last_at for story in stories), default=inf)
        for track_sid in usable(stories):
            self._weaves.setdefault(track_sid, Weave(track_sid))
        for weave in self._weaves.values():
            weave.look(self._captures, now)
        strands = [strand for weave in self._weaves.values() for strand in weave.strands]
        is_refreshed = [strand for strand in strands if strand.refresh(now)]
        if is_refreshed and self._sum.done < EARLY * TICKS:
            self._compare()

    def _hear(self, until: float) -> None:
        """Put everything that ends before a moment into the sum."""
        seats = sides([capture.story for capture in self._captures], self.plan)
        begins_at = self.plan.begins_at
        for weave in self._weaves.values():
            for piece in weave.take(until):
                side = seats.of(piece.strand.stretch.began.participant_sid)
                voice = self._voices.get(piece.strand)
                if voice and voice.side != side:
                    raise Doubt("somebody is on the other side now")
                if side is None or piece.end_at < begins_at - WARM_UP:
                    continue
                if voice is None:
                    voice = self._voices[piece.strand] = Voice(side, begins_at, self._sum)
                voice.hear(piece, self._ended_where_begins(piece, weave))

    def _ended_where_begins(self, piece: Piece, weave: Weave) -> Voice | None:
        """The voice of another stretch of the track that ended where a piece begins."""
        others = (self._voices.get(s) for s in weave.strands if s is not piece.strand)
        return next((v for v in others if v and abs(v.heard_until - piece.start_at) < SEAM), None)

    def _compare(self) -> None:
        """Raise `Doubt` where anything stands elsewhere than it is now known to belong."""
        if self._is_final:
            return
        for strand, voice in self._voices.items():
            at = strand.placement.at
            for granule, shift in voice.used:
                if abs(voice.wanted(at(granule), granule) - shift) > DOUBT * TICKS:
                    raise Doubt("the clocks are known better now")


def published(stories: Sequence[Story]) -> Mapping[str, TrackChanged]:
    """The audio tracks that the journals tell of, by sid."""
    return {sid: track for story in stories for sid, track in story.tracks.items()}


def usable(stories: Sequence[Story]) -> list[str]:
    """The sids of the tracks whose packets we can decode."""
    reasons = unusable(stories)
    sids = {s.began.track_sid: None for story in stories for s in story.stretches.values()}
    return [sid for sid in sids if sid not in reasons]
