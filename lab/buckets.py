"""An S3 store with buckets of its own: versitygw, which checks signatures as strictly as AWS.

async with S3("calls") as s3:
    ...
    files = s3.objects("calls")
"""

import functools
import shutil
import subprocess
from pathlib import Path

import httpx2

from lab import discretion, programs
from lab.ports import LOOPBACK, free_port
from lab.processes import Server
from lab.web import NO_TLS

#: A machine without Go gets one first.
_BUILD_TIMEOUT = 1200.0
_ASK_TIMEOUT = 2.0
#: Where versitygw keeps what is not complete yet.
_UNFINISHED = ".sgwtmp"


@functools.cache
def versitygw() -> Path:
    """The versitygw on PATH, else ours, built when there is none."""
    if found := shutil.which("versitygw"):
        return Path(found)
    setup = [str(programs.ROOT / "scripts" / "setup"), "s3"]
    built = subprocess.run(setup, capture_output=True, text=True, timeout=_BUILD_TIMEOUT)
    if built.returncode:
        raise programs.ProgramMissing(f"versitygw: {built.stderr}")
    return programs.TOOLS / "versitygw"


class S3(Server):
    """An S3-compatible store that keeps objects as files; reached with path-style addresses."""

    name = "versitygw"
    access_key = "lab-access-key"
    secret_key = "lab-secret-key-lab-secret-key"
    region = "us-east-1"

    def __init__(self, *buckets: str) -> None:
        super().__init__()
        discretion.secret(self.secret_key)
        self.port = free_port()
        # A folder is a bucket; neither path may be the beginning of the other.
        self._data, self._about = self.directory / "data", self.directory / "about"
        self._about.mkdir()
        for bucket in buckets:
            (self._data / bucket).mkdir(parents=True)

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://{LOOPBACK}:{self.port}"

    def objects(self, bucket: str) -> dict[str, Path]:
        """The files of a bucket's objects, by key."""
        folder = self._data / bucket
        files = (file for file in folder.rglob("*") if file.is_file())
        keys = {file.relative_to(folder).as_posix(): file for file in files}
        return {key: file for key, file in keys.items() if not key.startswith(_UNFINISHED)}

    def command(self) -> list[str]:
        address = ["--port", f"{LOOPBACK}:{self.port}"]
        folders = ["posix", "--sidecar", str(self._about), str(self._data)]
        return [str(versitygw()), *address, *folders]

    def environment(self) -> dict[str, str]:
        return {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key}

    async def answers(self) -> bool:
        try:
            async with httpx2.AsyncClient(verify=NO_TLS, timeout=_ASK_TIMEOUT) as client:
                await client.get(self.url)
        except httpx2.TransportError:
            return False
        return True
