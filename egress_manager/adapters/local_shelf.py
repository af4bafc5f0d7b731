"""Finished files of this host and their names (port `Shelf`): hard links, else verified copies."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from egress_manager.adapters.local_files import LocalFiles
from egress_manager.domain.moves import Fingerprint
from egress_manager.errors import Conflict, StorageFailed

#: A copy in the making has this ending, and a dot before its name.
_PART: Final = ".moving"


class LocalShelf(LocalFiles):
    """Names below one directory. Reading whole files is done in threads."""

    def holds(self, path: str) -> bool:
        below = self._below(path)
        if below is None or not below.parts or any(p.startswith(".") for p in below.parts):
            return False
        try:
            return not Path(path).is_symlink()
        except (OSError, ValueError):
            return False

    async def fingerprint(self, path: str) -> Fingerprint | None:
        return await asyncio.to_thread(_fingerprint, Path(path))

    async def also_as(self, path: str, name: str, fingerprint: Fingerprint) -> None:
        await asyncio.to_thread(_give_name, Path(path), Path(name), fingerprint)

    async def drop(self, path: str, fingerprint: Fingerprint) -> None:
        await asyncio.to_thread(self._drop, Path(path), fingerprint)

    def _drop(self, path: Path, fingerprint: Fingerprint) -> None:
        if _fingerprint(path) != fingerprint:
            return
        with _trouble(path):
            path.unlink(missing_ok=True)
            _sync(path.parent)
            self._tidy(path.parent)

    def _tidy(self, folder: Path) -> None:
        """Remove folders that are empty now, up to the recordings directory."""
        with contextlib.suppress(OSError):  # not empty, or somebody was faster
            while (below := self._below(str(folder))) is not None and below.parts:
                folder.rmdir()
                folder = folder.parent

    def _below(self, path: str) -> Path | None:
        """The path below the recordings directory, by either of its names."""
        given = Path(path)
        for directory in (self.directory, self.directory.resolve()):
            if given.is_relative_to(directory) and ".." not in given.parts and "\0" not in path:
                return given.relative_to(directory)
        return None


def _fingerprint(path: Path) -> Fingerprint | None:
    with _trouble(path):
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
                return Fingerprint(digest.hexdigest(), file.tell())
        except FileNotFoundError:
            return None


def _give_name(path: Path, name: Path, fingerprint: Fingerprint) -> None:
    part = name.with_name(f".{name.name}{_PART}")
    with _trouble(name):
        part.unlink(missing_ok=True)  # of a copy that was killed
        there = _fingerprint(name)
        if there is None:
            _make_folder(name.parent)
            _link(path, name, part, fingerprint)
        elif there != fingerprint:
            raise Conflict(f"{name} is there already, and is something else")
        _close(name)
        _sync(name.parent)
    if _fingerprint(name) != fingerprint:
        raise StorageFailed(f"{name} does not hold what {path} did: somebody is writing to it")


def _link(path: Path, name: Path, part: Path, fingerprint: Fingerprint) -> None:
    """A second name for the same file; where that can't be, for a copy of it."""
    try:
        os.link(path, name, follow_symlinks=False)
    except FileExistsError:
        raise Conflict(f"{name} was made by somebody just now") from None
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or somebody else's file
        _copy(path, part, fingerprint)
        os.link(part, name)
        part.unlink()


def _close(name: Path) -> None:
    """No more rights to the file than there are to its folder: it may come from where all read."""
    rights = stat.S_IMODE(name.parent.stat().st_mode) | stat.S_IRUSR | stat.S_IWUSR
    now = stat.S_IMODE(name.stat().st_mode)
    if now & ~rights:
        with contextlib.suppress(PermissionError):  # somebody else's file
            name.chmod(now & rights)


def _copy(path: Path, part: Path, fingerprint: Fingerprint) -> None:
    """A copy that is whole, on the disk and the same; or none."""
    try:
        shutil.copyfile(path, part, follow_symlinks=False)
        written = path.stat()
        os.utime(part, ns=(written.st_atime_ns, written.st_mtime_ns))
        with part.open("rb") as file:
            os.fsync(file.fileno())
        if _fingerprint(part) != fingerprint:
            raise StorageFailed(f"the copy of {path} is not the same: somebody is writing to it")
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _make_folder(folder: Path) -> None:
    """The folder, and those above it, on the disk."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _trouble(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFailed(f"{path}: {error.strerror}") from error
