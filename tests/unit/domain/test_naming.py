"""File names: harmless whatever the room is called, told apart, and found again."""

import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from egress_manager.domain.calls import recording_id_of as id_of_call
from egress_manager.domain.naming import (
    PATTERNS,
    FileNames,
    check_pattern,
    file_names,
    recording_id_of,
)

AT = datetime(2025, 10, 17, 6, 15, 13, 999, tzinfo=UTC)
ID = id_of_call("call_1")

ids = st.text().map(lambda text: id_of_call(repr(text)))
hostile = st.one_of(
    st.text(),
    st.text("./\\ ~-\x00\n\u202e"),
    st.text("rec_0123456789abcdef", min_size=20),
    st.sampled_from(
        ["", "..", "../../etc/passwd", "CON", "nul.txt", ".hidden", "-rf", "{track_id}"]
    ),
    st.text(min_size=290, max_size=310),
    st.text("👩‍👩‍👧é", min_size=100),
    st.just(ID),
    st.just("a" * 300),
)
patterns = st.sampled_from(
    [
        *PATTERNS,
        "{id}",
        "{id}{identity}",
        "{identity}c_{room_name}",
        "a/b/{time}",
        "{identity}_{room_name}",
    ]
)


def names(
    pattern: str = "rooms", room_name: str = "r", identity: str = "i", rec: str = ID
) -> FileNames:
    """The names of a recording of that morning."""
    return file_names(pattern, room_name=room_name, identity=identity, at=AT, recording_id=rec)


def stem(pattern: str = "rooms", room_name: str = "r", identity: str = "i", rec: str = ID) -> str:
    """The stem of its mix."""
    return names(pattern, room_name, identity, rec).mix_stem


def test_the_default_has_a_folder_for_each_room() -> None:
    """As the user's migration plan wants it, with an id; tracks in a folder beside the mix."""
    made = names("rooms", "friday-assistant-room", "sip_1001")

    assert made.mix_stem == f"friday-assistant-room/sip_1001-2025-10-17T06-15-13-{ID}"
    assert made.track_stem == f"{made.mix_stem}.tracks/{{track_id}}"


def test_the_flat_pattern_is_the_users_with_an_id() -> None:
    """For the mix and for the tracks."""
    made = names("flat", "friday-assistant-room", "sip_1001")

    assert made.mix_stem == f"friday-assistant-room-sip_1001-2025-10-17T06-15-13-{ID}"
    assert made.track_stem == f"friday-assistant-room-{{track_id}}-2025-10-17T06-15-13-{ID}"


def test_the_time_is_utc() -> None:
    """Wherever the moment was written down."""
    there = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))

    made = file_names("rooms", room_name="r", identity="i", at=there, recording_id=ID)

    assert "2025-10-17T06-15-13" in made.mix_stem


def test_a_pattern_of_ones_own_gets_the_id_at_its_end() -> None:
    """Where it has none in the file's name."""
    assert stem("{time}/{identity}") == f"2025-10-17T06-15-13/i-{ID}"
    assert stem("{id}/{identity}") == f"{ID}/i-{ID}"


@given(patterns, hostile, hostile, ids)
@example("rooms", "..", ".", ID)
@example("{identity}_{room_name}", "0" * 20, "rec", ID)
@example("flat", "\x00" * 300, "\ud800", ID)
def test_no_name_leaves_the_directory(
    pattern: str, room_name: str, identity: str, rec: str
) -> None:
    """Every part is a plain, visible name of at most 200 bytes, with its endings and tracks."""
    made = names(pattern, room_name, identity, rec)
    directory = Path("/recordings")

    track = made.track_stem.replace("{track_id}", "TR_AMxxxxxxxxxxxxxxxx")
    for name in (f"{made.mix_stem}.mp4", f"{track}.ogg"):
        path = directory / name
        assert path.resolve().is_relative_to(directory)
        assert path.resolve() == path
        for part in PurePosixPath(name).parts:
            assert len(part.encode()) <= 200
            assert part[0] not in ".-/"
            assert part[-1] not in ". "
            assert part.isprintable()
            assert "{" not in part
            assert "\\" not in part


@given(patterns, hostile, hostile, ids)
@example("{identity}_{room_name}", "0" * 20, "rec", ID)
@example("rooms", f"{ID}{ID}", f"rec_{ID}", ID)
def test_the_id_is_read_back_from_every_name(
    pattern: str, room_name: str, identity: str, rec: str
) -> None:
    """Though room and identity try to look like another one."""
    made = names(pattern, room_name, identity, rec)

    assert recording_id_of(f"/recordings/{made.mix_stem}.mp4") == rec
    assert recording_id_of(made.track_stem.replace("{track_id}", "TR_1")) == rec


@given(patterns, hostile, hostile, hostile, hostile, ids, ids)
def test_different_recordings_never_share_a_name(
    pattern: str, room: str, identity: str, room2: str, identity2: str, rec: str, rec2: str
) -> None:
    """Not even on a file system that knows no case and no spelling of Unicode."""
    first = stem(pattern, room, identity, rec)
    second = stem(pattern, room2, identity2, rec2)

    assert (_folded(first) == _folded(second)) <= (rec == rec2)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKD", name).casefold()


@given(patterns, hostile, hostile, ids)
def test_the_same_recording_always_has_the_same_name(
    pattern: str, room_name: str, identity: str, rec: str
) -> None:
    """Also when the room's name comes in another normal form of Unicode."""
    again = unicodedata.normalize("NFD", room_name)

    assert stem(pattern, room_name, identity, rec) == stem(pattern, again, identity, rec)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("{room}/{identity}", r"\{room\} is no field; there are \{room_name\}"),
        ("{identity", "brace"),
        ("../{identity}", "no name"),
        ("/recordings/{identity}", "no name"),
        ("a//b", "no name"),
        ("{room_name}:{identity}", "character"),
        ("{room_name}{room_name}{identity}{identity}", "bytes long"),
        ("x" * 200, "bytes long"),
        (ID, "looks like the id"),
    ],
)
def test_a_pattern_that_cannot_be_used_says_why(pattern: str, why: str) -> None:
    """At start-up, not at the first call."""
    with pytest.raises(ValueError, match=why):
        check_pattern(pattern)


def test_a_file_that_is_not_ours_belongs_to_no_recording() -> None:
    """Other files may lie in the directory."""
    assert recording_id_of("/recordings/holiday.mp4") is None
