"""The journal of a capture: written line by line, read whatever became of its end."""

import json
import os
import signal
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.captures import (
    JOURNAL,
    SETTLED,
    Began,
    DigitPressed,
    Ended,
    Entry,
    ParticipantChanged,
)
from egress_manager.recorder.journal import (
    Journal,
    close_left_behind,
    is_held,
    read_journal,
    read_story,
    settle,
)

words = st.text(max_size=30)
moments = st.floats(0, 2e9)
entries = st.one_of(
    st.builds(Began, moments, words, words),
    st.builds(ParticipantChanged, moments, words, words, attributes=st.dictionaries(words, words)),
    st.builds(DigitPressed, moments, words, words),
)


def written(directory, *lines: Entry) -> Journal:
    """An open journal with these entries."""
    journal = Journal(directory, lambda entry: None)
    for line in lines:
        journal.write(line)
    return journal


@given(st.lists(entries, max_size=10))
def test_what_is_written_is_read(tmp_path_factory, lines):
    """Whatever names and attributes hold: line ends, quotes, emoji."""
    directory = tmp_path_factory.mktemp("capture")
    written(directory, *lines).close()

    assert read_journal(directory) == lines


@given(st.lists(entries, min_size=1, max_size=10), st.data())
def test_a_journal_that_is_cut_anywhere_is_read_up_to_the_cut(tmp_path_factory, lines, data):
    """A torn line is passed over."""
    directory = tmp_path_factory.mktemp("capture")
    written(directory, *lines).close()
    whole = (directory / JOURNAL).read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    (directory / JOURNAL).write_bytes(whole[:cut])

    complete = whole[: cut + 1].count(b"\n")  # a line that lacks but its end is complete
    assert read_journal(directory) == lines[:complete]


def test_damaged_lines_and_entries_of_the_future_are_passed_over(tmp_path):
    """What can be understood is."""
    (tmp_path / JOURNAL).write_bytes(
        b'{"is":"began","at":1.0,"capture_id":"cap_1","room_name":"r","later":true}\n'
        b"\x00\xff not json\n[1]\n7\n"
        b'{"is":"later","at":2.0}\n{"is":"ended"}\n'
        b'{"is":"ended","at":3.0,"reason":"callers_left"}\n'
    )

    assert read_journal(tmp_path) == [Began(1.0, "cap_1", "r"), Ended(3.0, "callers_left")]


def test_no_journal_has_no_entries(tmp_path):
    """A directory may be empty, or not be there."""
    assert read_journal(tmp_path) == []
    assert read_journal(tmp_path / "nothing") == []
    assert not is_held(tmp_path)


def test_a_journal_that_is_being_written_is_held_until_it_is_closed(tmp_path):
    """So that nobody takes a running capture for one that was left behind."""
    journal = written(tmp_path, Began(1.0, "cap_1", "r"))
    while_open = is_held(tmp_path)
    journal.close()

    assert (while_open, is_held(tmp_path)) == (True, False)


def test_a_journal_whose_process_was_killed_is_not_held_and_can_be_closed(tmp_path):
    """The kernel lets go of the lock; the last line says what happened."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from egress_manager.domain.captures import Began\n"
        "from egress_manager.recorder.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]), lambda entry: None)\n"
        "journal.write(Began(1.0, 'cap_1', 'r'))\n"
        "print('written', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "written\n"
        while_alive = is_held(tmp_path)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    while_dead = is_held(tmp_path)
    story = read_story(tmp_path)
    close_left_behind(tmp_path, story)

    assert (while_alive, while_dead) == (True, False)
    assert story.ended == Ended(1.0, "process_died")
    assert read_story(tmp_path).ended == story.ended


def test_closing_what_was_left_behind_twice_writes_once(tmp_path):
    """Also after a line that was torn."""
    written(tmp_path, Began(1.0, "cap_1", "r"), DigitPressed(2.0, "sip_1", "5")).close()
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b'{"is":"page","at":2.5,"stre')
    for _ in range(2):
        close_left_behind(tmp_path, read_story(tmp_path))

    lines = (tmp_path / JOURNAL).read_bytes().split(b"\n")
    assert [json.loads(line)["is"] for line in lines if line.endswith(b"}")] == [
        "began",
        "digit",
        "ended",
    ]
    assert read_story(tmp_path).ended == Ended(2.0, "process_died")


def test_a_listener_that_fails_does_not_stop_the_journal(tmp_path, caplog):
    """It is logged, and the next entry is written and told."""
    told = []

    def listen(entry: Entry) -> None:
        told.append(entry)
        raise RuntimeError("nobody home")

    journal = Journal(tmp_path, listen)
    journal.write(Began(1.0, "cap_1", "r"))
    journal.write(Ended(2.0, "left"))
    journal.close()

    assert told == read_journal(tmp_path) == [Began(1.0, "cap_1", "r"), Ended(2.0, "left")]
    assert [record.message for record in caplog.records] == ["entry_not_heard"] * 2


def test_a_settled_capture_is_marked(tmp_path):
    """An empty file says that nothing is left to be made of it."""
    settle(tmp_path)
    settle(tmp_path)

    assert (tmp_path / SETTLED).exists()
