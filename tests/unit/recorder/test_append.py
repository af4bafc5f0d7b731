"""Files that only grow, on disks that fail."""

import errno
import resource
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.recorder import append
from egress_manager.recorder.append import AppendFile


@contextmanager
def files_of_at_most(size: int):
    """A disk that takes so many bytes a file, then answers EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_what_is_written_is_in_the_file(tmp_path_factory, pieces):
    """In order, at once."""
    file = AppendFile(tmp_path_factory.mktemp("append") / "deep" / "file")
    for piece in pieces:
        file.write(piece)
    written = file.path.read_bytes() if pieces else b""
    file.close()

    assert written == b"".join(pieces)


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1), st.integers(0, 400))
def test_a_full_disk_that_has_room_again_has_everything(tmp_path_factory, pieces, room):
    """However a write was torn by the end of the disk."""
    file = AppendFile(tmp_path_factory.mktemp("append") / "file")
    with files_of_at_most(room):
        for piece in pieces:
            file.write(piece)
        torn = file.path.read_bytes()
        error = file.error
    file.close()

    whole = b"".join(pieces)
    assert whole.startswith(torn)
    assert len(torn) == min(len(whole), room)
    assert (error is None) == (len(whole) <= room)
    assert file.path.read_bytes() == whole
    assert file.error is None


def test_a_file_in_the_directorys_place_is_an_error_until_it_is_gone(tmp_path):
    """Opening is tried again with every write, and by `retry`."""
    (tmp_path / "place").write_text("in the way")
    file = AppendFile(tmp_path / "place" / "file")
    file.write(b"one")
    error = file.error
    (tmp_path / "place").unlink()
    file.retry()
    file.close()

    assert error is not None
    assert error.errno in (errno.ENOTDIR, errno.EEXIST)
    assert (tmp_path / "place" / "file").read_bytes() == b"one"


def test_what_does_not_fit_into_memory_is_given_up_and_what_came_first_is_kept(
    tmp_path, monkeypatch
):
    """The first bytes of a file are those that the rest is read by."""
    monkeypatch.setattr(append, "BACKLOG_BYTES", 10)
    (tmp_path / "place").write_text("in the way")
    file = AppendFile(tmp_path / "place" / "file")
    for piece in (b"head", b"body", b"tail"):
        file.write(piece)
    (tmp_path / "place").unlink()
    file.close()

    assert (tmp_path / "place" / "file").read_bytes() == b"headbody"
    assert file.dropped == len(b"tail")


def test_closing_and_syncing_twice_is_harmless(tmp_path):
    """Whoever closes need not know who else did."""
    file = AppendFile(tmp_path / "file")
    file.write(b"all")
    file.sync()
    file.sync()
    file.close()
    file.close()
    file.sync()

    assert file.error is None
    assert not file.is_behind


@pytest.mark.parametrize("wrong", ["rename", "unlink"])
def test_a_file_that_is_moved_away_is_still_the_file(tmp_path, wrong):
    """What is open stays open: whoever moves it takes the rest of it along."""
    file = AppendFile(tmp_path / "file")
    file.write(b"one")
    if wrong == "rename":
        file.path.rename(tmp_path / "moved")
    else:
        file.path.unlink()
    file.write(b"two")
    file.close()

    assert file.error is None
    assert wrong == "unlink" or (tmp_path / "moved").read_bytes() == b"onetwo"
