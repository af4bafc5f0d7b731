"""File names: one pure function from a call to its files' names, and the way back to the recording.

Room names and identities are chosen by others. In a file name they are made harmless: no slash, no
control character, nothing that a shell, a shared drive or an object store trips over, and never
longer than a file system takes. The recording's id is always in the name, so that no two collide
however alike they were made, and a file that was moved is still found.
"""

import re
import string
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

#: Patterns with a name. Fields: room_name, identity, time, id.
PATTERNS: Final = {
    "rooms": "{room_name}/{identity}-{time}-{id}",
    "flat": "{room_name}-{identity}-{time}-{id}",
}
FIELDS: Final = frozenset({"room_name", "identity", "time", "id"})

#: What a room name and an identity may take in a name, so that one part of a path stays below 200
#: bytes whatever the pattern puts together; file systems take 255. Bytes of UTF-8.
LONGEST: Final = {"room_name": 80, "identity": 60}

#: How time stands in names: UTC, sorts as it passes, no colon.
TIME_FORMAT: Final = "%Y-%m-%dT%H-%M-%S"

#: What Windows shares, shells or patterns of ours give a meaning to.
_TROUBLESOME: Final = re.compile(r'[/\\:*?"<>|{}\x7f$`\'&;!#%~]')
_ID: Final = re.compile(r"rec_[0-9a-f]{20}")


@dataclass(frozen=True, slots=True)
class FileNames:
    """Where a call's files go, below the recordings directory, without their endings.

    `track_stem` contains `{track_id}`.
    """

    mix_stem: str
    track_stem: str


def file_names(
    pattern: str, *, room_name: str, identity: str, at: datetime, recording_id: str
) -> FileNames:
    """The names for a call that began `at`; `pattern` is one of `PATTERNS`, by name, or written out."""
    values = {
        "room_name": harmless(room_name, LONGEST["room_name"]),
        "identity": harmless(identity, LONGEST["identity"]),
        "time": at.astimezone(UTC).strftime(TIME_FORMAT),
        "id": recording_id,
    }
    stem = _with_id(PATTERNS.get(pattern, pattern)).format_map(values)
    if pattern == "flat":  # the user's document names tracks so
        return FileNames(
            stem, f"{values['room_name']}-{{track_id}}-{values['time']}-{recording_id}"
        )
    return FileNames(stem, f"{stem}.tracks/{{track_id}}")


def harmless(text: str, longest: int) -> str:
    """A name chosen by others as one part of a path, at most `longest` bytes of UTF-8."""
    composed = unicodedata.normalize("NFC", text)
    printable = "".join("_" if unicodedata.category(c)[0] == "C" else c for c in composed)
    plain = _TROUBLESOME.sub("_", printable).replace("rec_", "rec-")
    cut = plain.encode("utf-8", "replace")[:longest].decode("utf-8", "ignore")
    kept = cut.strip(" .")
    return kept or "_"


def recording_id_of(path: str) -> str | None:
    """The id of the recording that a file of that name belongs to; None for a name not of ours."""
    found = _ID.findall(path)
    return found[-1] if found else None


def check_pattern(pattern: str) -> None:
    """Raises `ValueError`, with words for the person who wrote it, where it can't be used."""
    try:
        fields = {name for _, name, _, _ in string.Formatter().parse(_named(pattern)) if name}
    except ValueError as error:
        raise ValueError(f"its braces don't match: {error}") from error
    if unknown := fields - FIELDS:
        raise ValueError(f"{{{sorted(unknown)[0]}}} is none of {', '.join(sorted(FIELDS))}")
    parts = _named(pattern).split("/")
    if any(part in ("", ".", "..") or part != part.strip(" ") for part in parts):
        raise ValueError("it must stay below the recordings directory: no leading /, no ..")
    if any(unicodedata.category(c)[0] == "C" or c == "\\" for c in pattern):
        raise ValueError("it has a character that no file name should have")
    if len(pattern.encode()) > 100 or max(part.count("{") for part in parts) > len(FIELDS):
        raise ValueError("it is too long")


def _named(pattern: str) -> str:
    return PATTERNS.get(pattern, pattern)


def _with_id(pattern: str) -> str:
    """The id is part of every name, and of its last part."""
    return pattern if "{id}" in pattern.rsplit("/", 1)[-1] else pattern + "-{id}"
