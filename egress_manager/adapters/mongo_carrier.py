"""Captures carried from place to place through MongoDB's GridFS (port `Carrier`).

The store is what all hosts share, whatever else they have; and a capture is small: half a megabyte
for a minute of two voices.
"""

import asyncio
import hashlib
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

from gridfs import AsyncGridFSBucket
from gridfs.errors import GridFSError

from egress_manager.adapters.mongo_client import Database, Document
from egress_manager.adapters.mongo_codes import Codes
from egress_manager.adapters.translating import translating
from egress_manager.domain.provenance import MAC, Purpose
from egress_manager.errors import StorageFailed

#: The bucket's collections: `carried.files`, `carried.chunks`.
BUCKET: Final = "carried"
#: What refusals of captures are called.
NOUN: Final = "carried captures that the service did not send"
#: Written last: all of a capture is there. No file of a capture has this name. It
#: has the code, which covers what is in all of them.
WHOLE: Final = ".whole"
#: Where a capture is put together, beside the captures, until all of it has come.
COMING: Final = ".coming"


class MongoCarrier:
    """Captures below `directory`, here and wherever else one of these works.

    One that is not what a process with our key sent is not taken, and stays where it is.
    """

    def __init__(self, database: Database, directory: Path, codes: Codes | None = None) -> None:
        self._codes = codes or Codes()
        self._database = database
        self._directory = directory

    async def send(self, capture_id: str) -> None:
        bucket = self._bucket()
        if await self._has(capture_id, WHOLE):
            return
        await self.forget(capture_id)  # what is left of a sending that was broken off
        sent: dict[str, str] = {}
        for path in await asyncio.to_thread(_files, self._directory / capture_id):
            try:
                with translating(), path.open("rb") as file:
                    hashed = _Hashed(file)
                    await bucket.upload_from_stream(f"{capture_id}/{path.name}", hashed)
                sent[path.name] = hashed.sha256
            except OSError as error:
                raise StorageFailed(f"{path.name} can't be read: {error.strerror}") from error
        code = self._codes.code(Purpose.CARRIED, _said(capture_id, sent))
        metadata = {} if code is None else {MAC: code}
        with translating():
            await bucket.upload_from_stream(f"{capture_id}/{WHOLE}", b"", metadata=metadata)

    async def bring(self, capture_id: str) -> bool:
        target = self._directory / capture_id
        if target.exists():
            return True
        if not await self._has(capture_id, WHOLE):
            return False
        is_taken = False
        coming = await asyncio.to_thread(self._room)
        try:
            came = await self._download(capture_id, coming)
            is_taken = came is not None and await self._is_ours(capture_id, came)
            if is_taken:
                await asyncio.to_thread(coming.rename, target)
        except OSError as error:
            if not target.exists():  # else another process here was faster
                raise StorageFailed(f"a capture can't be kept: {error.strerror}") from error
        finally:
            await asyncio.to_thread(shutil.rmtree, coming, ignore_errors=True)
        if not is_taken and not target.exists():
            self._codes.refusals.note("capture_not_ours", NOUN, capture_id)
            return False
        return True

    async def forget(self, capture_id: str) -> None:
        bucket = self._bucket()
        with translating():
            found = await bucket.find({"filename": {"$regex": f"^{capture_id}/"}}).to_list()
            for file in found:
                await bucket.delete(file._id)

    async def _download(self, capture_id: str, into: Path) -> dict[str, str] | None:
        """Fetch the files; what each of them holds. None where GridFS finds one to be damaged."""
        came: dict[str, str] = {}
        bucket = self._bucket()
        with translating():
            found = await bucket.find({"filename": {"$regex": f"^{capture_id}/"}}).to_list()
            for file in found:
                name = Path(str(file.filename)).name
                if name != WHOLE:
                    with (into / name).open("wb") as copy:
                        hashed = _Hashed(copy)
                        try:
                            await bucket.download_to_stream(file._id, hashed)
                        except GridFSError:
                            return None
                    came[name] = hashed.sha256
        return came

    async def _is_ours(self, capture_id: str, came: Mapping[str, str]) -> bool:
        """Whether that, and nothing else, was sent by a process with our key."""
        files = self._database[f"{BUCKET}.files"]
        with translating():
            whole = await files.find_one({"filename": f"{capture_id}/{WHOLE}"}) or {}
        metadata = whole.get("metadata")
        told = metadata.get(MAC) if isinstance(metadata, dict) else None
        said = _said(capture_id, came)
        return self._codes.is_ours(Purpose.CARRIED, said, told, whole.get("uploadDate"))

    async def _has(self, capture_id: str, name: str) -> bool:
        files = self._database[f"{BUCKET}.files"]
        with translating():
            return await files.find_one({"filename": f"{capture_id}/{name}"}) is not None

    def _room(self) -> Path:
        coming = self._directory.parent / COMING
        try:
            coming.mkdir(parents=True, exist_ok=True)
            self._directory.mkdir(parents=True, exist_ok=True)
            room = coming / secrets.token_hex(8)
            room.mkdir()
            return room
        except OSError as error:
            raise StorageFailed(f"a capture can't be kept: {error.strerror}") from error

    def _bucket(self) -> AsyncGridFSBucket:
        return AsyncGridFSBucket(self._database, bucket_name=BUCKET)


class _Hashed:
    """A file, and the hash of what was read from it or written to it from its start to its end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def read(self, size: int = -1) -> bytes:
        read = self._file.read(size)
        self._hash.update(read)
        return read

    def write(self, written: bytes) -> int:
        self._hash.update(written)
        return self._file.write(written)


def _said(capture_id: str, files: Mapping[str, str]) -> Document:
    """What the code of a capture covers: its id, the names of its files, and what is in them."""
    return {"_id": capture_id, "files": dict(sorted(files.items()))}


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.is_file())
