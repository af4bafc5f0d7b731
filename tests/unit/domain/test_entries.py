"""An entry of the shared queue is the id of a recording, or it is nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.calls import recording_id_of
from egress_manager.domain.entries import LONGEST, recording_id_in


@given(st.text())
def test_every_id_of_ours_is_read_back(call_id: str) -> None:
    """Whatever call it is of."""
    recording_id = recording_id_of(call_id)

    assert recording_id_in(recording_id.encode()) == recording_id


@given(st.binary(max_size=2 * LONGEST))
def test_what_is_read_is_what_was_written(entry: bytes) -> None:
    """Nothing is made of an entry but the same characters."""
    read = recording_id_in(entry)

    assert read is None or (read.encode() == entry and read.isascii() and len(read) <= LONGEST)


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"rec_",
        b"rec_1\n",
        b"rec_1 ",
        b" rec_1",
        b"REC_1",
        b"call_1",
        b"rec_../../etc",
        b"rec_\xd9\xa1",
        b"rec_" + b"1" * LONGEST,
        b"\x80\x04.",
        b"cos\nsystem\n",
    ],
)
def test_anything_else_is_refused(entry: bytes) -> None:
    """Blanks, paths, digits of other alphabets, pickles, and what is too long."""
    assert recording_id_in(entry) is None
