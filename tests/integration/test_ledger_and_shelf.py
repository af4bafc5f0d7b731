"""The contracts of the ledger and of the shelf, held by their fakes and by the disk alike."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from egress_manager.adapters import local_shelf
from egress_manager.adapters.local_ledger import LocalLedger
from egress_manager.adapters.local_shelf import LocalShelf
from egress_manager.domain.moves import Fingerprint
from egress_manager.errors import Conflict, NotFound, StorageFailed
from egress_manager.flows.migration.doors import Ledger, Shelf
from egress_manager.testing import MemoryLedger, MemoryShelf
from egress_manager.testing.migration import printed
from lab.programs import ROOT

BEGUN = {"entry": "begun", "deed": "to try", "of": "Zoë 👩‍👩‍👧"}
WORDS = b"what was said\n" * 1000


@pytest.fixture(params=["memory", "disk"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    """A ledger that has no books."""
    return MemoryLedger() if request.param == "memory" else LocalLedger(tmp_path / "new" / "ledger")


class TestLedger:
    """What holds for both."""

    def test_entries_come_back_in_order(self, ledger: Ledger) -> None:
        """From each book its own."""
        with ledger.alone():
            first, second = ledger.begin(BEGUN), ledger.begin({"entry": "begun"})
            ledger.write(first, {"entry": "planned", "files": {"a\n.mp4": None}})
            ledger.write(second, {"entry": "ended"})

        assert list(ledger.read(first)) == [
            BEGUN,
            {"entry": "planned", "files": {"a\n.mp4": None}},
        ]
        assert [entry["entry"] for entry in ledger.read(second)] == ["begun", "ended"]

    def test_books_are_listed_the_oldest_first(self, ledger: Ledger) -> None:
        """However many there are."""
        assert list(ledger.books()) == []
        with ledger.alone():
            begun = [ledger.begin(BEGUN) for _ in range(12)]

        assert list(ledger.books()) == begun

    def test_a_book_that_there_is_not_is_an_error(self, ledger: Ledger) -> None:
        """Also where its name leads elsewhere."""
        for name in ("0007", "../0001", ""):
            with pytest.raises(NotFound):
                ledger.read(name)

    def test_who_comes_second_is_refused(self, ledger: Ledger) -> None:
        """And let in when the first has left."""
        with ledger.alone(), pytest.raises(Conflict), ledger.alone():
            pass

        with ledger.alone():
            pass


class TestLedgerOnDisk:
    """What only a disk can do."""

    @pytest.fixture
    def book(self, tmp_path: Path) -> Path:
        """A book with two entries."""
        ledger = LocalLedger(tmp_path)
        with ledger.alone():
            ledger.write(ledger.begin(BEGUN), {"entry": "planned"})
        return tmp_path / "0001.jsonl"

    @pytest.mark.parametrize("cut", range(1, 20))
    def test_a_torn_line_is_passed_over_and_the_next_is_whole(self, book: Path, cut: int) -> None:
        """Wherever the crash tore it."""
        os.truncate(book, book.stat().st_size - cut)
        ledger = LocalLedger(book.parent)
        kept = list(ledger.read("0001"))

        ledger.write("0001", {"entry": "ended"})

        assert list(ledger.read("0001")) == [*kept, {"entry": "ended"}]
        assert kept[0] == BEGUN

    def test_what_was_written_is_never_touched(self, book: Path) -> None:
        """A book only grows."""
        before = book.read_bytes()

        LocalLedger(book.parent).write("0001", {"entry": "ended"})

        assert book.read_bytes().startswith(before)

    def test_nobody_else_reads_it(self, book: Path) -> None:
        """There may be PINs in it."""
        assert book.stat().st_mode & 0o077 == 0

    def test_a_book_that_somebody_died_over_is_no_book(self, book: Path) -> None:
        """Its first entry never reached the disk whole."""
        (book.parent / "new").write_bytes(b'{"entry": "beg')
        ledger = LocalLedger(book.parent)

        with ledger.alone():
            assert ledger.begin(BEGUN) == "0002"
        assert list(ledger.read("0002")) == [BEGUN]

    def test_a_process_that_is_killed_lets_go(self, tmp_path: Path) -> None:
        """The kernel sees to it."""
        holding = (
            "import pathlib, sys; from egress_manager.adapters.local_ledger import LocalLedger\n"
            f"with LocalLedger(pathlib.Path({str(tmp_path)!r})).alone():\n"
            "    print('held', flush=True); sys.stdin.read()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", holding],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process:
            assert process.stdout.readline() == b"held\n"
            with pytest.raises(Conflict), LocalLedger(tmp_path).alone():
                pass
            process.kill()
            process.wait(timeout=30)
        with LocalLedger(tmp_path).alone():
            pass

    def test_a_directory_that_cannot_be_made_is_said(self, tmp_path: Path) -> None:
        """In a sentence that names it."""
        (tmp_path / "file").write_text("")

        with (
            pytest.raises(StorageFailed, match="file/ledger"),
            LocalLedger(tmp_path / "file" / "ledger").alone(),
        ):
            pass


@dataclass
class Room:
    """A shelf, and where it is."""

    shelf: Shelf

    def at(self, relative: str) -> str:
        """A path as documents have it."""
        return self.shelf.path(relative)

    def put(self, relative: str, content: bytes = WORDS) -> str:
        """Put a file there; its path."""
        path = self.at(relative)
        if isinstance(self.shelf, MemoryShelf):
            self.shelf.content[path] = content
        else:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(content)
        return path

    def read(self, path: str) -> bytes | None:
        """What is in a file; None where there is none."""
        if isinstance(self.shelf, MemoryShelf):
            return self.shelf.content.get(path)
        return Path(path).read_bytes() if Path(path).exists() else None


@pytest.fixture(params=["memory", "disk"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Room:
    """An empty shelf."""
    return Room(MemoryShelf() if request.param == "memory" else LocalShelf(tmp_path))


class TestShelf:
    """What holds for both."""

    async def test_a_file_gets_a_second_name_and_loses_the_first(self, room: Room) -> None:
        """Never without any; again and again the same."""
        old, new = room.put("a b.mp4"), room.at("room/sip_1.tracks/TR_1.ogg")
        print_ = await room.shelf.fingerprint(old)
        assert print_ == printed(WORDS)

        for _ in range(2):
            await room.shelf.also_as(old, new, print_)
        assert room.read(old) == room.read(new) == WORDS
        for _ in range(2):
            await room.shelf.drop(old, print_)

        assert room.read(old) is None
        assert room.read(new) == WORDS
        await room.shelf.also_as(old, new, print_)
        assert not await room.shelf.exists(old)

    async def test_a_file_that_is_not_there_has_no_fingerprint(self, room: Room) -> None:
        """And can't be named again."""
        missing = room.at("missing.mp4")

        assert await room.shelf.fingerprint(missing) is None
        with pytest.raises(StorageFailed):
            await room.shelf.also_as(missing, room.at("new.mp4"), printed(WORDS))
        await room.shelf.drop(missing, printed(WORDS))

    async def test_nothing_is_written_over(self, room: Room) -> None:
        """What has the name keeps it, and stays when the name is to go."""
        old, taken = room.put("old.mp4"), room.put("taken.mp4", b"somebody's own")

        with pytest.raises(Conflict):
            await room.shelf.also_as(old, taken, printed(WORDS))
        await room.shelf.drop(taken, printed(WORDS))

        assert room.read(taken) == b"somebody's own"
        assert room.read(old) == WORDS

    async def test_a_file_that_is_not_what_it_was_is_not_taken_for_it(self, room: Room) -> None:
        """Somebody is writing to it."""
        old = room.put("old.mp4")

        with pytest.raises(StorageFailed):
            await room.shelf.also_as(old, room.at("new.mp4"), Fingerprint("00", 3))
        assert room.read(old) == WORDS

    @pytest.mark.parametrize(
        ("path", "is_held"),
        [("a.mp4", True), ("r/a.tracks/b.ogg", True), (".captures/a.ogg", False)],
    )
    async def test_what_belongs_to_it(self, room: Room, path: str, is_held: bool) -> None:
        """Files below it, but for hidden folders."""
        assert room.shelf.holds(room.at(path)) is is_held
        assert not room.shelf.holds(path)
        assert not room.shelf.holds("/etc/passwd")


def names_in(folder: Path) -> list[str]:
    """What a folder has in it."""
    return sorted(path.name for path in folder.iterdir())


class TestShelfOnDisk:
    """What only a disk can do."""

    @pytest.fixture
    def shelf(self, tmp_path: Path) -> LocalShelf:
        """A shelf with one file."""
        (tmp_path / "old.mp4").write_bytes(WORDS)
        return LocalShelf(tmp_path)

    @pytest.fixture
    def elsewhere(self, tmp_path: Path) -> Iterator[Path]:
        """A folder on another file system, as if it were below the recordings directory."""
        memory = Path("/dev/shm")
        if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is no other file system here")
        folder = memory / tmp_path.name
        folder.mkdir()
        (tmp_path / "room").symlink_to(folder)
        yield folder
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()

    async def test_a_second_name_takes_no_room(self, shelf: LocalShelf, tmp_path: Path) -> None:
        """It is the same file."""
        new = tmp_path / "room" / "new.mp4"

        await shelf.also_as(str(tmp_path / "old.mp4"), str(new), printed(WORDS))

        assert new.samefile(tmp_path / "old.mp4")

    @pytest.mark.parametrize(("folder", "file"), [(0o750, 0o640), (0o700, 0o600), (0o755, 0o644)])
    async def test_a_file_is_no_more_open_than_its_new_folder(
        self, shelf: LocalShelf, tmp_path: Path, folder: int, file: int
    ) -> None:
        """Before, everybody could read it."""
        old, new = tmp_path / "old.mp4", tmp_path / "room" / "new.mp4"
        old.chmod(0o644)
        new.parent.mkdir()
        new.parent.chmod(folder)

        await shelf.also_as(str(old), str(new), printed(WORDS))

        assert new.stat().st_mode & 0o777 == file

    @pytest.mark.usefixtures("elsewhere")
    async def test_across_file_systems_it_is_a_verified_copy(
        self, shelf: LocalShelf, tmp_path: Path
    ) -> None:
        """With the times of the first; nothing of the making is left."""
        old, new = tmp_path / "old.mp4", tmp_path / "room" / "new.mp4"
        os.utime(old, (1, 1))

        await shelf.also_as(str(old), str(new), printed(WORDS))
        await shelf.drop(str(old), printed(WORDS))

        assert new.read_bytes() == WORDS
        assert new.stat().st_mtime == 1
        assert names_in(new.parent) == ["new.mp4"]
        assert not old.exists()

    async def test_a_copy_that_was_killed_is_made_anew(
        self, shelf: LocalShelf, tmp_path: Path, elsewhere: Path
    ) -> None:
        """Half of it is worth nothing, and what it is linked to by now is not written to."""
        other = elsewhere / "other.mp4"
        other.write_bytes(b"somebody's own")
        (elsewhere / ".new.mp4.moving").hardlink_to(other)

        await shelf.also_as(
            str(tmp_path / "old.mp4"), str(tmp_path / "room" / "new.mp4"), printed(WORDS)
        )

        assert other.read_bytes() == b"somebody's own"
        assert names_in(elsewhere) == ["new.mp4", "other.mp4"]

    async def test_a_copy_that_differs_is_not_named(
        self, tmp_path: Path, shelf: LocalShelf, elsewhere: Path
    ) -> None:
        """Somebody wrote to the file meanwhile."""
        with pytest.raises(StorageFailed, match="not the same"):
            await shelf.also_as(
                str(tmp_path / "old.mp4"), str(tmp_path / "room" / "new.mp4"), printed(b"before")
            )
        assert names_in(elsewhere) == []

    async def test_folders_that_are_empty_then_go_and_others_stay(
        self, shelf: LocalShelf, tmp_path: Path
    ) -> None:
        """Up to the recordings directory, which stays."""
        track = tmp_path / "room" / "a.tracks" / "TR_1.ogg"
        track.parent.mkdir(parents=True)
        track.write_bytes(WORDS)
        (tmp_path / "room" / "mix.mp4").write_bytes(WORDS)

        await shelf.drop(str(track), printed(WORDS))
        assert names_in(tmp_path / "room") == ["mix.mp4"]
        await shelf.drop(str(tmp_path / "room" / "mix.mp4"), printed(WORDS))
        await shelf.drop(str(tmp_path / "old.mp4"), printed(WORDS))

        assert names_in(tmp_path) == []

    def test_ways_out_of_the_directory_are_not_part_of_it(
        self, shelf: LocalShelf, tmp_path: Path
    ) -> None:
        """Neither by dots, nor by links, nor by names that are none."""
        (tmp_path / "link.mp4").symlink_to("/etc/passwd")

        assert shelf.holds(str(tmp_path / "old.mp4"))
        for path in (
            tmp_path / ".." / tmp_path.name / "old.mp4",
            tmp_path / "link.mp4",
            tmp_path / "a\0b.mp4",
            tmp_path,
        ):
            assert not shelf.holds(str(path)), path

    def test_a_directory_has_two_names_where_it_is_a_link(self, tmp_path: Path) -> None:
        """Documents may have either."""
        (tmp_path / "real").mkdir()
        (tmp_path / "named").symlink_to(tmp_path / "real")
        shelf = LocalShelf(tmp_path / "named")

        assert shelf.holds(str(tmp_path / "named" / "a.mp4"))
        assert shelf.holds(str(tmp_path / "real" / "a.mp4"))

    async def test_trouble_with_the_disk_is_a_sentence(
        self, shelf: LocalShelf, tmp_path: Path
    ) -> None:
        """Where a folder is to be, there is a file."""
        with pytest.raises(StorageFailed, match=r"new\.mp4: "):
            await shelf.also_as(
                str(tmp_path / "old.mp4"),
                str(tmp_path / "old.mp4" / "new.mp4"),
                printed(WORDS),
            )

    def test_a_copy_ends_hidden(self) -> None:
        """So that nobody takes it for a recording, should it stay behind."""
        assert local_shelf._PART.startswith(".")


def test_a_ledger_is_read_by_people_too(tmp_path: Path) -> None:
    """A line an entry, plain JSON."""
    ledger = LocalLedger(tmp_path)
    with ledger.alone():
        ledger.begin(BEGUN)

    (line,) = (tmp_path / "0001.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == BEGUN
    assert "Zoë" in line
