"""The signing key in a file of this host (port `Signer`), and beside it what it signed last.

The first line of the file is the key, as Go's `sumdb/note` writes it. A line `made_at …` says when
it was made. Further keys are older ones: they sign nothing, and what they signed counts.
"""

import asyncio
import base64
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from egress_manager.domain import notes
from egress_manager.domain.notes import KEY_HASH_BYTES, checkpoint_of
from egress_manager.domain.provenance import document_key
from egress_manager.domain.seal import moment
from egress_manager.errors import SettingsWrong, StorageFailed

#: Where the key is unless the settings say otherwise, below the recordings directory. The API
#: serves nothing that is hidden.
DEFAULT: Final = ".signing/key"
#: What the note of the furthest checkpoint is called, after the name of the key's file.
CHECKPOINT: Final = ".checkpoint"
#: What begins the name of a key, and so of a log.
NAME: Final = "egress-manager"
#: Random bytes in the name.
_NAME_BYTES: Final = 8
#: What begins the line that says when the key was made.
_MADE_AT: Final = "made_at "
#: Whom files of the key belong to: nobody else reads them.
_PRIVATE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    seed: bytes
    key: Ed25519PrivateKey
    public: bytes

    @property
    def hash(self) -> bytes:
        return notes.key_hash(self.name, self.public)


class LocalSigningKey:
    """A key and those before it."""

    def __init__(self, path: Path, keys: tuple[_Key, ...], made_at: datetime) -> None:
        self._path = path
        self._checkpoint = path.parent / f"{path.name}{CHECKPOINT}"
        self._keys = keys
        self._made_at = made_at
        self._last_signed = ("", "")
        self._size = 0  # of the furthest checkpoint that was seen here

    @property
    def origins(self) -> tuple[str, ...]:
        return tuple(key.name for key in self._keys)

    @property
    def made_at(self) -> datetime:
        return self._made_at

    @property
    def path(self) -> Path:
        """Where the key is."""
        return self._path

    @property
    def verifier_key(self) -> str:
        """The public key, for whoever checks signatures."""
        return notes.verifier_key(self._keys[0].name, self._keys[0].public)

    @property
    def document_keys(self) -> tuple[bytes, ...]:
        """The keys of the codes of documents, the one to write with first."""
        return tuple(document_key(key.seed) for key in self._keys)

    def sign(self, text: str) -> str:
        key = self._keys[0]
        signature = base64.b64encode(key.hash + key.key.sign(text.encode())).decode()
        self._last_signed = (text, signature)
        return signature

    def holds(self, text: str, signature: str) -> bool:
        if (text, signature) == self._last_signed:  # the entry before the next one, mostly
            return True
        try:
            told = base64.b64decode(signature, validate=True)
        except ValueError:
            return False
        hashed, rest = told[:KEY_HASH_BYTES], told[KEY_HASH_BYTES:]
        for key in self._keys:
            if key.hash == hashed:
                with suppress(InvalidSignature):
                    key.key.public_key().verify(rest, text.encode())
                    return True
        return False

    async def noted(self) -> str:
        return await asyncio.to_thread(self._noted)

    async def note(self, size: int, note: str) -> None:
        await asyncio.to_thread(self._note, size, note)

    def _noted(self) -> str:
        try:
            told = self._checkpoint.read_text(encoding="utf-8")
            with suppress(ValueError):
                self._size = max(self._size, checkpoint_of(told)[0].size)
            return told
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as error:
            raise StorageFailed(f"{self._checkpoint} can't be read: {error}") from error

    def _note(self, size: int, note: str) -> None:
        """Whole or not at all. It is not forced to the disk: the chain may be further than it."""
        if size <= self._size:
            return
        own = self._checkpoint.with_name(f"{self._checkpoint.name}-{secrets.token_hex(4)}")
        try:
            with _alone_in(self._checkpoint.parent):
                self._noted()  # another process may have been further meanwhile
                if size <= self._size:
                    return
                _write_new(own, note)
                own.replace(self._checkpoint)
                self._size = size
        except OSError as error:
            name = error.filename or own
            raise StorageFailed(f"{name} can't be written: {error.strerror}") from error


def signing_key(path: Path) -> LocalSigningKey:
    """The key in that file, which is made where there is none. Raises `SettingsWrong`."""
    return known_signing_key(path) or _made(path)


def known_signing_key(path: Path) -> LocalSigningKey | None:
    """The key in that file; None where there is no file. Raises `SettingsWrong`."""
    try:
        return _key_of(path, path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsWrong(f"the signing key {path} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise SettingsWrong(f"the signing key {path} can't be used: {error}") from None


def passing_signing_key() -> LocalSigningKey:
    """A key that no file has: nothing was signed with it."""
    return LocalSigningKey(Path(), (_new(),), datetime.now(UTC))


def _new() -> _Key:
    return _key(f"{NAME}/{secrets.token_hex(_NAME_BYTES)}", secrets.token_bytes(32))


def _made(path: Path) -> LocalSigningKey:
    """A new key; of several processes that make one at once, the first one's counts."""
    key = _new()
    text = notes.signer_key(key.name, key.public, key.seed)
    own = path.with_name(f"{path.name}-{secrets.token_hex(4)}")
    try:
        new = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            _write_whole(path, own, f"{text}\n{_MADE_AT}{moment(datetime.now(UTC))}\n")
        for folder in (path.parent, *(folder.parent for folder in new)):
            _sync(folder)
    except OSError as error:
        raise SettingsWrong(
            f"no signing key can be made at {path}: {error.strerror}; "
            "let EGRESS_MANAGER_SIGNING_KEY name a file that can be written"
        ) from None
    known = known_signing_key(path)
    if known is None:
        raise SettingsWrong(f"the signing key {path} was removed as soon as it was made")
    return known


def _key_of(path: Path, text: str) -> LocalSigningKey:
    made_at: datetime | None = None
    keys: list[_Key] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith(_MADE_AT):
            made_at = made_at or datetime.fromisoformat(line.removeprefix(_MADE_AT))
        else:
            keys.append(_key(*notes.seed_of(line)))
    if not keys:
        raise ValueError("there is no key in it")
    if made_at is None or made_at.tzinfo is None:
        raise ValueError("it does not say when it was made")
    return LocalSigningKey(path, tuple(keys), made_at)


def _key(name: str, seed: bytes) -> _Key:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    return _Key(name, seed, key, key.public_key().public_bytes_raw())


def _write_whole(path: Path, own: Path, text: str) -> None:
    """The file is there with all that it says, or not; almost so on disks without hard links.

    Raises `FileExistsError` where there is one.
    """
    _write_new(own, text, is_synced=True)
    try:
        os.link(own, path)
    except FileExistsError:
        raise
    except OSError:
        _write_new(path, text, is_synced=True)
    finally:
        own.unlink()


def _sync(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """No other process is in here at once, on a disk that has locks of folders."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_new(path: Path, text: str, *, is_synced: bool = False) -> None:
    """A file that was not there, for its owner only."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        if is_synced:
            file.flush()
            os.fsync(file.fileno())
