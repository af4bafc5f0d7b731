"""What is known of a file that is imported, and the recording that it becomes."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.egresses import Egress, EgressStatus
from egress_manager.domain.importing import (
    Found,
    Manifest,
    Origin,
    SoundFile,
    has_track,
    home_of,
    manifest_of,
    origin_of,
    recording_of,
    with_track,
)
from egress_manager.domain.incoming import EgressKind
from egress_manager.domain.moves import Fingerprint
from egress_manager.domain.naming import FileNames
from egress_manager.domain.readings import Reading
from egress_manager.domain.recordings import Recording, State, Verdict

NOON = datetime(2025, 10, 17, 12, tzinfo=UTC)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
ROOM = "friday-assistant-room"
SOUND = SoundFile(30.0, 2, 48_000, "aac", "mp4")
NAMES = FileNames("a", "a.tracks/{track_id}")
MANIFEST = {
    "egress_id": "EG_1",
    "room_name": ROOM,
    "started_at": int(NOON.timestamp()) * 10**9,
    "ended_at": int(NOON.timestamp() + 30) * 10**9,
    "files": [{"filename": "/out/a.mp4", "location": "/recordings/b.mp4"}],
}


def found(content: str = "0" * 64, **origin: Any) -> Found:
    """A file of a call at noon."""
    told = Origin(ROOM, "sip_+15550100", NOON, "name")
    return Found("/old/a.mp4", replace(told, **origin), SOUND, Fingerprint(content, 1234))


def imported(what: Found, filepath: str = "/recordings/a.mp4") -> Recording:
    """The recording that it becomes."""
    return recording_of(what, filepath=filepath, names=NAMES, at=NOW)


class TestManifests:
    """What LiveKit Egress left beside its files."""

    def test_it_tells_whose_file_it_is(self) -> None:
        """By the name that it was given, and by where it was put."""
        told = manifest_of(json.dumps(MANIFEST).encode())

        assert told == Manifest("EG_1", ROOM, "", "", NOON, frozenset({"a.mp4", "b.mp4"}))

    def test_of_a_track_it_tells_whose_it_is(self) -> None:
        """Its publisher."""
        track = {"publisher_identity": "agent-1", "track_id": "TR_1"}
        told = manifest_of(json.dumps(MANIFEST | track).encode())

        assert told is not None
        assert (told.identity, told.track_sid) == ("agent-1", "TR_1")

    @pytest.mark.parametrize("track_id", ["../../x", "TR_/", "x", None])
    def test_an_id_that_is_none_leads_nowhere(self, track_id: str | None) -> None:
        """Names of files are made of it."""
        told = manifest_of(json.dumps(MANIFEST | {"track_id": track_id}).encode())

        assert told is not None
        assert told.track_sid == ""

    @pytest.mark.parametrize(
        "change",
        [
            {"egress_id": "../x"},
            {"files": 3},
            {"files": None},
            {"started_at": "soon"},
            {"started_at": float("inf")},
            {"started_at": 10**400},
        ],
    )
    def test_another_json_is_none(self, change: dict[str, Any]) -> None:
        """Such files may lie around."""
        assert manifest_of(json.dumps(MANIFEST | change).encode()) is None

    @given(st.binary() | st.text().map(str.encode))
    def test_anything_else_is_none(self, text: bytes) -> None:
        """And does no harm."""
        assert manifest_of(text) is None


class TestOrigins:
    """Who of the three is believed."""

    def test_the_manifest_beats_the_name(self) -> None:
        """It was written by who recorded."""
        told = origin_of(
            Reading("room", "sip_1", NOON + timedelta(seconds=1)),
            manifest_of(json.dumps(MANIFEST).encode()),
            NOW,
            SOUND,
        )

        assert (told.room_name, told.started_at, told.time_from) == (ROOM, NOON, "manifest")
        assert (told.identity, told.egress_id) == ("sip_1", "EG_1")

    def test_where_nothing_has_a_time_the_file_has(self) -> None:
        """It was last written to when it ended."""
        told = origin_of(Reading(), None, NOON, SOUND)

        assert (told.started_at, told.time_from) == (NOON - timedelta(seconds=30), "file")
        assert (told.room_name, told.identity, told.caller_number) == ("", "", None)

    @pytest.mark.parametrize(
        ("identity", "number"),
        [("sip_+15550100", "+15550100"), ("sip_1001", "1001"), ("sip_anna", None), ("", None)],
    )
    def test_a_phones_identity_holds_its_number(self, identity: str, number: str | None) -> None:
        """As for calls that are seen."""
        assert found(identity=identity).origin.caller_number == number


class TestRecordings:
    """What a file becomes."""

    def test_a_mix_is_a_finished_recording_of_no_known_call(self) -> None:
        """It stands among those of its time, and says how that is known."""
        recording = imported(found())

        assert (recording.status, recording.verdict) == ("completed", Verdict.PENDING)
        assert (recording.call_id, recording.source, recording.engine) == (None, "import", "import")
        assert (recording.room_name, recording.caller_number) == (ROOM, "+15550100")
        assert recording.created_at == recording.started_at == NOON
        assert recording.stopped_at == NOON + timedelta(seconds=30)
        assert [event.name for event in recording.history] == [
            "recording.imported",
            "recording.rendered",
        ]
        assert recording.history[0].reason == (
            "from a.mp4; aac, 2 channels, 48000 Hz; time from its name"
        )

    def test_its_id_is_what_it_holds(self) -> None:
        """Not what it is called."""
        same = replace(found(), path="/elsewhere/b.mp4")

        assert imported(found()).id == imported(same).id
        assert imported(found()).id != imported(found("1" * 64)).id

    def test_a_job_of_livekit_egress_is_its_job(self) -> None:
        """So that LiveKit's word of it, which may come for a day, is no news."""
        recording = imported(found(egress_id="EG_1"))
        report = Egress(
            "asked/path.mp4",
            EgressKind.MIX,
            NOON,
            EgressStatus.COMPLETE,
            NOON + timedelta(seconds=31),
            "EG_1",
            filepath="gone.mp4",
            is_delivered=True,
        )

        assert (recording.egress_id, recording.engine) == ("EG_1", "egress")
        assert not recording.lacks_material
        assert recording.hear(report) == recording

    def test_damage_is_told(self) -> None:
        """In the history."""
        damaged = replace(found(), sound=replace(SOUND, damaged=3))

        assert "3 packets can't be decoded" in imported(damaged).history[0].reason

    def test_a_name_that_is_no_text_can_be_told(self) -> None:
        """Names of files are bytes."""
        odd = replace(found(), path="/old/\udcff.mp4")

        imported(odd).history[0].reason.encode()


class TestTracks:
    """What a track is a part of."""

    track = found("2" * 64, track_sid="TR_1", identity="", publisher="sip_+15550100")

    def test_it_joins_the_mix_of_its_room_and_time(self) -> None:
        """And says on which side its publisher is."""
        mix = imported(found())

        assert home_of(self.track.origin, [mix]) == mix
        joined = with_track(mix, self.track, filepath="/recordings/t.ogg", at=NOW)
        (track,) = joined.tracks
        assert (track.track_sid, track.side, track.participant_kind) == ("TR_1", "left", "SIP")
        assert (track.filepath, track.started_at) == ("/recordings/t.ogg", NOON)
        assert has_track(joined, "TR_1")

    def test_one_that_is_there_already_changes_nothing(self) -> None:
        """It may come twice."""
        once = with_track(imported(found()), self.track, filepath="/recordings/t.ogg", at=NOW)

        assert with_track(once, self.track, filepath="/recordings/u.ogg", at=NOW) == once

    @pytest.mark.parametrize(
        ("seconds", "is_part"), [(-11, False), (-10, True), (0, True), (30, True), (31, False)]
    )
    def test_it_begins_while_the_call_goes_on(self, seconds: float, is_part: bool) -> None:
        """Or a little before: times in names are cut."""
        began = replace(self.track.origin, started_at=NOON + timedelta(seconds=seconds))

        assert (home_of(began, [imported(found())]) is not None) == is_part

    def test_of_two_calls_at_a_time_the_one_of_its_identity(self) -> None:
        """Where its name says so; else nobody can tell."""
        one, other = imported(found()), imported(found("3" * 64, identity="sip_2"))
        named = replace(self.track.origin, identity="sip_2")

        assert home_of(named, [one, other]) == other
        assert home_of(self.track.origin, [one, other]) is None

    @pytest.mark.parametrize(
        "change",
        [{"room_name": ""}, {"room_name": "other"}, {"time_from": "file"}],
    )
    def test_without_room_and_time_there_is_none(self, change: dict[str, Any]) -> None:
        """A time that stands in for another proves nothing."""
        assert home_of(replace(self.track.origin, **change), [imported(found())]) is None

    def test_a_track_alone_is_no_home_for_others(self) -> None:
        """It is a recording of its own, with its one track."""
        alone = imported(self.track, "/recordings/t.ogg")

        assert alone.filepath == alone.tracks[0].filepath
        assert home_of(found("4" * 64, track_sid="TR_2").origin, [alone]) is None

    def test_what_goes_on_is_no_home(self) -> None:
        """Its tracks are not decided yet."""
        live = replace(imported(found()), state=State.ACTIVE)

        assert home_of(self.track.origin, [live]) is None
