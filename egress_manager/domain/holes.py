"""When a track has no audio, and why: what the journals know that explains a hole.

Pure. Moments are seconds since 1970.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from math import inf
from typing import Final, NamedTuple

from egress_manager.domain.captures import ConnectionChanged, Story
from egress_manager.domain.limits import LATE
from egress_manager.domain.recordings import Hole


class Covered(NamedTuple):
    """A span of moments for which a track has audio; whether packets were lost just before it."""

    start: float
    end: float
    after_loss: bool = False


class Obstacle(NamedTuple):
    """A span of moments in which audio could not come, and the name of the reason."""

    start: float
    end: float
    cause: str


#: A finished file should hold that time, and can't be read; nobody recorded it at all.
UNREADABLE: Final = "piece_unreadable"
NOT_RECORDED: Final = "not_recorded"

#: What explains a hole, the strongest first. `loss` is known only where nothing else explains it;
#: a `pause` is no fault: the publisher sent nothing, because there was nothing to say.
PAUSE: Final = "pause"
LOSS: Final = "loss"
JOINING: Final = "joining"
DOWN: Final = "recorder down"
CONNECTION: Final = "connection"
OVER_QUOTA: Final = "over_quota"
CAUSES: Final = (
    UNREADABLE,
    *(DOWN, CONNECTION, "disk", JOINING, "unpublished", "mute", LOSS, OVER_QUOTA),
    *(NOT_RECORDED, PAUSE, ""),
)

#: An obstacle that is none: the packets of one subscription have their numbers then. Where none is
#: missing, the server sent nothing, whatever else happened: a recorder that stood still lost none.
NUMBERED: Final = "numbered"
DISPROVED: Final = frozenset({DOWN, CONNECTION, JOINING})

#: Why nothing reached the disk although it was sent: what came just before is as good as lost too.
AWAY: Final = frozenset({DOWN, CONNECTION, "disk"})
#: A server that was asked for a track takes so long at most to send it (measured: 0.13), and so
#: long for one that was just published (measured: 0.56 on a busy machine). Seconds.
SENDS_WITHIN: Final = 0.5
NEGOTIATED_WITHIN: Final = 0.9

#: Shorter ones are not told, in seconds: lost packets are concealed and counted, people breathe.
SHORTEST_HOLE: Final = 0.1
SHORTEST_PAUSE: Final = 1.0
SHORTEST: Final = {PAUSE: SHORTEST_PAUSE, JOINING: 0.05}
#: A part of a hole that is shorter belongs to its neighbour. Seconds.
SHORTEST_PART: Final = {PAUSE: 0.5, JOINING: 0.05}

#: A recorder that is in the room so much later was not there when it was needed. Seconds.
SLOW_JOIN: Final = 5.0

#: A journal that stops so long before the call's end, in the middle of a stretch, was cut off.
QUIET_FOR: Final = 5.0


def holes(
    covered: Sequence[Covered], obstacles: Sequence[Obstacle], begins_at: float, ends_at: float
) -> tuple[Hole, ...]:
    """The holes between the covered spans, in seconds since `begins_at`, each with its cause.

    A hole that has one cause and then another is told as two, and all of it is told, or nothing.
    """
    found, near = list[Obstacle](), list[Obstacle]()
    later = sorted(obstacles, reverse=True)
    for gap in _gaps(covered, begins_at, ends_at):
        while later and later[-1].start < gap.end:
            near.append(later.pop())
        near = [obstacle for obstacle in near if obstacle.end > gap.start]
        parts = _joined(_named(_explained(gap, near)))
        if any(_lasts(part) >= SHORTEST.get(part.cause, SHORTEST_HOLE) for part in parts):
            found += parts
    return tuple(
        Hole(round(hole.start - begins_at, 3), round(hole.end - begins_at, 3), hole.cause)
        for hole in found
    )


def _lasts(part: Obstacle) -> float:
    return part.end - part.start


def _gaps(covered: Sequence[Covered], begins_at: float, ends_at: float) -> Iterator[Covered]:
    """The spans that nothing covers, within the recording."""
    at = begins_at
    for span in sorted(covered):
        if span.start > at:
            yield Covered(at, min(span.start, ends_at), span.after_loss)
        at = max(at, span.end)
        if at >= ends_at:
            return
    yield Covered(at, ends_at)


def _explained(gap: Covered, obstacles: Sequence[Obstacle]) -> list[Obstacle]:
    """A gap, cut wherever its strongest cause changes; empty where nothing explains it."""
    across = [o for o in obstacles if o.start < gap.end and o.end > gap.start]
    edges = {gap.start, gap.end}
    edges.update(e for o in across for e in (o.start, o.end) if gap.start < e < gap.end)
    ordered = sorted(edges)
    told: list[Obstacle] = []
    for start, end in pairwise(ordered):
        causes = {o.cause for o in across if o.start <= start and o.end >= end}
        told.append(Obstacle(start, end, _strongest(causes, after_loss=gap.after_loss)))
    return merged(told)


def _strongest(causes: set[str], *, after_loss: bool) -> str:
    """Of what may explain a part of a gap, what does; `after_loss`: packets are missing in it."""
    if NUMBERED in causes:
        causes = causes - {NUMBERED} | {PAUSE}
        if not after_loss:
            causes -= DISPROVED
    cause = min(causes, key=CAUSES.index, default="")
    return LOSS if after_loss and cause in ("", PAUSE) else cause


def _named(parts: Sequence[Obstacle]) -> list[Obstacle]:
    """The same, where what nothing explains has the cause of its neighbour, or is a pause.

    What a recorder had not written when it was cut off is lost with it; when it is back the server
    takes a moment to send. What is known to be lost beside that is lost by that.
    """
    named = list(parts)
    for n, part in enumerate(parts):
        before = named[n - 1] if n else None
        after = parts[n + 1] if n + 1 < len(parts) else None
        if part.cause in ("", LOSS) and after and _is_away(after):
            named[n] = part._replace(cause=after.cause)
        elif part.cause == LOSS and before and _is_away(before):
            named[n] = part._replace(cause=before.cause)
        elif part.cause == "":
            named[n] = part._replace(cause=_cause_behind(before, _lasts(part)))
    return merged(named)


def _is_away(part: Obstacle) -> bool:
    return part.cause in AWAY and _lasts(part) >= SHORTEST_HOLE


def _cause_behind(before: Obstacle | None, seconds: float) -> str:
    """Why nothing came for so long behind a part of a hole: a pause, or it was not sent at once."""
    is_new = before is not None and before.cause == "unpublished"
    was_late = before is not None and (before.cause == JOINING or _is_away(before))
    cause = before.cause if before and was_late else JOINING if is_new else PAUSE
    return cause if seconds <= (NEGOTIATED_WITHIN if is_new else SENDS_WITHIN) else PAUSE


def _joined(parts: Sequence[Obstacle]) -> list[Obstacle]:
    """The same, where each part that is too short belongs to its neighbour, the graver one."""
    if parts and all(map(_is_short, parts)):
        return [Obstacle(parts[0].start, parts[-1].end, max(parts, key=_lasts).cause)]
    joined = list(parts)
    for _ in parts:
        found = next(
            ((n, beside) for n in range(len(joined)) if (beside := _beside(joined, n))), None
        )
        if found is None:
            break
        n, beside = found
        joined[n] = joined[n]._replace(cause=min(beside, key=CAUSES.index))
        joined = merged(joined)
    return joined


def _beside(parts: Sequence[Obstacle], n: int) -> list[str]:
    """The causes of the parts that one may belong to: of none, if it is long enough.

    A pause is not held against the recorder.
    """
    if not _is_short(parts[n]):
        return []
    is_pause = parts[n].cause == PAUSE and _lasts(parts[n]) >= SHORTEST_HOLE
    beside = [*parts[max(0, n - 1) : n], *parts[n + 1 : n + 2]]
    causes = [part.cause for part in beside if not _is_short(part)]
    return [cause for cause in causes if not (is_pause and cause in DISPROVED)]


def _is_short(part: Obstacle) -> bool:
    return _lasts(part) < SHORTEST_PART.get(part.cause, SHORTEST_HOLE)


def merged(parts: Iterable[Obstacle]) -> list[Obstacle]:
    """The same, where neighbours of one cause are one."""
    found: list[Obstacle] = []
    for part in parts:
        if found and found[-1].cause == part.cause and found[-1].end == part.start:
            found[-1] = found[-1]._replace(end=part.end)
        else:
            found.append(part)
    return found


def patched(
    missing: Sequence[Hole],
    heard: Sequence[Covered],
    unreadable: Sequence[Obstacle],
    begins_at: float,
    ends_at: float,
) -> tuple[Hole, ...]:
    """What of the holes is left when finished files are heard in them."""
    known = [Obstacle(begins_at + h.start_sec, begins_at + h.end_sec, h.cause) for h in missing]
    kept = _gaps([Covered(o.start, o.end) for o in known], begins_at, ends_at)
    return holes([*kept, *heard], [*unreadable, *known], begins_at, ends_at)


def captured(
    stories: Sequence[Story], track_sids: Collection[str], ends_at: float
) -> list[Covered]:
    """When captures could hear the room: connected, and from the first packet of a track on."""
    spans: list[Covered] = []
    for story in stories:
        tracks = [s for s in story.stretches.values() if s.began.track_sid in track_sids]
        for since, until in _connected(story, _stopped_at(story, stories, ends_at)):
            began = [
                max(since, stretch.began.at)
                for stretch in tracks
                if stretch.pages and stretch.began.at < until and stretch.pages[-1].at > since
            ]
            spans += [Covered(min(began), until)] if began else []
    return spans


def was_away(stories: Sequence[Story], begins_at: float, ends_at: float) -> bool:
    """Whether the recorder could hear so little of a call that somebody may have spoken unheard.

    Whoever spoke before it had joined would go on sending, so that may take longer than usual.
    """
    if any(trouble.what == "disk" for story in stories for trouble in story.troubles):
        return True
    heard = [
        Covered(since, until)
        for story in stories
        for since, until in _connected(story, _stopped_at(story, stories, ends_at))
    ]
    if not heard:
        return bool(stories)  # without a capture it was not ours to hear
    return any(
        gap.end - gap.start >= (LATE if gap.start > begins_at else SLOW_JOIN)
        for gap in _gaps(heard, begins_at, ends_at)
    )


def _connected(story: Story, stopped_at: float) -> Iterator[tuple[float, float]]:
    """The spans in which media could come; all of it where the journal does not say."""
    since = None if story.connections or not story.began else story.began.at
    for change, carries in _carrying(story.connections):
        if carries:
            since = change.at
        elif since is not None:
            yield since, change.at
            since = None
    if since is not None:
        yield since, stopped_at


def obstacles(
    stories: Sequence[Story], track_sid: str, begins_at: float, ends_at: float
) -> list[Obstacle]:
    """Everything the journals know that can keep a track's audio away during a call."""
    return [
        *_out_of_the_room(stories, begins_at, ends_at),
        *_disconnected(stories, ends_at),
        *_troubled(stories),
        *_unpublished(stories, track_sid, begins_at, ends_at),
        *_muted(stories, track_sid, ends_at),
        *_over_quota(stories, track_sid),
    ]


def _out_of_the_room(
    stories: Sequence[Story], begins_at: float, ends_at: float
) -> Iterator[Obstacle]:
    """When no capture was running: before the first one, between two, and behind one that died."""
    presence = sorted(
        (story.began.at, _stopped_at(story, stories, ends_at)) for story in stories if story.began
    )
    at, cause = begins_at, JOINING
    for start, end in presence:
        if start > at:
            yield Obstacle(at, start, cause)
        at, cause = max(at, end), DOWN
    if at < ends_at:
        yield Obstacle(at, ends_at, cause)


def _stopped_at(story: Story, stories: Sequence[Story], ends_at: float) -> float:
    """When a capture stopped; the call's end or later where it went on.

    Without an end it goes on, unless another began after it, or it stopped long ago in a stretch.
    """
    if story.ended:
        return story.ended.at
    was_followed = any(other.began and other.began.at > story.last_at for other in stories)
    was_talking = any(s.ended is None for s in story.stretches.values())
    if was_followed or (was_talking and ends_at - story.last_at > QUIET_FOR):
        return story.last_at
    return max(story.last_at, ends_at)


def _disconnected(stories: Sequence[Story], ends_at: float) -> Iterator[Obstacle]:
    """When no connection of a capture could carry media.

    Before the first one could, the recorder was joining; a later capture means that it was away.
    """
    first_at = min((story.began.at for story in stories if story.began), default=0.0)
    for story in stories:
        if story.began is None or not story.connections:
            continue
        at = story.began.at
        cause = JOINING if at == first_at else DOWN
        for change, carries in _carrying(story.connections):
            if carries:
                yield Obstacle(at, change.at, cause)
            at, cause = (inf, "") if carries else (change.at, CONNECTION)
        if at < ends_at and not story.ended:
            yield Obstacle(at, ends_at, cause)


def _carrying(
    changes: Sequence[ConnectionChanged],
) -> Iterator[tuple[ConnectionChanged, bool]]:
    """The changes that made media possible, or no longer possible, on any connection."""
    carrying: set[str] = set()
    for change in changes:
        before = bool(carrying)
        if change.state == "media":
            carrying.add(change.identity)
        elif change.state in ("lost", "left"):
            carrying.discard(change.identity)
        if bool(carrying) != before:
            yield change, bool(carrying)


def _troubled(stories: Sequence[Story]) -> Iterator[Obstacle]:
    """Around a trouble with the disk: from its line to the next page that was kept after it.

    A process that stood still was as good as down.
    """
    for story in stories:
        kept = sorted(page.at for s in story.stretches.values() for page in s.pages)
        for trouble in story.troubles:
            if trouble.what == "disk":
                after = bisect_right(kept, trouble.at)
                end = kept[after] if after < len(kept) else story.last_at
                yield Obstacle(trouble.at - QUIET_FOR / 5, end, "disk")
            elif trouble.what == "stalled":
                yield Obstacle(trouble.at - float(trouble.detail), trouble.at, DOWN)


def _unpublished(
    stories: Sequence[Story], track_sid: str, begins_at: float, ends_at: float
) -> Iterator[Obstacle]:
    """Before a track was published, and after."""
    changes = [c.at for story in stories for c in story.track_changes if c.track_sid == track_sid]
    gone = [story.tracks_gone[track_sid].at for story in stories if track_sid in story.tracks_gone]
    yield Obstacle(begins_at, min(changes, default=ends_at), "unpublished")
    if gone and max(gone) > max(changes, default=begins_at):
        yield Obstacle(max(gone), ends_at, "unpublished")


def _muted(stories: Sequence[Story], track_sid: str, ends_at: float) -> Iterator[Obstacle]:
    """While a track was muted."""
    changes = sorted(
        (change.at, change.is_muted)
        for story in stories
        for change in story.track_changes
        if change.track_sid == track_sid
    )
    for (at, is_muted), (until, _) in pairwise([*changes, (ends_at, False)]):
        if is_muted:
            yield Obstacle(at, until, "mute")


def _over_quota(stories: Sequence[Story], track_sid: str) -> Iterator[Obstacle]:
    """While more came of a track than is kept of anybody."""
    for story in stories:
        for entry in story.left_out.values():
            if entry.track_sid == track_sid and entry.what == "packets":
                yield Obstacle(entry.since, entry.at, OVER_QUOTA)
