"""Ears that hear what a test says (port `Ears`)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from egress_manager.domain.evidence import (
    SIDES,
    Claim,
    Evidence,
    Heard,
    SideEvidence,
    Sound,
    TrackClaim,
    TrackEvidence,
)
from egress_manager.testing.work import MemoryFiles

#: A change of what is heard.
Spoiling = Callable[[Evidence], Evidence]

#: A side on which somebody speaks, and is heard as in the tracks.
SPEAKS = Sound(active_sec=5.0, level_dbfs=-20.0, noise_dbfs=-70.0, speech_sec=4.0)


@dataclass
class MemoryEars:
    """Everything that is there is heard as it is claimed, unless `spoilt` says otherwise by path.

    While `trouble` is set it is raised; `heard` has the claims.
    """

    files: MemoryFiles
    spoilt: dict[str, Spoiling] = field(default_factory=dict)
    trouble: Exception | None = None
    heard: list[Claim] = field(default_factory=list)

    async def listen(self, claim: Claim) -> Evidence:
        if self.trouble is not None:
            raise self.trouble
        self.heard.append(claim)
        mix = self._file(claim.path, claim.duration_sec, 2, claim)
        tracks = [
            TrackEvidence(track.track_sid, track.side, self._track(track, claim))
            for track in claim.tracks
            if track.path
        ]
        alike = [SideEvidence(side, 5.0, 5.0, likeness=0.99, crossed=0.1) for side in SIDES]
        evidence = Evidence(claim, mix, tuple(tracks), tuple(alike) if tracks else ())
        spoil = self.spoilt.get(claim.path)
        return evidence if spoil is None else spoil(evidence)

    def _track(self, track: TrackClaim, claim: Claim) -> Heard:
        return self._file(track.path or "", track.duration_sec or claim.duration_sec, 1, track)

    def _file(
        self, path: str, length: float | None, channels: int, told: Claim | TrackClaim
    ) -> Heard:
        if path not in self.files.there:
            return Heard(problem="missing")
        said: Mapping[str, str | int] = {
            "format": getattr(told, "format", None) or "ogg",
            "sample_rate": getattr(told, "sample_rate", None) or 48_000,
            "size_bytes": told.size_bytes or 1,
            "sha256": told.sha256 or "",
        }
        lasts = length or 0.0
        return Heard(
            said_sec=lasts,
            decoded_sec=lasts,
            channels=(SPEAKS,) * channels,
            **said,  # type: ignore[arg-type]
        )
