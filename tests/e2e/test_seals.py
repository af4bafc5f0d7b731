"""A call is sealed beside the service that recorded it, and who changes its files is named."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from egress_manager.domain.sidecars import by_id
from lab import sounds
from lab.phones import Agent, Phone
from lab.programs import ROOT
from tests.e2e.houses import House

pytestmark = pytest.mark.builtin_only("a seal is the same, whoever recorded")

#: Long enough for a command, whatever else the machine does. Seconds.
TIMEOUT = 120.0


async def verified(home: House, *arguments: str) -> tuple[int | None, dict[str, Any]]:
    """What `egress-manager audit verify` says on the service's host."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ROOT / "recording" / "recording.py")),
        *("audit", "verify", "--json", *arguments),
        env=os.environ | home.manager.environment(),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    async with asyncio.timeout(TIMEOUT):
        said, _ = await process.communicate()
    return process.returncode, json.loads(said)


async def sealed_all(home: House, documents: int) -> dict[str, Any]:
    """Wait until so many documents are sealed; what is said then."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            code, said = await verified(home)
            if said["findings"] or (said["documents"] == documents and not said["waiting"]):
                assert code == (1 if said["findings"] else 0)
                return said


def change_a_byte(path: Path) -> None:
    """The last one, by a bit."""
    held = path.read_bytes()
    path.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))


@pytest.mark.builtin_only("what is sealed, and how, does not depend on who recorded it")
async def test_a_call_is_sealed_and_who_changes_its_file_is_named(
    home: House, room_name: str
) -> None:
    """Mix, tracks, recording and call; one byte is enough, and its entry is named."""
    async with (
        Agent(home.livekit, room_name, identity="agent"),
        Phone(home.livekit, room_name, number="+15550150", says=sounds.chirp(1.5)) as phone,
    ):
        await phone.said()
        await phone.hang_up()
    recording = await home.finished(phone)
    mix = Path(recording["filepath"])

    all_well = await sealed_all(home, documents=2)
    beside = json.loads(mix.with_name(f"{mix.name}.json").read_bytes())
    (sealed,) = await home.manager.recordings_of()
    said = (await home.manager.ask("/health")).json()["parts"]["audit"]["detail"]

    assert (all_well["findings"], all_well["files"]) == ([], 1 + len(sealed["tracks"]))
    assert (home.manager.recordings / by_id(recording["call_id"])).is_file()
    assert said.endswith(all_well["newest"])
    assert sealed["seal"]["hash"] == beside["entries"][-1]["hash"]
    assert {file["sha256"] for file in beside["entries"][-1]["files"]} == {
        sealed["sha256"],
        *(track["sha256"] for track in sealed["tracks"]),
    }

    change_a_byte(mix)
    code, found = await verified(home, "--known", all_well["newest"])

    assert (code, [(each["trouble"], each["path"]) for each in found["findings"]]) == (
        1,
        [("file_changed", str(mix))],
    )
    assert found["findings"][0]["entry"] == sealed["seal"]["number"]


@pytest.mark.builtin_only("what is sealed, and how, does not depend on who recorded it")
async def test_who_forges_a_document_beside_the_service_is_named_and_not_sealed(
    home: House, room_name: str
) -> None:
    """Whoever was given the audio before stands in the chain, once for all parts of it."""
    async with (
        Agent(home.livekit, room_name, identity="agent"),
        Phone(home.livekit, room_name, number="+15550151", says=sounds.chirp(1.5)) as phone,
    ):
        await phone.said()
        await phone.hang_up()
    recording = await home.finished(phone)
    assert (await sealed_all(home, documents=2))["findings"] == []
    for _ in range(5):
        answer = await home.manager.ask(f"/recordings/{recording['id']}/audio")
        assert answer.status_code == 200
    listened = await sealed_all(home, documents=2)
    assert (listened["findings"], listened["downloads"]) == ([], 1)

    database = home.manager.environment()
    async with AsyncMongoClient[dict[str, Any]](database["MONGO_URI"]) as client:
        recordings = client[database["MONGO_DB"]]["recordings"]
        forged = {"caller_number": "+15550666", "unsealed": True}
        await recordings.update_one(
            {"_id": recording["id"]}, {"$set": forged, "$inc": {"version": 1}}
        )
        async with asyncio.timeout(TIMEOUT):
            while "document_foreign" not in home.manager.log_tail():
                await asyncio.sleep(0.05)
    code, found = await verified(home, "--known", listened["newest"])

    assert (code, [(each["trouble"], each["subject"]) for each in found["findings"]]) == (
        1,
        [("document_changed", recording["id"])],
    )
    assert found["entries"] == listened["entries"]
