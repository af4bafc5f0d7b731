"""File names: one pure function from a call to its files' names, and the way back to the recording.

Room names and identities are chosen by others, so each is made harmless first: nothing in it can
end a folder, leave the directory, hide the file, or pass for a placeholder. The recording's id is
always part of a name. It keeps names apart that become the same (cut, cleaned, or different in case
only), and a file that was moved is still found: no other text in a name can be mistaken for an id.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

#: Patterns with a name. `flat` is how recordings were named first, with an id.
PATTERNS: Final[Mapping[str, str]] = {
    "rooms": "{room_name}/{identity}-{time}-{id}",
    "flat": "{room_name}-{identity}-{time}-{id}",
}

#: Where tracks go, where not into a folder beside the mix: as they were named first, too.
TRACKS: Final[Mapping[str, str]] = {"flat": "{room_name}-{track_id}-{time}-{id}"}

#: How time stands in names: UTC, sorts as it passes, no colon.
TIME_FORMAT: Final = "%Y-%m-%dT%H-%M-%S"

#: The most bytes of UTF-8 that a value may fill. File systems allow 255 for a whole part.
VALUE_AT_MOST: Final = 56

#: The most bytes of a part of a stem: leaves room for `.tracks`, or a track's id and `.ogg`.
PART_AT_MOST: Final = 168

#: Stands for `{identity}` where a recording is of nobody by name.
EVERYBODY: Final = "everybody"

_FIELD: Final = re.compile(r"\{([^{}]*)\}")

#: How many bytes each field fills at most.
_FIELDS: Final[Mapping[str, int]] = {
    "room_name": VALUE_AT_MOST,
    "identity": VALUE_AT_MOST,
    "time": len("2025-10-17T06-15-13"),
    "id": len("rec_") + 20,
}

#: A recording's id, as `domain/calls.py` makes it.
_ID: Final = re.compile(r"rec_[0-9a-f]{20}")

#: Stands for the id while the rest of a name is made harmless; never part of a clean value.
_ID_HERE: Final = "\x00"

#: What shells, Windows shares, URLs or placeholders of ours give a meaning to.
_TROUBLESOME: Final = frozenset("/\\:*?\"<>|{}$`'&;!#%~")

#: Unicode's categories of what can't be seen: controls, formats, surrogates, private, unassigned.
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

#: Names that Windows keeps for devices, whatever their ending.
_DEVICES: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FileNames:
    """Where a call's files go, below the recordings directory, without their endings.

    `track_stem` contains `{track_id}`, to be replaced.
    """

    mix_stem: str
    track_stem: str


def check_pattern(pattern: str) -> str:
    """The pattern in full: a named one spelt out, `{id}` added where its last part has none.

    Raises `ValueError`, with words for the person who wrote it, where it can't be used.
    """
    pattern = PATTERNS.get(pattern, pattern)
    unknown = sorted(set(_FIELD.findall(pattern)) - set(_FIELDS))
    literal = _FIELD.sub("", pattern)
    if unknown:
        raise ValueError(f"{{{unknown[0]}}} is no field; there are {_fields()}")
    if "{" in literal or "}" in literal:
        raise ValueError("a brace is open or closed that has no partner")
    if _ID.search(literal):
        raise ValueError("its own text looks like the id of a recording")
    if "{id}" not in pattern.rpartition("/")[2]:
        pattern += "-{id}"
    for part in pattern.split("/"):
        _check_part(part)
    return pattern


def file_names(
    pattern: str, *, room_name: str, identity: str, at: datetime, recording_id: str
) -> FileNames:
    """The names for a call that began `at`.

    `pattern` is one that `check_pattern` accepts, or its name. Raises `ValueError` for others.
    """
    values = {
        "room_name": _clean(room_name),
        "identity": _clean(identity or EVERYBODY),
        "time": at.astimezone(UTC).strftime(TIME_FORMAT),
        "id": _ID_HERE,
    }
    stem = _filled(check_pattern(pattern), values)
    tracks = (
        _filled(TRACKS[pattern], values) if pattern in TRACKS else f"{stem}.tracks/{{track_id}}"
    )
    return FileNames(_with_id(stem, recording_id), _with_id(tracks, recording_id))


def recording_id_of(path: str) -> str | None:
    """The id of the recording that a file of that name belongs to; None for a name not of ours."""
    found = _ID.findall(path)
    return found[-1] if found else None


def _clean(value: str) -> str:
    """A value that is part of a name and nothing else: visible, short, one spelling."""
    value = unicodedata.normalize("NFC", value)
    value = "".join(map(_harmless_character, value))
    value = value.encode()[:VALUE_AT_MOST].decode(errors="ignore")
    return value or "_"


def _harmless_character(character: str) -> str:
    if character in _TROUBLESOME or unicodedata.category(character) in _INVISIBLE:
        return "_"
    return "_" if character.isspace() else character


def _filled(pattern: str, values: Mapping[str, str]) -> str:
    """The pattern with its fields filled (a track's id is not known yet), each part harmless."""
    parts = pattern.split("/")
    filled = (_FIELD.sub(lambda match: values.get(match[1], match[0]), part) for part in parts)
    return "/".join(map(_harmless_part, filled))


def _harmless_part(part: str) -> str:
    """A filled part that is neither hidden, nor a device, nor holds what looks like an id."""
    part = _ID.sub(lambda match: match[0].replace("_", "-"), part)
    if part[0] in ".-" or _DEVICES.match(part):
        part = f"_{part}"
    return part if part[-1] != "." else f"{part[:-1]}_"


def _with_id(name: str, recording_id: str) -> str:
    return name.replace(_ID_HERE, _clean(recording_id))


def _check_part(part: str) -> None:
    """Raise `ValueError` where a part of a pattern could not be a part of a path."""
    literal = _FIELD.sub("", part)
    if part in ("", ".", ".."):
        raise ValueError("a folder in it has no name; write it like {room_name}/{identity}")
    if any(_harmless_character(character) == "_" != character for character in literal):
        raise ValueError("it has a character that file names should not have")
    most = len(literal.encode()) + sum(_FIELDS[name] for name in _FIELD.findall(part))
    if most > PART_AT_MOST:
        raise ValueError(f"a part of it can be {most} bytes long; {PART_AT_MOST} is the most")


def _fields() -> str:
    return ", ".join(f"{{{name}}}" for name in _FIELDS)
