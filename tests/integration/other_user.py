"""What another user of this host gets of our files and sockets."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Nobody's user and group on Debian, and on nearly every other Linux.
NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")

CONNECT = "socket.socket(socket.AF_UNIX).connect(sys.argv[2])"
READ = "open(sys.argv[2], 'rb').read(1)"
LIST = "os.listdir(sys.argv[2])"

#: Becomes the user, tries, and says the name of the error.
_TRY = """
import os, socket, sys
os.setgroups([])
os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
try:
    {attempt}
except Exception as error:
    print(type(error).__name__)
"""


def refused(attempt: str, path: Path, *, user: int = NOBODY) -> str:
    """The name of the error with which the user is refused; empty if it is not."""
    told = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _TRY.format(attempt=attempt), str(user), str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return told.stdout.strip()
