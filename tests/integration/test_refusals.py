"""Settings that nobody can work with, and servers that are away: a sentence, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.ports import free_port

ROOT = Path(__file__).parents[2]
#: A start that goes wrong is over soon. Seconds.
TIMEOUT = 60.0
UVICORN = ["-m", "uvicorn", "egress_manager.app:app", "--host", "127.0.0.1"]
COMMAND = ["-c", "from egress_manager.cli import main; main()"]


def run(tmp_path: Path, arguments: list[str], **settings: str) -> subprocess.CompletedProcess[str]:
    """A process of ours with these settings and three that are good; it ends by itself."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "LIVEKIT_URL": "ws://127.0.0.1:9",
        "LIVEKIT_API_KEY": "devkey",
        "LIVEKIT_API_SECRET": "a secret of thirty-two characters",
        "RECORDINGS_DIR": str(tmp_path / "recordings"),
        **settings,
    }
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://h:99999/",
        "mongodb://me:p@ss@h/",
        "mongodb://h/?tls=true&tlsCAFile=/nowhere/ca.pem",
        "mongodb://h/?tlsInsecure=true&tlsAllowInvalidCertificates=true",
        "mongodb://",
        "mongodb+srv://a:1/",
    ],
)
@pytest.mark.parametrize("is_service", [True, False], ids=["service", "command"])
def test_a_mongodb_uri_that_nobody_can_read(tmp_path: Path, uri: str, *, is_service: bool) -> None:
    """The setting is named; its value is not repeated."""
    what = [*UVICORN, "--port", str(free_port())] if is_service else [*COMMAND, "audit", "show"]
    ended = run(tmp_path, what, MONGO_URI=uri)

    said = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert "MONGO_URI can't be used" in said
    assert "Traceback" not in said
    assert "p@ss" not in said


def test_a_directory_that_cannot_be_made_for_our_own_mongod(tmp_path: Path) -> None:
    """It is named, with what is wrong."""
    (tmp_path / "file").touch()
    directory = tmp_path / "file" / "recordings"
    ended = run(tmp_path, [*UVICORN, "--port", str(free_port())], RECORDINGS_DIR=str(directory))

    said = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert str(directory) in said
    assert "Traceback" not in said


def test_a_command_says_where_mongodb_was_looked_for(tmp_path: Path) -> None:
    """And what is wrong, in words, without the password."""
    port = free_port()
    uri = f"mongodb://me:hunter2@127.0.0.1:{port}/?directConnection=true"
    ended = run(tmp_path, [*COMMAND, "audit", "show"], MONGO_URI=uri)

    assert ended.returncode == 1
    assert "MongoDB does not answer" in ended.stderr
    assert f"MONGO_URI names 127.0.0.1:{port}" in ended.stderr
    assert "hunter2" not in ended.stderr
    assert "Traceback" not in ended.stderr
