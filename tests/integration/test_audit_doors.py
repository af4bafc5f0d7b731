"""The contracts of the doors of sealing, held by their fakes, by MongoDB and by the disk alike."""

import asyncio
import json
import os
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from egress_manager.adapters import mongo_waiting
from egress_manager.adapters.local_sidecars import LocalSidecars
from egress_manager.adapters.mongo_audit import COLLECTION, MongoAudit
from egress_manager.adapters.mongo_calls import MongoCalls
from egress_manager.adapters.mongo_client import Database
from egress_manager.adapters.mongo_recordings import MongoRecordings
from egress_manager.adapters.mongo_schema import seal_what_is_over
from egress_manager.adapters.mongo_waiting import MongoWaiting
from egress_manager.domain.provenance import BEGINNING, Reached
from egress_manager.domain.recordings import DEADLINE, State
from egress_manager.domain.seal import Facts, Seal
from egress_manager.domain.sidecars import Lying, Sidecar, by_id
from egress_manager.errors import Conflict, StorageFailed
from egress_manager.flows.audit.doors import Audit, Waiting
from egress_manager.ports import Calls, Recordings
from egress_manager.testing import MemoryAudit, MemoryCalls, MemoryRecordings, MemoryWaiting
from tests.integration.stored import FULL_CALL, FULL_RECORDING, NOON, call, recording

SOUND = b"what was said\n" * 400_000


def entry(number: int, subject: str = "rec_1") -> Facts:
    """An entry as it is stored, as far as stores look at it."""
    return {"number": number, "subject": subject, "files": [{"path": "/a"}], "hash": f"h{number}"}


@pytest.fixture(params=["memory", "mongo"])
def audit(request: pytest.FixtureRequest) -> Audit:
    """A chain without entries."""
    if request.param == "memory":
        return MemoryAudit()
    db: Database = request.getfixturevalue("db")
    return MongoAudit(db)


class TestAudit:
    """What holds for both."""

    async def test_entries_are_told_in_order_as_they_were_stored(self, audit: Audit) -> None:
        """All, the newest, and those about one document."""
        assert await audit.newest() is None
        for number in (2, 1, 10, 9):
            await audit.append(entry(number, "rec_odd" if number % 2 else "rec_even"))

        assert [facts async for facts in audit.entries()] == [
            entry(1, "rec_odd"),
            entry(2, "rec_even"),
            entry(9, "rec_odd"),
            entry(10, "rec_even"),
        ]
        assert await audit.newest() == entry(10, "rec_even")
        assert [facts["number"] for facts in await audit.about("rec_odd")] == [1, 9]
        assert await audit.about("rec_none") == []

    async def test_of_many_that_take_a_number_one_gets_it(self, audit: Audit) -> None:
        """And what it stored stays."""

        async def append(name: str) -> bool:
            try:
                await audit.append(entry(7, name))
            except Conflict:
                return False
            return True

        names = [f"rec_{letter}" for letter in "abcdefgh"]
        taken = await asyncio.gather(*map(append, names))

        assert sum(taken) == 1
        assert await audit.newest() == entry(7, names[taken.index(True)])


async def test_what_somebody_put_there_has_no_number(db: Database) -> None:
    """It is told, but the chain goes on after its last entry."""
    audit = MongoAudit(db)
    await audit.append(entry(1))
    for _id in ("zzz", 3.5):
        await db[COLLECTION].insert_one({"_id": _id, "subject": "rec_1"})

    assert await audit.newest() == entry(1)
    assert await audit.about("rec_1") == [entry(1)]
    assert len([facts async for facts in audit.entries()]) == 3


@dataclass
class Stored:
    """Stores and what waits in them."""

    recordings: Recordings
    calls: Calls
    waiting: Waiting


@pytest.fixture(params=["memory", "mongo"])
def stored(request: pytest.FixtureRequest) -> Stored:
    """Empty."""
    if request.param == "memory":
        recordings, calls = MemoryRecordings(), MemoryCalls()
        return Stored(recordings, calls, MemoryWaiting(recordings, calls))
    db: Database = request.getfixturevalue("db")
    return Stored(MongoRecordings(db), MongoCalls(db), MongoWaiting(db))


class TestWaiting:
    """What holds for both."""

    async def test_recordings_wait_when_they_are_over(self, stored: Stored) -> None:
        """Until they are sealed, and again when they were changed since."""
        final = {state for state in State if DEADLINE[state] is None}
        for state in State:
            await stored.recordings.add(recording(state.value, state=state))
        names = sorted(state.value for state in final)

        assert await stored.waiting.recordings(9) == names
        assert await stored.waiting.recordings(1) == names[:1]
        assert await stored.waiting.recordings(9, but=names[:1]) == names[1:]

        first = await stored.recordings.get(names[0])
        sealed = await stored.recordings.save(replace(first, seal=Seal(1, "h", first.version + 1)))
        assert await stored.waiting.recordings(9) == names[1:]
        assert sealed == await stored.recordings.get(names[0])

        await stored.recordings.save(replace(sealed, reason="changed"))
        assert await stored.waiting.recordings(9) == names

    async def test_calls_wait_a_while_after_they_are_over(self, stored: Stored) -> None:
        """News of them may be on their way."""
        for name, left_at in {"a": None, "b": NOON, "c": NOON + timedelta(seconds=9)}.items():
            await stored.calls.add(call(name, left_at=left_at))

        assert await stored.waiting.calls(NOON, 9) == []
        assert await stored.waiting.calls(NOON + timedelta(seconds=1), 9) == ["b"]
        assert await stored.waiting.calls(NOON + timedelta(minutes=1), 9, but={"b"}) == ["c"]


async def test_what_was_never_signed_is_found_by_walking_through_everything(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some documents at a time, as many as there are; those of other places are passed over."""
    monkeypatch.setattr(mongo_waiting, "STRETCH", 2)
    waiting, seal = MongoWaiting(db, "here"), {"place": "here"}
    for number in range(5):
        await db["recordings"].insert_one({"_id": f"rec_{number}", "seal": {**seal}})
    for name, change in (("1", {"mac": "a"}), ("2", {"seal": {"place": "there"}}), ("3", {})):
        await db["recordings"].update_one({"_id": f"rec_{name}"}, {"$set": {**change, "x": 1}})
    await db["recordings"].insert_many([{"_id": 7, "seal": seal}, {"_id": "rec_9", "seal": None}])
    await db["calls"].insert_one({"_id": "call_1", "seal": {"number": 1}})

    found: list[list[str]] = []
    reached: Reached | None = BEGINNING
    while reached is not None:
        older = await waiting.unsigned(reached)
        reached = older.reached
        found.append(list(older.ids))

    assert found == [["rec_0"], ["rec_3"], ["rec_4"], [], ["call_1"]]


async def test_what_was_over_before_there_were_seals_waits_too(db: Database) -> None:
    """A database that an older version wrote: its documents do not say whether they wait."""
    await MongoRecordings(db).add(recording("old", state=State.VERIFIED))
    await MongoRecordings(db).add(recording("going_on"))
    await MongoCalls(db).add(call("old", left_at=NOON))
    for name in ("recordings", "calls"):
        await db[name].update_many({}, {"$unset": {"unsealed": 1, "seal": 1}})
    waiting = MongoWaiting(db)
    assert await waiting.recordings(9) == []

    await seal_what_is_over(db)

    assert await waiting.recordings(9) == ["old"]
    assert await waiting.calls(NOON + timedelta(days=1), 9) == ["old"]


def sidecar(name: str = "rec_full", *, reason: str = "") -> Sidecar:
    """The sidecar of a recording with its call."""
    about = replace(FULL_RECORDING, id=name, reason=reason, seal=Seal(1, "h1", 3), version=3)
    return Sidecar(name, (entry(1, name), entry(2, name)), recording=about, call=FULL_CALL)


class TestSidecars:
    """On a real disk."""

    @pytest.fixture
    def sidecars(self, tmp_path: Path) -> LocalSidecars:
        """A recordings directory with one file."""
        (tmp_path / "room").mkdir()
        (tmp_path / "room" / "a.mp4").write_bytes(SOUND)
        return LocalSidecars(tmp_path)

    @staticmethod
    async def every(sidecars: LocalSidecars) -> dict[str, Sidecar | str]:
        """What lies where, below the directory."""
        return {
            str(Path(found.path).relative_to(sidecars.directory)): found.sidecar
            if isinstance(found, Lying)
            else found.why
            async for found in sidecars.every()
        }

    async def test_a_file_is_known_by_what_is_in_it(self, sidecars: LocalSidecars) -> None:
        """However long it is; what is no file has no content."""
        path = sidecars.directory / "room" / "a.mp4"
        os.mkfifo(sidecars.directory / "pipe")

        found = await sidecars.fingerprint(str(path))

        assert found is not None
        assert (len(found.sha256), found.size_bytes) == (64, len(SOUND))
        path.write_bytes(SOUND[:-1] + b"!")
        assert await sidecars.fingerprint(str(path)) != found
        for name in ("b.mp4", "room", "pipe", "\0"):
            assert await sidecars.fingerprint(str(sidecars.directory / name)) is None

    async def test_a_sidecar_lies_beside_its_file_and_comes_back_whole(
        self, sidecars: LocalSidecars
    ) -> None:
        """Every field, with its type; JSON that people can read; nothing half done is left."""
        path = str(sidecars.directory / "room" / "a.mp4")

        await sidecars.put(sidecar(), path)
        await sidecars.put(sidecar(reason="sealed again"), path)

        again = sidecar(reason="sealed again")
        assert await sidecars.about("rec_full", path) == again
        assert await self.every(sidecars) == {"room/a.mp4.json": again}
        told = json.loads((sidecars.directory / "room" / "a.mp4.json").read_text())
        assert told["recording"]["tracks"][0]["track_id"] == "TR_1"
        assert told["recording"]["started_at"] == "2026-11-22T12:00:00.123Z"
        assert sorted(os.listdir(sidecars.directory / "room")) == ["a.mp4", "a.mp4.json"]

    @pytest.mark.parametrize("name", ["room/b.mp4", "room/.hidden.mp4", "../else.mp4", "é" * 126])
    async def test_what_has_no_file_to_lie_beside_lies_by_its_id(
        self, sidecars: LocalSidecars, name: str
    ) -> None:
        """Where there is no file, it is none of ours, or has no room for a longer name."""
        if "b.mp4" not in name:
            (sidecars.directory / name).write_bytes(b"x")
        path = str(sidecars.directory / name)

        await sidecars.put(sidecar(), path)

        assert await sidecars.about("rec_full", path) == sidecar()
        assert list(await self.every(sidecars)) == [by_id("rec_full")]
        assert by_id("rec_full") == ".sidecars/recordings/ful/rec_full.json"

    @pytest.mark.parametrize("subject", ["rec_../../../evil", "", "rec_" + "x" * 300, "call_\0"])
    async def test_ids_lead_nowhere_else(self, sidecars: LocalSidecars, subject: str) -> None:
        """Whatever somebody wrote into the database."""
        about = sidecar(subject)

        await sidecars.put(about, None)

        (path,) = await self.every(sidecars)
        assert path.startswith(".sidecars/")
        assert await sidecars.about(subject, None) == about

    async def test_a_sidecar_goes_with_its_file(self, sidecars: LocalSidecars) -> None:
        """From folder to folder, and away from it when the file is gone; no folder stays empty."""
        old, new = (sidecars.directory / name / "a.mp4" for name in ("room", "other"))
        await sidecars.put(sidecar(), str(old))
        new.parent.mkdir()
        old.rename(new)

        await sidecars.put(sidecar(), str(new), was=[str(old), "/etc/passwd"])
        assert list(await self.every(sidecars)) == ["other/a.mp4.json"]
        assert not old.parent.exists()

        new.unlink()
        await sidecars.put(sidecar(), str(new), was=[str(old)])
        assert list(await self.every(sidecars)) == [by_id("rec_full")]

    async def test_what_others_put_there_stays(self, sidecars: LocalSidecars) -> None:
        """Somebody's own JSON beside a file, or the sidecar of another recording."""
        path = sidecars.directory / "room" / "a.mp4"
        taken = sidecars.directory / "room" / "a.mp4.json"
        for theirs in ('{"mine": 1}', "no JSON"):
            taken.write_text(theirs)

            await sidecars.put(sidecar(), str(path))

            assert taken.read_text() == theirs
            assert await sidecars.about("rec_full", str(path)) == sidecar()
        taken.unlink()
        await sidecars.put(sidecar("rec_first"), str(path))
        await sidecars.put(sidecar("rec_second"), str(path), was=[str(path)])
        assert list(await self.every(sidecars)) == [
            by_id("rec_full"),
            by_id("rec_second"),
            "room/a.mp4.json",
        ]
        assert await sidecars.about("rec_first", str(path)) == sidecar("rec_first")

    async def test_what_can_not_be_read_is_named_and_what_is_none_is_passed_over(
        self, sidecars: LocalSidecars
    ) -> None:
        """Damaged ones with the reason; manifests, hidden files and captures not at all."""
        base = sidecars.directory
        await sidecars.put(sidecar(), str(base / "room" / "a.mp4"))
        whole = json.loads((base / "room" / "a.mp4.json").read_text())
        (base / "EG_1.json").write_text('{"egress_id": "EG_1", "files": []}')
        (base / "room" / ".b.mp4.json.part").write_text("{")
        (base / ".captures").mkdir()
        (base / ".captures" / "c.json").write_text("{")
        (base / "torn.json").write_text((base / "room" / "a.mp4.json").read_text()[:-9])
        (base / "lacks.json").write_text(json.dumps({**whole, "recording": {"_id": "rec_1"}}))
        (base / "odd.json").write_text(json.dumps({**whole, "entries": [{"number": "1"}]}))

        found = await self.every(sidecars)

        assert found == {
            "room/a.mp4.json": sidecar(),
            "torn.json": "it is no JSON",
            "lacks.json": "it lacks what a sidecar has",
            "odd.json": "it lacks what a sidecar has",
        }

    async def test_what_the_disk_does_not_do_is_said(self, sidecars: LocalSidecars) -> None:
        """A file where a folder ought to be."""
        (sidecars.directory / ".sidecars").write_text("in the way")

        with pytest.raises(StorageFailed, match="sidecars"):
            await sidecars.put(sidecar(), None)
