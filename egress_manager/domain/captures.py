"""What a capture writes down: the entries of its journal, and the story they tell.

A capture's directory holds `journal.jsonl` and one Ogg Opus file for every stretch
(`stretch-0001.ogg`, …). An entry is one JSON object a line: its kind under `"is"`, its moment under
`"at"`, its fields beside them. Everything that is made later (track files, mix, waveform, verdict)
is made from these files alone, and can be made again.

Every moment is in seconds since 1970 on the capture's *one clock*: the wall clock was read once,
when the process began, and the monotonic clock has been added to it ever since. So a stepped wall
clock moves nothing. A position in a stretch is a *granule*: a tick of 1/48000 s since the first
sample of the stretch's first packet, counted by RTP timestamps (RFC 7587: 48 kHz whatever the
bandwidth).
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

#: Opus over RTP counts in this, whatever it carries (RFC 7587, section 4.1). Ticks a second.
TICKS: Final = 48_000

#: How long a packet is, as all of LiveKit's SDKs send them: 20 ms. Ticks.
PACKET: Final = TICKS // 50

#: Where captures lie below the recordings directory, out of sight of who lists it.
FOLDER: Final = ".captures"

JOURNAL: Final = "journal.jsonl"

#: A file of this name in a capture's directory says: all calls in it have their final files.
SETTLED: Final = "settled"


def capture_id_of(at: float, chance: str, place: str = "") -> str:
    """A capture's id: sorted by its beginning; the end names the place whose disk it is on."""
    return f"cap_{int(at * 1000):012x}{chance}" + (f"-{place}" if place else "")


def place_of(capture_id: str) -> str:
    """The place of a capture; empty for one that does not say."""
    return capture_id.partition("-")[2]


@dataclass(frozen=True, slots=True)
class Began:
    """The first line: which capture, of which room, by which version of this format."""

    at: float
    capture_id: str
    room_name: str
    room_sid: str = ""
    format: int = 1


@dataclass(frozen=True, slots=True)
class ParticipantChanged:
    """A participant is there, or something about it is new. `kind` by LiveKit's names."""

    at: float
    participant_sid: str
    identity: str
    name: str = ""
    kind: str = "STANDARD"
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    joined_at: float | None = None
    is_recorder: bool = False


@dataclass(frozen=True, slots=True)
class ParticipantGone:
    """A participant left; all that it sent has reached the disk before this line is written."""

    at: float
    participant_sid: str
    identity: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TrackChanged:
    """An audio track is published, or its mute or name changed."""

    at: float
    track_sid: str
    participant_sid: str
    name: str = ""
    mime: str = "audio/opus"
    is_muted: bool = False
    is_encrypted: bool = False


@dataclass(frozen=True, slots=True)
class TrackGone:
    """A track is not published any more."""

    at: float
    track_sid: str


@dataclass(frozen=True, slots=True)
class StretchBegan:
    """A file is opened for one uninterrupted run of one track's packets from one SSRC.

    `at` is the arrival of its first packet, whose first sample is granule 0. `packets_before` and
    `octets_before` are what the server had sent of this SSRC before that packet: zero where the
    subscription began with it, more where we had been listening for a while. None: not noted.
    """

    at: float
    stretch: int
    file: str
    track_sid: str
    participant_sid: str
    ssrc: int
    rtp: int
    packets_before: int | None = None
    octets_before: int | None = None


@dataclass(frozen=True, slots=True)
class PageKept:
    """A page of a stretch is complete and was given to the kernel.

    `granule` and `arrived` are those of the page's least-delayed packet: the start of its first
    sample, and when it came; `jitter` is by how many seconds the latest one was delayed more (-1:
    an older journal). `came` is when any of its packets came first (0: an older journal), and
    `first` the granule of that packet (-1: likewise). The page begins at `start` (-1: likewise) and
    ends at `until`, both granules. Counts are of this page: packets kept, octets of Opus in
    them, packets that never came, that came after asking again, that came when their place was
    passed (too late, or once more), and of those that were asked for again how many came more than
    once. `again` is how often these were asked for after the first time: the server may have sent
    them as often. `skipped` packets came and carry nothing that has a place of its own, such as
    silence that the server adds to a track that is muted. `is_silent`: no packet carries sound
    (None: an older journal).
    """

    at: float
    stretch: int
    granule: int
    arrived: float
    until: int
    packets: int
    octets: int
    lost: int = 0
    recovered: int = 0
    late: int = 0
    duplicate: int = 0
    came: float = 0.0
    start: int = -1
    first: int = -1
    jitter: float = -1.0
    again: int = 0
    skipped: int = 0
    skipped_octets: int = 0
    is_silent: bool | None = None

    @property
    def begins(self) -> int:
        """The granule at which it begins; an older journal only tells how many packets it has."""
        return (
            self.start if self.start >= 0 else min(self.granule, self.until - self.packets * PACKET)
        )


@dataclass(frozen=True, slots=True)
class SenderReport:
    """An RTCP sender report: the publisher's own clock `ntp` (seconds since 1970) at `granule`.

    The publisher's clock can be minutes off; only its pace is of use. `packets` and `octets` are
    the sender's totals (RFC 3550, section 6.4.1). `waiting` and `waiting_octets` are what had come
    by then and is in a page that was written later. None: not noted.
    """

    at: float
    stretch: int
    granule: int
    ntp: float
    packets: int
    octets: int
    waiting: int | None = None
    waiting_octets: int | None = None


@dataclass(frozen=True, slots=True)
class StretchEnded:
    """The stretch is closed; `until` is the granule at which its last packet ends."""

    at: float
    stretch: int
    until: int
    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionChanged:
    """Our connection to the room: `joined`, `media` (packets can flow), `lost`, `left`."""

    at: float
    state: str
    identity: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """A DTMF digit, sent as data by the SIP bridge."""

    at: float
    identity: str
    digit: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something kept audio from being kept: `disk`, `encrypted`, `codec`, `backlog`, `stalled`.

    `detail` of `stalled` is for how many seconds nothing was done before that moment.
    """

    at: float
    what: str
    track_sid: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What of a participant was over a limit (see `quotas`), without a long pause: `count` in all.

    `what`: `packets`, and those of `stretches` and whole `tracks`, were not kept; `timestamps` were
    not believed, and their packets placed by when they came; `changes`, `text` and `digits` were
    not written down.
    """

    at: float
    what: str
    identity: str
    track_sid: str = ""
    since: float = 0.0
    count: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """The last line. A journal without it was cut off: the process died."""

    at: float
    reason: str


Entry = (
    Began
    | ParticipantChanged
    | ParticipantGone
    | TrackChanged
    | TrackGone
    | StretchBegan
    | PageKept
    | SenderReport
    | StretchEnded
    | ConnectionChanged
    | DigitPressed
    | Trouble
    | LeftOut
    | Ended
)

#: The name of each entry in the file. Old names stay readable for ever.
NAMES: Final[Mapping[type[Any], str]] = {
    Began: "began",
    ParticipantChanged: "participant",
    ParticipantGone: "participant_gone",
    TrackChanged: "track",
    TrackGone: "track_gone",
    StretchBegan: "stretch",
    PageKept: "page",
    SenderReport: "report",
    StretchEnded: "stretch_ended",
    ConnectionChanged: "connection",
    DigitPressed: "digit",
    Trouble: "trouble",
    LeftOut: "left_out",
    Ended: "ended",
}
_CLASSES: Final[Mapping[str, type[Any]]] = {name: cls for cls, name in NAMES.items()}
_FIELDS: Final = {cls: tuple(f.name for f in dataclasses.fields(cls)) for cls in NAMES}


def to_json(entry: Entry) -> dict[str, Any]:
    """The JSON object of an entry: its name under `is`, then its fields."""
    cls = type(entry)
    return {"is": NAMES[cls]} | {name: getattr(entry, name) for name in _FIELDS[cls]}


def from_json(line: Mapping[str, Any]) -> Entry | None:
    """The entry of a JSON object; None for a name that this version does not know.

    Unknown fields are passed over, so that an older version reads a newer journal.
    """
    cls = _CLASSES.get(str(line.get("is")))
    if cls is None:
        return None
    entry: Entry = cls(**{name: line[name] for name in _FIELDS[cls] if name in line})
    return entry


@dataclass(slots=True)
class Stretch:
    """One stretch as its journal tells it: whose it is, and when its pages came.

    `pages_before` has, for each report, how many pages the journal had by then.
    """

    began: StretchBegan
    pages: list[PageKept] = field(default_factory=list)
    reports: list[SenderReport] = field(default_factory=list)
    pages_before: list[int] = field(default_factory=list)
    ended: StretchEnded | None = None

    @property
    def until(self) -> int:
        """The granule at which the last page that is kept ends."""
        return self.pages[-1].until if self.pages else 0


@dataclass(slots=True)
class Story:
    """Everything a journal says, folded as it is read; feed it more as the journal grows."""

    began: Began | None = None
    participants: dict[str, ParticipantChanged] = field(default_factory=dict)
    gone: dict[str, ParticipantGone] = field(default_factory=dict)
    tracks: dict[str, TrackChanged] = field(default_factory=dict)
    tracks_gone: dict[str, TrackGone] = field(default_factory=dict)
    track_changes: list[TrackChanged] = field(default_factory=list)
    stretches: dict[int, Stretch] = field(default_factory=dict)
    connections: list[ConnectionChanged] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    digits: list[DigitPressed] = field(default_factory=list)
    left_out: dict[tuple[str, str, str, float], LeftOut] = field(default_factory=dict)
    ended: Ended | None = None
    last_at: float = 0.0

    def tell(self, entries: Iterable[Entry]) -> None:
        """Fold in the next entries, in the order in which they were written."""
        for entry in entries:
            self.last_at = max(self.last_at, entry.at)
            self._fold(entry)

    def _fold(self, entry: Entry) -> None:  # noqa: C901 - one flat table of what each line means
        match entry:
            case Began():
                self.began = entry
            case ParticipantChanged():
                self.participants[entry.participant_sid] = entry
            case ParticipantGone():
                self.gone[entry.participant_sid] = entry
            case TrackChanged():
                self.tracks[entry.track_sid] = entry
                self.track_changes.append(entry)
                self.tracks_gone.pop(entry.track_sid, None)
            case TrackGone():
                self.tracks_gone[entry.track_sid] = entry
            case StretchBegan():
                self.stretches[entry.stretch] = Stretch(entry)
            case PageKept() | SenderReport() | StretchEnded():
                self._fold_into_stretch(entry)
            case ConnectionChanged():
                self.connections.append(entry)
            case DigitPressed():
                self.digits.append(entry)
            case Trouble():
                self.troubles.append(entry)
            case LeftOut():
                self.left_out[entry.what, entry.identity, entry.track_sid, entry.since] = entry
            case Ended():
                self.ended = entry

    def _fold_into_stretch(self, entry: PageKept | SenderReport | StretchEnded) -> None:
        """A line of a stretch whose own first line was lost on a full disk tells nothing."""
        stretch = self.stretches.get(entry.stretch)
        match stretch, entry:
            case None, _:
                return
            case Stretch(), PageKept():
                stretch.pages.append(entry)
            case Stretch(), SenderReport():
                stretch.reports.append(entry)
                stretch.pages_before.append(len(stretch.pages))
            case Stretch(), StretchEnded():
                stretch.ended = entry

    def stretches_of(self, track_sid: str) -> Iterator[Stretch]:
        """The stretches of one track, in the order in which they began."""
        return (s for s in self.stretches.values() if s.began.track_sid == track_sid)
