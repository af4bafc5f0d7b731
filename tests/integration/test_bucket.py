"""The bucket that LiveKit Egress writes to: looked into, read, and brought here (versitygw)."""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import obstore
import pytest

from egress_manager.adapters.local_files import LocalFiles
from egress_manager.adapters.obstore_bucket import PART, ObstoreBucket, opened
from egress_manager.adapters.obstore_files import FETCHED, LEFT_BEHIND, ObstoreFiles
from egress_manager.adapters.obstore_probe import ObstoreProbe
from egress_manager.api.services import Objects
from egress_manager.domain.buckets import Bucket
from egress_manager.domain.troubles import CheckFailed, Trouble
from egress_manager.errors import StorageFailed
from egress_manager.testing import MemoryFiles, MemoryObjects
from lab.buckets import S3
from lab.ports import LOOPBACK, free_port

NAME = "calls"
WORDS = b"0123456789" * 1000
#: Keys have in them what names of rooms have.
KEY = "room/sip_+1555 0100 é#?%20&=~-rec_1.mp4"


@pytest.fixture(scope="module")
def storage() -> Iterator[S3]:
    """A storage that the tests of this file share."""
    server = S3(NAME)
    asyncio.run(server.start())
    yield server
    asyncio.run(server.close())


@pytest.fixture
def bucket(storage: S3) -> Bucket:
    """Its bucket, as settings name it."""
    return Bucket(NAME, storage.region, storage.url, storage.access_key, storage.secret_key)


@dataclass
class Shelves:
    """Something that has objects, and a way to put some there."""

    objects: Objects
    bucket: Bucket

    async def put(self, content: bytes, key: str = "") -> str:
        """Put an object there; its address."""
        key = key or f"room/{secrets.token_hex(6)}.ogg"
        address = self.bucket.address(key)
        if isinstance(self.objects, MemoryObjects):
            self.objects.content[address] = content
        else:
            await obstore.put_async(opened(self.bucket), key, content)
        return address


@pytest.fixture(params=["memory", "s3"])
def shelves(request: pytest.FixtureRequest, bucket: Bucket) -> Shelves:
    """The fake and the real one are held to the same."""
    objects = MemoryObjects(part=4096) if request.param == "memory" else ObstoreBucket(bucket)
    return Shelves(objects, bucket)


async def read(objects: Objects, address: str, start: int = 0, stop: int | None = None) -> bytes:
    """Some of an object."""
    stored = await objects.about(address)
    assert stored is not None
    parts = [part async for part in objects.read(stored, start, stop or stored.size_bytes)]
    return b"".join(parts)


class TestObjects:
    """`Objects` of the API."""

    async def test_an_object_is_known_and_read(self, shelves: Shelves) -> None:
        """All of it, or any part."""
        address = await shelves.put(WORDS)
        stored = await shelves.objects.about(address)

        assert stored is not None
        assert stored.size_bytes == len(WORDS)
        assert stored.etag
        assert stored.written_at.tzinfo is not None
        assert await read(shelves.objects, address) == WORDS
        assert await read(shelves.objects, address, 5000, 5003) == b"012"

    async def test_what_is_not_there_or_empty_is_nothing(self, shelves: Shelves) -> None:
        """Neither is a recording."""
        assert await shelves.objects.about(shelves.bucket.address("room/gone.ogg")) is None
        assert await shelves.objects.about(await shelves.put(b"")) is None

    async def test_any_name_is_found(self, shelves: Shelves) -> None:
        """Nothing in it is taken for a part of an address."""
        assert await read(shelves.objects, await shelves.put(WORDS, KEY)) == WORDS

    @pytest.mark.parametrize(
        "address", ["https://example.com/calls/a.ogg", "/recordings/a.ogg", "", "{url}/other/a.ogg"]
    )
    async def test_what_is_not_of_the_bucket_is_nothing(
        self, shelves: Shelves, storage: S3, address: str
    ) -> None:
        """Nobody is asked for it."""
        assert await shelves.objects.about(address.replace("{url}", storage.url)) is None

    async def test_an_object_of_many_parts_comes_whole(self, bucket: Bucket) -> None:
        """And in parts, so that none has to be held whole."""
        shelves = Shelves(ObstoreBucket(bucket), bucket)
        content = secrets.token_bytes(2 * PART + 17)
        address = await shelves.put(content)
        stored = await shelves.objects.about(address)

        assert stored is not None
        parts = [part async for part in shelves.objects.read(stored, 3, stored.size_bytes)]
        assert [len(part) for part in parts] == [PART, PART, 14]
        assert b"".join(parts) == content[3:]

    async def test_an_object_that_is_written_anew_is_not_mixed_up(self, bucket: Bucket) -> None:
        """Half of the one and half of the other would be no recording."""
        shelves = Shelves(ObstoreBucket(bucket), bucket)
        address = await shelves.put(WORDS, "room/again.ogg")
        stored = await shelves.objects.about(address)
        await shelves.put(WORDS[::-1], "room/again.ogg")

        assert stored is not None
        with pytest.raises(StorageFailed, match="PreconditionFailed"):
            await anext(aiter(shelves.objects.read(stored, 0, 10)))

    async def test_variables_of_amazons_tools_change_nothing(
        self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who has set them for another purpose has settings of ours beside them."""
        for name, value in {
            "AWS_ACCESS_KEY_ID": "another",
            "AWS_SESSION_TOKEN": "a-token",
            "AWS_SKIP_SIGNATURE": "true",
            "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:9",
            "AWS_REGION": "eu-north-1",
            "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
        }.items():
            monkeypatch.setenv(name, value)
        shelves = Shelves(ObstoreBucket(bucket), bucket)

        assert await read(shelves.objects, await shelves.put(WORDS)) == WORDS


#: What can be wrong with settings, and what S3 says of it.
WRONG: Sequence[tuple[dict[str, str], Trouble, str]] = [
    ({"name": "other"}, Trouble.BUCKET_MISSING, "NoSuchBucket"),
    ({"access_key": "nobody"}, Trouble.BUCKET_REFUSED, "XAdminUserNotFound"),
    ({"secret": "another"}, Trouble.BUCKET_REFUSED, "SignatureDoesNotMatch"),
    ({"region": "eu-west-1"}, Trouble.BUCKET_REFUSED, "AuthorizationHeaderMalformed"),
]


class TestFiles:
    """`Files`: the directory and the bucket."""

    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        """The recordings directory."""
        (tmp_path / "room").mkdir()
        (tmp_path / "room" / "here.ogg").write_bytes(WORDS)
        (tmp_path / "room" / "empty.ogg").touch()
        return tmp_path

    @pytest.fixture(params=["memory", "s3"])
    async def files(
        self, request: pytest.FixtureRequest, directory: Path, bucket: Bucket
    ) -> ObstoreFiles | MemoryFiles:
        """With an object in the bucket and a file in the directory."""
        there = bucket.address("room/there.ogg")
        if request.param == "memory":
            return MemoryFiles({"/recordings/room/here.ogg", there}, bucket.address("")[:-1])
        await Shelves(ObstoreBucket(bucket), bucket).put(WORDS, "room/there.ogg")
        return ObstoreFiles(directory, ObstoreBucket(bucket))

    async def test_a_file_is_looked_for_where_it_would_be(
        self, files: ObstoreFiles | MemoryFiles, bucket: Bucket
    ) -> None:
        """By its path below the directory, or by its address."""
        assert await files.exists(files.path("room/here.ogg"))
        assert await files.exists(files.path("room/gone.ogg")) is False
        assert await files.exists(bucket.address("room/there.ogg"))
        assert await files.exists(bucket.address("room/gone.ogg")) is False
        assert await files.exists("https://example.com/room/there.ogg") is None

    async def test_what_was_asked_for_is_found_in_either(
        self, files: ObstoreFiles | MemoryFiles, bucket: Bucket
    ) -> None:
        """LiveKit says of what it has delivered where it is, but not of the rest."""
        there = bucket.address("room/there.ogg")

        assert await files.where("room/here.ogg") == "room/here.ogg"
        assert await files.where("room/there.ogg") == there
        assert await files.where(there) == there
        assert await files.where("room/gone.ogg") is None
        assert await files.where("/out/gone.ogg") is None
        assert await files.where("") is None

    async def test_an_object_is_a_file_for_a_while(self, directory: Path, bucket: Bucket) -> None:
        """The renderer reads files; what lies here anyway is not copied."""
        objects = ObstoreBucket(bucket)
        content = secrets.token_bytes(PART + 5)
        there = await Shelves(objects, bucket).put(content, KEY)
        gone = bucket.address("room/gone.ogg")
        files = ObstoreFiles(directory, objects)

        async with files.at_hand([there, gone, "room/here.ogg"]) as here:
            assert here.keys() == {there, gone}
            assert (directory / here[there]).read_bytes() == content
            assert not (directory / here[gone]).exists()
        assert list((directory / FETCHED).iterdir()) == []

    async def test_nothing_stays_of_what_broke_off(self, directory: Path, bucket: Bucket) -> None:
        """Also where whoever wanted it fails."""
        there = await Shelves(ObstoreBucket(bucket), bucket).put(WORDS)
        files = ObstoreFiles(directory, ObstoreBucket(bucket))

        with pytest.raises(RuntimeError):
            async with files.at_hand([there]):
                raise RuntimeError
        assert list((directory / FETCHED).iterdir()) == []

    async def test_who_needs_the_same_object_is_not_disturbed(
        self, directory: Path, bucket: Bucket
    ) -> None:
        """One lets go of it while the other still reads; each may be a process of its own."""
        there = await Shelves(ObstoreBucket(bucket), bucket).put(WORDS)
        one, other = (ObstoreFiles(directory, ObstoreBucket(bucket)) for _ in range(2))

        async with one.at_hand([there]) as here:
            async with other.at_hand([there]):
                pass
            assert (directory / here[there]).read_bytes() == WORDS

    async def test_what_a_process_left_that_died_is_removed(
        self, directory: Path, bucket: Bucket
    ) -> None:
        """With the next look, once nobody can need it any more."""
        left, needed = directory / FETCHED / "left.ogg", directory / FETCHED / "needed.ogg"
        left.parent.mkdir()
        for path, age in ((left, LEFT_BEHIND + 60), (needed, 60)):
            path.touch()
            os.utime(path, times=(time.time() - age,) * 2)

        async with ObstoreFiles(directory, ObstoreBucket(bucket)).at_hand([]):
            assert list(left.parent.iterdir()) == [needed]

    @pytest.mark.parametrize("how", [how for how, _, _ in WRONG])
    async def test_nothing_is_called_missing_that_could_not_be_looked_for(
        self, directory: Path, bucket: Bucket, how: dict[str, str]
    ) -> None:
        """Where the settings are wrong, files are not gone."""
        other = replace(bucket, **how)
        files = ObstoreFiles(directory, ObstoreBucket(other))

        assert await files.exists(other.address("room/there.ogg")) is None

    async def test_a_bucket_that_is_away_says_nothing(
        self, directory: Path, bucket: Bucket
    ) -> None:
        """And those who want to look for many objects do not wait for each of them."""
        away = replace(bucket, endpoint=f"http://{LOOPBACK}:{free_port()}")
        files = ObstoreFiles(directory, ObstoreBucket(away))

        looks = (files.exists(away.address(f"room/{number}.ogg")) for number in range(1000))
        assert set(await asyncio.gather(*looks)) == {None}
        assert await files.where("room/here.ogg") == "room/here.ogg"
        with pytest.raises(StorageFailed):
            async with files.at_hand([away.address("room/there.ogg")]):
                pass

    async def test_without_a_bucket_addresses_say_nothing(self, directory: Path) -> None:
        """They are somebody else's storage."""
        files = LocalFiles(directory)

        assert await files.exists("https://s3.amazonaws.com/calls/a.ogg") is None
        assert await files.exists(str(directory)) is False
        assert await files.exists(files.path("room/empty.ogg")) is False
        assert await files.where("room/here.ogg") == "room/here.ogg"


@asynccontextmanager
async def something_else(answer: bytes) -> AsyncIterator[str]:
    """A server that answers everything with this."""

    class Answering(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(answer)
            self.transport.close()

    server = await asyncio.get_running_loop().create_server(Answering, LOOPBACK, 0)
    async with server:
        yield f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"


class TestProbe:
    """`Storage` of the checks."""

    async def test_an_object_is_written_read_and_deleted(self, bucket: Bucket, storage: S3) -> None:
        """Nothing of it stays."""
        before = storage.objects(NAME).keys()

        assert await ObstoreProbe(bucket).write() == f"{storage.url}/{NAME}/"
        assert storage.objects(NAME).keys() == before

    @pytest.mark.parametrize(("how", "trouble", "why"), WRONG)
    async def test_what_is_wrong_with_the_settings_is_told(
        self, bucket: Bucket, how: dict[str, str], trouble: Trouble, why: str
    ) -> None:
        """In the words of the storage, with what to set; never with the secret."""
        with pytest.raises(CheckFailed) as failed:
            await ObstoreProbe(replace(bucket, **how)).write()

        assert failed.value.trouble is trouble
        assert why in str(failed.value) or trouble is Trouble.BUCKET_MISSING
        assert "EGRESS_MANAGER_S3" in failed.value.remedy
        assert replace(bucket, **how).secret not in str(failed.value) + failed.value.remedy
        assert "\n" not in str(failed.value)

    async def test_a_storage_that_is_away_is_told(self, bucket: Bucket) -> None:
        """Before a recording is lost to it."""
        away = f"http://{LOOPBACK}:{free_port()}"

        with pytest.raises(CheckFailed) as failed:
            await ObstoreProbe(replace(bucket, endpoint=away)).write()

        assert failed.value.trouble is Trouble.BUCKET_AWAY
        assert away in str(failed.value)

    async def test_what_is_no_storage_is_told(self, bucket: Bucket) -> None:
        """A web server, for instance."""
        async with something_else(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi") as url:
            with pytest.raises(CheckFailed) as failed:
                await ObstoreProbe(replace(bucket, endpoint=url)).write()

        assert failed.value.trouble is Trouble.BUCKET_FAILED
