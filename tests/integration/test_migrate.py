"""`egress-manager migrate` on a real disk and a real MongoDB: killed, resumed, taken back."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from egress_manager.adapters.mongo_client import connect, database
from egress_manager.adapters.mongo_recordings import MongoRecordings
from egress_manager.adapters.mongo_schema import migrate
from egress_manager.domain.recordings import Recording, State
from lab.manager import Manager
from lab.programs import ROOT
from tests.unit.migration.memory import paths, recorded
from tests.unit.migration.terminal import Terminal

#: What nobody should call a room, and people do.
HOSTILE = ["../../etc", ".hidden", "a/b\\c:d", "con", "\u202eevil\n", "{track_id}", "é" * 300, ""]
#: Long enough for every command here, whatever else the machine does.
TIMEOUT = 120.0

Facts = dict[str, Any]


@dataclass
class House:
    """A database with recordings, the directory with their files, and the command line."""

    directory: Path
    uri: str
    database: str
    settings: Mapping[str, str]
    terminal: Terminal

    def dies(self, deed: str, steps: int) -> bool:
        """The command in a process of its own that is killed after so many steps."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.integration.mortal_migration", deed, str(steps)],
            env=os.environ | self.settings,
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=TIMEOUT,
        )
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode != 0

    def says(self, *arguments: str) -> str:
        """What `egress-manager migrate` says when all is well."""
        said = self.terminal.types("migrate", *arguments)
        assert said.code == 0, said.error
        return said.out

    def tells(self, *arguments: str) -> Facts:
        """The same for scripts."""
        told: Facts = json.loads(self.says(*arguments, "--json"))
        return told

    def add(self, *recordings: Recording) -> None:
        """Store them, and put their files on the disk: each holds its own first name."""
        asyncio.run(self._add(recordings))
        for path in (Path(path) for each in recordings for path in paths(each)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(path.name)

    async def _add(self, recordings: tuple[Recording, ...]) -> None:
        client = connect(self.uri)
        db = database(client, self.database)
        await migrate(db)
        for recording in recordings:
            await MongoRecordings(db).add(recording)
        await client.close()

    def documents(self) -> dict[str, Recording]:
        """Every document as it is, but for its version."""
        return asyncio.run(self._documents())

    async def _documents(self) -> dict[str, Recording]:
        client = connect(self.uri)
        found = client[self.database]["recordings"].find({}, {"_id": 1})
        store = MongoRecordings(database(client, self.database))
        every = [await store.get(document["_id"]) async for document in found]
        await client.close()
        return {each.id: replace(each, version=0) for each in every}

    def files(self) -> dict[str, str]:
        """Every file that is no hidden one, with what is in it."""
        found = (path for path in self.directory.rglob("*") if path.is_file())
        below = {path.relative_to(self.directory): path for path in found}
        return {
            str(name): path.read_text()
            for name, path in below.items()
            if not any(part.startswith(".") for part in name.parts)
        }

    def check_nothing_is_missing(self, first: dict[str, Recording]) -> None:
        """Every file that a document names is there, with what was always in it."""
        for name, recording in self.documents().items():
            for now, then in zip(paths(recording), paths(first[name]), strict=True):
                assert Path(now).read_text() == Path(then).name


@pytest.fixture
def house(
    mongo_uri: str,
    mongo_database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[House]:
    """Empty."""
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "recordings"
    settings = {
        "LIVEKIT_URL": "http://127.0.0.1:9",
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "secret",
        "MONGO_URI": mongo_uri,
        "MONGO_DB": mongo_database,
        "RECORDINGS_DIR": str(directory),
    }
    terminal = Terminal(monkeypatch, capsys, settings)
    yield House(directory, mongo_uri, mongo_database, settings, terminal)
    asyncio.run(_drop(mongo_uri, mongo_database))


async def _drop(uri: str, name: str) -> None:
    client = connect(uri)
    await client.drop_database(name)
    await client.close()


@pytest.fixture
def first(house: House) -> dict[str, Recording]:
    """Three recordings with the names that the user's own document gave."""
    house.add(*(recorded(number, base=str(house.directory)) for number in (1, 2, 3)))
    return house.documents()


def test_a_dry_run_says_what_would_be_and_does_nothing(
    house: House, first: dict[str, Recording]
) -> None:
    """For people and for scripts."""
    before = house.files()

    said, told = house.says("files"), house.tells("files")

    assert "9 files of 3 recordings would be moved.\nNothing was changed. Do it with --yes." in said
    assert "friday-assistant-room/sip_1001-2026-11-22T12-00-00-rec_" in said
    assert (told["done"], told["run"], told["recordings"]) == (False, None, 3)
    assert (house.files(), house.documents()) == (before, first)
    assert not (house.directory / ".moves").exists()


def test_files_get_a_folder_for_each_room_and_go_back(
    house: House, first: dict[str, Recording]
) -> None:
    """There: every name has its id. Back: byte for byte as it was, on disk and in the database."""
    before = house.files()

    told = house.tells("files", "--yes")

    assert (told["done"], told["run"], told["files"]) == (True, "0001", 9)
    assert {Path(name).parts[0] for name in house.files()} == {"friday-assistant-room"}
    house.check_nothing_is_missing(first)
    assert "0 files of 0 recordings were moved" in house.says("files", "--yes")

    assert "9 files of 3 recordings would be moved" in house.says("undo")
    assert house.tells("undo", "--yes")["recordings"] == 3
    assert (house.files(), house.documents()) == (before, first)
    assert house.tells("undo", "--yes")["stay"] == {"in_place": 3}


@pytest.mark.parametrize("deed", ["files", "undo"])
def test_killed_again_and_again_nothing_is_missing_and_it_comes_to_its_end(
    house: House, first: dict[str, Recording], deed: str
) -> None:
    """kill -9 at step after step; the same command goes on where the last one died."""
    before = house.files()
    if deed == "undo":
        house.says("files", "--yes")
    deaths = 0

    for steps in range(4, 400, 13):
        is_dead = house.dies(deed, steps)
        house.check_nothing_is_missing(first)
        if not is_dead:
            break
        deaths += 1

    assert deaths > 5
    if deed == "files":
        assert {Path(name).parts[0] for name in house.files()} == {"friday-assistant-room"}
        house.says("undo", "--yes")
    assert (house.files(), house.documents()) == (before, first)


def test_names_that_others_chose_lead_nowhere_else(house: House) -> None:
    """Whatever rooms are called, in documents and on the disk."""
    house.add(
        *(
            recorded(
                number,
                base=str(house.directory),
                room_name=name,
                filepath=str(house.directory / f"flat {number}.mp4"),
                tracks=(),
            )
            for number, name in enumerate(HOSTILE, 1)
        )
    )
    first = house.documents()

    told = house.tells("files", "--yes")

    assert told["recordings"] == len(HOSTILE)
    house.check_nothing_is_missing(first)
    assert len(house.files()) == len(HOSTILE)
    assert {path.name for path in house.directory.parent.iterdir()} == {"recordings"}


def test_what_is_left_alone_is_told_with_its_reason(house: House) -> None:
    """A recording that goes on, one whose file is gone, and one whose file lies elsewhere."""
    base = str(house.directory)
    house.add(
        recorded(1, base=base),
        recorded(2, base=base, state=State.CAPTURED),
        recorded(3, base=base),
    )
    asyncio.run(house._add((recorded(4, filepath="/somewhere/else.mp4", tracks=()),)))
    Path(recorded(3, base=base).filepath or "").unlink()

    said, told = house.says("files"), house.tells("files", "--yes")

    assert told["stay"] == {"not_finished": 1, "outside": 1, "not_there": 1}
    assert {each["why"] for each in told["left_alone"]} == {"not_finished", "outside", "not_there"}
    assert f"{recorded(3).id} stays: a file that its document names is not there" in said
    assert told["recordings"] == 1


def test_a_pattern_of_ones_own_and_what_is_none(house: House, first: dict[str, Recording]) -> None:
    """As in the setting; what can't be used is said before anything is looked at."""
    assert house.tells("files", "--to", "by-time/{time}-{identity}", "--yes")["files"] == 9
    assert {Path(name).parts[0] for name in house.files()} == {"by-time"}
    house.check_nothing_is_missing(first)

    wrong = house.terminal.types("migrate", "files", "--to", "{number}")

    assert wrong.code == 1
    assert "egress-manager: --to can't be used: {number} is no field" in wrong.error


def test_new_recordings_go_by_their_own_setting_and_that_is_said(
    house: House, first: dict[str, Recording]
) -> None:
    """Or the next call lies elsewhere, and somebody wonders why."""
    said = house.says("files", "--to", "flat", "--yes")

    assert "New recordings go on being named by EGRESS_MANAGER_NAMING=rooms." in said
    assert "EGRESS_MANAGER_NAMING" not in house.says("files", "--yes")


def test_the_service_may_run_meanwhile(house: House, first: dict[str, Recording]) -> None:
    """Before, while and after, it hands out every file."""
    service = Manager(
        livekit_url="http://127.0.0.1:9",
        mongo_uri=house.uri,
        mongo_db=house.database,
        recordings=house.directory,
    )

    async def heard() -> list[str]:
        return [(await service.ask(f"/recordings/{name}/audio")).text for name in sorted(first)]

    asyncio.run(service.start())
    try:
        before = asyncio.run(heard())
        house.says("files", "--yes")
        after = asyncio.run(heard())
    finally:
        asyncio.run(service.close())

    names = [Path(first[name].filepath or "").name for name in sorted(first)]
    assert before == after == names
