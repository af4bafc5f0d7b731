"""Steps 3 to 5 of the user's own checklist, to the letter, in a fresh checkout and environment."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from pymongo import AsyncMongoClient

from lab.ports import LOOPBACK, free_port
from lab.processes import Server
from lab.programs import ROOT
from lab.servers import API_KEY, API_SECRET, LiveKit, Mongod
from lab.web import NO_TLS

#: What the checklist has one type before the values are filled in, and after that.
INSTALL = "cd egress_manager && cp .env.example .env && pip install -r requirements.txt"
SERVE = "cd egress_manager && exec uvicorn egress_manager.app:app --host 127.0.0.1 --port {port}"

INSTALL_TIMEOUT = 600.0
ASK_TIMEOUT = 10.0
STATUS_TIMEOUT = 20.0
KEY = "a-key-of-the-checklist"

#: The payloads as the user's document has them, but for the ids.
PARTICIPANT_JOINED = {
    "event": "participant_joined",
    "room": {"name": "friday-assistant-room", "sid": "RM_..."},
    "participant": {
        "identity": "sip_1001",
        "sid": "PA_...",
        "name": "+911234567890",
        "metadata": {"phone": "+911234567890"},
    },
}
FILEPATH = "/recordings/friday-assistant-room-sip_1001-2025-10-17T06-15-13.mp4"


def egress_completed(egress_id: str) -> dict[str, Any]:
    """The user's own event, which no version of LiveKit sends."""
    return {
        "event": "egress_completed",
        "info": {
            "egress_id": egress_id,
            "room_name": "friday-assistant-room",
            "outputs": [{"filepath": FILEPATH}],
            "duration_seconds": 32,
        },
    }


class Checkout(Server):
    """What a new user has: the files of the repository, an empty environment, and a terminal."""

    name = "checkout"

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._venv = self.directory / "environment"

    def prepare(self, values: Mapping[str, str]) -> None:
        """Copy the repository, install, and fill in the settings."""
        _copy_repository(self.directory / "checkout")
        subprocess.run(
            [sys.executable, "-m", "venv", str(self._venv)],
            check=True,
            timeout=INSTALL_TIMEOUT,
        )
        # pip needs what the machine says about package indexes and proxies; settings of ours
        # that may be set here must not help.
        subprocess.run(
            ["sh", "-c", INSTALL],
            cwd=self.directory / "checkout",
            env={**os.environ, "PATH": self._path, "PIP_QUIET": "1"},
            check=True,
            timeout=INSTALL_TIMEOUT,
        )
        _fill(self.directory / "checkout" / "egress_manager" / ".env", values)

    def command(self) -> list[str]:
        return ["sh", "-c", f"cd checkout && {SERVE.format(port=self.port)}"]

    def environment(self) -> dict[str, str]:
        return {"PATH": self._path}

    async def answers(self) -> bool:
        try:
            async with httpx2.AsyncClient(verify=NO_TLS, timeout=ASK_TIMEOUT) as client:
                return (await client.get(f"{self.url}/health")).status_code == 200
        except httpx2.HTTPError:
            return False

    async def tell(self, event: dict[str, Any]) -> dict[str, Any]:
        """Post an event as `curl` would, unsigned; what came of it."""
        async with httpx2.AsyncClient(verify=NO_TLS, timeout=ASK_TIMEOUT) as client:
            answer = await client.post(f"{self.url}/webhook", json=event)
        said: dict[str, Any] = answer.raise_for_status().json()
        return said

    async def recording(self, recording_id: str, status: str) -> dict[str, Any]:
        """A recording as the API shows it to who has the key, as soon as it has that status."""
        headers = {"Authorization": f"Bearer {KEY}"}
        url = f"{self.url}/recordings/{recording_id}"
        async with (
            httpx2.AsyncClient(verify=NO_TLS, timeout=ASK_TIMEOUT, headers=headers) as client,
            asyncio.timeout(STATUS_TIMEOUT),
        ):
            while True:
                answer = await client.get(url)
                if answer.is_success and answer.json()["status"] == status:
                    shown: dict[str, Any] = answer.json()
                    return shown
                await asyncio.sleep(0.1)

    @property
    def _path(self) -> str:
        return f"{self._venv / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


async def test_the_checklist_works_to_the_letter_from_inside_egress_manager(
    mongod_server: Mongod, mongo_database: str
) -> None:
    """Copy, install, serve; a simulated call has a document, and a simulated end completes it."""
    async with (
        LiveKit() as livekit,
        _serving(livekit, mongod_server, mongo_database) as checkout,
    ):
        answer = await checkout.tell(PARTICIPANT_JOINED)
        began = await checkout.recording(answer["recording_id"], "starting")
        document = await _document(mongod_server, mongo_database, began["egress_id"])

        assert answer["egress_id"] == began["egress_id"]
        assert document["status"] == "starting"
        assert document["room_name"] == "friday-assistant-room"
        assert document["caller_number"] == "+911234567890"
        assert document["filepath"] is None

        await checkout.tell(egress_completed(began["egress_id"]))
        finished = await checkout.recording(began["id"], "completed")
        document = await _document(mongod_server, mongo_database, began["egress_id"])

        assert document["_id"] == began["id"]
        assert document["status"] == "completed"
        assert finished["filepath"] == document["filepath"] == FILEPATH
        assert finished["duration_sec"] == 32
        assert document["stopped_at"] is not None
        assert finished["verdict"] == "missing"


@asynccontextmanager
async def _serving(livekit: LiveKit, mongod: Mongod, database: str) -> AsyncIterator[Checkout]:
    """The service as the checklist starts it; `/health` answers 200."""
    checkout = Checkout()
    try:
        checkout.prepare(
            {
                "LIVEKIT_URL": livekit.url,
                "LIVEKIT_API_KEY": API_KEY,
                "LIVEKIT_API_SECRET": API_SECRET,
                "MONGO_URI": mongod.uri,
                "MONGO_DB": database,
                "EGRESS_MANAGER_API_KEY": KEY,
                "EGRESS_MANAGER_ALLOW_UNSIGNED_WEBHOOKS": "true",
            }
        )
        await checkout.start()
        yield checkout
        await checkout.stop(timeout=20.0)
    finally:
        await checkout.close()


async def _document(mongod: Mongod, database: str, egress_id: str) -> dict[str, Any]:
    """The document as somebody who looks into MongoDB finds it."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongod.uri)
    try:
        document = await client[database]["recordings"].find_one({"egress_id": egress_id})
    finally:
        await client.close()
    assert document is not None
    return document


def _copy_repository(to: Path) -> None:
    """Everything that git would hand out, and nothing that lies around here."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (source := ROOT / name).is_file():
            target = to / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def _fill(env_file: Path, values: Mapping[str, str]) -> None:
    """Fill in values where the example has their names, as somebody with an editor would."""
    text = env_file.read_text()
    for name, value in values.items():
        text, found = re.subn(rf"(?m)^#?\s*{name}=.*$", f"{name}={value}", text, count=1)
        assert found, f"{env_file.name} does not name {name}"
    env_file.write_text(text)
