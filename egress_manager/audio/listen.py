"""Listen to a recording: its mix and its track files, each decoded once, and one beside the other.

    evidence = listen(claim)        # a few thousandths of the call's length; one thread, all CPU
    judgement = judge(evidence)     # domain/proof.py, pure

A claim names the files by paths that this process can open; the journals of captures tell what was
sent. What is wrong with a file is evidence, so nothing is raised for it. Who has other work to do
meanwhile takes `listening`, which yields every few milliseconds. Claim and evidence are plain
dataclasses: they pickle, and `as_json` has them as JSON.
"""

from collections.abc import Generator, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Final

import numpy as np

from egress_manager.audio import compare, lineup
from egress_manager.audio.compare import Placed
from egress_manager.audio.hear import Listened, hear
from egress_manager.audio.levels import FLOOR, RATE, SILENCE, Levels, Tops, dbfs, power_of
from egress_manager.audio.lineup import Sought
from egress_manager.audio.playout import playouts
from egress_manager.audio.source import CaptureFiles
from egress_manager.domain.evidence import (
    BOTH,
    SIDES,
    Claim,
    Evidence,
    Heard,
    Lag,
    SideEvidence,
    TrackClaim,
    TrackEvidence,
)
from egress_manager.domain.limits import NOTHING_SENT
from egress_manager.domain.pace import FOUND, steady
from egress_manager.domain.proof import judge
from egress_manager.domain.witness import excesses, sent

#: A mix that lasts longer or shorter than it should by this part is compared at that pace, too.
OTHER_PACE: Final = 0.005

#: Paths are taken as they are.
HERE: Final = Path()

#: A track as it is claimed, and what was heard of it.
Pair = tuple[TrackClaim, Listened]


def listen(claim: Claim) -> Evidence:
    """What is to be heard in a recording's files, beside what its document says of them."""
    work = listening(claim)
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: Evidence = end.value
            return found


def listening(claim: Claim, directory: Path = HERE) -> Generator[None, None, Evidence]:
    """The same in slices: between them others get their turn. Paths may be relative to it.

    Where a quick look finds anything amiss, it is looked at again, exactly.
    """
    evidence = yield from _heard(claim, directory, exactly=False)
    if _is_amiss(evidence):
        evidence = yield from _heard(claim, directory, exactly=True)
    captures = yield from _captures(claim, directory)
    stories = [capture.story for capture in captures]
    during = claim.begins_at or 0.0, inf if claim.ends_at is None else claim.ends_at
    played = yield from playouts(claim, captures, directory)
    return replace(
        evidence,
        sent=sent(stories, *during),
        playouts=played,
        excesses=excesses(stories, *during),
    )


def _heard(claim: Claim, directory: Path, *, exactly: bool) -> Generator[None, None, Evidence]:
    """All files, one beside the other."""
    mix = yield from hear(directory / claim.path, exactly=exactly)
    heard = {}
    for track in claim.tracks:
        if track.path:
            heard[track] = yield from hear(directory / track.path, exactly=exactly)
    return _compared(claim, mix, list(heard.items()))


def _is_amiss(evidence: Evidence) -> bool:
    """Whether there is something that a decoder may have made up."""
    heard = (evidence.mix, *(track.heard for track in evidence.tracks))
    if not any(each.codec == "opus" for each in heard):
        return False
    judgement = judge(evidence)
    is_clipped = any(found.name == "clipped_at_source" for found in judgement.findings)
    return is_clipped or bool(judgement.faults)


def _captures(claim: Claim, directory: Path) -> Generator[None, None, list[CaptureFiles]]:
    """The captures that the files were made of, their journals read."""
    captures = [CaptureFiles(directory / name) for name in claim.captures]
    for capture in captures:
        while capture.read():
            yield
    return captures


def _compared(claim: Claim, mix: Listened, tracks: Sequence[Pair]) -> Evidence:
    """Each file, and the mix beside its tracks. One voice that is on both sides may be in mono."""
    if len(mix.levels) == 1 and not claim.has_two_sides:
        mix = _doubled(mix)
    sought = [_sought(track, listened, mix, tracks) for track, listened in tracks]
    placed = [
        Placed(track.side, one.levels, _tops(listened), one.begins_sec, _lags(one, claim))
        if track.side
        else Placed("", one.levels, _tops(listened), one.begins_sec, ())
        for (track, listened), one in zip(tracks, sought, strict=True)
    ]
    loud = np.flatnonzero(mix.levels.max(axis=0, initial=FLOOR) > SILENCE)
    is_stereo = len(mix.levels) == len(SIDES)
    return Evidence(
        claim=claim,
        mix=mix.heard,
        tracks=tuple(
            _of_track(track, listened, one, where)
            for (track, listened), one, where in zip(tracks, sought, placed, strict=True)
        ),
        sides=_sides(mix, placed, tracks, claim) if is_stereo else (),
        same_share=compare.same_share(mix) if is_stereo else 0.0,
        first_sec=round(float(loud[0]) / RATE, 2) if len(loud) else None,
        last_sec=round(float(loud[-1] + 1) / RATE, 2) if len(loud) else None,
        tempo_likeness=_at_other_pace(mix, placed, claim) if is_stereo else None,
    )


def _sought(
    track: TrackClaim,
    listened: Listened,
    mix: Listened,
    tracks: Sequence[Pair],
) -> Sought:
    """A track, and what else is on its side."""
    levels = _as_one(listened.levels)
    others = np.zeros(len(levels), np.float32)
    for other, heard in tracks:
        if other is not track and other.side in (track.side, BOTH):
            rows = np.arange(len(levels)) + round((track.begins_sec - other.begins_sec) * RATE)
            there = _as_one(heard.levels)
            is_there = (rows >= 0) & (rows < len(there))
            others[is_there] += power_of(there[rows[is_there]])
    channel, other_channel = _channels(mix, track.side)
    return Sought(levels, others, channel, other_channel, track.begins_sec)


def _lags(sought: Sought, claim: Claim) -> tuple[Lag, ...]:
    """Where a track is found; as a whole first, where it may be anywhere.

    One that is never alone on its side is looked for together with the others there; one that is
    not on its side at all, on the other.
    """
    lags = sought.lags()
    if not lags:
        together = dbfs(power_of(sought.levels) + sought.others)
        sought = replace(sought, levels=together, others=np.zeros_like(sought.others))
        lags = sought.lags()
    if claim.is_ours and _is_found(lags):
        return lags
    for channel in (sought.channel, sought.other_channel):
        begins = lineup.begins_at(sought.levels, channel)
        if begins is not None:
            there = replace(sought, channel=channel)
            lags = max(lags, there.lags(begins - sought.begins_sec), key=_found)
    return lags


def _tops(listened: Listened) -> Tops:
    """Where a track reaches full scale: a channel of it, or their sum in the mix."""
    tops: Tops = np.maximum(listened.tops.max(axis=0, initial=0), listened.sum_tops)
    return tops


def _found(lags: Sequence[Lag]) -> int:
    """How many windows were found."""
    return sum(lag.likeness >= FOUND for lag in lags)


def _is_found(lags: Sequence[Lag]) -> bool:
    """Whether most of a track was found near its place."""
    return 2 * _found(lags) >= len(lags)


def _of_track(
    track: TrackClaim, listened: Listened, sought: Sought, placed: Placed
) -> TrackEvidence:
    """What was heard of a track, and where it is found."""
    found = [lag.lag_sec for lag in steady(placed.lags)]
    near = round(float(np.median(found)), 1) if found else 0.0
    return TrackEvidence(
        track_sid=track.track_sid,
        side=track.side,
        heard=listened.heard,
        lags=placed.lags,
        first_lags=sought.first_lags(near),
    )


def _sides(
    mix: Listened, placed: list[Placed], tracks: Sequence[Pair], claim: Claim
) -> tuple[SideEvidence, ...]:
    """Both channels, for as long as the call lasted, or the mix does."""
    count = max(mix.levels.shape[1], round((claim.duration_sec or 0.0) * RATE))
    spoilt = {
        track.side for track, listened in tracks if track.is_partial or _is_spoilt(listened.heard)
    }
    spoilt |= {each.side for each in claim.tracks if not each.path and each.reason != NOTHING_SENT}
    return tuple(
        replace(side, is_whole=not spoilt & {side.side, BOTH, ""})
        for side in compare.sides(mix, placed, count)
    )


def _doubled(mix: Listened) -> Listened:
    """A sound of one channel as it is heard: the same on both sides."""
    return replace(
        mix,
        levels=np.concatenate((mix.levels, mix.levels)),
        tops=np.concatenate((mix.tops, mix.tops)),
        common=power_of(mix.levels[0]),
    )


def _is_spoilt(heard: Heard) -> bool:
    """Whether a file lacks something of its sound."""
    return bool(heard.problem or heard.errors or heard.has_end is False or heard.jumps)


def _at_other_pace(mix: Listened, placed: list[Placed], claim: Claim) -> float | None:
    """How alike mix and tracks are once the mix lasts as long as it should; None where it does."""
    wanted, there = claim.duration_sec or 0.0, mix.heard.decoded_sec
    if not there or not wanted or abs(wanted / there - 1) < OTHER_PACE:
        return None
    unmoved = [replace(track, lags=()) for track in placed]
    count = round(wanted * RATE)
    moments = np.arange(count) * (mix.levels.shape[1] / count)
    alike = [
        compare.likeness(
            np.interp(moments, np.arange(len(channel)), channel).astype(np.float32),
            dbfs(compare.expected(unmoved, side, count).power),
        )
        for side, channel in zip(SIDES, mix.levels, strict=True)
    ]
    return max((found for found in alike if found is not None), default=None)


def _channels(mix: Listened, side: str) -> tuple[Levels, Levels]:
    """The channel of the mix that a side is on, and the other; the only one of a mono mix."""
    if not len(mix.levels):
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    own = SIDES.index(side) if len(mix.levels) > 1 and side in SIDES else 0
    return mix.levels[own], mix.levels[1 - own if len(mix.levels) > 1 else own]


def _as_one(levels: Levels) -> Levels:
    """The levels of all channels of a track together."""
    if not len(levels):
        return np.zeros(0, np.float32)
    one: Levels = levels[0] if len(levels) == 1 else dbfs(power_of(levels).mean(axis=0))
    return one
