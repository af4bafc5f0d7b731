"""What a file's name tells of a recording: the way back from the names that files are given.

Rooms and identities may contain the dash that stands between them, so a name can be read in several
ways. All are tried. Those that are anchored (by an id, a phone's identity, a room that is known
otherwise) beat the others; those that are left have to agree, and where they do not, nothing is
told: better no room than a wrong one.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import PurePosixPath
from typing import Any, Final

from egress_manager.domain.naming import PATTERNS, TRACKS, check_pattern, recording_id_of

#: `{folder}` is a room's folder, and none of an archive by date; `{phone}` an identity that can
#: only be a phone's; a slash at the beginning is the folder that was given to be read.
KNOWN: Final = (
    # Ours.
    "{folder}/{identity}-{time}-{id}",
    "{folder}/{identity}-{time}-{id}.tracks/{track_id}",
    "{room_name}-{identity}-{time}-{id}",
    "{room_name}-{track_id}-{time}-{id}",
    # As recordings were named first, and as they were to be named in the end.
    "{room_name}-{identity}-{time}",
    "{room_name}-{identity}-{time}-{uuid}",
    "{room_name}-{track_id}-{time}",
    "{folder}/{identity}-{time}",
    "{folder}/{identity}-{time}-{uuid}",
    "{folder}/{track_id}-{time}",
    # LiveKit Egress, asked for no name, or for tracks by itself (livekit.md 2.7, 3).
    "/{room_name}-{time}",
    "{phone}-{time}",
    "{track_id}-{time}",
    "{room_name}-{time}-{track_id}",
    "{room_name}-{identity}-{time}-{track_id}",
    "{folder}/{identity}-{time}-{track_id}",
)

#: A moment to the second, in the ways in which it stands in names: ISO 8601 with or without what
#: separates, LiveKit's `{time}` (2006-01-02T150405) and `{utc}` (20060102150405 and milliseconds).
_MOMENT: Final = (
    r"(?P<year>20\d\d)(?P<dash>[-_.]?)(?P<month>0[1-9]|1[0-2])(?P=dash)(?P<day>0[1-9]|[12]\d|3[01])"
    r"[T_ -]?(?P<hour>[01]\d|2[0-3])(?P<colon>[-_.:]?)(?P<minute>[0-5]\d)(?P=colon)"
    r"(?P<second>[0-5]\d)(?:[.,]?(?P<fraction>\d{3,9}))?(?P<zone>Z|[+-]\d\d:?\d\d)?"
)
_TRACK: Final = r"TR_[A-Za-z0-9_]+"
_PHONE: Final = r"sip_[^/]+|\+[0-9]{6,15}"
_DATE: Final = r"(?:19|20)\d\d(?:[-_.]?\d\d){0,2}|\d\d?"

#: What each field means (nothing: it is passed over), and what it looks like.
_FIELDS: Final[Mapping[str, tuple[str, str]]] = {
    "room_name": ("room_name", r"[^/]+"),
    "folder": ("room_name", rf"(?!(?:{_DATE})$)[^/]+"),
    "identity": ("identity", r"[^/]+"),
    "publisher_identity": ("identity", r"[^/]+"),
    "phone": ("identity", _PHONE),
    "time": ("at", _MOMENT),
    "utc": ("at", _MOMENT),
    "track_id": ("track_sid", _TRACK),
    "id": ("recording_id", r"rec_[0-9a-f]{20}"),
    "egress_id": ("", r"EG_[A-Za-z0-9]+"),
    "room_id": ("", r"RM_[A-Za-z0-9]+"),
    "uuid": ("", r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}"),
    "any": ("", r"[^/]*"),
}
_SHAPES: Final = {name: re.compile(shape) for name, (_, shape) in _FIELDS.items()}

_FIELD: Final = re.compile(r"\{([^{}]*)\}")
_ENDING: Final = re.compile(r"\.[A-Za-z0-9]{1,8}")
_STRAY_MOMENT: Final = re.compile(rf"(?<!\d){_MOMENT}(?!\d)")
_STRAY_TRACK: Final = re.compile(rf"(?<![A-Za-z0-9]){_TRACK}")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a name tells; what it does not is empty.

    `recording_id` is the id that the name has, whether or not there is such a recording.
    """

    room_name: str = ""
    identity: str = ""
    at: datetime | None = None
    track_sid: str = ""
    recording_id: str = ""


#: One way to read a name: a text for each meaning.
_Way = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads names. `given` are patterns that are known to hold, `house` those that are in force.

    `zone` is what times are in that do not say so themselves.
    """

    given: tuple[str, ...] = ()
    house: tuple[str, ...] = ()
    zone: tzinfo = UTC

    def read(self, path: str, depth: int, rooms: Collection[str] = ()) -> Reading:
        """What the name of a file tells.

        So many parts at the end of the path, `depth`, count for patterns that were not given.
        `rooms` are those that are known to exist.
        """
        stem = _without_ending(path)
        ranked = [(_rank(way, tier, rooms), way) for tier, way in self._ways(stem, depth)]
        best = max((rank for rank, _ in ranked), default=None)
        ways = [way for rank, way in ranked if rank == best]
        return self._agreed(ways) if ways else self._stray(stem)

    def _ways(self, stem: str, depth: int) -> Iterator[tuple[int, _Way]]:
        """Every way to read a name, and how much its pattern counts."""
        everything = len(PurePosixPath(stem).parts)
        tiers = ((2, self.given, everything), (1, self.house, depth), (0, KNOWN, depth))
        for tier, patterns, parts in tiers:
            for pattern in patterns:
                for way in _readings(pattern, stem, parts):
                    yield tier, way

    def _agreed(self, ways: Sequence[_Way]) -> Reading:
        """What all ways say alike."""
        told: dict[str, Any] = {}
        for field in fields(Reading):
            values = {way.get(field.name, "") for way in ways}
            told[field.name] = values.pop() if len(values) == 1 else ""
        return Reading(**{**told, "at": _moment(told["at"], self.zone)})

    def _stray(self, stem: str) -> Reading:
        """What stands out in a name that no pattern fits."""
        name = PurePosixPath(stem).name
        moments = {match[0] for match in _STRAY_MOMENT.finditer(name)}
        tracks = set(_STRAY_TRACK.findall(name))
        return Reading(
            at=_moment(moments.pop(), self.zone) if len(moments) == 1 else None,
            track_sid=tracks.pop() if len(tracks) == 1 else "",
            recording_id=recording_id_of(name) or "",
        )


def patterns_of(naming: str) -> tuple[str, ...]:
    """The patterns of mixes and of their tracks that a setting of EGRESS_MANAGER_NAMING makes.

    Raises `ValueError` for one that can't be used.
    """
    whole = check_pattern(naming)
    return whole, TRACKS.get(naming, f"{whole}.tracks/{{track_id}}")


def check_given(pattern: str) -> tuple[str, ...]:
    """The patterns that somebody says files are named by: one of ours by its name, or spelt out.

    Folders before the first field do not matter, nor does the ending. Raises `ValueError`, with
    words for the person who wrote it, where it can't be used.
    """
    if pattern in PATTERNS:
        return patterns_of(pattern)
    pattern = _without_ending(pattern)
    names = _FIELD.findall(pattern)
    unknown = sorted(set(names) - set(_FIELDS))
    if unknown:
        there = ", ".join(f"{{{name}}}" for name in _FIELDS)
        raise ValueError(f"{{{unknown[0]}}} is no field; there are {there}")
    if not names or not _FIELD.sub("", pattern).isprintable():
        raise ValueError("it has no field; write it like {room_name}-{identity}-{time}")
    if any(mark in _FIELD.sub("", pattern) for mark in "{}"):
        raise ValueError("a brace is open or closed that has no partner")
    parts = pattern.strip("/").split("/")
    first = next(index for index, part in enumerate(parts) if _FIELD.search(part))
    return ("/".join(parts[first:]),)


def is_phone(identity: str) -> bool:
    """Whether an identity can only be a phone's."""
    return re.fullmatch(_PHONE, identity) is not None


def _without_ending(path: str) -> str:
    ending = PurePosixPath(path).suffix
    return path.removesuffix(ending) if _ENDING.fullmatch(ending) else path


def _readings(pattern: str, stem: str, depth: int) -> Iterator[_Way]:
    """Every way in which the end of a path fits a pattern."""
    parts = PurePosixPath(stem).parts
    wanted = pattern.removeprefix("/").count("/") + 1
    fits = wanted == depth if pattern.startswith("/") else wanted <= depth
    if fits and wanted <= len(parts):
        tail = "/".join(parts[-wanted:])
        yield from _filled(_FIELD.split(pattern.removeprefix("/")), tail)


def _filled(pieces: Sequence[str], text: str) -> Iterator[_Way]:
    """Every way to fill the fields, so that text, field, text, field, … and text make `text`."""
    if not text.startswith(pieces[0]):
        return
    text = text.removeprefix(pieces[0])
    if len(pieces) == 1:
        if not text:
            yield {}
        return
    field, rest = pieces[1], pieces[2:]
    for end in _ends(text, rest):
        if _SHAPES[field].fullmatch(text[:end]):
            for way in _filled(rest, text[end:]):
                yield {_FIELDS[field][0]: text[:end], **way}


def _ends(text: str, rest: Sequence[str]) -> Iterable[int]:
    """Where a field may end: where what follows it begins."""
    if not rest[0]:
        return (len(text),) if len(rest) == 1 else range(len(text) + 1)
    # With the next field's shape, a hostile name of nothing but dashes is no work.
    shape = f"(?:{_FIELDS[rest[1]][1]})" if len(rest) > 1 else "$"
    return (match.start() for match in re.finditer(f"(?={re.escape(rest[0])}{shape})", text))


def _rank(way: _Way, tier: int, rooms: Collection[str]) -> tuple[int, ...]:
    """How much a way is to be believed: who says that files are so named, then what anchors it.

    Of two phones the shorter one counts: rooms may be called anything.
    """
    identity, room_name = way.get("identity", ""), way.get("room_name", "")
    phone = is_phone(identity)
    anchored = phone or "track_sid" in way or "recording_id" in way
    return (
        tier == 2,
        "recording_id" in way,
        "track_sid" in way,
        phone,
        -len(identity) if phone else 0,
        anchored and bool(room_name),
        room_name in rooms,
        tier,
    )


def _moment(text: str, zone: tzinfo) -> datetime | None:
    """The moment, in UTC; None where there is no such day."""
    match = re.fullmatch(_MOMENT, text)
    if match is None:
        return None
    numbers = (int(match[name]) for name in ("year", "month", "day", "hour", "minute", "second"))
    microseconds = (match["fraction"] or "").ljust(6, "0")[:6]
    try:
        at = datetime(*numbers, int(microseconds), tzinfo=_zone(match["zone"]) or zone)  # type: ignore[arg-type, misc]
    except ValueError:
        return None
    return at.astimezone(UTC)


def _zone(text: str | None) -> tzinfo | None:
    if not text:
        return None
    if text == "Z":
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:])
    ahead = timedelta(hours=hours, minutes=minutes)
    return timezone(-ahead if text[0] == "-" else ahead)
