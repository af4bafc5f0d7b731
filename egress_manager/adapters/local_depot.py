"""Sound files that lie around on this host, and the recordings directory (port `Depot`)."""

import asyncio
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from egress_manager.adapters.local_shelf import LocalShelf
from egress_manager.domain.importing import Manifest, Stray, manifest_of
from egress_manager.domain.moves import Fingerprint
from egress_manager.errors import StorageFailed

#: What sound files are called; of a file that is named itself, the ending does not matter.
ENDINGS: Final = frozenset(
    f".{ending}"
    for ending in (
        *("3gp", "aac", "aif", "aiff", "amr", "asf", "au", "avi", "caf", "flac", "m4a", "m4b"),
        *("mka", "mkv", "mov", "mp3", "mp4", "mpga", "oga", "ogg", "ogv", "opus", "ts", "w64"),
        *("wav", "wave", "webm", "wma"),
    )
)

#: Manifests of LiveKit Egress are called by the job (livekit.md 2.6).
_MANIFESTS: Final = "EG_*.json"
#: They have a line for each file. Bytes.
_MANIFEST_AT_MOST: Final = 2**20


class LocalDepot(LocalShelf):
    """Files below any directory of this host, and names below one."""

    def find(self, paths: Iterable[str]) -> Sequence[Stray]:
        strays: dict[str, Stray] = {}
        manifests: dict[Path, dict[str, Manifest]] = {}
        for given in paths:
            for path, base in _files(Path(given)):
                if str(path) not in strays:
                    if path.parent not in manifests:
                        manifests[path.parent] = _manifests(path.parent)
                    manifest = manifests[path.parent].get(path.name)
                    strays[str(path)] = self._stray(path, base, manifest)
        return list(strays.values())

    def is_as_found(self, stray: Stray) -> bool:
        try:
            about = Path(stray.path).stat()
        except OSError:
            return False
        return (about.st_size, _written_at(about)) == (stray.size_bytes, stray.written_at)

    def home(self, path: str) -> str | None:
        try:
            below = Path(os.path.realpath(path)).relative_to(self.directory.resolve())
            str(below).encode()  # names that are not UTF-8 fit in no document
        except ValueError:
            return None
        home = self.path(str(below))
        return home if self.holds(home) else None

    async def copy(self, path: str, name: str, fingerprint: Fingerprint) -> None:
        part = self.directory / f".importing-{fingerprint.sha256[:20]}"
        try:
            await asyncio.to_thread(_copy, Path(path), part)
            await self.also_as(str(part), name, fingerprint)
        finally:
            part.unlink(missing_ok=True)

    def _stray(self, path: Path, base: Path, manifest: Manifest | None) -> Stray:
        """The file as it is now. Folders tell something from the recordings directory downwards."""
        home = self.directory.resolve()
        base = home if path.is_relative_to(home) else base
        depth = len(path.relative_to(base).parts)
        try:
            about = path.stat()
        except OSError as error:
            return Stray(str(path), trouble=f"it can't be read: {error.strerror}")
        trouble = _trouble_with(path, about)
        return Stray(str(path), depth, _written_at(about), about.st_size, manifest, trouble)


def _trouble_with(path: Path, about: os.stat_result) -> str:
    if path.is_dir():
        return "its files can't be listed"
    if not path.is_file():
        return "it is no file"
    return "" if about.st_size else "it is empty"


def _written_at(about: os.stat_result) -> datetime:
    return datetime.fromtimestamp(about.st_mtime, UTC)


def _files(given: Path) -> Iterator[tuple[Path, Path]]:
    """Every sound file that a name stands for, and the folder in which it was looked for."""
    path = Path(os.path.realpath(given))
    if not path.is_dir():
        yield path, path.parent
        return
    unread: list[str] = []
    for folder, folders, names in os.walk(path, onerror=lambda e: unread.append(str(e.filename))):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            is_sound = file.suffix.lower() in ENDINGS and not name.startswith(".")
            if is_sound and not file.is_symlink():
                yield file, path
    yield from ((Path(folder), path) for folder in unread)


def _manifests(folder: Path) -> dict[str, Manifest]:
    """The manifests in a folder, by the names of the files that they tell of."""
    found: dict[str, Manifest] = {}
    for path in sorted(folder.glob(_MANIFESTS)):
        try:
            with path.open("rb") as file:
                manifest = manifest_of(file.read(_MANIFEST_AT_MOST))
        except OSError:
            continue
        if manifest is not None:
            found |= dict.fromkeys(manifest.files, manifest)
    return found


def _copy(path: Path, part: Path) -> None:
    """A copy on the disk, with the time at which the file was written, and not its rights.

    Raises `StorageFailed`.
    """
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)  # of a run that was killed: it may be the finished file's twin
        shutil.copyfile(path, part)
        written = path.stat()
        os.utime(part, ns=(written.st_atime_ns, written.st_mtime_ns))
        with part.open("rb") as file:
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageFailed(f"it can't be copied to {part.parent}: {error.strerror}") from error
