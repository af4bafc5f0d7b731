"""Sidecars on this host's disk (port `Sidecars`): JSON for people and programs, a file each.

A sidecar is written under a temporary name and gets its own when it is on the disk. What is no
sidecar of the same document keeps its name, and the sidecar lies by its id then. Each has a
signature of all that is in it.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from egress_manager.adapters.local_shelf import LocalShelf
from egress_manager.adapters.local_signing_key import LocalSigningKey
from egress_manager.adapters.mongo_documents import document_of, value_of
from egress_manager.domain.calls import Call
from egress_manager.domain.moves import Fingerprint
from egress_manager.domain.provenance import Provenance
from egress_manager.domain.recordings import Recording
from egress_manager.domain.seal import Facts, moment
from egress_manager.domain.sidecars import (
    DOWNLOADS,
    DOWNLOADS_ENDING,
    ENDING,
    FOLDER,
    Lying,
    Sidecar,
    Unreadable,
    beside,
    by_id,
)
from egress_manager.errors import StorageFailed

#: The version of the format, under the name by which a sidecar is known from other JSON.
_MARK: Final = "egress_manager_sidecar"
_VERSION: Final = 1
#: The name of its signature in it.
_SIGNATURE: Final = "signature"
#: A sidecar of a day's call with a hole each second is smaller. Bytes.
_AT_MOST: Final = 64 * 2**20
#: So much of a file is hashed at once; who is told to end does so in between. Bytes.
_BLOCK: Final = 4 * 2**20


class LocalSidecars(LocalShelf):
    """Sidecars below the recordings directory; without a signer nobody looks at signatures."""

    def __init__(self, directory: Path, signer: LocalSigningKey | None = None) -> None:
        super().__init__(directory)
        self._signer = signer

    async def fingerprint(self, path: str) -> Fingerprint | None:
        try:
            file = await asyncio.to_thread(_opened, Path(path))
            if file is None:
                return None
            with file:
                digest = hashlib.sha256()
                while await asyncio.to_thread(_hash_more, file, digest):
                    pass
                return Fingerprint(digest.hexdigest(), file.tell())
        except OSError as error:
            raise StorageFailed(f"{path} can't be read: {error.strerror}") from error

    async def put(self, sidecar: Sidecar, filepath: str | None, was: Collection[str] = ()) -> None:
        await asyncio.to_thread(self._put, sidecar, filepath, was)

    async def about(self, subject: str, filepath: str | None) -> Sidecar | None:
        places = self._places(subject, filepath)
        return await asyncio.to_thread(lambda: next(_about(subject, places, self._signer), None))

    async def add_download(self, entry: Facts) -> None:
        await asyncio.to_thread(self._add_download, entry)

    async def downloads(self) -> AsyncIterator[Facts]:
        folder = self.directory / FOLDER / DOWNLOADS
        paths = await asyncio.to_thread(lambda: sorted(folder.glob(f"*{DOWNLOADS_ENDING}")))
        for path in paths:
            for entry in await asyncio.to_thread(_entries_in, path):
                yield entry

    async def every(self) -> AsyncIterator[Lying | Unreadable]:
        paths = await asyncio.to_thread(lambda: list(_files(self.directory)))
        for path in paths:
            found = await asyncio.to_thread(_read, path, self._signer)
            if isinstance(found, Sidecar):
                yield Lying(str(path), found)
            elif found:
                yield Unreadable(str(path), found)

    def _places(self, subject: str, filepath: str | None) -> list[Path]:
        """Where the sidecar of a document can lie, the best place first."""
        name = beside(filepath) if filepath and self.holds(filepath) else None
        return [*([Path(name)] if name else []), self.directory / by_id(subject)]

    def _put(self, sidecar: Sidecar, filepath: str | None, was: Collection[str]) -> None:
        places = self._places(sidecar.subject, filepath)
        if len(places) > 1 and not Path(filepath or "").is_file():
            places = places[1:]
        try:
            home = next(place for place in places if _may_lie(sidecar.subject, place))
            home.parent.mkdir(parents=True, exist_ok=True)
            _write(home, text_of(sidecar, self._signer))
            for old in (filepath, *was):
                for place in self._places(sidecar.subject, old):
                    self._forget(sidecar.subject, place, home)
        except StopIteration:
            raise StorageFailed(f"{places[-1]} is something else: move it away") from None
        except OSError as error:
            name = error.filename or self.directory
            raise StorageFailed(f"{name} can't be written: {error.strerror}") from error

    def _forget(self, subject: str, place: Path, home: Path) -> None:
        """Remove the sidecar that lay there before, and its folder if that is empty now."""
        if place != home and any(_about(subject, [place])):
            place.unlink(missing_ok=True)
            self._tidy(place.parent)

    def _add_download(self, entry: Facts) -> None:
        """A line of a month's file: written at once, so that lines of several do not mix."""
        month = str(entry["at"])[: len("2026-11")]
        path = self.directory / FOLDER / DOWNLOADS / f"{month}{DOWNLOADS_ENDING}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab", buffering=0) as file:
                file.write(b"\n" + json.dumps(entry).encode() + b"\n")  # one before may be cut off
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageFailed(f"{path} can't be written: {error.strerror}") from error


def _opened(path: Path) -> BinaryIO | None:
    """The file, all of it on the disk; None where there is none."""
    try:
        if not path.is_file():
            return None
        file = path.open("rb")
    except (FileNotFoundError, ValueError):
        return None
    os.fsync(file.fileno())
    return file


def _hash_more(file: BinaryIO, digest: Any) -> int:
    block = file.read(_BLOCK)
    digest.update(block)
    return len(block)


def _files(directory: Path) -> Iterator[Path]:
    """Every file that can be a sidecar; of hidden folders, in that of sidecars only."""
    for folder, folders, names in os.walk(directory):
        is_top = Path(folder) == directory
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") or (is_top and name == FOLDER)
        )
        for name in sorted(names):
            if name.endswith(ENDING) and not name.startswith("."):
                yield Path(folder, name)


def _may_lie(subject: str, place: Path) -> bool:
    """Whether nothing else lies there."""
    return not os.path.lexists(place) or any(_about(subject, [place]))


def _about(
    subject: str, places: list[Path], signer: LocalSigningKey | None = None
) -> Iterator[Sidecar]:
    for place in places:
        found = _read(place, signer)
        if isinstance(found, Sidecar) and found.subject == subject:
            yield found


def _entries_in(path: Path) -> list[Facts]:
    """Entries, a line each; what is none is passed over, as a last line that was cut off."""
    entries: list[Facts] = []
    for line in path.read_bytes().splitlines():
        with suppress(ValueError, RecursionError):
            told = json.loads(line)
            if isinstance(told, dict) and type(told.get("number")) is int:
                entries.append(told)
    return entries


def _read(path: Path, signer: LocalSigningKey | None = None) -> Sidecar | str:
    """The sidecar; else why it can't be read, in words, which are empty where it is none."""
    try:
        if not path.is_file():
            return ""
        if path.stat().st_size > _AT_MOST:
            return f"it is longer than {_AT_MOST} bytes"
        told = json.loads(path.read_bytes())
        if not isinstance(told, dict) or _MARK not in told:
            return ""
        return replace(sidecar_of(told), provenance=_provenance(told, signer))
    except OSError as error:
        return str(error.strerror)
    except (ValueError, RecursionError):
        return "it is no JSON"
    except (TypeError, KeyError, AttributeError):
        return "it lacks what a sidecar has"


def sidecar_of(told: Mapping[str, Any]) -> Sidecar:
    """The sidecar that was told. Raises `TypeError`, `KeyError`, `ValueError`, `AttributeError`."""
    entries = tuple(told["entries"])
    if not all(isinstance(entry, dict) and type(entry["number"]) is int for entry in entries):
        raise TypeError("an entry without a number")
    recording, call = told["recording"], told["call"]
    return Sidecar(
        str(told["subject"]),
        entries,
        value_of(Recording, recording) if recording else None,
        value_of(Call, call) if call else None,
    )


def _provenance(told: Mapping[str, Any], signer: LocalSigningKey | None) -> Provenance:
    """Who wrote it, as far as its signature shows."""
    signature = told.get(_SIGNATURE)
    if signer is None:
        return Provenance.SIGNED if signature is None else Provenance.UNKNOWN
    if signature is None:
        return Provenance.UNSIGNED
    is_ours = isinstance(signature, str) and signer.holds(_signed_text(told), signature)
    return Provenance.SIGNED if is_ours else Provenance.FOREIGN


def _signed_text(told: Mapping[str, Any]) -> str:
    """What is signed: all of it but the signature, as it is laid out here."""
    rest = {name: value for name, value in told.items() if name != _SIGNATURE}
    return json.dumps(rest, indent=1, ensure_ascii=False, default=_plain)


def text_of(sidecar: Sidecar, signer: LocalSigningKey | None = None) -> bytes:
    """A sidecar as it lies on the disk, signed by who can."""
    told = {
        _MARK: _VERSION,
        "subject": sidecar.subject,
        "recording": document_of(sidecar.recording) if sidecar.recording else None,
        "call": document_of(sidecar.call) if sidecar.call else None,
        "entries": sidecar.entries,
    }
    text = _signed_text(told)
    if signer is not None:  # as the last member of the object
        text = f'{text.removesuffix("}").rstrip()},\n "{_SIGNATURE}": "{signer.sign(text)}"\n}}'
    return f"{text}\n".encode()


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return moment(value)
    raise TypeError(f"{type(value).__name__} in a document")


def _write(path: Path, text: bytes) -> None:
    """Have the file whole on the disk, in the place of the one before."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    for folder in (path.parent, path.parent.parent):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
