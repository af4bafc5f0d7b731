"""The recordings directory (port `Files`), and whether it can be written."""

import asyncio
import glob
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from egress_manager.errors import StorageFailed


class LocalFiles:
    """Paths below one directory of this host."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, relative: str) -> str:
        return relative if "://" in relative else str(self.directory / relative)

    async def exists(self, path: str) -> bool | None:
        return None if "://" in path else await asyncio.to_thread(_has_content, Path(path))

    async def where(self, path: str) -> str | None:
        return path if await self.exists(self.path(path)) else None

    @asynccontextmanager
    async def at_hand(self, paths: Sequence[str]) -> AsyncIterator[Mapping[str, str]]:
        yield {}

    async def discard(self, relative: str) -> None:
        try:
            await asyncio.to_thread((self.directory / relative).unlink, missing_ok=True)
        except OSError as error:
            raise StorageFailed(f"{relative} can't be removed: {error.strerror}") from error

    async def tidy(self, stem: str) -> None:
        await asyncio.to_thread(self._tidy, self.directory / stem)

    def _tidy(self, stem: Path) -> None:
        """Only hidden files that were begun, and only empty folders, below the directory."""
        folders = itertools.takewhile(lambda each: each != self.directory, stem.parents)
        name = glob.escape(stem.name).replace("{track_id}", "*")
        with suppress(OSError):
            for begun in stem.parent.glob(f".{name}.*part"):
                begun.unlink()
            for folder in folders:
                folder.rmdir()

    def check(self) -> str:
        """How much room there is. Raises `StorageFailed` where nothing can be written."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.directory) as file:
                file.write(b"probe")
                file.flush()
                os.fsync(file.fileno())
            free = shutil.disk_usage(self.directory).free
        except OSError as error:
            raise StorageFailed(f"{self.directory} can't be written: {error.strerror}") from error
        return f"{free // 1_000_000} MB free"


def _has_content(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size > 0
    except (OSError, ValueError):
        return False
