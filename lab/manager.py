"""The manager itself, as users run it: one process, started with the user's own command.

    async with Mongod() as mongod, Manager(mongo_uri=mongod.uri) as manager:
        async with LiveKit(webhook_urls=[manager.webhook_url], ...) as livekit: ...

It needs no LiveKit to start, so that each can be given the other's address.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2

from lab import discretion, programs
from lab.ports import LOOPBACK, free_port
from lab.processes import Server, ServerFailed
from lab.servers import API_KEY, API_SECRET
from lab.web import NO_TLS

#: The Python that our processes run with: that of the tests, unless LAB_PYTHON names another.
PYTHON = os.environ.get("LAB_PYTHON", sys.executable)
#: The key with which its API is asked.
KEY = "lab-key-houba-houba-hop-3141"
_ASK_TIMEOUT = 5.0
_POLL = 0.05
Facts = dict[str, Any]


class Ours(Server):
    """A process of ours: at its end its log is held against what it must not tell."""

    async def close(self) -> None:
        await self.kill()
        log = self.log.read_text(errors="replace") if self.log.exists() else ""
        await super().close()
        discretion.hold(log, self.name)


class Manager(Ours):
    """`uvicorn egress_manager.app:app`, with settings of a test's own.

    `livekit_url` may be set until it is started. `settings` are environment variables that add to
    or replace the usual ones. `recordings` is where its files go, `python` what runs it.
    """

    name = "manager"

    def __init__(
        self,
        *,
        livekit_url: str = "",
        mongo_uri: str | None = None,
        mongo_db: str = "egress_manager",
        port: int | None = None,
        recordings: Path | None = None,
        settings: Mapping[str, str] | None = None,
        python: str = PYTHON,
    ) -> None:
        super().__init__()
        self.livekit_url = livekit_url
        self._python = python
        self.port = port or free_port()
        self.recordings = recordings or self.directory / "recordings"
        self._mongo = {"MONGO_URI": mongo_uri, "MONGO_DB": mongo_db} if mongo_uri else {}
        self._settings = dict(settings or {})
        discretion.secret(API_SECRET, KEY)
        #: How long its API may take to answer. Seconds.
        self.ask_timeout = _ASK_TIMEOUT

    @property
    def url(self) -> str:
        """Where its API is."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def webhook_url(self) -> str:
        """What LiveKit's `webhook.urls` should name."""
        return f"{self.url}/webhook"

    def command(self) -> list[str]:
        serve = ["-m", "uvicorn", "egress_manager.app:app", "--host", LOOPBACK]
        return [self._python, *serve, "--port", str(self.port), "--no-access-log"]

    def environment(self) -> dict[str, str]:
        usual = {
            "PYTHONPATH": str(programs.ROOT),
            "LIVEKIT_URL": self.livekit_url,
            "LIVEKIT_API_KEY": API_KEY,
            "LIVEKIT_API_SECRET": API_SECRET,
            "RECORDINGS_DIR": str(self.recordings),
            "EGRESS_MANAGER_API_KEY": KEY,
            **self._mongo,
        }
        return usual | self._settings

    async def answers(self) -> bool:
        try:
            return (await self.ask("/health/live")).is_success
        except httpx2.HTTPError:
            return False

    async def ask(self, path: str, **params: str) -> httpx2.Response:
        """Ask its API, with the key."""
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx2.AsyncClient(
            base_url=self.url, verify=NO_TLS, timeout=self.ask_timeout
        ) as client:
            return await client.get(path, params=params, headers=headers)

    async def ill(self, part: str, timeout: float = 30.0) -> str:
        """Wait until /health says that a part is ill; what it says of it."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            said = (await self.ask("/health")).json()
            if part in said["ill"]:
                return str(said["parts"][part]["detail"])
            await asyncio.sleep(_POLL)
        raise ServerFailed(f"{part} stays well\n{self.log_tail()}")

    async def tell(self, path: str, body: Facts | None = None, **headers: str) -> httpx2.Response:
        """Have its API do something, with the key."""
        with_key = {"Authorization": f"Bearer {KEY}"} | headers
        async with httpx2.AsyncClient(
            base_url=self.url, verify=NO_TLS, timeout=self.ask_timeout
        ) as client:
            return await client.post(path, json=body, headers=with_key)

    async def calls(self, **params: str) -> list[Facts]:
        """The calls, newest first."""
        return list((await self.ask("/calls", **params)).raise_for_status().json()["items"])

    async def call(
        self, which: Callable[[Facts], object], timeout: float = 60.0, **params: str
    ) -> Facts:
        """Wait for the newest call of which that is true; all it says."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found = [facts for facts in await self.calls(**params) if which(facts)]
            if found:
                return found[0]
            await asyncio.sleep(_POLL)
        raise ServerFailed(f"no such call\n{self.log_tail()}")

    async def recordings_of(self, **params: str) -> list[Facts]:
        """The recordings, newest first."""
        return list((await self.ask("/recordings", **params)).raise_for_status().json()["items"])

    async def recording(
        self,
        *statuses: str,
        timeout: float = 60.0,
        which: Callable[[Facts], bool] = lambda facts: True,
        **params: str,
    ) -> Facts:
        """Wait for the newest recording that has one of these statuses; all it says."""
        deadline = time.monotonic() + timeout
        seen: list[Facts] = []
        while time.monotonic() < deadline:
            seen = [facts for facts in await self._look(**params) if which(facts)]
            found = [facts for facts in seen if facts["status"] in statuses]
            if found:
                return found[0]
            await asyncio.sleep(_POLL)
        story = json.dumps(seen, indent=1, default=str)[:3000]
        raise ServerFailed(f"no recording came to {statuses}: {story}\n{self.log_tail()}")

    async def _look(self, **params: str) -> list[Facts]:
        try:
            return await self.recordings_of(**params)
        except httpx2.HTTPError:
            return []


class Worker(Ours):
    """`egress-manager jobs` or `egress-manager recorder`, beside a manager and with its settings.

    `recordings` is its own directory, where it is not on the manager's host.
    """

    def __init__(
        self,
        role: str,
        beside: Manager,
        *,
        recordings: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.name = role
        super().__init__()
        self.recordings = recordings or beside.recordings
        self._beside = beside
        self._settings = dict(settings or {})

    def command(self) -> list[str]:
        run = "from egress_manager.cli import main; main()"
        return [PYTHON, "-c", run, self.name]

    def environment(self) -> dict[str, str]:
        own = {"RECORDINGS_DIR": str(self.recordings)}
        return self._beside.environment() | own | self._settings

    async def answers(self) -> bool:
        return '"working"' in self.log.read_text(errors="replace")
