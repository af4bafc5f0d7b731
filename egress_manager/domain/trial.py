"""A recording on trial: what it claims, what others saw, and what the judgement makes of it.

Pure.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import inf
from pathlib import PurePosixPath
from typing import Final

from egress_manager.domain.calls import Call
from egress_manager.domain.captures import FOLDER, TICKS
from egress_manager.domain.egress_files import whole_mix
from egress_manager.domain.egresses import EgressStatus
from egress_manager.domain.evidence import BOTH, SIDES, Claim, Excess, Listed, TrackClaim
from egress_manager.domain.findings import Finding
from egress_manager.domain.importing import SOURCE as IMPORTED
from egress_manager.domain.incoming import EgressKind, Sides
from egress_manager.domain.limits import NOTHING_SENT, OUT_OF_REACH
from egress_manager.domain.proof import Judgement
from egress_manager.domain.recordings import (
    Channel,
    Hole,
    Layout,
    Piece,
    Recording,
    State,
    TrackFile,
    Verdict,
)

#: The state in which each verdict leaves a recording.
ENDS: Final[Mapping[Verdict, State]] = {
    Verdict.VERIFIED: State.VERIFIED,
    Verdict.FLAWED: State.VERIFIED,
    Verdict.REJECTED: State.REJECTED,
    Verdict.MISSING: State.REJECTED,
    Verdict.UNHEARD: State.UNHEARD,
}

#: How much a verdict is worth, the best first.
WORTH: Final = tuple(ENDS)

#: Where a track is heard in a mix of LiveKit Egress: the caller's, and everybody else's. Empty: not
#: at all, or nobody knows.
HEARD_ON: Final[Mapping[Sides, tuple[str, str]]] = {
    Sides.CALLER_LEFT: ("left", "right"),
    Sides.AGENTS_LEFT: ("right", "right"),
    Sides.ALTERNATING: ("", ""),
    Sides.ONE_VOICE: (BOTH, ""),
    Sides.EVERYBODY_BOTH: (BOTH, BOTH),
}

#: Faults that no mix is without that is made of the same captures or tracks.
BEYOND_MENDING: Final = frozenset(
    {
        *("late_start", "not_kept", "packets_missing", "octets_missing", "track_missing"),
        *("misplaced", "not_played"),
    }
)

#: Those of them that say for how long there is nothing; what is less apart is the same. Seconds.
LACKING: Final = frozenset({"late_start", "not_kept"})
SAME_SEC: Final = 0.1

_CAPTURED: Final = f"recording.{State.CAPTURED}"

#: A track that was published so shortly before the end need not have been kept.
SHORTLY: Final = timedelta(seconds=1)

#: So many findings are kept, the gravest, but some of each kind.
MOST_FINDINGS: Final = 100
#: So many are named where there is room for a sentence.
MOST_WORDS: Final = 3


def claim_of(recording: Recording, call: Call, here: Mapping[str, str]) -> Claim:
    """What its document says of its files; `here` is where they can be opened, by their paths.

    Where our renderer made them of captures alone they are held to what it promises.
    """
    is_ours = is_from_captures(recording)
    path = recording.filepath or ""
    began = recording.started_at or call.joined_at
    return Claim(
        path=here.get(path, path),
        is_ours=is_ours,
        format=PurePosixPath(path).suffix[1:] if is_ours else None,
        sample_rate=TICKS if is_ours else None,
        duration_sec=recording.duration_sec,
        size_bytes=recording.size_bytes,
        sha256=recording.sha256 or None,
        tracks=tuple(_track(track, recording, began, here) for track in recording.tracks),
        has_two_sides=_has_two_sides(recording),
        holes=() if is_ours else tuple(_heard_by_somebody(recording.holes, call, began)),
        captures=tuple(f"{FOLDER}/{capture_id}" for capture_id in recording.captures),
        begins_at=call.joined_at.timestamp(),
        ends_at=call.left_at.timestamp() if call.left_at else None,
    )


def is_from_captures(recording: Recording) -> bool:
    """Whether nothing but what the built-in recorder kept is in its files."""
    return bool(recording.captures) and not any(job.has_file for job in recording.egresses)


def _heard_by_somebody(holes: Iterable[Hole], call: Call, began: datetime) -> Iterator[Hole]:
    """The holes, without what lies before the answer: until then there is nothing to be kept."""
    answer = (call.answered_at - began).total_seconds() if call.answered_at else -inf
    for hole in holes:
        if hole.end_sec > answer:
            yield replace(hole, start_sec=max(hole.start_sec, min(answer, hole.end_sec)))


def is_elsewhere(path: str) -> bool:
    """Whether it is an address, and no file that can be opened."""
    return "://" in path


def _sides(recording: Recording) -> Sides | None:
    """Who is heard where in a mix that LiveKit Egress made; None where that is as tracks say."""
    if recording.repaired_from:
        return None
    if recording.source == IMPORTED:
        return Sides.ALTERNATING  # nobody knows
    whole = whole_mix(recording)
    return whole.sides if whole else None


def _has_two_sides(recording: Recording) -> bool:
    """Whether it is known that one is on the left, and others on the right."""
    sides = _sides(recording)
    if sides is None:
        return not any(track.side == BOTH for track in recording.tracks)
    return sides in (Sides.CALLER_LEFT, Sides.AGENTS_LEFT)


def _track(
    track: TrackFile, recording: Recording, began: datetime, here: Mapping[str, str]
) -> TrackClaim:
    """One track. Ours span the whole recording, those of others begin when they began."""
    is_ours = bool(track.packets)
    path = track.filepath and here.get(track.filepath, track.filepath)
    late = timedelta() if is_ours or track.started_at is None else track.started_at - began
    reason = track.reason
    if path and is_elsewhere(path):
        path, reason = None, OUT_OF_REACH
    elif path is None and track.track_sid in _unheard_of(recording):
        reason = NOTHING_SENT
    return TrackClaim(
        track_sid=track.track_sid,
        side=_side(track, recording),
        path=path,
        reason=reason,
        begins_sec=round(late.total_seconds(), 6),
        duration_sec=track.duration_sec if is_ours else None,
        size_bytes=track.size_bytes,
        sha256=track.sha256 or None,
        holes=track.holes,
        is_partial=track.track_sid in _broken_off(recording),
    )


def _side(track: TrackFile, recording: Recording) -> str:
    """On which channel of the mix a track is heard, as far as that is known."""
    sides = _sides(recording)
    if sides is None:
        return track.side
    if sides is Sides.AGENTS_LEFT and track.participant_identity == recording.agent_identity:
        return "left"
    of_caller, of_others = HEARD_ON[sides]
    return of_caller if track.side == "left" else of_others


def _broken_off(recording: Recording) -> set[str]:
    """The tracks that LiveKit Egress kept a part of: their jobs ended before the call did."""
    jobs = (job for job in recording.egresses if job.kind is EgressKind.TRACK)
    return {job.track_sid for job in jobs if job.status is not EgressStatus.COMPLETE}


def _unheard_of(recording: Recording) -> Collection[str]:
    """The tracks whose jobs LiveKit Egress gave up because nobody sent anything."""
    jobs = (job for job in recording.egresses if job.kind is EgressKind.TRACK)
    return {job.track_sid for job in jobs if job.status is EgressStatus.ABORTED}


def listed(recording: Recording, call: Call, others: Collection[str]) -> tuple[Listed, ...] | None:
    """The tracks that the server listed during the call; None where nobody saw the call.

    Those of the stays `others` are not recorded. What was published shortly before the end, or
    before it began, need not have been kept.
    """
    if recording.call_id is None:
        return None
    ends_at = call.left_at or call.seen_at
    return tuple(
        Listed(track.track_sid, track.participant_identity, track.is_encrypted)
        for track in call.tracks
        if track.participant_sid not in others
        and call.joined_at - SHORTLY <= track.first_seen_at < ends_at - SHORTLY
    )


def forgotten(recording: Recording, call: Call) -> Iterator[Excess]:
    """What its documents do not remember of the call: there was more than is kept in one."""
    ends_at = call.left_at or call.seen_at
    seconds = max(0.0, round((ends_at - call.joined_at).total_seconds(), 3))
    tracks = max(call.tracks_left_out, recording.tracks_left_out)
    for what, count in (("listed tracks", tracks), ("stays", call.stays_left_out)):
        if count:
            yield Excess(what, "", "", 0.0, seconds, count)


def is_first(recording: Recording) -> bool:
    """Whether these files were never judged before: what somebody removed is not made again."""
    ends = {f"recording.{state}" for state in ENDS.values()}
    names = [event.name for event in recording.history]
    made = names[::-1].index(_CAPTURED) if _CAPTURED in names else len(names)
    return not ends & set(names[len(names) - made :])


def judged(recording: Recording, judgement: Judgement, at: datetime) -> Recording:
    """The recording with its verdict, in the state where that leaves it.

    A recording that is not waiting for one stays as it is.
    """
    if recording.state not in (State.RENDERED, State.REPAIRED):
        return recording
    verdict, findings = judgement.verdict, most_of(judgement.findings)
    told = replace(recording, verdict=verdict, findings=findings)
    return told.advance(ENDS[verdict], at, in_words(judgement))


def most_of(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """As many of the findings as are kept, in their order: of each kind one, then the gravest."""
    first = {(each.name, each.cause): each for each in reversed(findings)}
    ones = [n for n, each in enumerate(findings) if first[each.name, each.cause] is each]
    rest = [n for n in range(len(findings)) if n not in set(ones)]
    return tuple(findings[n] for n in sorted([*ones, *rest][:MOST_FINDINGS]))


def unheard(name: str, why: str) -> Judgement:
    """The judgement on a recording that nobody could listen to, and why."""
    return Judgement(Verdict.UNHEARD, (Finding(name, cause=why),))


def is_out_of_reach(recording: Recording) -> bool:
    """Whether its file was not there, or could not be had, when somebody wanted to listen."""
    names = {finding.name for finding in recording.findings}
    return recording.verdict is Verdict.MISSING or OUT_OF_REACH in names


def in_words(judgement: Judgement) -> str:
    """The gravest faults, as a sentence; empty where there is none."""
    told = [finding.words for finding in judgement.faults]
    more = f" and {len(told) - MOST_WORDS} more" if len(told) > MOST_WORDS else ""
    return "; ".join(told[:MOST_WORDS]) + more


def is_mendable(judgement: Judgement) -> bool:
    """Whether the mix has a fault that making it again may mend."""
    return any(fault.name not in BEYOND_MENDING for fault in _of_the_mix(judgement))


def has_whole_tracks(recording: Recording, judgement: Judgement) -> bool:
    """Whether no track has a fault and all sides are known, so that a mix can be made of them."""
    tracks = [track for track in recording.tracks if track.filepath]
    are_placed = all(track.side and track.started_at for track in tracks)
    is_all = not _broken_off(recording) & {track.track_sid for track in tracks}
    return bool(tracks) and are_placed and is_all and not any(f.track_sid for f in judgement.faults)


def pieces_of_tracks(recording: Recording) -> tuple[Piece, ...]:
    """The tracks' files as pieces that a mix can be made of."""
    began = recording.started_at or recording.created_at
    return tuple(
        Piece(
            track.filepath,
            (began if track.packets else track.started_at or began).timestamp(),
            Layout(track.side),
        )
        for track in recording.tracks
        if track.filepath
    )


def channels_of_tracks(recording: Recording) -> tuple[Channel, ...]:
    """Who is heard on which side of such a mix, each once."""
    return tuple(
        Channel(side, tuple(dict.fromkeys(each.participant_identity for each in on_it)))
        for side in SIDES
        for on_it in [[t for t in recording.tracks if t.filepath and t.side in (side, BOTH)]]
    )


def repaired(recording: Recording, made: Recording, at: datetime, why: str) -> Recording:
    """The recording with the files of one that was made again; the first mix is named in it."""
    if recording.state is not State.RENDERED:
        return recording
    return replace(
        recording,
        filepath=made.filepath,
        started_at=made.started_at,
        stopped_at=made.stopped_at,
        duration_sec=made.duration_sec,
        size_bytes=made.size_bytes,
        sha256="",
        answer_offset_sec=made.answer_offset_sec,
        channels=made.channels,
        tracks=made.tracks,
        holes=made.holes,
        repaired_from=made.repaired_from,
    ).advance(State.REPAIRED, at, why)


def is_better(one: Judgement, other: Judgement) -> bool:
    """Whether a mix that was made again is worth more than the one before it, and lacks no more."""
    if WORTH.index(one.verdict) > WORTH.index(Verdict.FLAWED):
        return False
    if _lacking(one) > _lacking(other) + SAME_SEC:
        return False
    return _worth(one) < _worth(other)


def _lacking(judgement: Judgement) -> float:
    """For how long nothing was kept, in the mix as a whole. Seconds."""
    return sum(fault.amount or 0.0 for fault in _of_the_mix(judgement) if fault.name in LACKING)


def _worth(judgement: Judgement) -> tuple[int, int]:
    return WORTH.index(judgement.verdict), len(_of_the_mix(judgement))


def _of_the_mix(judgement: Judgement) -> list[Finding]:
    return [fault for fault in judgement.faults if not fault.track_sid]
