"""The recordings directory, written to as recorders do; owner and mode are told (`Disk`)."""

import errno
import grp
import os
import pwd
import secrets
import shutil
import stat
from pathlib import Path
from typing import Final

from egress_manager.domain import captures
from egress_manager.domain.checks import Folder
from egress_manager.domain.troubles import CheckFailed, Trouble

_TROUBLES: Final = {
    errno.EACCES: Trouble.FOLDER_DENIED,
    errno.EPERM: Trouble.FOLDER_DENIED,
    errno.EROFS: Trouble.FOLDER_READ_ONLY,
    errno.ENOTDIR: Trouble.FOLDER_IS_A_FILE,
    errno.EEXIST: Trouble.FOLDER_IS_A_FILE,
    errno.ENOSPC: Trouble.DISK_FULL,
    errno.EDQUOT: Trouble.DISK_FULL,
}


class LocalProbe:
    """`Disk`: one directory of this host, and the captures' in it where that is there already."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self) -> Folder:
        folder = self._directory
        try:
            _write_and_remove(folder)
            usage = shutil.disk_usage(folder)
            folder = self._directory / captures.FOLDER
            if folder.exists():
                _write_and_remove(folder)
        except OSError as error:
            raise _trouble(folder, error) from error
        return Folder(str(self._directory), os.geteuid(), usage.free, usage.total)


def _write_and_remove(folder: Path) -> None:
    """As a finished file comes about: written, forced to the disk, renamed; then removed."""
    folder.mkdir(parents=True, exist_ok=True)
    first = folder / f".check-{secrets.token_hex(6)}"
    second = first.with_suffix(".renamed")
    try:
        with first.open("wb") as file:
            file.write(b"check")
            file.flush()
            os.fsync(file.fileno())
        first.rename(second)
    finally:
        for each in (first, second):
            each.unlink(missing_ok=True)


def _trouble(folder: Path, error: OSError) -> CheckFailed:
    trouble = _TROUBLES.get(error.errno or 0, Trouble.FOLDER_FAILED)
    there = _nearest(folder)
    about = there.stat()
    return CheckFailed(
        trouble,
        path=there if trouble is Trouble.FOLDER_DENIED else folder,
        uid=os.geteuid(),
        gid=os.getegid(),
        owner=_user(about.st_uid),
        group=_group(about.st_gid),
        mode=oct(stat.S_IMODE(about.st_mode))[2:],
        why=error.strerror or type(error).__name__,
        free="nothing",
        hours=0,
    )


def _nearest(path: Path) -> Path:
    """The path, or what of its parents there is."""
    return next(each for each in (path, *path.parents) if os.access(each, os.F_OK))


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
