"""File names: harmless whatever the room is called, told apart, and found again."""

import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from egress_manager.domain.calls import recording_id_of as id_of_call
from egress_manager.domain.naming import (
    NAMED,
    check_pattern,
    file_stem,
    recording_id_of,
    track_template,
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
        *NAMED,
        "{id}",
        "{id}{identity}",
        "{identity}c_{room_name}",
        "a/b/{time}",
        "{identity}_{room_name}",
    ]
)


def stem(pattern: str = "rooms", room_name: str = "r", identity: str = "i", rec: str = ID) -> str:
    """The stem of a recording of that morning."""
    return file_stem(pattern, room_name=room_name, identity=identity, at=AT, recording_id=rec)


def test_the_default_has_a_folder_for_each_room() -> None:
    """As the user's migration plan wants it, with an id."""
    assert (
        stem("rooms", "friday-assistant-room", "sip_1001")
        == f"friday-assistant-room/sip_1001-2025-10-17T06-15-13-{ID}"
    )


def test_the_flat_pattern_is_the_users_with_an_id() -> None:
    """Tracks have their own id where the mix has the participant's identity, and stay flat."""
    flat = stem("flat", "friday-assistant-room", "sip_1001")

    assert flat == f"friday-assistant-room-sip_1001-2025-10-17T06-15-13-{ID}"
    assert (
        track_template(flat)
        == f"friday-assistant-room-sip_1001-{{track_id}}-2025-10-17T06-15-13-{ID}.ogg"
    )


def test_tracks_lie_in_a_folder_beside_the_mix() -> None:
    """Named as the mix is."""
    assert track_template(stem()) == f"{stem()}.tracks/{{track_id}}.ogg"


def test_the_time_is_utc() -> None:
    """Wherever the moment was written down."""
    there = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))

    assert "2025-10-17T06-15-13" in file_stem(
        "rooms", room_name="r", identity="i", at=there, recording_id=ID
    )


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
    made = stem(pattern, room_name, identity, rec)
    directory = Path("/recordings")

    for name in (
        f"{made}.mp4",
        track_template(made).replace("{track_id}", "TR_AMxxxxxxxxxxxxxxxx"),
    ):
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
    made = stem(pattern, room_name, identity, rec)

    assert recording_id_of(f"/recordings/{made}.mp4") == rec
    assert recording_id_of(track_template(made).replace("{track_id}", "TR_1")) == rec


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
