"""Which packets we can decode: a track may change its codec, and what came before it was kept.

Pure. Moments are seconds since 1970.
"""

from collections.abc import Iterator, Sequence
from math import inf
from typing import Final

from egress_manager.domain.captures import Story
from egress_manager.domain.holes import NOT_RECORDED, Obstacle

#: The codecs whose packets are Opus when they reach us (LiveKit unwraps RED for us).
OPUS: Final = frozenset({"audio/opus", "audio/red", ""})


def unusable(stories: Sequence[Story]) -> dict[str, str]:
    """Why packets of a track are no sound that we can decode: `encrypted` or `codec`, by sid.

    Packets are kept only while a track says that they are Opus: what was kept of one that said
    something else before, or after it, can be decoded.
    """
    told = [trouble for story in stories for trouble in story.troubles]
    kept = {s.began.track_sid for story in stories for s in story.stretches.values() if s.pages}
    reasons = {t.track_sid: t.what for t in told if t.what == "codec" and t.track_sid not in kept}
    reasons |= {t.track_sid: t.what for t in told if t.what == "encrypted"}
    tracks = [track for story in stories for track in story.tracks.values()]
    return reasons | {track.track_sid: "encrypted" for track in tracks if track.is_encrypted}


def in_other_codecs(stories: Sequence[Story], track_sid: str) -> Iterator[Obstacle]:
    """When a track said that it is no Opus, and nothing of it was kept."""
    for story in stories:
        said = [change for change in story.track_changes if change.track_sid == track_sid]
        gone = story.tracks_gone.get(track_sid)
        for n, change in enumerate(said):
            if change.mime not in OPUS:
                last = gone.at if gone else inf
                end = said[n + 1].at if n + 1 < len(said) else last
                yield Obstacle(change.at, end, NOT_RECORDED)
