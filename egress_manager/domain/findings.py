"""What can be found in a recording: the names, how grave each is, and the words for it.

A fault is ours, and makes the recording flawed or rejected; a note tells what the call was. What
another finding explains is not told beside it: `EXPLAINS`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Verdict(StrEnum):
    """What listening to the file found. NONE is public only: there is no file to listen to."""

    NONE = "none"
    PENDING = "pending"
    VERIFIED = "verified"
    FLAWED = "flawed"
    REJECTED = "rejected"
    MISSING = "missing"
    UNHEARD = "unheard"


class Weight(StrEnum):
    """What a finding does to the verdict on a recording. HIDES: there can't be one."""

    REJECTS = "rejects"
    FLAWS = "flaws"
    HIDES = "hides"
    NOTES = "notes"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found, and where. Times are seconds since the mix's beginning.

    `side` is a channel of the mix, `track_sid` a track's own file; both empty: the mix as a whole.
    `amount` is how much of it there is, in the unit that `KINDS` names. `cause` is that of a hole.
    """

    name: str
    side: str = ""
    track_sid: str = ""
    start_sec: float | None = None
    end_sec: float | None = None
    amount: float | None = None
    cause: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether it is ours, and not what the call was."""
        return KINDS[self.name].weight is not Weight.NOTES

    @property
    def words(self) -> str:
        """A sentence for people."""
        kind = KINDS[self.name]
        where = f" on the {self.side} side" if self.side else ""
        where = " on both sides" if self.side == "both" else where
        where = f" in the file of track {self.track_sid}" if self.track_sid else where
        amount = f" ({self.amount:g} {kind.unit})" if self.amount is not None else ""
        when = f" at {_clock(self.start_sec)}" if self.start_sec is not None else ""
        cause = f": {self.cause}" if self.cause else ""
        return f"{kind.words}{where}{when}{amount}{cause}"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a name means: how grave it is, the words for it, and the unit of its amount."""

    weight: Weight
    words: str
    unit: str = ""


#: Everything that can be found. Of a track's own file a finding never rejects the recording.
KINDS: Final[Mapping[str, Kind]] = {
    "missing": Kind(Weight.REJECTS, "there is no such file"),
    "empty": Kind(Weight.REJECTS, "the file has no content"),
    "unreadable": Kind(Weight.REJECTS, "the file can't be opened as sound"),
    "truncated": Kind(Weight.REJECTS, "the file breaks off", "s missing"),
    "tempo": Kind(Weight.REJECTS, "everything is too fast or too slow", "times as fast"),
    "swapped": Kind(Weight.REJECTS, "the sides are swapped"),
    "both_sides_same": Kind(Weight.REJECTS, "both sides carry the same sound"),
    "silent": Kind(Weight.REJECTS, "silent, although there was something to hear", "s"),
    "goes_silent": Kind(Weight.REJECTS, "falls silent although the call goes on", "s"),
    "other_call": Kind(Weight.REJECTS, "the sound is not that of the call's tracks", "alike"),
    "one_channel": Kind(Weight.FLAWS, "the mix has one channel for both sides"),
    "folded": Kind(Weight.FLAWS, "stereo under a head that says mono: players lose a part of it"),
    "damaged": Kind(Weight.FLAWS, "parts of the file can't be decoded", "places"),
    "sample_rate": Kind(Weight.FLAWS, "another sample rate than it should have", "Hz"),
    "format": Kind(Weight.FLAWS, "another format than it should have"),
    "index_last": Kind(Weight.FLAWS, "the index is at the end: players have to load everything"),
    "size": Kind(Weight.FLAWS, "another size than the document says", "bytes more"),
    "fast_start": Kind(Weight.FLAWS, "the first words are at another speed", "s shifted"),
    "cut_start": Kind(Weight.FLAWS, "the beginning is cut off", "s"),
    "cut_end": Kind(Weight.FLAWS, "the end is cut off", "s"),
    "too_short": Kind(Weight.FLAWS, "shorter than the call", "s"),
    "too_long": Kind(Weight.FLAWS, "longer than the call", "s"),
    "hole": Kind(Weight.FLAWS, "sound is missing", "s"),
    "jump": Kind(Weight.FLAWS, "the time line jumps", "s"),
    "offset": Kind(Weight.FLAWS, "out of place against its track", "s"),
    "drift": Kind(Weight.FLAWS, "drifts away from its track", "ppm"),
    "leak": Kind(Weight.FLAWS, "the other side is heard", "dB"),
    "clipped": Kind(Weight.FLAWS, "the loudest moments are cut off", "s"),
    "level": Kind(Weight.FLAWS, "louder or quieter than its tracks", "dB"),
    "foreign_sound": Kind(Weight.FLAWS, "sound that no track has", "s"),
    "track_missing": Kind(Weight.FLAWS, "a track was published, and there is no file of it"),
    "encrypted": Kind(Weight.FLAWS, "a track says it is encrypted, so it may be noise or missing"),
    "packets_missing": Kind(Weight.FLAWS, "the server sent more than was kept", "packets"),
    "octets_missing": Kind(Weight.FLAWS, "the server sent more in its packets", "octets"),
    "misplaced": Kind(Weight.FLAWS, "words are played before they came, or long after", "s"),
    "not_played": Kind(Weight.FLAWS, "packets that were kept are in no file", "%"),
    "late_start": Kind(Weight.FLAWS, "the recorder came late", "s"),
    "not_kept": Kind(Weight.FLAWS, "sound was not kept", "s"),
    "over_quota": Kind(Weight.FLAWS, "a participant sent more than is kept of anybody", "left out"),
    "out_of_reach": Kind(Weight.HIDES, "the file lies where it can't be listened to from here"),
    "not_heard": Kind(Weight.HIDES, "listening to the file failed"),
    "not_sent": Kind(Weight.NOTES, "no sound came", "s"),
    "said_nothing": Kind(Weight.NOTES, "nobody is heard speaking"),
    "clipped_at_source": Kind(Weight.NOTES, "it was cut off at its loudest before it came", "s"),
    "never_heard": Kind(Weight.NOTES, "sent ahead of time, and the call ended before it", "s"),
    "timestamps": Kind(
        Weight.NOTES,
        "leapt or stood still and were not believed, so that sound lies where it came",
        "packets",
    ),
    "not_noted": Kind(
        Weight.NOTES, "a participant caused more entries than are written down", "left out"
    ),
    "not_compared": Kind(Weight.NOTES, "there are no tracks to hold the mix against"),
}

_PLACE: Final = frozenset({"offset", "drift"})
_ENDS: Final = frozenset({"cut_start", "cut_end", "too_short", "too_long"})
_MOMENTS: Final = frozenset({"hole", "goes_silent", "foreign_sound"})
_LOUDNESS: Final = frozenset({"level", "clipped"})
_TIME: Final = frozenset({"fast_start", "jump"}) | _PLACE | _ENDS | _MOMENTS
_ALL: Final = _TIME | _LOUDNESS | {"leak"}

#: What these explain is not told beside them: of the same side, or of the whole mix.
EXPLAINS: Final[Mapping[str, frozenset[str]]] = {
    "missing": frozenset({"size", "format"}),
    "empty": frozenset({"size", "format"}),
    "unreadable": frozenset({"size", "format", "damaged"}),
    "truncated": _ALL | {"tempo", "other_call", "silent", "damaged", "size"},
    "tempo": _ALL | {"other_call", "silent", "sample_rate"},
    "both_sides_same": _ALL | {"other_call", "silent", "swapped"},
    "swapped": _ALL | {"other_call", "silent"},
    "silent": _ALL | {"other_call"},
    "goes_silent": frozenset({"other_call", "hole", "cut_end"}),
    "other_call": _ALL - {"goes_silent"},
    "damaged": frozenset({"size", "folded"}) | _MOMENTS,
    "fast_start": _TIME - {"fast_start"} | _LOUDNESS | {"leak"},
    "jump": _TIME - {"fast_start", "jump"} | _LOUDNESS | {"leak"},
    "cut_start": frozenset({"offset"}),
    "drift": frozenset({"offset"}) | _MOMENTS,
    "offset": _MOMENTS,
    "clipped": frozenset({"level", "foreign_sound"}),
    "leak": frozenset({"foreign_sound"}),
}


def told(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """What is left without what other findings explain, the gravest first."""
    known = list(found)
    kept = [one for one in known if not any(_explains(other, one) for other in known)]
    return tuple(sorted(kept, key=_gravity))


def _explains(one: Finding, other: Finding) -> bool:
    """Whether one finding is the reason for another: of the same file, on the same side."""
    if one is other or other.name not in EXPLAINS.get(one.name, frozenset()):
        return False
    same_side = not one.side or not other.side or one.side == other.side
    return same_side and (one.track_sid == other.track_sid or not one.track_sid)


def _gravity(finding: Finding) -> tuple[bool, bool, int, str]:
    """What sorts findings: faults first, those of the mix before those of a track."""
    order = list(KINDS).index(finding.name)
    return not finding.is_fault, bool(finding.track_sid), order, finding.side


def _clock(seconds: float) -> str:
    """A time as players show it; what lies before the mix is at its beginning."""
    seconds = max(0.0, seconds)
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:04.1f}"
