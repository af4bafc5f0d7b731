"""Captures carried from place to place through MongoDB's GridFS (port `Carrier`).

The store is what all hosts share, whatever else they have; and a capture is small: half a megabyte
for a minute of two voices.
"""

import asyncio
import secrets
import shutil
from pathlib import Path
from typing import Final

from gridfs import AsyncGridFSBucket

from egress_manager.adapters.mongo_client import Database
from egress_manager.adapters.translating import translating
from egress_manager.errors import StorageFailed

#: The bucket's collections: `carried.files`, `carried.chunks`.
BUCKET: Final = "carried"
#: Written last: all of a capture is there. No file of a capture has this name.
WHOLE: Final = ".whole"
#: Where a capture is put together, beside the captures, until all of it has come.
COMING: Final = ".coming"


class MongoCarrier:
    """Captures below `directory`, here and wherever else one of these works."""

    def __init__(self, database: Database, directory: Path) -> None:
        self._database = database
        self._directory = directory

    async def send(self, capture_id: str) -> None:
        bucket = self._bucket()
        if await self._has(capture_id, WHOLE):
            return
        await self.forget(capture_id)  # what is left of a sending that was broken off
        for path in await asyncio.to_thread(_files, self._directory / capture_id):
            try:
                with translating(), path.open("rb") as file:
                    await bucket.upload_from_stream(f"{capture_id}/{path.name}", file)
            except OSError as error:
                raise StorageFailed(f"{path.name} can't be read: {error.strerror}") from error
        with translating():
            await bucket.upload_from_stream(f"{capture_id}/{WHOLE}", b"")

    async def bring(self, capture_id: str) -> bool:
        target = self._directory / capture_id
        if target.exists():
            return True
        if not await self._has(capture_id, WHOLE):
            return False
        coming = await asyncio.to_thread(self._room)
        try:
            await self._download(capture_id, coming)
            await asyncio.to_thread(coming.rename, target)
        except OSError as error:
            if not target.exists():  # else another process here was faster
                raise StorageFailed(f"a capture can't be kept: {error.strerror}") from error
        finally:
            await asyncio.to_thread(shutil.rmtree, coming, ignore_errors=True)
        return True

    async def forget(self, capture_id: str) -> None:
        bucket = self._bucket()
        with translating():
            found = await bucket.find({"filename": {"$regex": f"^{capture_id}/"}}).to_list()
            for file in found:
                await bucket.delete(file._id)

    async def _download(self, capture_id: str, into: Path) -> None:
        bucket = self._bucket()
        with translating():
            found = await bucket.find({"filename": {"$regex": f"^{capture_id}/"}}).to_list()
            for file in found:
                name = Path(str(file.filename)).name
                if name != WHOLE:
                    with (into / name).open("wb") as copy:
                        await bucket.download_to_stream(file._id, copy)

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


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.is_file())
