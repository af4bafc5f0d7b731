"""Every audio track of a call gets its own file, or a named reason why it has none."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from math import inf
from pathlib import Path

from egress_manager.audio import opus
from egress_manager.audio.finished import Unfinished, spared
from egress_manager.audio.mixing import published
from egress_manager.audio.source import CaptureFiles
from egress_manager.audio.track_file import TrackWriter
from egress_manager.audio.weave import Piece, Weave
from egress_manager.domain.captures import ParticipantChanged, Story, TrackChanged
from egress_manager.domain.codecs import in_other_codecs, unusable
from egress_manager.domain.holes import OVER_QUOTA, holes, obstacles
from egress_manager.domain.recordings import RenderPlan, TrackFile
from egress_manager.domain.sides import Sides
from egress_manager.domain.silences import silences


class Tally:
    """Counts a track's packets as they go by."""

    def __init__(self) -> None:
        self.packets = 0
        self.speech = 0
        self.lost = 0

    def count(self, pieces: Iterable[Piece], begins_at: float, ends_at: float) -> Iterator[Piece]:
        """The pieces that touch the call, counted."""
        for piece in pieces:
            if piece.end_at > begins_at and piece.start_at < ends_at:
                self.packets += len(piece.packets)
                self.speech += sum(not opus.is_silent(p) for p in piece.packets)
                self.lost += piece.lost
                yield piece


def tracks_of(stories: Sequence[Story], plan: RenderPlan, seats: Sides) -> list[TrackChanged]:
    """The tracks that were published during the call by somebody who is in the mix."""
    ends_at = inf if plan.ends_at is None else plan.ends_at
    return [
        track
        for track in published(stories).values()
        if seats.of(track.participant_sid)
        and _published_from(stories, track.track_sid) < ends_at
        and _published_until(stories, track) > plan.begins_at
    ]


def _published_from(stories: Sequence[Story], track_sid: str) -> float:
    """When a track was first seen."""
    return min(c.at for story in stories for c in story.track_changes if c.track_sid == track_sid)


def _published_until(stories: Sequence[Story], track: TrackChanged) -> float:
    """When a track was last seen to end; never, as far as is known."""
    gone = [s.tracks_gone[track.track_sid].at for s in stories if track.track_sid in s.tracks_gone]
    gone += [s.gone[track.participant_sid].at for s in stories if track.participant_sid in s.gone]
    last_change = max(
        c.at for s in stories for c in s.track_changes if c.track_sid == track.track_sid
    )
    return max(gone) if gone and max(gone) >= last_change else inf


class TrackRender:
    """Makes the file of one track. `made` waits for its name until the caller gives it."""

    def __init__(
        self,
        track: TrackChanged,
        captures: Sequence[CaptureFiles],
        plan: RenderPlan,
        recordings_dir: Path,
    ) -> None:
        self.track = track
        self.tally = Tally()
        self.made: Unfinished | None = None
        self._captures = captures
        self._plan = plan
        filepath = plan.track_filepath.replace("{track_id}", track.track_sid)
        self._filepath = spared(filepath, plan.pieces)
        self._recordings_dir = recordings_dir

    def render(self, seats: Sides) -> Generator[None, None, TrackFile]:
        """The track's file and all that is known of it, in slices."""
        assert self._plan.ends_at is not None
        begins_at, ends_at = self._plan.begins_at, self._plan.ends_at
        stories = [capture.story for capture in self._captures]
        track_sid = self.track.track_sid
        weave = Weave(track_sid)
        reason = unusable(stories).get(track_sid, "")
        if not reason:
            weave.look(self._captures)
            pieces = weave.take(inf)
            if len(weave.strands) > 1:
                pieces = iter(sorted(pieces, key=lambda piece: piece.start_at))
            yield from self._write(self.tally.count(pieces, begins_at, ends_at))
            reason = "" if self.made else _why_nothing(stories, self.track)
        kept = [span for span in weave.covered if span.end > begins_at and span.start < ends_at]
        known = obstacles(stories, track_sid, begins_at, ends_at)
        known += in_other_codecs(stories, track_sid)
        known += silences(stories, track_sid, known, ends_at)
        first = weave.strands[0].placement if self.made else None
        participant = _participant(stories, self.track.participant_sid)
        return TrackFile(
            track_sid=track_sid,
            participant_identity=participant.identity,
            participant_kind=participant.kind,
            side=seats.of(self.track.participant_sid) or "",
            filepath=self._filepath if self.made else None,
            started_at=datetime.fromtimestamp(max(begins_at, kept[0].start), UTC) if kept else None,
            duration_sec=round(ends_at - begins_at, 3) if self.made else None,
            size_bytes=self.made.temporary.stat().st_size if self.made else None,
            packets=self.tally.packets,
            lost=self.tally.lost,
            holes=holes(kept, known, begins_at, ends_at),
            offset_sec=round(first.origin_at - begins_at, 6) if first else None,
            drift_ppm=round(first.drift_ppm, 2) if first else None,
            reason=reason,
        )

    def _write(self, pieces: Iterator[Piece]) -> Iterator[None]:
        """Write the file, if there is a packet for it."""
        assert self._plan.ends_at is not None
        first = next(pieces, None)
        if first is None:
            return
        made = Unfinished(self._recordings_dir / self._filepath)
        writer = TrackWriter(made.begin(), self._plan.begins_at, self._plan.ends_at)
        try:
            yield from writer.write(_chained(first, pieces))
        except BaseException:  # also where the generator is closed half-way
            made.drop()
            raise
        self.made = made


def _chained(first: Piece, rest: Iterator[Piece]) -> Iterator[Piece]:
    yield first
    yield from rest


def _why_nothing(stories: Sequence[Story], track: TrackChanged) -> str:
    """The reason for a track without a packet: the disk, or a quota, if there was that trouble."""
    if any(t.what == "disk" for s in stories for t in s.troubles):
        return "disk"
    who = _participant(stories, track.participant_sid).identity
    over = {e.what for s in stories for e in s.left_out.values() if e.identity == who}
    return OVER_QUOTA if "stretches" in over else "no_audio"


def _participant(stories: Sequence[Story], sid: str) -> ParticipantChanged:
    """Who that is, by the newest line about it."""
    known = [story.participants[sid] for story in stories if sid in story.participants]
    return known[-1] if known else ParticipantChanged(0.0, sid, sid)
