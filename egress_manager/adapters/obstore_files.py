"""The recordings directory, and a bucket that LiveKit Egress writes to beside it (port `Files`)."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Final

from egress_manager.adapters.local_files import LocalFiles
from egress_manager.adapters.obstore_bucket import ObstoreBucket
from egress_manager.errors import StorageFailed

#: Objects that are needed as files are brought here, below the recordings directory.
FETCHED: Final = ".fetched"
#: What lies there longer was left by a process that died. Seconds.
LEFT_BEHIND: Final = 3600.0
#: Names of files have at most 255 bytes.
_NAME: Final = 60


class ObstoreFiles(LocalFiles):
    """What has an address in the bucket is looked for there; everything else in the directory."""

    def __init__(self, directory: Path, objects: ObstoreBucket) -> None:
        super().__init__(directory)
        self._bucket = objects.bucket
        self._objects = objects

    def path(self, relative: str) -> str:
        """An object's address is one by which it can be asked for, whatever LiveKit makes of it."""
        key = self._bucket.key(relative)
        return super().path(relative) if key is None else self._bucket.address(key)

    async def exists(self, path: str) -> bool | None:
        if self._bucket.key(path) is None:
            return await super().exists(path)
        try:
            return await self._objects.about(path) is not None
        except StorageFailed:
            return None

    async def where(self, path: str) -> str | None:
        """The bucket comes first: it is there that LiveKit Egress was told to write to."""
        address = path if "://" in path else self._bucket.address(path)
        return address if await self.exists(address) else await super().where(path)

    @asynccontextmanager
    async def at_hand(self, paths: Sequence[str]) -> AsyncIterator[Mapping[str, str]]:
        keys = {path: key for path in paths if (key := self._bucket.key(path)) is not None}
        here = {path: f"{FETCHED}/{_name(key)}" for path, key in keys.items()}
        try:
            await asyncio.to_thread(self._clear)
            for path, name in here.items():
                await self._fetch(path, self.directory / name)
            yield here
        finally:
            for name in here.values():
                (self.directory / name).unlink(missing_ok=True)

    def _clear(self) -> None:
        """Remove what processes that died had fetched."""
        now = time.time()
        for path in (self.directory / FETCHED).glob("*"):
            with suppress(OSError):
                if now - path.stat().st_mtime > LEFT_BEHIND:
                    path.unlink()

    async def _fetch(self, address: str, path: Path) -> None:
        """Bring an object here, a part at a time; nothing where there is none."""
        stored = await self._objects.about(address)
        if stored is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                async for part in self._objects.read(stored, 0, stored.size_bytes):
                    await asyncio.to_thread(file.write, part)
        except OSError as error:
            raise StorageFailed(f"{path} can't be written: {error.strerror}") from error


def _name(key: str) -> str:
    """A name by which the file can be told, and that nobody else who needs the object gives it."""
    return f"{secrets.token_hex(6)}-{PurePosixPath(key).name[-_NAME:]}"
