"""New names for files that are there: what is renamed to what, and what a run's book tells."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.egresses import Egress
from egress_manager.domain.incoming import EgressKind
from egress_manager.domain.moves import (
    REASONS,
    Fingerprint,
    LeftAlone,
    Planned,
    Renaming,
    Run,
    done_in,
    names_of,
    planned_entry,
    planned_of,
    renaming,
    why_not,
    with_names,
)
from egress_manager.domain.naming import PATTERNS
from egress_manager.domain.recordings import Recording, State
from tests.unit.migration.memory import NOON, recorded

ROOM = "friday-assistant-room"


def renamed(recording: Recording, pattern: str = "rooms", identity: str = "sip_1001") -> Renaming:
    """Its new names, below /recordings."""
    return renaming(
        recording, identity=identity, pattern=pattern, path=lambda p: f"/recordings/{p}"
    )


def test_the_users_first_names_become_a_folder_for_each_room() -> None:
    """Mix and tracks; the time stays, the id is added."""
    recording = recorded(1)
    stem = f"{ROOM}/sip_1001-2026-11-22T12-00-00-{recording.id}"

    change = renamed(recording)

    assert change.moves == (
        (recording.filepath, f"/recordings/{stem}.mp4"),
        (recording.tracks[0].filepath, f"/recordings/{stem}.tracks/TR_1left.ogg"),
        (recording.tracks[1].filepath, f"/recordings/{stem}.tracks/TR_1right.ogg"),
    )
    assert (change.after.file_stem, change.after.track_stem) == (
        stem,
        f"{stem}.tracks/{{track_id}}",
    )


def test_there_and_back_is_where_it_began() -> None:
    """The way back of the way back is the way, and documents are the same again."""
    recording = recorded(1)
    change = renamed(recording)

    assert change.reversed.reversed == change
    assert with_names(with_names(recording, change), change.reversed) == recording


@given(st.sampled_from(sorted(PATTERNS)), st.text(), st.text())
def test_who_moves_twice_moves_once(pattern: str, room_name: str, identity: str) -> None:
    """Files that are in their place stay there, whatever the room and the caller are called."""
    recording = replace(recorded(1), room_name=room_name)
    moved = with_names(recording, renamed(recording, pattern, identity))

    assert renamed(moved, pattern, identity).moves == ()
    assert renamed(moved, pattern, identity).before == renamed(moved, pattern, identity).after


@given(st.text(), st.text())
def test_names_that_others_chose_lead_nowhere_else(room_name: str, identity: str) -> None:
    """Nothing leaves the directory, hides, or collides with another recording's files."""
    one = replace(recorded(1), room_name=room_name)
    two = replace(recorded(2), room_name=room_name)
    new = [path for each in (one, two) for _, path in renamed(each, identity=identity).moves]

    for path in new:
        parts = path.removeprefix("/recordings/").split("/")
        assert all(part and not part.startswith(".") for part in parts)
    assert len(set(new)) == len(new)


def test_the_time_in_a_name_stays_where_the_document_says_another_by_now() -> None:
    """A call's beginning becomes known more exactly; its files are not renamed for that."""
    recording = recorded(1, started_at=NOON - timedelta(seconds=1))
    far = recorded(1, started_at=NOON + timedelta(days=1))

    assert "T12-00-00" in renamed(recording).after.file_stem
    assert "2026-11-23T12-00-00" in renamed(far).after.file_stem


@pytest.mark.parametrize("text", ["2026-99-99T99-99-99", "2026-11-22T12-00", "yesterday"])
def test_what_only_looks_like_a_time_is_none(text: str) -> None:
    """The document's own time counts then."""
    recording = recorded(1, filepath=f"/recordings/{text}.mp4", file_stem=text)

    assert "2026-11-22T12-00-00" in renamed(recording).after.file_stem


def test_a_file_that_is_mix_and_track_at_once_has_one_name() -> None:
    """As a track has for which no mix was ever made."""
    lone = recorded(1, filepath=recorded(1).tracks[0].filepath)

    change = renamed(lone)

    assert [old for old, _ in change.moves] == [lone.filepath, lone.tracks[1].filepath]
    assert change.after.filepath == change.after.tracks[0]
    assert with_names(with_names(lone, change), change.reversed) == lone


def test_jobs_of_livekit_egress_know_their_files_by_the_new_name() -> None:
    """The mix that is made again of such a file has to find it."""
    job = Egress("asked", EgressKind.MIX, NOON, filepath="a/mix.mp4", is_delivered=True)
    whole = replace(job, asked_path="whole", filepath="/recordings/a/mix.mp4")
    piece = replace(job, asked_path="other", filepath="a/piece.ogg")
    none = replace(job, asked_path="none", filepath=None)
    jobs = (job, piece, whole, none)
    recording = recorded(1, filepath="/recordings/a/mix.mp4", egresses=jobs)

    change = renamed(recording)

    moved = with_names(recording, change)
    assert moved.filepath == f"/recordings/{moved.egresses[0].filepath}"
    assert moved.egresses[2].filepath == moved.filepath
    assert (moved.egresses[1], moved.egresses[3]) == (piece, none)
    assert with_names(moved, change.reversed) == recording


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, None),
        ({"state": State.CAPTURED}, "not_finished"),
        ({"state": State.ACTIVE}, "not_finished"),
        ({"state": State.ABORTED, "filepath": None, "tracks": ()}, "no_files"),
        ({"filepath": "/recordings/a.mp4/../../b"}, "unusual_name"),
        ({"filepath": "/recordings/a.\x1b[2J"}, "unusual_name"),
        ({"filepath": "/recordings/a"}, "unusual_name"),
        ({"filepath": recorded(1).tracks[0].filepath}, None),
        ({"tracks": (replace(recorded(1).tracks[0], track_sid="../x"),)}, "unusual_name"),
        ({"tracks": (replace(recorded(1).tracks[0], track_sid="../x", filepath=None),)}, None),
    ],
)
def test_documents_that_are_left_alone_say_why(fields: dict[str, Any], why: str | None) -> None:
    """In a word that has words for people."""
    left = why_not(recorded(1, **fields))

    assert left == (why and LeftAlone(recorded(1).id, why))
    assert why is None or REASONS[why]


@pytest.mark.parametrize(
    "meanwhile",
    [
        {"state": State.CAPTURED},
        {"filepath": "/recordings/other.mp4"},
        {"tracks": recorded(1).tracks[:1]},
        {"file_stem": "other"},
    ],
)
def test_a_document_that_somebody_changed_is_not_changed(meanwhile: dict[str, Any]) -> None:
    """What was planned from is not there any more."""
    change = renamed(recorded(1))
    other = recorded(1, **meanwhile)

    assert with_names(other, change) is other


def test_a_renaming_is_the_same_after_it_was_written_down() -> None:
    """Every field, and what the files hold."""
    planned = Planned(renamed(recorded(1)), {"/recordings/a.mp4": Fingerprint("ab", 2)})

    assert planned_of(planned_entry(planned)) == planned


def test_a_book_tells_how_far_a_run_came() -> None:
    """What was done, what was given up, and what was in its hands when it died."""
    changes = [renamed(recorded(number)) for number in (1, 2, 3)]
    planned = [planned_entry(Planned(change, {})) for change in changes]
    entries = [
        {"entry": "begun", "deed": "migrate files", "pattern": "rooms"},
        planned[0],
        {"entry": "done", "recording": changes[0].recording_id},
        planned[1],
        {"entry": "given_up", "recording": changes[1].recording_id, "why": "changed"},
        planned[2],
    ]

    run = Run().tell(entries)

    assert (run.deed, run.pattern, run.is_over) == ("migrate files", "rooms", False)
    assert [each.renaming for each in run.open.values()] == [changes[2]]
    assert list(done_in(entries, run)) == [changes[0], changes[2]]
    assert Run().tell([*entries, {"entry": "ended"}]).is_over


def test_names_are_all_that_a_document_says_of_its_files() -> None:
    """The mix, the tracks, and where files would go if they were made again."""
    recording = recorded(1)

    assert names_of(recording).files == (
        recording.filepath,
        *(track.filepath for track in recording.tracks),
    )
