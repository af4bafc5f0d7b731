"""What files' names tell: the seed's names, ours, LiveKit's own; and nothing where nobody knows."""

import string
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from egress_manager.domain.calls import recording_id_of
from egress_manager.domain.naming import PATTERNS, file_names
from egress_manager.domain.readings import KNOWN, Reader, Reading, check_given, patterns_of

AT = datetime(2025, 10, 17, 6, 15, 13, tzinfo=UTC)
TIME = "2025-10-17T06-15-13"
ID = recording_id_of("call_1")
ROOM = "friday-assistant-room"
UUID = "0b9f6f4e-6b0c-4b5e-9d0c-0a1b2c3d4e5f"

#: Names that begin so get a `_` before them: some are devices on Windows.
DEVICES = ("con", "prn", "aux", "nul", "com", "lpt")

#: What rooms and identities may be called whose names stay what they are in files' names.
plain = st.text(string.ascii_letters + string.digits + "-_+é漢", min_size=1, max_size=18)
rooms = plain.filter(lambda name: name[0] != "-" and not name.lower().startswith(DEVICES))
phones = st.text(string.ascii_lowercase + string.digits + "+_", min_size=1, max_size=20).map(
    lambda name: f"sip_{name}"
)
moments = st.integers(946_684_800, 4_102_444_799).map(lambda at: datetime.fromtimestamp(at, UTC))
patterns = st.sampled_from([*PATTERNS, *PATTERNS.values()])


def read(name: str, *, depth: int | None = None, known: tuple[str, ...] = ()) -> Reading:
    """What a name tells that was found in a folder of recordings, by the default settings."""
    depth = name.count("/") + 1 if depth is None else depth
    return Reader(house=patterns_of("rooms")).read(f"/recordings/{name}", depth, known)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        # The first names of mixes and tracks, and those that were wanted in the end.
        (f"{ROOM}-sip_1001-{TIME}.mp4", Reading(ROOM, "sip_1001", AT)),
        (f"{ROOM}-sip_+15550100-{TIME}.mp4", Reading(ROOM, "sip_+15550100", AT)),
        (f"{ROOM}-sip_1001-{TIME}-{UUID}.mp4", Reading(ROOM, "sip_1001", AT)),
        (f"{ROOM}-TR_SOME_TRACK_ID-{TIME}.ogg", Reading(ROOM, "", AT, "TR_SOME_TRACK_ID")),
        (f"{ROOM}/sip_1001-{TIME}.mp4", Reading(ROOM, "sip_1001", AT)),
        (f"call-{UUID}/sip_1001-{TIME}.mp4", Reading(f"call-{UUID}", "sip_1001", AT)),
        # Ours.
        (f"{ROOM}/sip_1001-{TIME}-{ID}.mp4", Reading(ROOM, "sip_1001", AT, "", ID)),
        (f"{ROOM}/anna-maria-{TIME}-{ID}.mp4", Reading(ROOM, "anna-maria", AT, "", ID)),
        (f"{ROOM}-sip_1001-{TIME}-{ID}.mp4", Reading(ROOM, "sip_1001", AT, "", ID)),
        (
            f"{ROOM}/sip_1001-{TIME}-{ID}.tracks/TR_AM1.ogg",
            Reading(ROOM, "sip_1001", AT, "TR_AM1", ID),
        ),
        (f"{ROOM}-TR_AM1-{TIME}-{ID}.ogg", Reading(ROOM, "", AT, "TR_AM1", ID)),
        # What LiveKit Egress makes where no name is asked for.
        ("lobby-2025-10-17T061513.ogg", Reading("lobby", "", AT)),
        ("sip_1001-2025-10-17T061513.mp4", Reading("", "sip_1001", AT)),
        ("TR_AM1-2025-10-17T061513.ogg", Reading("", "", AT, "TR_AM1")),
        ("lobby-20251017061513000.ogg", Reading("lobby", "", AT)),
        ("lobby-2025-10-17T061513-TR_AM1.ogg", Reading("lobby", "", AT, "TR_AM1")),
        (f"{ROOM}-sip_1-{TIME}-TR_AM1.ogg", Reading(ROOM, "sip_1", AT, "TR_AM1")),
        # Folders by date are no rooms.
        (f"2025/10/17/{ROOM}-sip_1001-{TIME}.mp4", Reading(ROOM, "sip_1001", AT)),
        (f"2025-10-17/sip_1001-{TIME}.mp4", Reading("", "sip_1001", AT)),
        # Rooms may be called anything.
        (f"sip_room-sip_7-sip_1001-{TIME}.mp4", Reading("sip_room-sip_7", "sip_1001", AT)),
        (f"{TIME}-sip_1001-{TIME}.mp4", Reading(TIME, "sip_1001", AT)),
        # What nobody can tell.
        (f"{ROOM}-{TIME}.mp4", Reading("", "", AT)),
        (f"{ROOM}-anna-{TIME}.mp4", Reading("", "", AT)),
        ("recorded 2025-10-17 06.15.13 (2).wav", Reading("", "", AT)),
        ("2025-13-17T06-15-13.wav", Reading()),
        ("2025-02-30T06-15-13.wav", Reading()),
        ("holiday.mp3", Reading()),
        (".mp3", Reading()),
    ],
)
def test_names_tell_what_can_be_told(name: str, told: Reading) -> None:
    """Whose recording a file is, by names of all who ever named one."""
    assert read(name) == told


def test_a_room_that_is_known_otherwise_tells_where_it_ends() -> None:
    """Beside `…-sip_1001-…`, an agent's file and the room's own are no riddle any more."""
    agents = read(f"{ROOM}-agent-1-{TIME}.mp4", known=(ROOM,))
    own = read(f"{ROOM}-{TIME}.mp4", known=(ROOM,))

    assert agents == Reading(ROOM, "agent-1", AT)
    assert own == Reading(ROOM, "", AT)


def test_folders_that_were_only_on_the_way_tell_nothing() -> None:
    """`import /backup/sip_1001-….mp4` says nothing of a room called backup."""
    assert read(f"{ROOM}/sip_1001-{TIME}.mp4", depth=1).room_name == ""
    assert read(f"{ROOM}/{TIME}.mp4", depth=1).room_name == ""


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("2025-10-17T06-15-13", AT),
        ("2025-10-17T06:15:13Z", AT),
        ("2025-10-17T08:15:13+02:00", AT),
        ("2025-10-17T06:15:13.250Z", AT + timedelta(milliseconds=250)),
        ("20251017T061513", AT),
        ("20251017-061513", AT),
        ("20251017061513", AT),
        ("2025-10-17 06.15.13", AT),
        ("2025_10_17_06_15_13", AT),
    ],
)
def test_times_are_read_as_they_are_written(written: str, at: datetime) -> None:
    """ISO 8601 and what became of it in names."""
    assert read(f"{ROOM}-sip_1-{written}.mp4") == Reading(ROOM, "sip_1", at)


def test_a_time_without_a_zone_is_in_the_zone_that_is_given() -> None:
    """LiveKit Egress writes the time of its host."""
    berlin = Reader(zone=ZoneInfo("Europe/Berlin"))

    assert berlin.read(f"lobby-{TIME}.ogg", 1).at == AT - timedelta(hours=2)
    assert berlin.read(f"lobby-{TIME}Z.ogg", 1).at == AT


@given(patterns, rooms, phones, moments)
@example("flat", "sip_room-sip_1", "sip_1", AT)
@example("rooms", f"a-{TIME}", "sip_1", AT)
@example("rooms", "2025-10", "sip_1", AT)
def test_a_phones_name_leads_back_to_where_it_came_from(
    pattern: str, room_name: str, identity: str, at: datetime
) -> None:
    """Mixes and tracks, as we name them: what went in comes out."""
    names = file_names(pattern, room_name=room_name, identity=identity, at=at, recording_id=ID)
    reader = Reader(house=patterns_of(pattern))
    track = names.track_stem.replace("{track_id}", "TR_1")

    mix = reader.read(f"{names.mix_stem}.mp4", names.mix_stem.count("/") + 1)
    part = reader.read(f"{track}.ogg", track.count("/") + 1)

    assert mix == Reading(room_name, identity, at, "", ID)
    assert part in (
        Reading(room_name, identity, at, "TR_1", ID),
        Reading(room_name, "", at, "TR_1", ID),
    )


@given(rooms, phones, moments)
def test_the_first_names_lead_back_as_well(room_name: str, identity: str, at: datetime) -> None:
    """`{room_name}-{identity}-{time}`, whatever dashes the room has."""
    name = f"{room_name}-{identity}-{at:%Y-%m-%dT%H-%M-%S}.mp4"

    assert read(name) == Reading(room_name, identity, at)


@given(st.text(max_size=60).filter(lambda name: "\0" not in name), st.integers(1, 4))
@example("-" * 250, 1)
@example("-2" * 100 + TIME, 1)
@example("/".join(["-"] * 80), 80)
def test_any_name_can_be_read(name: str, depth: int) -> None:
    """None makes it fail, and none of 255 bytes is much work: a million ways would never end."""
    told = Reader(house=patterns_of("flat"), given=KNOWN[:2]).read(f"/r/{name}.ogg", depth)

    assert told.room_name == "" or told.room_name in name


class TestGiven:
    """Patterns that somebody says files are named by."""

    def of(self, pattern: str, path: str) -> Reading:
        """What a path tells in which nothing but the pattern counts."""
        return Reader(given=check_given(pattern)).read(path, 1)

    @pytest.mark.parametrize(
        ("pattern", "path", "told"),
        [
            ("{room_name}-{time}", f"/old/{ROOM}-{TIME}.mp4", Reading(ROOM, "", AT)),
            ("{identity}/{room_name}_{utc}", f"/old/x/y_{TIME}.mp4", Reading("y", "x", AT)),
            (
                "/recordings/{room_name}-{publisher_identity}-{time}.mp4",
                f"/home/x/old/lobby-anna-{TIME}.mp4",
                Reading("lobby", "anna", AT),
            ),
            ("{any}_{room_name}", "/old/0815_lobby.wav", Reading("lobby")),
            ("rooms", f"/backup/{ROOM}/sip_1-{TIME}-{ID}.mp4", Reading(ROOM, "sip_1", AT, "", ID)),
        ],
    )
    def test_it_beats_all_others(self, pattern: str, path: str, told: Reading) -> None:
        """And all folders of the path count."""
        assert self.of(pattern, path) == told

    def test_a_file_that_it_does_not_fit_is_read_as_others_are(self) -> None:
        """A folder may hold more than one kind."""
        assert self.of("{any}_{room_name}", f"/x/lobby-{TIME}.ogg") == Reading("lobby", "", AT)

    def test_even_so_two_ways_to_read_it_tell_nothing(self) -> None:
        """Where is the dash that ends the room?"""
        told = self.of("{room_name}-{identity}-{time}", f"/x/a-b-c-{TIME}.ogg")

        assert told == Reading("", "", AT)

    @pytest.mark.parametrize(
        ("pattern", "why"),
        [
            ("{room}-{time}", r"\{room\} is no field; there are \{room_name\}"),
            ("recordings", "no field"),
            ("{room_name", "no field"),
            ("{room_name}-{time}}", "brace"),
        ],
    )
    def test_one_that_cannot_be_used_says_why(self, pattern: str, why: str) -> None:
        """Before anything is read."""
        with pytest.raises(ValueError, match=why):
            check_given(pattern)
