"""What lies in MongoDB beside documents: who has not the signing key puts nothing there of use."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from egress_manager.adapters.mongo_carrier import MongoCarrier
from egress_manager.adapters.mongo_client import Database
from egress_manager.adapters.mongo_codes import Codes
from egress_manager.adapters.mongo_inbox import MongoInbox
from egress_manager.adapters.mongo_kept import MongoKept
from egress_manager.adapters.mongo_keys import MongoKeys
from egress_manager.adapters.mongo_rows import MongoRows
from egress_manager.domain.provenance import MAC, document_key
from tests.integration.stored import NOON, read_again, webhook

DAY = timedelta(days=1)
KEY, OTHER = (document_key(bytes([number]) * 32) for number in (1, 2))


@pytest.fixture
def codes() -> Codes:
    """Those of a key that was made long ago."""
    return Codes([KEY], NOON - 9 * DAY, now=lambda: NOON)


async def refused(db: Database, codes: Codes) -> list[str]:
    """What `audit verify` names of it."""
    return [name async for name in MongoRows(db, codes).refused()]


class TestInbox:
    """Webhooks that wait."""

    async def test_only_what_the_service_kept_is_folded_in(
        self, db: Database, codes: Codes
    ) -> None:
        """The others stay, and hold up nobody, however many come before; each is counted once."""
        inbox = MongoInbox(db, read_again, codes)
        for number in (1, 2):
            await inbox.keep(webhook(f"EV_{number}"), NOON + timedelta(milliseconds=number))
        kept = await db["inbox"].find_one({"_id": "EV_1"}) or {}
        early: Mapping[str, Any] = {"kept_at": NOON - DAY}
        forged: list[dict[str, Any]] = [
            kept | {"_id": "without"} | early,
            kept | {"_id": "copied"},
            kept | {"_id": "body", "body": b"participant_joined"} | early,
            kept | {"_id": "text", "body": "no bytes"} | early,
            kept | {"_id": "moment", "kept_at": "2026"},
            {"_id": 7, "done_at": None},
        ]
        del forged[0][MAC]
        await db["inbox"].insert_many(forged)
        await db["inbox"].update_one({"_id": "EV_2"}, {"$set": {"body": b"room_finished"}})

        for _ in range(2):
            assert [each.event_id for each in await inbox.waiting(1)] == ["EV_1"]
            assert [each.event_id for each in await inbox.waiting(9)] == ["EV_1"]
        assert codes.refusals.words == "webhooks that the service did not keep: 7"
        names = {str(each["_id"]) for each in forged} | {"EV_2"}
        assert {f"inbox/{name}" for name in names} == set(await refused(db, codes))
        await inbox.done("EV_1", NOON, {"outcome": "call"})
        assert await inbox.waiting(9) == []

    async def test_what_somebody_put_there_is_not_exported(
        self, db: Database, codes: Codes
    ) -> None:
        """A replay would sign it."""
        inbox = MongoInbox(db, read_again, codes)
        await inbox.keep(webhook("EV_1"), NOON)
        await inbox.done("EV_1", NOON, {"outcome": "call"})
        forged = {"name": "x", "done_at": NOON, "kept_at": NOON}
        await db["inbox"].insert_one(forged | {"_id": "EV_2", "body": b"forged"})
        await db["inbox"].insert_one(forged | {"_id": "EV_3"})

        kept = [each async for each in MongoKept(db, codes).all(None, None)]
        assert kept == [(NOON, b"EV_1")]

    async def test_what_an_older_version_kept_is_taken_for_a_day(self, db: Database) -> None:
        """If it was kept before the key was made."""
        for number, at in enumerate((NOON - DAY, NOON + DAY)):
            await MongoInbox(db, read_again).keep(webhook(f"EV_{number}"), at)

        def inbox(now: datetime) -> MongoInbox:
            return MongoInbox(db, read_again, Codes([KEY], NOON, now=lambda: now))

        soon = await inbox(NOON + DAY / 2).waiting(9)
        assert [each.event_id for each in soon] == ["EV_0"]
        assert await inbox(NOON + DAY).waiting(9) == []

    async def test_an_older_key_counts_and_another_does_not(self, db: Database) -> None:
        """As they do for documents."""
        await MongoInbox(db, read_again, Codes([OTHER], NOON)).keep(webhook("EV_1"), NOON)

        assert await MongoInbox(db, read_again, Codes([KEY], NOON)).waiting(9) == []
        assert len(await MongoInbox(db, read_again, Codes([KEY, OTHER], NOON)).waiting(9)) == 1


class TestApiKey:
    """The record that opens the API."""

    @pytest.mark.parametrize("is_changed", [True, False])
    async def test_whoever_replaces_it_is_not_let_in(
        self, db: Database, codes: Codes, is_changed: bool
    ) -> None:
        """Nobody is, until a new one is made; the record is named."""
        keys = MongoKeys(db, codes)
        assert await keys.keep_first("ours", NOON)
        assert (await keys.fingerprint(), await refused(db, codes)) == ("ours", [])

        if is_changed:
            await db["keys"].update_one({"_id": "api"}, {"$set": {"fingerprint": "theirs"}})
        else:
            theirs = {"fingerprint": "theirs", "made_at": NOON}
            await db["keys"].replace_one({"_id": "api"}, theirs)

        assert await keys.fingerprint() is None
        assert await refused(db, codes) == ["keys/api"]
        assert not await keys.keep_first("another", NOON)
        await keys.replace("new", NOON)
        assert (await keys.fingerprint(), await refused(db, codes)) == ("new", [])

    async def test_one_of_an_older_version_gets_its_code(self, db: Database) -> None:
        """Within a day after the key was made; then it counts for ever."""
        await MongoKeys(db).keep_first("ours", NOON - DAY)
        late = MongoKeys(db, Codes([KEY], NOON, now=lambda: NOON + DAY))

        assert await late.fingerprint() is None
        soon = MongoKeys(db, Codes([KEY], NOON, now=lambda: NOON + DAY / 2))
        assert await soon.fingerprint() == "ours"
        assert await late.fingerprint() == "ours"


class TestCarried:
    """Captures on their way from host to host."""

    async def sent(self, db: Database, codes: Codes, tmp_path: Path) -> MongoCarrier:
        """One capture with two files is on its way; who fetches it."""
        folder = tmp_path / "here" / "cap_1"
        folder.mkdir(parents=True)
        (folder / "journal.jsonl").write_text("what happened")
        (folder / "stretch-0001.ogg").write_bytes(b"what was said" * 99_999)
        await MongoCarrier(db, tmp_path / "here", codes).send("cap_1")
        return MongoCarrier(db, tmp_path / "there", codes)

    async def test_it_comes_as_it_was_sent(
        self, db: Database, codes: Codes, tmp_path: Path
    ) -> None:
        """All its files."""
        carrier = await self.sent(db, codes, tmp_path)

        assert await carrier.bring("cap_1")
        for path in (tmp_path / "here" / "cap_1").iterdir():
            assert (tmp_path / "there" / "cap_1" / path.name).read_bytes() == path.read_bytes()

    @pytest.mark.parametrize("deed", ["audio", "damaged", "removed", "added", "code", "another"])
    async def test_what_was_changed_on_its_way_is_not_taken(
        self, db: Database, codes: Codes, tmp_path: Path, deed: str
    ) -> None:
        """It stays where it is, and is counted once."""
        carrier = await self.sent(db, codes, tmp_path)
        files, chunks = db["carried.files"], db["carried.chunks"]
        audio = await files.find_one({"filename": "cap_1/stretch-0001.ogg"}) or {}
        if deed in ("audio", "damaged"):
            held = await chunks.find_one({"files_id": audio["_id"], "n": 0}) or {}
            other = b"never said!!!" + held["data"][13 if deed == "audio" else 14 :]
            change = {"$set": {"data": other}}
            await chunks.update_one({"files_id": audio["_id"], "n": 0}, change)
        elif deed == "removed":
            await files.delete_one({"_id": audio["_id"]})
        elif deed == "added":
            await files.insert_one(audio | {"_id": 7, "filename": "cap_1/b", "length": 0})
        elif deed == "code":
            await files.update_many({}, {"$unset": {"metadata": ""}})
        else:
            renamed = {"$concat": ["cap_2", {"$substr": ["$filename", 5, -1]}]}
            await files.update_many({}, [{"$set": {"filename": renamed}}])
        count = await files.count_documents({})

        capture_id = "cap_2" if deed == "another" else "cap_1"
        for _ in range(2):
            assert not await carrier.bring(capture_id)
        assert not (tmp_path / "there" / capture_id).exists()
        assert codes.refusals.words.endswith("did not send: 1")
        assert await files.count_documents({}) == count

    async def test_one_of_an_older_version_is_taken_for_a_day(
        self, db: Database, tmp_path: Path
    ) -> None:
        """If it was sent before the key was made."""
        await self.sent(db, Codes(), tmp_path)
        made = datetime.now(UTC) + DAY
        carrier = MongoCarrier(db, tmp_path / "there", Codes([KEY], made))

        assert await carrier.bring("cap_1")
        late = Codes([KEY], made, now=lambda: made + DAY)
        assert not await MongoCarrier(db, tmp_path / "elsewhere", late).bring("cap_1")
