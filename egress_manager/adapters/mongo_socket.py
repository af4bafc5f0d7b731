"""Where the mongod of our own is reached: a unix socket in a directory that only its owner enters.

It asks nobody for a password, so nobody else may reach it: there is no TCP port, and the directory
has the mode 0700. It is the folder of the database, unless that name is too long for a socket; then
it is a directory with a random name, and the folder's file `socket` says where.
"""

import asyncio
import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import quote

from egress_manager.errors import StorageFailed

NAME: Final = "mongod.sock"

#: The longest name that every kernel takes for a socket (Linux takes 107), in bytes.
LONGEST: Final = 103

#: Connecting takes no longer where anybody listens. Seconds.
CONNECT_TIMEOUT: Final = 2.0

_RECORD: Final = "socket"
_OWNER_ONLY: Final = 0o700


def uri_of(socket: Path) -> str:
    """For clients of this machine, and of the user that runs us."""
    return f"mongodb://{quote(str(socket), safe='')}/?directConnection=true"


def recorded(folder: Path) -> Path | None:
    """Where the socket is; None while nobody has said so."""
    try:
        return Path((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def choose(folder: Path) -> Path:
    """Where a mongod that is started is to listen; recorded for others. Raises `StorageFailed`.

    What was recorded before stays, if its directory can still be trusted: clients know it.
    """
    socket = folder / NAME
    try:
        if not _fits(socket):
            known = recorded(folder)
            socket = known if known is not None and _is_ours_alone(known.parent) else _elsewhere()
        (folder / _RECORD).write_text(str(socket), encoding="utf-8")
    except OSError as error:
        raise StorageFailed(f"{folder} can't be written: {error.strerror}") from error
    return socket


def close_to_others(folder: Path) -> None:
    """Make the folder, or take the rights of others from one of an older version."""
    folder.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
    folder.chmod(_OWNER_ONLY)


def make_again(socket: Path) -> None:
    """Have the socket's directory under the same name: what tidies up may have removed it.

    Raises `StorageFailed` where somebody else has the name now.
    """
    with contextlib.suppress(OSError):
        socket.parent.mkdir(mode=_OWNER_ONLY)
    if not _is_ours_alone(socket.parent):
        raise StorageFailed(f"{socket.parent} is not there, not ours, or open to others")


async def is_listening(socket: Path | None) -> bool:
    """Whether anybody accepts connections there."""
    if socket is None:
        return False
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, writer = await asyncio.open_unix_connection(socket)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _elsewhere() -> Path:
    """A new directory with a short name. Raises `StorageFailed` where there is no place for it."""
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):
        if not base or not os.access(base, os.W_OK | os.X_OK):
            continue
        directory = Path(tempfile.mkdtemp(prefix="egm-", dir=base))  # with the mode 0700
        if _fits(directory / NAME):
            return directory / NAME
        directory.rmdir()
    raise StorageFailed("no directory for temporary files has a name short enough for a socket")


def _fits(socket: Path) -> bool:
    return len(os.fsencode(socket)) <= LONGEST


def _is_ours_alone(directory: Path) -> bool:
    """Whether it is a directory of this user that nobody else can enter."""
    try:
        found = directory.lstat()
    except OSError:
        return False
    is_private = not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and is_private
