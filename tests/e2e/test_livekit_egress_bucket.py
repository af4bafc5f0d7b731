"""LiveKit Egress as the recorder, and a bucket where its files go: what the user gets of that."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from lab import sounds
from lab.buckets import S3
from lab.egress import real_egress
from lab.manager import KEY
from lab.phones import Agent, Phone
from lab.servers import Mongod
from tests.e2e.attending import until
from tests.e2e.houses import Facts, House, house
from tests.e2e.listening import Heard, listen
from tests.e2e.test_check import check

#: Faults are the stand-in's alone: the real one does not misbehave on command.
only_stand_in = pytest.mark.skipif(real_egress() is not None, reason="the real egress is on PATH")

BUCKET = "calls"
FIRST, SECOND = sounds.chirp(1.5), sounds.chirp(1.5, low=3400, high=400)
#: What a player asks for at a time. Bytes.
PART = 7000
#: How alike a word and its place in a file are; a word that is not there scores below 0.3.
ALIKE = 0.6


@pytest.fixture
async def s3() -> AsyncIterator[S3]:
    """A storage with a bucket."""
    async with S3(BUCKET) as s3:
        yield s3


@pytest.fixture
async def home(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path, s3: S3
) -> AsyncIterator[House]:
    """A house where LiveKit Egress records into the bucket."""
    async with housed(mongod_server, mongo_database, tmp_path, s3) as home:
        yield home


@asynccontextmanager
async def housed(
    mongod: Mongod, database: str, directory: Path, s3: S3, bucket: str = BUCKET
) -> AsyncIterator[House]:
    """A house where LiveKit Egress is told to record into a bucket of that name."""
    settings = {
        "EGRESS_MANAGER_S3_BUCKET": bucket,
        "EGRESS_MANAGER_S3_ENDPOINT": s3.url,
        "EGRESS_MANAGER_S3_REGION": s3.region,
        "EGRESS_MANAGER_S3_ACCESS_KEY": s3.access_key,
        "EGRESS_MANAGER_S3_SECRET": s3.secret_key,
    }
    recordings = directory / "recordings"
    async with house(mongod, database, recordings, engine="egress", settings=settings) as home:
        yield home


async def call(home: House, room: str, number: str) -> None:
    """A call of two sentences."""
    async with (
        Agent(home.livekit, room, identity="agent"),
        Phone(home.livekit, room, number=number) as phone,
    ):
        await home.hears(phone)
        await phone.say(FIRST)
        await phone.say(SECOND)
        await phone.hang_up()


def mixes(recording: Facts, status: str) -> int:
    """How many jobs of the whole call are like that."""
    jobs = recording["egresses"]
    return sum(job["kind"] == "mix" and job["status"] == status for job in jobs)


def recorded_again(recording: Facts) -> bool:
    """Whether somebody has gone on where a job has failed."""
    failed = mixes(recording, "failed") > 0
    return failed and (mixes(recording, "active") > 0 or bool(recording["captures"]))


async def breathe_until(home: House, phone: Phone, is_so: Callable[[Facts], bool]) -> None:
    """Have the phone send silence until it is so."""
    async with asyncio.timeout(60):
        while not any(map(is_so, await home.manager.recordings_of(caller_number=phone.number))):
            await phone.say(sounds.silence(0.5))


async def downloaded(home: House, path: str) -> bytes:
    """A file of the API, as a player loads it: its size first, then part after part."""
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx2.AsyncClient(base_url=home.manager.url, headers=headers) as client:
        size = int((await client.head(path)).raise_for_status().headers["content-length"])
        parts = []
        for start in range(0, size, PART):
            part = await client.get(path, headers={"Range": f"bytes={start}-{start + PART - 1}"})
            assert part.status_code == 206
            parts.append(part.content)
        behind = await client.get(path, headers={"Range": f"bytes={size}-"})
        assert (behind.status_code, behind.headers["content-range"]) == (416, f"bytes */{size}")
        assert (await client.get(path)).content == b"".join(parts)
    return b"".join(parts)


def heard(content: bytes, directory: Path) -> Heard:
    """What is in a file that was downloaded."""
    path = directory / "downloaded"
    path.write_bytes(content)
    return listen(path)


def has(sound: Heard, word: object) -> bool:
    """Whether a word is heard on the caller's side."""
    return sounds.locate(sound.left, word).score > ALIKE


def files_of(home: House) -> set[str]:
    """The sound files below the recordings directory."""
    found = home.manager.recordings.rglob("*")
    return {path.name for path in found if path.suffix in (".mp4", ".ogg")}


async def mix_of(home: House, recording: Facts, directory: Path) -> Heard:
    """The mix of a recording, downloaded and decoded."""
    return heard(await downloaded(home, f"/recordings/{recording['id']}/audio"), directory)


async def test_a_call_lies_in_the_bucket_and_is_played_from_there(
    home: House, s3: S3, room_name: str, tmp_path: Path
) -> None:
    """The document has the addresses; players hear the mix and every track without knowing."""
    await call(home, room_name, "+15550300")
    recording = await home.finished(caller_number="+15550300")

    objects = {f"{s3.url}/{BUCKET}/{key}": path for key, path in s3.objects(BUCKET).items()}
    mix = await downloaded(home, f"/recordings/{recording['id']}/audio")
    assert mix == objects[recording["filepath"]].read_bytes()
    assert has(heard(mix, tmp_path), FIRST)
    assert has(heard(mix, tmp_path), SECOND)
    assert len(recording["tracks"]) == 2
    for track in recording["tracks"]:
        path = f"/recordings/{recording['id']}/tracks/{track['track_id']}/audio"
        assert await downloaded(home, path) == objects[track["filepath"]].read_bytes()
    assert recording["verdict"] == "verified", recording["findings"]
    await until(lambda: not files_of(home))  # while it is sealed, they are at hand


@only_stand_in
async def test_pieces_in_the_bucket_become_one_file_in_the_directory(
    home: House, room_name: str, tmp_path: Path
) -> None:
    """The connection is lost in the middle: what was delivered and what follows become one."""
    assert home.egress is not None
    async with (
        Agent(home.livekit, room_name, identity="agent"),
        Phone(home.livekit, room_name, number="+15550301") as phone,
    ):
        await breathe_until(home, phone, lambda recording: mixes(recording, "active") == 1)
        await phone.say(FIRST)
        await home.egress.misbehave("connection_lost")
        await home.egress.well()
        await breathe_until(home, phone, recorded_again)
        await phone.say(SECOND)
        await phone.hang_up()
    recording = await home.finished(caller_number="+15550301")

    assert Path(recording["filepath"]).is_relative_to(home.manager.recordings)
    sound = await mix_of(home, recording, tmp_path)
    assert has(sound, FIRST)
    assert has(sound, SECOND)
    await until(lambda: not list((home.manager.recordings / ".fetched").iterdir()))


@only_stand_in
async def test_an_object_that_nobody_told_of_is_found_and_later_missed(
    home: House, s3: S3, room_name: str, tmp_path: Path
) -> None:
    """COMPLETE without a location: the bucket knows. Somebody removes it: the verdict says so."""
    assert home.egress is not None
    await home.egress.misbehave("no_location")

    await call(home, room_name, "+15550302")
    recording = await home.finished(caller_number="+15550302")

    assert recording["filepath"].startswith(f"{s3.url}/{BUCKET}/")
    assert has(await mix_of(home, recording, tmp_path), SECOND)

    s3.objects(BUCKET)[recording["filepath"].removeprefix(f"{s3.url}/{BUCKET}/")].unlink()
    mended = (await home.manager.tell("/reconciliation")).json()["differences"]
    assert [each["kind"] for each in mended if each["mended"]] == ["file_missing"]
    gone = await home.manager.ask(f"/recordings/{recording['id']}/audio")
    assert (gone.status_code, gone.json()["detail"]) == (404, "there is no file here: missing")


async def test_a_bucket_that_is_not_there_is_a_failure_with_its_reason(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path, s3: S3, room_name: str
) -> None:
    """LiveKit Egress finds out at the end only; the check tells before."""
    async with housed(mongod_server, mongo_database, tmp_path, s3, "another") as home:
        said = await check(home.manager, "--no-call")
        await call(home, room_name, "+15550303")
        recording = await home.manager.recording("failed", caller_number="+15550303")

    assert said.trouble("bucket") == "bucket_missing"
    assert "upload failed" in recording["reason"]


@only_stand_in
async def test_an_upload_that_fails_is_a_failure_with_its_reason(
    home: House, room_name: str
) -> None:
    """ACTIVE all along, and nothing at the end: never called completed."""
    assert home.egress is not None
    await home.egress.misbehave("upload_failed")

    await call(home, room_name, "+15550304")
    recording = await home.manager.recording("failed", caller_number="+15550304")

    assert "upload failed" in recording["reason"]
    assert recording["filepath"] is None


async def test_the_check_writes_to_the_bucket(home: House, s3: S3) -> None:
    """And leaves nothing there."""
    said = await check(home.manager, "--no-call")

    assert said.findings["bucket"]["outcome"] == "ok", said.findings
    assert f"{s3.url}/{BUCKET}" in said.whole("bucket")
    assert s3.objects(BUCKET) == {}
