"""A disk that fills up: a small filesystem in memory, for as long as a `with` block lasts.

with disk(megabytes=4) as path:
    recorder = start_recorder(directory=path)
"""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

_TIMEOUT = 10.0
_BLOCK = bytes(64 * 1024)


class NoDisk(Exception):
    """This machine does not let us mount a filesystem; the message is fit for a skipped test."""


@contextlib.contextmanager
def disk(megabytes: int) -> Iterator[Path]:
    """A directory with room for so much and no more; needs root (or CAP_SYS_ADMIN)."""
    with tempfile.TemporaryDirectory(prefix="lab-disk-") as directory:
        options = f"size={megabytes}m,mode=0700"
        _run("mount", "-t", "tmpfs", "-o", options, "lab-disk", directory)
        try:
            yield Path(directory)
        finally:
            # Lazily: somebody who died badly may still hold a file open.
            _run("umount", "--lazy", directory)


def fill(path: Path, leave_bytes: int = 0) -> Path:
    """Take all the space there is but `leave_bytes`; returns the file to delete to have it back."""
    ballast = path / "ballast"
    with ballast.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(_BLOCK):
                pass
        file.truncate(max(0, file.tell() - leave_bytes))
    return ballast


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT)
    except FileNotFoundError as missing:
        raise NoDisk(f"{command[0]} is not installed") from missing
    if done.returncode != 0:
        raise NoDisk(f"cannot {command[0]} a filesystem here: {done.stderr.strip()}")
