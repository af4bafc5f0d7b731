"""`egress-manager audit` and `rebuild` on a real disk and a real MongoDB that somebody was at."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from egress_manager.adapters.mongo_calls import MongoCalls
from egress_manager.adapters.mongo_client import connect, database
from egress_manager.adapters.mongo_recordings import MongoRecordings
from egress_manager.adapters.mongo_schema import migrate
from egress_manager.domain.recordings import Recording, State
from egress_manager.domain.seal import hash_of
from egress_manager.domain.sidecars import by_id
from lab.programs import ROOT
from tests.integration import sealer
from tests.integration.stored import NOON, call
from tests.unit.migration.memory import paths, recorded
from tests.unit.migration.terminal import Terminal

#: Long enough for every command here, whatever else the machine does.
TIMEOUT = 120.0
COLLECTIONS = ("audit", "calls", "recordings")

Facts = dict[str, Any]


@dataclass
class House:
    """A database, a recordings directory, the command line, and somebody with a key to all."""

    directory: Path
    settings: Mapping[str, str]
    terminal: Terminal
    monkeypatch: pytest.MonkeyPatch

    def add(self, *recordings: Recording) -> None:
        """Store recordings and their calls, which are over, with files that are all different."""
        for path in (Path(path) for each in recordings for path in paths(each)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"what was said in {path.name}")

        async def add(db: Any) -> None:
            await migrate(db)
            for each in recordings:
                await MongoRecordings(db).add(each)
                about = {"recording_id": each.id, "left_at": NOON + timedelta(seconds=9)}
                await MongoCalls(db).add(call(each.call_id or "", **about))

        self._with_database(add)

    def seals(self) -> None:
        """What the service does by itself, every second."""
        with self.monkeypatch.context() as environment:
            for name, value in self.settings.items():
                environment.setenv(name, value)
            asyncio.run(sealer.main())

    async def seals_elsewhere(self) -> int:
        """The same in another process; how it ended."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.sealer"),
            env=os.environ | self.settings,
            cwd=ROOT,
        )
        async with asyncio.timeout(TIMEOUT):
            return await process.wait()

    def finds(self, *arguments: str) -> list[tuple[str, int | None, str]]:
        """What `audit verify` names, for scripts."""
        said = self.terminal.types("audit", "verify", "--json", *arguments)
        findings = json.loads(said.out)["findings"]
        assert said.code == (1 if findings else 0), said.error
        return [(each["trouble"], each["entry"], each["path"]) for each in findings]

    def stored(self) -> dict[str, list[Facts]]:
        """Every document of the database, as it is stored."""
        found: dict[str, list[Facts]] = {}

        async def read(db: Any) -> None:
            for name in COLLECTIONS:
                found[name] = [document async for document in db[name].find({}, sort=[("_id", 1)])]

        self._with_database(read)
        return found

    def does(self, collection: str, verb: str, *arguments: Any) -> None:
        """Somebody is at the database, past the service."""

        async def do(db: Any) -> None:
            await getattr(db[collection], verb)(*arguments)

        self._with_database(do)

    def loses_the_database(self) -> None:
        """All of it."""

        async def drop(db: Any) -> None:
            await db.client.drop_database(db.name)

        self._with_database(drop)

    def _with_database(self, deed: Any) -> None:
        async def do() -> None:
            client = connect(self.settings["MONGO_URI"])
            await deed(database(client, self.settings["MONGO_DB"]))
            await client.close()

        asyncio.run(do())


@pytest.fixture
def house(
    mongo_uri: str,
    mongo_database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[House]:
    """Two recordings with three files each, one that failed, and their calls: all sealed."""
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
    house = House(directory, settings, Terminal(monkeypatch, capsys, settings), monkeypatch)
    base = str(directory)
    failed = replace(recorded(3, base=base), state=State.FAILED, filepath=None, tracks=())
    house.add(recorded(1, base=base), recorded(2, base=base), failed)
    house.seals()
    yield house
    house.loses_the_database()


def test_everything_is_sealed_and_nothing_is_found(house: House) -> None:
    """Three recordings and three calls; a sidecar for each, and an entry."""
    said = house.terminal.types("audit", "verify")

    assert said.code == 0, said.out
    assert (
        "6 entries, 6 documents and 6 files were looked at.\nAll is as it was sealed." in said.out
    )
    shown = house.terminal.types("audit", "show", recorded(1).id)
    assert (shown.code, shown.out.count("rec_")) == (0, 1)
    mixes = [f"{paths(each)[0]}.json" for each in _recordings(house) if each.filepath]
    ids = [by_id(recorded(3).id), *(by_id(f"call_{number}") for number in (1, 2, 3))]
    assert all(map(os.path.isfile, mixes))
    assert all((house.directory / name).is_file() for name in ids)
    newest = house.stored()["audit"][-1]["hash"]
    assert house.finds("--known", newest) == []
    assert house.finds("--known", "0" * 64) == [("entry_unknown", None, "")]


def _recordings(house: House) -> list[Recording]:
    return [recorded(number, base=str(house.directory)) for number in (1, 2)]


def test_a_file_that_somebody_wrote_to_is_named(house: House) -> None:
    """One byte of a track, and a mix that is gone; for people with the entry that says so."""
    first, second = _recordings(house)
    track, mix = Path(paths(first)[1]), Path(paths(second)[0])
    track.write_text(track.read_text()[:-1] + "!")
    mix.unlink()

    found = house.finds()
    said = house.terminal.types("audit", "verify").out

    assert {(trouble, path) for trouble, _, path in found} == {
        ("file_changed", str(track)),
        ("file_missing", str(mix)),
    }
    assert "the file is not what was sealed" in said
    assert f"{track} (entry " in said
    assert house.finds("--no-files") == []


@pytest.mark.parametrize(
    ("collection", "change"),
    [
        ("recordings", {"caller_number": "+15550666"}),
        ("recordings", {"tracks.0.lost": 0.5}),
        ("recordings", {"state": "aborted"}),
        ("calls", {"caller_number": "+15550666"}),
        ("calls", {"seal.hash": "0"}),
    ],
)
def test_a_document_that_somebody_wrote_to_is_named(
    house: House, collection: str, change: Facts
) -> None:
    """Whichever field, past the service; its files are as they were."""
    name = recorded(1).id if collection == "recordings" else "call_1"

    house.does(collection, "update_one", {"_id": name}, {"$set": change})

    said = json.loads(house.terminal.types("audit", "verify", "--json").out)
    assert [(each["trouble"], each["subject"]) for each in said["findings"]] == [
        ("document_changed", name)
    ]


def test_documents_that_are_gone_are_named(house: House) -> None:
    """With the entry that has them."""
    house.does("recordings", "delete_one", {"_id": recorded(2).id})

    ((trouble, entry, _),) = house.finds()

    about = {each["_id"]: each["subject"] for each in house.stored()["audit"]}
    assert (trouble, about[entry or 0]) == ("document_missing", recorded(2).id)


def test_entries_that_somebody_wrote_to_are_named(house: House) -> None:
    """Changed, made anew with a hash that fits, removed, inserted, cut off."""
    whole = house.stored()["audit"]

    def restore() -> None:
        house.does("audit", "delete_many", {})
        house.does("audit", "insert_many", whole)

    for change in ({"facts_sha256": "0"}, {"note": "x"}, {"files": None}, {"at": NOON}):
        house.does("audit", "update_one", {"_id": 4}, {"$set": change})
        assert [each[:2] for each in house.finds()] == [("entry_changed", 4)]
        restore()

    forged = {**whole[3], "facts_sha256": "0"}
    numbered = {"number": 4} | {name: value for name, value in forged.items() if name != "_id"}
    house.does("audit", "replace_one", {"_id": 4}, {**forged, "hash": hash_of(numbered)})
    assert ("entry_replaced", 4) in [each[:2] for each in house.finds()]
    restore()

    for number in (1, 4, 6):
        house.does("audit", "delete_one", {"_id": number})
        assert [each[:2] for each in house.finds()] == [("entry_removed", number)]
        restore()

    house.does("audit", "insert_one", {**whole[3], "_id": 4.5, "subject": "rec_forged"})
    assert [each[:2] for each in house.finds()] == [("entry_inserted", None)]
    house.does("audit", "delete_many", {})
    assert ("entry_removed", 1) in [each[:2] for each in house.finds()]
    restore()
    assert house.finds() == []


def test_a_lost_database_is_rebuilt_as_it_was(house: House, tmp_path: Path) -> None:
    """Of a copy of the directory, too; a dry run first, and again without anything to do."""
    was = house.stored()
    copy = tmp_path / "copy"
    shutil.copytree(house.directory, copy)
    house.loses_the_database()

    dry = house.terminal.types("rebuild", str(house.directory))
    assert dry.code == 0
    assert "3 recordings, 3 calls and 6 entries of the audit chain would be restored" in dry.out
    assert house.stored() == {name: [] for name in COLLECTIONS}

    for directory, count in ((copy, 3), (house.directory, 0)):
        done = house.terminal.types("rebuild", str(directory), "--yes", "--json")
        told = json.loads(done.out)
        assert (done.code, told["recordings"], told["calls"]) == (0, count, count), done.error
        assert house.stored() == was
    assert house.finds() == []

    house.add(replace(recorded(4, base=str(house.directory))))
    house.seals()
    assert house.stored()["audit"][-1]["_id"] == 8
    assert house.finds() == []


def test_what_can_not_be_restored_is_named(house: House) -> None:
    """A torn sidecar: its recording is not there, and its entry is missing from the chain."""
    sidecar = Path(f"{paths(_recordings(house)[0])[0]}.json")
    (number,) = (
        each["_id"] for each in house.stored()["audit"] if each["subject"] == recorded(1).id
    )
    sidecar.write_bytes(sidecar.read_bytes()[:-40])
    house.loses_the_database()

    done = house.terminal.types("rebuild", str(house.directory), "--yes")

    assert done.code == 1
    assert f"{sidecar}: it is no JSON" in done.out
    assert f"No sidecar has entry {number} of the chain." in done.out
    assert ("entry_removed", number) in [each[:2] for each in house.finds()]
    nowhere = house.terminal.types("rebuild", str(house.directory / "nowhere"))
    assert (nowhere.code, "is no directory" in nowhere.error) == (1, True)


def test_files_that_are_moved_take_their_seals_and_sidecars_along(house: House) -> None:
    """`migrate files` and back: an entry for each, sidecars beside the files, nothing found."""
    before = sorted(path for path in house.directory.rglob("*.json"))

    for deed, count in ((("files",), 8), (("undo",), 10)):
        assert house.terminal.types("migrate", *deed, "--yes").code == 0
        said = house.terminal.types("audit", "verify")
        assert (said.code, "2 documents wait for the service" in said.out) == (0, True)
        house.seals()
        assert house.finds() == []
        assert len(house.stored()["audit"]) == count
        if deed == ("files",):
            beside = house.directory.glob("friday-assistant-room/*.mp4.json")
            assert len(list(beside)) == 2
            assert not list(house.directory.glob("*.json"))
    assert sorted(path for path in house.directory.rglob("*.json")) == before


def test_several_processes_add_to_one_chain(house: House) -> None:
    """All of them seal all that waits: every document is sealed once, and the chain is one."""
    house.add(*(recorded(number, base=str(house.directory)) for number in range(10, 34)))

    async def together() -> list[int]:
        return await asyncio.gather(*(house.seals_elsewhere() for _ in range(3)))

    assert asyncio.run(together()) == [0, 0, 0]
    entries = house.stored()["audit"]
    assert [each["_id"] for each in entries] == list(range(1, 6 + 48 + 1))
    assert len({each["subject"] for each in entries}) == len(entries)
    assert house.finds() == []
