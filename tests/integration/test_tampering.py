"""Somebody writes to MongoDB and to the disk, who does not have the signing key: nothing passes.

Each tamper is done to recordings that were sealed; then the service seals what waits, as it would
within a second, and `audit verify` has to name it.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from egress_manager.adapters.local_signing_key import signing_key
from egress_manager.adapters.mongo_client import Database
from egress_manager.adapters.mongo_recordings import MongoRecordings
from egress_manager.domain.provenance import MAC
from egress_manager.domain.seal import hash_of
from egress_manager.domain.sidecars import by_id
from tests.integration.test_audit import Facts, House
from tests.integration.test_audit import house as sealed_house
from tests.unit.migration.memory import paths, recorded

__all__ = ["sealed_house"]

Deed = Callable[[House], None]
#: A date that Python does not have.
YEAR_BEYOND = {"$set": {"created_at": {"$toDate": {"$toLong": "300000000000000"}}}}
FIRST, SECOND = recorded(1).id, recorded(2).id


@pytest.fixture
def house(sealed_house: House) -> Iterator[House]:
    """Everything is as it was sealed, and the first recording was sealed twice."""
    shutil.copy(f"{mix(sealed_house)}.json", older_sidecar(sealed_house))
    sealed_house._with_database(partial(changed_by_the_service, sealed_house.directory))
    sealed_house.seals()
    assert sealed_house.finds() == []
    return sealed_house


def mix(house: House) -> Path:
    """The first recording's."""
    return Path(paths(recorded(1, base=str(house.directory)))[0])


async def changed_by_the_service(directory: Path, db: Database) -> None:
    """The first recording, by who has the key."""
    keys = signing_key(directory / ".signing" / "key").document_keys
    recordings = MongoRecordings(db, keys)
    await recordings.save(replace(await recordings.get(FIRST), agent_identity="smurfette"))


def older_sidecar(house: House) -> Path:
    """The first recording's, of before it was sealed again."""
    return house.directory.with_name("older.json")


def overwrite(house: House) -> None:
    """Something else is heard."""
    mix(house).write_text("what was never said")


def sets(house: House, fields: Facts, version: int = 0, name: str = FIRST) -> None:
    """Fields of a recording, past the service."""
    change: Facts = {"$set": fields} | ({"$inc": {"version": version}} if version else {})
    house.does("recordings", "update_one", {"_id": name}, change)


def state_set_back(house: House) -> None:
    mix(house).unlink()
    sets(house, {"seal": None, "state": "captured", "status": "processing", "unsealed": False})


def place_changed(house: House) -> None:
    overwrite(house)
    sets(house, {"seal.place": "ffffffff"})


def place_changed_and_file_gone(house: House) -> None:
    mix(house).unlink()
    sets(house, {"seal.place": "ffffffff", "place": "ffffffff"})


def version_raised(house: House) -> None:
    overwrite(house)
    sets(house, {"unsealed": False}, version=1)


def forged_and_unsealed(house: House) -> None:
    sets(house, {"caller_number": "+15550666", "unsealed": True}, version=1)


def replaced_with_new_since(house: House) -> None:
    overwrite(house)
    sets(house, {"since": datetime.now(UTC), "unsealed": True}, version=1)


def document_changed(house: House) -> None:
    sets(house, {"caller_number": "+15550666"})


def seal_removed(house: House) -> None:
    overwrite(house)
    sets(house, {"seal": None, "unsealed": True})


def only_said_to_wait(house: House) -> None:
    """It would be asked for again and again."""
    sets(house, {"unsealed": True})


def version_set_back(house: House) -> None:
    sets(house, {"version": 0, "unsealed": True})


def code_removed(house: House) -> None:
    house.does(
        "recordings",
        "update_one",
        {"_id": FIRST},
        {
            "$unset": {MAC: ""},
            "$set": {"caller_number": "+15550666", "unsealed": True},
            "$inc": {"version": 1},
        },
    )


def seal_of_another(house: House) -> None:
    others = {each["_id"]: each for each in house.stored()["recordings"]}[SECOND]["seal"]
    overwrite(house)
    sets(house, {"seal": others})


def moved_outside(house: House) -> None:
    sets(house, {"filepath": "/etc/hostname", "unsealed": True}, version=1)


def another_id(house: House) -> None:
    (document,) = (each for each in house.stored()["recordings"] if each["_id"] == FIRST)
    house.does("recordings", "delete_one", {"_id": FIRST})
    house.does("recordings", "insert_one", document | {"_id": "rec_forged", "egress_id": "EG_X"})


def duplicated(house: House) -> None:
    (document,) = (each for each in house.stored()["recordings"] if each["_id"] == FIRST)
    copy = {"_id": "rec_forged", "egress_id": "EG_X", "seal": None, "unsealed": True}
    house.does("recordings", "insert_one", document | copy)


def inserted_without_a_code(house: House) -> None:
    (document,) = (each for each in house.stored()["recordings"] if each["_id"] == FIRST)
    copy = {"_id": "rec_forged", "egress_id": "EG_X", "seal": None, "unsealed": True}
    now = {"created_at": datetime.now(UTC)}
    kept = {name: value for name, value in document.items() if name != MAC}
    house.does("recordings", "insert_one", kept | copy | now)


def removed(house: House) -> None:
    house.does("recordings", "delete_one", {"_id": FIRST})


def verdict_forged(house: House) -> None:
    failed = recorded(3).id
    sets(house, {"state": "verified", "verdict": "verified", "reason": ""}, 1, failed)


def call_forged(house: House) -> None:
    change = {"$set": {"caller_number": "+15550666", "unsealed": True}, "$inc": {"version": 1}}
    house.does("calls", "update_one", {"_id": "call_1"}, change)


def call_goes_on_again(house: House) -> None:
    change = {"$set": {"left_at": None, "seal": None, "unsealed": False}}
    house.does("calls", "update_one", {"_id": "call_1"}, change)


def state_unheard_of(house: House) -> None:
    sets(house, {"state": "bogus"})


def tracks_of_another_kind(house: House) -> None:
    sets(house, {"tracks": 7, "unsealed": True})


def unreadable_among_all(house: House) -> None:
    """No query for a page finds it: it has text where a date is looked for."""
    house.does("recordings", "insert_one", {"_id": "rec_forged", "created_at": "2026-11-01"})


def hidden_among_all(house: House) -> None:
    (document,) = (each for each in house.stored()["recordings"] if each["_id"] == FIRST)
    copy = {"_id": "rec_forged", "egress_id": "EG_X", "created_at": "2026-11-01T00:00:00+00:00"}
    house.does("recordings", "insert_one", document | copy)


def under_an_id_of_another_kind(house: House) -> None:
    house.does("recordings", "insert_one", {"_id": 7, "egress_id": "EG_X", "unsealed": True})


def among_documents_of_another_kind(house: House) -> None:
    """There are entries about a call of that id."""
    house.does("recordings", "insert_one", {"_id": "call_1", "egress_id": "EG_X"})


def date_beyond_all(house: House) -> None:
    house.does("recordings", "update_one", {"_id": FIRST}, [YEAR_BEYOND])


def webhook_inserted(house: House) -> None:
    body = b'{"event": "participant_joined"}'
    row = {"_id": "EV_forged", "name": "participant_joined", "body": body}
    house.does("inbox", "insert_one", row | {"kept_at": datetime.now(UTC), "done_at": None})


def key_replaced(house: House) -> None:
    theirs = {"fingerprint": "0" * 64, "made_at": datetime.now(UTC)}
    house.does("keys", "replace_one", {"_id": "api"}, theirs, True)


def sidecar_rehashed(house: House) -> None:
    path = Path(f"{mix(house)}.json")
    told = json.loads(path.read_text())
    told["recording"]["caller_number"] = "+15550666"
    told["entries"][-1]["facts_sha256"] = "0" * 64
    told["entries"][-1]["hash"] = hash_of(told["entries"][-1])
    path.write_text(json.dumps(told))


def sidecar_without_signature(house: House) -> None:
    path = Path(f"{mix(house)}.json")
    told = json.loads(path.read_text())
    del told["signature"]
    path.write_text(json.dumps(told))


def sidecar_of_before(house: House) -> None:
    """It is signed; but a newer one was in its place."""
    shutil.copy(older_sidecar(house), f"{mix(house)}.json")


def track_file_changed(house: House) -> None:
    Path(paths(recorded(1, base=str(house.directory)))[1]).write_text("what was never said")


def track_renamed(house: House) -> None:
    sets(house, {"tracks.0.track_id": "TR_forged", "unsealed": True}, version=1)


def track_of_another_file(house: House) -> None:
    other = paths(recorded(2, base=str(house.directory)))[1]
    sets(house, {"tracks.0.filepath": other})


def entry_without_a_number(house: House) -> None:
    house.does("audit", "insert_one", house.stored()["audit"][-1] | {"_id": "7"})


def all_as_of_an_older_version(house: House) -> None:
    """Neither signatures nor codes, versions and places, in hashes that fit; the key is there."""
    gone, previous = {"signature", "peaks", "version", "place"}, ""
    for document in house.stored()["audit"]:
        entry = {n: v for n, v in document.items() if n not in gone} | {"previous": previous}
        told = {name: value for name, value in entry.items() if name != "_id"}
        entry["hash"] = previous = hash_of(told | {"number": document["_id"]})
        house.does("audit", "replace_one", {"_id": document["_id"]}, entry)
        kind = "calls" if entry["subject"].startswith("call_") else "recordings"
        change = {"$set": {"seal.hash": previous}, "$unset": {MAC: "", "seal.place": ""}}
        house.does(kind, "update_one", {"_id": entry["subject"]}, change)


def entry_made_anew(house: House) -> None:
    """With a hash that fits, of the document that was forged with it; and all after it."""
    forged_and_unsealed(house)
    previous = ""
    for document in house.stored()["audit"]:
        entry = {name: value for name, value in document.items() if name != "_id"}
        entry |= {"number": document["_id"], "previous": previous}
        if entry["subject"] == FIRST:
            entry["facts_sha256"] = "0" * 64
        entry["hash"] = previous = hash_of(entry)
        stored = {name: value for name, value in entry.items() if name != "number"}
        house.does("audit", "replace_one", {"_id": document["_id"]}, stored)


def entries_without_signatures(house: House) -> None:
    """As if an older version had made all of the chain, its documents and its sidecars."""
    house.does("audit", "update_many", {}, {"$unset": {"signature": "", "peaks": ""}})


def entry_from_nowhere(house: House) -> None:
    newest = house.stored()["audit"][-1]
    entry = {name: value for name, value in newest.items() if name not in ("_id", "signature")}
    entry |= {"number": newest["_id"] + 1, "previous": newest["hash"], "subject": FIRST}
    stored = entry | {"hash": hash_of(entry), "_id": newest["_id"] + 1}
    house.does("audit", "insert_one", {n: v for n, v in stored.items() if n != "number"})


def end_cut_off(house: House) -> None:
    """The newest entry, its document and its sidecar: the note beside the key alone knows."""
    newest = house.stored()["audit"][-1]
    house.does("audit", "delete_one", {"_id": newest["_id"]})
    kind = "calls" if newest["subject"].startswith("call_") else "recordings"
    house.does(kind, "delete_one", {"_id": newest["subject"]})
    (house.directory / by_id(newest["subject"])).unlink(missing_ok=True)


TAMPERS: list[tuple[Deed, str]] = [
    (state_set_back, "document_changed"),
    (state_set_back, "file_missing"),
    (place_changed, "file_changed"),
    (place_changed, "document_foreign"),
    (place_changed_and_file_gone, "file_missing"),
    (version_raised, "document_foreign"),
    (version_raised, "file_changed"),
    (forged_and_unsealed, "document_changed"),
    (replaced_with_new_since, "document_changed"),
    (replaced_with_new_since, "file_changed"),
    (document_changed, "document_changed"),
    (overwrite, "file_changed"),
    (seal_removed, "file_changed"),
    (seal_removed, "document_foreign"),
    (only_said_to_wait, "document_foreign"),
    (version_set_back, "document_foreign"),
    (code_removed, "document_changed"),
    (seal_of_another, "document_changed"),
    (seal_of_another, "file_changed"),
    (moved_outside, "document_changed"),
    (another_id, "document_missing"),
    (another_id, "document_foreign"),
    (duplicated, "document_foreign"),
    (inserted_without_a_code, "document_foreign"),
    (removed, "document_missing"),
    (verdict_forged, "document_changed"),
    (call_forged, "document_changed"),
    (call_goes_on_again, "document_changed"),
    (state_unheard_of, "document_unreadable"),
    (tracks_of_another_kind, "document_unreadable"),
    (unreadable_among_all, "document_unreadable"),
    (hidden_among_all, "document_foreign"),
    (under_an_id_of_another_kind, "document_unreadable"),
    (among_documents_of_another_kind, "document_foreign"),
    (date_beyond_all, "document_unreadable"),
    (webhook_inserted, "row_foreign"),
    (key_replaced, "row_foreign"),
    (sidecar_rehashed, "sidecar_changed"),
    (sidecar_without_signature, "sidecar_changed"),
    (sidecar_of_before, "sidecar_changed"),
    (track_file_changed, "file_changed"),
    (track_renamed, "document_changed"),
    (track_of_another_file, "document_changed"),
    (entry_without_a_number, "entry_inserted"),
    (all_as_of_an_older_version, "checkpoint_differs"),
    (all_as_of_an_older_version, "entry_replaced"),
    (entry_made_anew, "entry_forged"),
    (entry_made_anew, "document_changed"),
    (entries_without_signatures, "entry_unsigned"),
    (entry_from_nowhere, "entry_unsigned"),
    (end_cut_off, "entry_removed"),
]


def test_every_tamper_is_found(house: House) -> None:
    """After the service had its turn, too; and what is put back is as it was sealed."""
    was, copy = house.stored(), house.directory.with_name("copy")
    shutil.copytree(house.directory, copy)
    missed: list[str] = []
    for deed in dict.fromkeys(deed for deed, _ in TAMPERS):
        deed(house)
        house.seals()
        found = {trouble for trouble, _, _ in house.finds()}
        wanted = {trouble for each, trouble in TAMPERS if each is deed}
        if not wanted <= found:
            missed.append(f"{deed.__name__}: {sorted(found)}")
        restore(house, was, copy)
    assert missed == []
    assert house.finds() == []


#: What only the key shows, or the note beside it.
BY_KEY = {"document_foreign", "entry_forged", "entry_removed", "row_foreign", "checkpoint_differs"}


def test_no_tamper_passes_where_the_key_is_missing(house: House) -> None:
    """A setting that names another place is enough: that is said, and all else is looked at."""
    was, copy = house.stored(), house.directory.with_name("copy")
    shutil.copytree(house.directory, copy)
    missed = [f"nothing: {without_key(house)}"] if without_key(house) != {"key_missing"} else []
    for deed in dict.fromkeys(deed for deed, _ in TAMPERS):
        deed(house)
        found = without_key(house)
        wanted = {"key_missing"} | {trouble for each, trouble in TAMPERS if each is deed} - BY_KEY
        if not wanted <= found:
            missed.append(f"{deed.__name__}: {sorted(found)}")
        restore(house, was, copy)
    assert missed == []


def test_a_checkpoint_that_was_noted_needs_no_key(house: House) -> None:
    """Who has it and only reads the chain holds the one against the other."""
    note = house.directory.with_name("note")
    note.write_text(house.terminal.types("audit", "checkpoint").out)
    assert without_key(house, "--checkpoint", str(note)) == {"key_missing"}

    previous = ""
    for document in house.stored()["audit"]:
        entry = {name: value for name, value in document.items() if name != "_id"}
        entry |= {"number": document["_id"], "previous": previous, "at": "2026-01-01T00:00:00Z"}
        previous = hash_of(entry)
        stored = {name: value for name, value in entry.items() if name != "number"}
        house.does("audit", "replace_one", {"_id": document["_id"]}, stored | {"hash": previous})
    assert "checkpoint_differs" in without_key(house, "--checkpoint", str(note))

    house.does("audit", "delete_one", {"_id": house.stored()["audit"][-1]["_id"]})
    assert "entry_removed" in without_key(house, "--checkpoint", str(note))


def without_key(house: House, *arguments: str) -> set[str]:
    """What `audit verify` names where its setting names no key; its exit code fits that."""
    nowhere = {"EGRESS_MANAGER_SIGNING_KEY": str(house.directory.with_name("nowhere"))}
    said = house.terminal.types("audit", "verify", "--json", *arguments, **nowhere)
    found = {each["trouble"] for each in json.loads(said.out)["findings"]}
    assert said.code == (1 if found else 0), said.error
    return found


def test_an_older_version_of_a_document_is_not_taken_for_the_newest(house: House) -> None:
    """It has a code of ours; but a newer one was sealed, and the service does not seal it again."""
    (old,) = (each for each in house.stored()["recordings"] if each["_id"] == FIRST)
    assert house.terminal.types("migrate", "files", "--yes").code == 0
    house.seals()
    assert house.finds() == []
    entries = len(house.stored()["audit"])

    for changes in ({}, {"unsealed": True}):
        house.does("recordings", "replace_one", {"_id": FIRST}, old | changes)
        house.seals()
        named = "document_changed" if changes else "document_rolled_back"
        assert named in {trouble for trouble, _, _ in house.finds()}
    assert len(house.stored()["audit"]) == entries


def restore(house: House, was: dict[str, list[Facts]], copy: Path) -> None:
    """The database and the disk as they were."""
    for name in ("inbox", "keys"):
        house.does(name, "delete_many", {})
    for name, documents in was.items():
        house.does(name, "delete_many", {})
        house.does(name, "insert_many", documents)
    shutil.rmtree(house.directory)
    shutil.copytree(copy, house.directory)
