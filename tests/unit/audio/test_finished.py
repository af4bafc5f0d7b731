"""Files that are made by several processes at once, or begun by one that died."""

from pathlib import Path

from egress_manager.audio.finished import Unfinished


def test_who_gives_up_does_not_touch_what_another_process_finished(tmp_path: Path) -> None:
    """Both make the same file; the one that is too late writes its last bytes elsewhere."""
    path = tmp_path / "room [1]" / "mix.mp4"
    late, first = Unfinished(path), Unfinished(path)
    with late.temporary.open("wb") as file:
        file.write(b"half")
        first.temporary.write_bytes(b"all of it")
        first.keep()
        file.write(b" and an end")
    late.drop()

    assert path.read_bytes() == b"all of it"
    assert [file.name for file in path.parent.iterdir()] == ["mix.mp4"]


def test_what_a_process_that_died_had_begun_goes_when_the_file_is_there(tmp_path: Path) -> None:
    """By whichever name it had; another file's beginning stays."""
    dead, other = Unfinished(tmp_path / "mix.mp4"), Unfinished(tmp_path / "other.mp4")
    (tmp_path / ".mix.mp4.part").write_bytes(b"older")
    dead.temporary.write_bytes(b"half")
    other.temporary.write_bytes(b"half")
    made = Unfinished(tmp_path / "mix.mp4")
    made.temporary.write_bytes(b"all of it")
    made.keep()

    assert {file.name for file in tmp_path.iterdir()} == {"mix.mp4", other.temporary.name}
