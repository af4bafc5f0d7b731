"""The signing key: who has it not adds nothing to the chain, and whoever likes can check it."""

import asyncio
import base64
import hashlib
import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from egress_manager.adapters.local_sidecars import LocalSidecars
from egress_manager.adapters.local_signing_key import signing_key
from egress_manager.adapters.mongo_audit import MongoAudit
from egress_manager.adapters.mongo_calls import MongoCalls
from egress_manager.adapters.mongo_recordings import MongoRecordings
from egress_manager.domain.provenance import MAC
from egress_manager.domain.seal import (
    Content,
    Facts,
    Kind,
    Seal,
    entry_after,
    facts_of,
    facts_of_entry,
    hash_of,
    sha256_of,
)
from egress_manager.domain.sidecars import Sidecar, by_id
from egress_manager.domain.standing import Document, made_at
from egress_manager.errors import SettingsWrong
from egress_manager.flows.audit import seal
from egress_manager.testing import MemoryFiles
from lab.programs import ROOT
from tests.integration.stored import NOON
from tests.integration.test_audit import House
from tests.integration.test_audit import house as sealed_house
from tests.unit.migration.memory import paths, recorded

__all__ = ["sealed_house"]

#: Entries that the fixture has: three recordings, three calls.
SEALED = 6


@pytest.fixture
def house(sealed_house: House) -> Iterator[House]:
    """Three recordings and three calls, sealed."""
    return sealed_house


def key_file(house: House) -> Path:
    """Where the key is unless somebody says otherwise."""
    return house.directory / ".signing" / "key"


def by_hand(note: str, vkey: str, entries: list[Facts]) -> None:
    """Check a checkpoint as the specifications say, with nothing of ours. Raises where it fails."""
    text, _, line = note.partition("\n\n")
    origin, size, root = text.split("\n")
    name, hashed, key = vkey.split("+", 2)
    dash, signer, signature = line.rstrip("\n").split(" ")
    public = base64.b64decode(key)[1:]
    assert (dash, signer, base64.b64decode(key)[:1]) == ("—", name, b"\x01")
    assert hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4].hex() == hashed
    told = base64.b64decode(signature)
    assert told[:4].hex() == hashed
    Ed25519PublicKey.from_public_bytes(public).verify(told[4:], f"{text}\n".encode())
    leaves = [
        json.dumps(
            {n: v for n, v in entry.items() if n not in ("hash", "peaks", "signature")},
            sort_keys=True,
            separators=(",", ":"),
        ).encode()
        for entry in entries
    ]
    assert (origin, int(size)) == (name, len(leaves))
    assert base64.b64decode(root) == root_of(leaves)


def root_of(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + root_of(leaves[:half]) + root_of(leaves[half:])).digest()


def told_entries(house: House) -> list[Facts]:
    """As `audit show --json` tells them."""
    said = house.terminal.types("audit", "show", "--json", "--limit", "1000")
    return list(json.loads(said.out)["items"])


def test_a_checkpoint_is_checked_by_whoever_likes(house: House) -> None:
    """The note, the key and the entries are all it takes; a byte of any is enough to fail."""
    note = house.terminal.types("audit", "checkpoint").out
    vkey = house.terminal.types("audit", "key").out.strip()
    entries = told_entries(house)

    by_hand(note, vkey, entries)

    with pytest.raises(InvalidSignature):
        by_hand(note.replace(f"\n{SEALED}\n", f"\n{SEALED + 1}\n"), vkey, entries)
    with pytest.raises(AssertionError):
        by_hand(note, vkey, [{**entries[0], "at": "never"}, *entries[1:]])


def test_a_checkpoint_that_was_noted_shows_what_was_cut_off_or_made_anew(
    house: House, tmp_path: Path
) -> None:
    """The chain goes on from it, or not; whoever has rolled back the note beside the key, too."""
    early = tmp_path / "early"
    early.write_text(house.terminal.types("audit", "checkpoint").out)
    beside, was = key_file(house).with_name("key.checkpoint"), house.stored()["audit"]
    first_note = beside.read_text()
    house.add(recorded(4, base=str(house.directory)))
    house.seals()
    late = tmp_path / "late"
    late.write_text(house.terminal.types("audit", "checkpoint").out)
    assert house.finds("--checkpoint", str(early)) == []
    assert house.finds("--checkpoint", str(late)) == []

    house.does("audit", "delete_many", {"_id": {"$gt": SEALED}})
    for name in ("recordings", "calls"):
        house.does(name, "delete_many", {"_id": {"$in": [recorded(4).id, "call_4"]}})
    (house.directory / by_id("call_4")).unlink()
    Path(f"{paths(recorded(4, base=str(house.directory)))[0]}.json").unlink()
    assert ("entry_removed", SEALED + 1, "") in house.finds()
    beside.write_text(first_note)
    assert house.finds() == []  # all that this host knew was set back
    assert ("entry_removed", SEALED + 1, str(late)) in house.finds("--checkpoint", str(late))
    assert house.stored()["audit"] == was


def test_nothing_is_added_to_a_chain_whose_end_is_not_ours(house: House) -> None:
    """Cut off, or with an entry of somebody else's: sealing waits, and goes on when it is whole."""
    whole = house.stored()["audit"]
    house.add(recorded(4, base=str(house.directory)))
    house.does("audit", "delete_one", {"_id": SEALED})
    house.seals()
    assert len(house.stored()["audit"]) == SEALED - 1

    house.does("audit", "insert_one", {**whole[-1], "signature": whole[0]["signature"]})
    house.seals()
    assert len(house.stored()["audit"]) == SEALED

    house.does("audit", "delete_one", {"_id": SEALED})
    house.does("audit", "insert_one", whole[-1])
    house.seals()
    assert len(house.stored()["audit"]) == SEALED + 2
    assert house.finds() == []


def test_a_key_that_was_replaced_is_not_the_one_that_signed(house: House) -> None:
    """Every entry, document and sidecar says so; with the old one below the new, all is well."""
    path = key_file(house)
    old = path.read_text()
    path.unlink()
    house.seals()
    assert path.read_text() != old

    found = {trouble for trouble, _, _ in house.finds()}
    assert found == {"entry_forged", "document_foreign", "sidecar_changed"}

    path.write_text(path.read_text() + old.splitlines()[0] + "\n")
    assert house.finds() == []
    house.add(recorded(4, base=str(house.directory)))
    house.seals()
    assert house.finds() == []
    assert len(house.stored()["audit"]) == SEALED + 2


def test_a_key_is_its_owners_only_and_made_once(tmp_path: Path) -> None:
    """By however many processes at once; a setting may put it elsewhere."""
    path = tmp_path / "keys" / "signing.key"
    made = (
        "import sys; from pathlib import Path;"
        "from egress_manager.adapters.local_signing_key import signing_key;"
        "print(signing_key(Path(sys.argv[1])).verifier_key)"
    )
    several = [
        subprocess.Popen(
            [sys.executable, "-c", made, str(path)], stdout=subprocess.PIPE, cwd=ROOT, text=True
        )
        for _ in range(4)
    ]
    keys = {process.communicate()[0] for process in several}

    assert keys == {f"{signing_key(path).verifier_key}\n"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["signing.key"]


@pytest.mark.parametrize("text", ["", "PRIVATE+KEY+a+00+b", "made_at 2026-11-30T12:00:00Z"])
def test_a_key_that_is_none_is_said_in_a_sentence(tmp_path: Path, text: str) -> None:
    """And is not replaced by a new one."""
    path = tmp_path / "key"
    path.write_text(text)

    with pytest.raises(SettingsWrong, match="can't be used"):
        signing_key(path)
    assert path.read_text() == text


def test_who_only_looks_makes_no_key(house: House) -> None:
    """`verify` may be run by the wrong user: the service must be able to read its key."""
    key_file(house).unlink()

    house.finds()
    house.terminal.types("audit", "show")

    assert not key_file(house).exists()
    assert "no signing key yet" in house.terminal.types("audit", "key").error


def test_commands_that_write_need_the_key_of_the_service(house: House) -> None:
    """Without it they would leave documents that look forged."""
    was = house.stored()
    shutil.move(key_file(house), house.directory.with_name("key"))

    said = house.terminal.types("migrate", "files", "--yes")
    assert (said.code, "its signing key is not here" in said.error) == (2, True)
    assert house.stored() == was

    elsewhere = {"EGRESS_MANAGER_SIGNING_KEY": str(house.directory.with_name("key"))}
    assert house.terminal.types("migrate", "files", "--yes", **elsewhere).code == 0


class TestRebuilding:
    """From sidecars that somebody was at."""

    def rebuilds(self, house: House, *arguments: str) -> tuple[int, Facts]:
        """Into an empty database."""
        house.loses_the_database()
        done = house.terminal.types("rebuild", str(house.directory), "--yes", "--json", *arguments)
        return done.code, json.loads(done.out)

    def forges(self, house: House, *, signature: bool, **fields: object) -> Path:
        """A sidecar with other fields and with hashes that fit."""
        path = Path(f"{paths(recorded(1, base=str(house.directory)))[0]}.json")
        told = json.loads(path.read_text())
        told["recording"] |= fields
        told["entries"][-1] |= {"facts_sha256": "0" * 64}
        told["entries"][-1] |= {"hash": hash_of(told["entries"][-1])}
        if not signature:
            del told["signature"]
        path.write_text(json.dumps(told))
        return path

    @pytest.mark.parametrize("signature", [True, False])
    @pytest.mark.parametrize("arguments", [(), ("--accept-unsigned",)])
    def test_what_was_changed_and_hashed_anew_is_refused(
        self, house: House, signature: bool, arguments: tuple[str, ...]
    ) -> None:
        """Also where its signature was taken away: its entries have theirs."""
        path = self.forges(house, signature=signature, caller_number="+15550666")

        code, told = self.rebuilds(house, *arguments)

        assert (code, told["recordings"], told["unsigned"]) == (1, 2, 0)
        assert [each["path"] for each in told["troubles"]][:1] == [str(path)]
        ids = {each["_id"] for each in house.stored()["recordings"]}
        assert ids == {recorded(2).id, recorded(3).id}

    def test_sidecars_of_older_versions_are_taken_if_that_is_wanted(self, house: House) -> None:
        """It is said how many; one that names a file outside is refused all the same."""
        for path in house.directory.rglob("*.json"):
            told = json.loads(path.read_text())
            del told["signature"]
            for entry in told["entries"]:
                for name in ("signature", "peaks"):
                    del entry[name]
            if told["recording"] and told["subject"] == recorded(1).id:
                told["recording"]["filepath"] = "/etc/hostname"
            path.write_text(json.dumps(told))

        refused, nothing = self.rebuilds(house)
        code, told = self.rebuilds(house, "--accept-unsigned")

        assert (refused, nothing["recordings"], nothing["calls"]) == (1, 0, 0)
        assert (code, told["recordings"], told["unsigned"]) == (1, 2, 5)
        assert any("/etc/hostname" in each["why"] for each in told["troubles"])
        assert recorded(1).id not in {each["_id"] for each in house.stored()["recordings"]}

    def test_without_the_key_nothing_is_restored(self, house: House) -> None:
        """The sentence says that it is missing."""
        shutil.rmtree(key_file(house).parent)

        code, told = self.rebuilds(house)

        assert (code, told["recordings"]) == (1, 0)
        assert "the key of who wrote it is missing here" in told["troubles"][0]["why"]

    def test_a_look_says_the_same_and_makes_no_key(self, house: House) -> None:
        """The old one may be put in its place before anything is restored."""
        shutil.rmtree(key_file(house).parent)
        house.loses_the_database()

        done = house.terminal.types("rebuild", str(house.directory), "--json")

        assert (done.code, json.loads(done.out)["recordings"]) == (1, 0)
        assert "is missing here" in json.loads(done.out)["troubles"][0]["why"]
        assert not key_file(house).exists()


class TestOlderVersions:
    """A chain, documents and sidecars that were made before anything was signed."""

    @pytest.fixture
    def older(self, house: House) -> House:
        """All that the fixture sealed, as a version sealed it that signed nothing."""
        house.loses_the_database()
        for path in [*house.directory.rglob("*.json"), *key_file(house).parent.iterdir()]:
            path.unlink()
        documents = [recorded(number, base=str(house.directory)) for number in (1, 2)]
        house.add(*documents)
        house._with_database(lambda db: _seal_as_before(db, house.directory))
        return house

    def test_what_was_sealed_before_is_as_it_was_and_signed_from_now_on(self, older: House) -> None:
        """Documents and sidecars at once, the chain with its next entry, which stands for all."""
        said = older.terminal.types("audit", "verify")
        assert (said.code, "No entry is signed" in said.out) == (0, True), said.out

        older.seals()
        after = older.stored()
        assert all(each[MAC] for name in ("recordings", "calls") for each in after[name])
        assert len(after["audit"]) == 4
        assert older.finds() == []

        older.add(recorded(5, base=str(older.directory)))
        older.seals()
        said = older.terminal.types("audit", "verify")
        assert (said.code, "Entries are signed from 5 on" in said.out) == (0, True), said.out
        note = older.terminal.types("audit", "checkpoint").out
        by_hand(note, older.terminal.types("audit", "key").out.strip(), told_entries(older))

        forged = {**after["audit"][1], "at": "2026-01-01T00:00:00.000Z"}
        entry = {n: v for n, v in forged.items() if n != "_id"} | {"number": 2}
        older.does("audit", "replace_one", {"_id": 2}, {**forged, "hash": hash_of(entry)})
        assert "entry_replaced" in {trouble for trouble, _, _ in older.finds()}

    def test_what_is_forged_before_the_new_version_starts_is_not_taken_over(
        self, older: House
    ) -> None:
        """It is neither sealed nor signed, and found."""
        first, second = recorded(1).id, recorded(2).id
        change = {"$set": {"caller_number": "+1", "unsealed": True}, "$inc": {"version": 1}}
        older.does("recordings", "update_one", {"_id": first}, change)
        place = {"$set": {"seal.place": "ffffffff"}}
        older.does("recordings", "update_one", {"_id": second}, place)

        for _ in range(2):
            older.seals()
            found = {(trouble, entry) for trouble, entry, _ in older.finds("--no-files")}
            assert {trouble for trouble, _ in found} == {"document_changed", "place_unknown"}
        assert len(older.stored()["audit"]) == 4


async def _seal_as_before(db: object, directory: Path) -> None:
    """What the version before did, with its entries: without version, place, peaks, signature."""
    recordings, calls = MongoRecordings(db), MongoCalls(db)  # type: ignore[arg-type]
    audit, sidecars = MongoAudit(db), LocalSidecars(directory)  # type: ignore[arg-type]
    found: list[Document] = []
    for number in (1, 2):
        found += [await recordings.get(recorded(number).id), await calls.get(f"call_{number}")]
    for document in found:
        known, files, call = document, (), None
        if not document.id.startswith("call_"):
            doors = Doors(MemoryFiles(), sidecars)
            files = await seal.files_of(document, doors)  # type: ignore[arg-type]
            known = seal.with_hashes(document, files)  # type: ignore[arg-type]
            call = await calls.get(document.call_id or "")  # type: ignore[union-attr]
        content = Content(
            document.id,
            made_at(document),
            sha256_of(facts_of(known)),
            sha256_of(facts_of(call)) if call else "",
            files,
        )
        entry = entry_after(await audit.newest(), content, Kind.SEALED, NOON)
        await audit.append(facts_of_entry(entry))
        sealed = replace(known, seal=Seal(entry.number, entry.hash, document.version + 1))
        kept = replace(sealed, version=document.version + 1)
        entries = tuple(await audit.about(document.id))
        if call is None:
            await sidecars.put(Sidecar(document.id, entries, call=kept), None)  # type: ignore[arg-type]
            await calls.save(sealed)  # type: ignore[arg-type]
        else:
            told = Sidecar(document.id, entries, recording=kept, call=call)  # type: ignore[arg-type]
            await sidecars.put(told, sealed.filepath)  # type: ignore[union-attr]
            await recordings.save(sealed)  # type: ignore[arg-type]


class Doors:
    """As much of the doors of sealing as hashing files takes."""

    def __init__(self, files: MemoryFiles, sidecars: LocalSidecars) -> None:
        self.files, self.sidecars = files, sidecars


async def test_a_signature_is_of_one_text_and_one_key(tmp_path: Path) -> None:
    """And a checkpoint that was noted is only ever replaced by a further one."""
    key, other = signing_key(tmp_path / "a"), signing_key(tmp_path / "b")
    signature = key.sign("said")

    assert key.holds("said", signature)
    assert key.holds("said", key.sign("said"))
    assert not key.holds("unsaid", signature)
    assert not other.holds("said", signature)
    assert not key.holds("said", "no base64")
    assert not key.holds("said", "")
    assert await key.noted() == ""
    for size in (2, 1, 3):
        await key.note(size, f"o\n{size}\nAAAA\n\n— o b\n")
    assert "\n3\n" in await key.noted()
    assert await asyncio.gather(*(key.noted() for _ in range(3)))
