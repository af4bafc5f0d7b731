"""The verdict on a recording, from the evidence: which fault there is, if any.

No fault means verified. How much of something is too much stands in `limits.py`, with its reason.

Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from egress_manager.domain.evidence import (
    Claim,
    Evidence,
    Heard,
    Playout,
    SideEvidence,
    Span,
    TrackClaim,
)
from egress_manager.domain.findings import KINDS, Finding, Weight, told
from egress_manager.domain.limits import (
    BREAK,
    CLIPPED,
    DRIFT,
    FRAME,
    GONE,
    LATE,
    NO_FAULT,
    OCTETS,
    OCTETS_SHARE,
    OTHERS,
    OUR_CAUSES,
    OURS,
    OWN,
    PACKETS,
    PACKETS_SHARE,
    SAME,
    SILENT,
    STRANGE,
    TOO_LITTLE,
    UNHEARD_SEC,
    UNPLAYED,
    UNPLAYED_SHARE,
    Limits,
)
from egress_manager.domain.pace import Pace, pace
from egress_manager.domain.recordings import Hole, Verdict

#: What it is called if a participant had too much of something; all else was `not_noted`.
EXCESSES: Final[Mapping[str, str]] = {
    "packets": "over_quota",
    "stretches": "over_quota",
    "tracks": "over_quota",
    "timestamps": "timestamps",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, and every finding, the gravest first."""

    verdict: Verdict
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> tuple[Finding, ...]:
        """What is wrong; what remains is what the call was."""
        return tuple(finding for finding in self.findings if finding.is_fault)


def judge(evidence: Evidence) -> Judgement:
    """What the evidence says of a recording. No fault means that it is verified."""
    limits = OURS if evidence.claim.is_ours else OTHERS
    paces = {track.track_sid: pace(track) for track in evidence.tracks}
    findings = told(
        [
            *_of_the_mix(evidence.mix, evidence.claim),
            *_of_its_length(evidence, paces, limits),
            *_of_the_sides(evidence, limits),
            *_of_the_tracks(evidence, limits),
            *_of_their_places(evidence, paces, limits),
            *_of_the_holes(evidence.claim),
            *_of_the_witnesses(evidence),
            *_of_the_excesses(evidence),
            *_of_the_call(evidence),
        ]
    )
    return Judgement(_verdict(findings), findings)


def _verdict(findings: Sequence[Finding]) -> Verdict:
    """The gravest finding decides; a track's own file never rejects the recording."""
    faults = [finding for finding in findings if finding.is_fault]
    of_the_mix = [finding.name for finding in faults if not finding.track_sid]
    if "missing" in of_the_mix:
        return Verdict.MISSING
    if any(KINDS[name].weight is Weight.REJECTS for name in of_the_mix):
        return Verdict.REJECTED
    return Verdict.FLAWED if faults else Verdict.VERIFIED


def _of_the_mix(heard: Heard, claim: Claim) -> Iterator[Finding]:
    """What is wrong with the mix as a file, whatever is to be heard in it."""
    yield from _of_a_file(heard, claim.size_bytes, claim.sha256, is_ours=claim.is_ours)
    if heard.problem:
        return
    if claim.format and heard.format != claim.format:
        yield Finding("format")
    if claim.sample_rate and heard.sample_rate != claim.sample_rate:
        yield Finding("sample_rate", amount=heard.sample_rate)
    if claim.is_ours and heard.is_fast_start is False:
        yield Finding("index_last")
    if claim.has_two_sides and len(heard.channels) == 1:
        yield Finding("one_channel")


def _of_a_file(
    heard: Heard, size_bytes: int | None, sha256: str | None, *, is_ours: bool
) -> Iterator[Finding]:
    """What is wrong with any file. In those of others time stamps may jump over silence."""
    if heard.problem:
        yield Finding(heard.problem)
        return
    if size_bytes is not None and heard.size_bytes != size_bytes:
        yield Finding("size", amount=heard.size_bytes - size_bytes)
    if heard.is_folded:
        yield Finding("folded")
    lacks = heard.said_sec - heard.decoded_sec
    if heard.has_end is False or (heard.has_end is None and lacks > BREAK):
        yield Finding("truncated", start_sec=heard.decoded_sec, amount=round(max(0.0, lacks), 2))
    jumps = heard.jumps if is_ours else ()
    is_other = bool(sha256) and heard.sha256 != sha256
    if heard.errors or jumps or is_other or (is_ours and heard.has_end and lacks > BREAK):
        at = min((jump.start_sec for jump in heard.jumps), default=None)
        yield Finding("damaged", start_sec=at, amount=max(heard.errors, len(jumps)))


def _of_its_length(
    evidence: Evidence, paces: Mapping[str, Pace | None], limits: Limits
) -> Iterator[Finding]:
    """How long the mix is beside the call, and which end lacks something."""
    wanted, there = evidence.claim.duration_sec, evidence.mix.decoded_sec
    if not wanted or not there:
        return
    own = max((side.likeness or 0.0 for side in evidence.sides), default=0.0)
    other = evidence.tempo_likeness
    if other is not None and other >= OWN and other > own:
        yield Finding("tempo", amount=round(wanted / there, 4))
        return
    short = wanted - there
    frame = FRAME / max(1, evidence.mix.sample_rate)
    if short < -limits.length - frame:
        yield Finding("too_long", amount=round(-short, 2))
    elif short > limits.length + frame:
        lags = [found.offset_sec for found in paces.values() if found]
        yield _lacking(short, there, lags, limits)


def _lacking(short: float, there: float, lags: Sequence[float], limits: Limits) -> Finding:
    """Which end of a mix that is too short was cut off, by where the tracks are found in it."""
    amount = round(short, 2)
    if not lags:
        return Finding("too_short", amount=amount)
    if all(abs(lag + short) < limits.length for lag in lags):
        return Finding("cut_start", start_sec=0.0, amount=amount)
    return Finding("cut_end", start_sec=round(there, 2), amount=amount)


def _of_the_sides(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    """What each channel has that its tracks have not, and the other way round."""
    has_two_sides = evidence.claim.has_two_sides
    if has_two_sides and evidence.same_share >= SAME:
        yield Finding("both_sides_same")
    if has_two_sides and _are_swapped(evidence.sides):
        yield Finding("swapped")
    for side in evidence.sides:
        yield from _leaks(side, limits) if has_two_sides else ()
        if side.expected_sec >= TOO_LITTLE:
            yield from _likeness(side)
            yield from _loudness(side, limits)
            yield from _missing(side, evidence, limits)
        if evidence.tracks and side.is_whole and not _strangers(evidence):
            yield from _foreign(side, limits)


def _are_swapped(sides: Sequence[SideEvidence]) -> bool:
    """Whether what is to be on one side is on the other, on every side of which it is known."""
    known = [
        (side.likeness, side.crossed)
        for side in sides
        if side.likeness is not None and side.crossed is not None
    ]
    return bool(known) and all(own < STRANGE and crossed >= OWN for own, crossed in known)


def _likeness(side: SideEvidence) -> Iterator[Finding]:
    """Whether the channel carries its tracks at all."""
    strange = sum(span.seconds for span in side.foreign) if side.is_whole else 0.0
    if side.missing_share >= SILENT and strange < TOO_LITTLE:
        yield Finding("silent", side.side, amount=side.expected_sec)
    elif strange and side.likeness is not None and side.likeness < STRANGE:
        yield Finding("other_call", side.side, amount=side.likeness)


def _loudness(side: SideEvidence, limits: Limits) -> Iterator[Finding]:
    """Whether the channel is as loud as its tracks, in its loudest moments too."""
    if side.level_db is not None and abs(side.level_db) > limits.level:
        yield Finding("level", side.side, amount=side.level_db)
    clipped = sum(span.amount for span in side.clipped)
    is_bent = side.bent_db is not None and side.bent_db < limits.bent
    if clipped > CLIPPED or is_bent:
        at = min((span.start_sec for span in side.clipped), default=None)
        yield Finding("clipped", side.side, start_sec=at, amount=round(clipped, 2))


def _leaks(side: SideEvidence, limits: Limits) -> Iterator[Finding]:
    """Where the other side is heard, and how loud at most."""
    loud = [span for span in side.leaks if span.amount > limits.leak]
    if loud:
        start, end = min(s.start_sec for s in loud), max(s.end_sec for s in loud)
        worst = max(span.amount for span in loud)
        yield Finding("leak", side.side, start_sec=start, end_sec=end, amount=worst)


def _missing(side: SideEvidence, evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    """Where the tracks have sound and the channel has not, named by where that is."""
    first, last = evidence.first_sec, evidence.last_sec
    for span in side.missing:
        if span.seconds < limits.hole or first is None or last is None:
            continue
        name = "hole"
        if span.end_sec <= first + limits.hole:
            name = "cut_start"
        elif _is_gone(side, span, limits):
            name = "goes_silent"
        elif span.start_sec >= last - limits.hole:
            name = "cut_end"
        yield _spanning(name, side.side, span)


def _is_gone(side: SideEvidence, span: Span, limits: Limits) -> bool:
    """Whether nothing at all comes on a side from there on."""
    is_last = span.end_sec >= side.last_sec - limits.hole
    is_silent = all(other.end_sec <= span.start_sec for other in side.foreign)
    return span.seconds >= GONE and is_last and is_silent


def _foreign(side: SideEvidence, limits: Limits) -> Iterator[Finding]:
    """Where the channel has sound and its tracks have not."""
    for span in side.foreign:
        if span.seconds >= limits.foreign:
            yield _spanning("foreign_sound", side.side, span)


def _spanning(name: str, side: str, span: Span) -> Finding:
    return Finding(name, side, "", span.start_sec, span.end_sec, round(span.seconds, 2))


def _of_the_tracks(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    """Each track's own file, or why there is none."""
    heard = {track.track_sid: track.heard for track in evidence.tracks}
    for claim in evidence.claim.tracks:
        found: Iterator[Finding] = iter(())
        if claim.track_sid in heard:
            found = _of_a_track(heard[claim.track_sid], claim, evidence.claim, limits)
        elif claim.reason not in NO_FAULT:
            found = iter([Finding("track_missing", cause=claim.reason)])
        yield from (replace(one, side=claim.side, track_sid=claim.track_sid) for one in found)


def _of_a_track(
    heard: Heard, claim: TrackClaim, recording: Claim, limits: Limits
) -> Iterator[Finding]:
    """What is wrong with a track's file, and what is to be told of its sound."""
    yield from _of_a_file(heard, claim.size_bytes, claim.sha256, is_ours=recording.is_ours)
    if heard.problem:
        return
    if claim.duration_sec is not None:
        longer = heard.decoded_sec - claim.duration_sec
        if abs(longer) > limits.length:
            name = "too_long" if longer > 0 else "too_short"
            yield Finding(name, amount=round(abs(longer), 2))
    sounds = heard.channels
    if sounds and not any(sound.speech_sec for sound in sounds):
        yield Finding("said_nothing")
    clipped = max((sound.clipped_sec for sound in sounds), default=0.0)
    if clipped > CLIPPED:
        yield Finding("clipped_at_source", amount=clipped)


def _of_their_places(
    evidence: Evidence, paces: Mapping[str, Pace | None], limits: Limits
) -> Iterator[Finding]:
    """Where the tracks are found in the mix. A side with several tracks is told once of each."""
    for track in evidence.tracks:
        found = paces[track.track_sid]
        if found is None or not track.side:
            continue
        if found.ramp and abs(found.ramp.amount) > limits.offset:
            ramp = found.ramp
            yield Finding("fast_start", "", "", ramp.start_sec, ramp.end_sec, ramp.amount)
        for step in found.steps:
            if abs(step.amount) > limits.offset:
                yield Finding("jump", track.side, "", step.start_sec, step.end_sec, step.amount)
        drifted = abs(found.drift_ppm) * 1e-6 * found.span_sec
        if abs(found.drift_ppm) > DRIFT and drifted > limits.drifted:
            yield Finding("drift", track.side, amount=found.drift_ppm)
        if abs(found.offset_sec) > limits.offset:
            yield Finding("offset", track.side, amount=found.offset_sec)


def _of_the_holes(claim: Claim) -> Iterator[Finding]:
    """What the journals tell of times for which no audio came: ours, or the call's.

    Of a whole that others recorded, what is missing before its beginning and after its end.
    """
    for hole in claim.holes:
        seconds = round(hole.end_sec - hole.start_sec, 2)
        if seconds >= LATE:
            name = "late_start" if hole.start_sec <= 0 else "not_kept"
            yield Finding(name, "", "", hole.start_sec, hole.end_sec, seconds, hole.cause)
    for track in claim.tracks:
        for hole in track.holes:
            name = _name_of(hole)
            seconds = round(hole.end_sec - hole.start_sec, 2)
            yield Finding(
                name,
                track.side,
                track.track_sid,
                hole.start_sec,
                hole.end_sec,
                seconds,
                hole.cause,
            )


def _name_of(hole: Hole) -> str:
    if hole.cause == "joining" and hole.end_sec - hole.start_sec >= LATE:
        return "late_start"
    return "not_kept" if hole.cause in OUR_CAUSES else "not_sent"


def _of_the_witnesses(evidence: Evidence) -> Iterator[Finding]:
    """What the server's own counts and its list of tracks say against what was kept."""
    sides = {claim.track_sid: claim.side for claim in evidence.claim.tracks}
    for sent in evidence.sent:
        side = sides.get(sent.track_sid, "")
        lost, span = sent.packets_missing, (sent.start_sec, sent.end_sec)
        if lost > max(PACKETS, PACKETS_SHARE * sent.packets_sent):
            yield Finding("packets_missing", side, sent.track_sid, *span, lost)
        elif sent.octets_missing > max(OCTETS, (1 - OCTETS_SHARE) * sent.octets_sent):
            yield Finding("octets_missing", side, sent.track_sid, amount=sent.octets_missing)
    for played in evidence.playouts:
        yield from _of_a_playout(played, sides.get(played.track_sid, ""))
    for track_sid in _strangers(evidence):
        yield Finding("track_missing", track_sid=track_sid, cause="not known to us")
    without_file = {claim.track_sid for claim in evidence.claim.tracks if not claim.path}
    for each in evidence.listed or ():
        if each.is_encrypted and each.track_sid not in without_file:
            yield Finding("encrypted", sides.get(each.track_sid, ""), each.track_sid)


def _of_the_excesses(evidence: Evidence) -> Iterator[Finding]:
    """What participants had more of than is kept, or written down, of anybody."""
    sides = {claim.track_sid: claim.side for claim in evidence.claim.tracks}
    for over in evidence.excesses:
        span = over.start_sec, over.end_sec
        name, side = EXCESSES.get(over.what, "not_noted"), sides.get(over.track_sid, "")
        yield Finding(name, side, over.track_sid, *span, over.count, over.what)


def _of_a_playout(played: Playout, side: str) -> Iterator[Finding]:
    """What the bytes of a track's file say against when its packets came."""
    at, seconds = played.at_sec, round(played.misplaced_sec, 2)
    if seconds:
        yield Finding("misplaced", side, played.track_sid, start_sec=at, amount=seconds)
    if played.missing > max(UNPLAYED, UNPLAYED_SHARE * played.packets):
        share = round(100 * played.missing / played.packets)
        yield Finding("not_played", side, played.track_sid, amount=share)
    if played.unheard_sec >= UNHEARD_SEC:
        unheard = round(played.unheard_sec, 2)
        yield Finding("never_heard", side, played.track_sid, amount=unheard)


def _strangers(evidence: Evidence) -> list[str]:
    """The tracks that the server listed, and of which the document knows nothing."""
    known = {track.track_sid for track in evidence.claim.tracks}
    return [each.track_sid for each in evidence.listed or () if each.track_sid not in known]


def _of_the_call(evidence: Evidence) -> Iterator[Finding]:
    """What is to be told of the call itself."""
    if evidence.mix.problem:
        return
    if not any(track.path for track in evidence.claim.tracks):
        yield Finding("not_compared")
    if not any(sound.speech_sec for sound in evidence.mix.channels):
        yield Finding("said_nothing")
