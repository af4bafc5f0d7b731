"""LiveKit Egress beside a livekit-server: the real one where it is on PATH, else a stand-in.

async with (
    Redis() as redis,
    LiveKit(redis=redis) as livekit,
    Egress(livekit, redis) as egress,
):
    await egress.misbehave("handler_killed", times=1)
"""

import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2

from lab import programs
from lab.ports import LOOPBACK, free_port
from lab.processes import Server
from lab.servers import LiveKit, Redis
from lab.web import NO_TLS

_SOURCES = programs.ROOT / "tests" / "egress_standin"
#: A machine without Go gets one first, and all modules are compiled once.
_BUILD_TIMEOUT = 1200.0
_ASK_TIMEOUT = 5.0
#: Small, so that one small machine takes many recordings at a time.
_COST = 0.01
_KINDS = (
    "audio_room_composite",
    "sdk_audio_room_composite",
    "participant",
    "track_composite",
    "track",
)


class NoStandIn(Exception):
    """The real LiveKit Egress is on PATH; it does not misbehave on command."""


def real_egress() -> Path | None:
    """The LiveKit Egress on PATH."""
    found = shutil.which("egress")
    return Path(found) if found else None


@functools.cache
def stand_in() -> Path:
    """The stand-in, built when its sources are not those that it was built from."""
    setup = [str(programs.ROOT / "scripts" / "setup"), "egress"]
    built = subprocess.run(setup, capture_output=True, text=True, timeout=_BUILD_TIMEOUT)
    if built.returncode:
        raise programs.ProgramMissing(f"the stand-in for LiveKit Egress: {built.stderr}")
    return programs.TOOLS / "egress-standin"


class Egress(Server):
    """An egress service that records rooms of `livekit`; both need the same `redis`.

    `wait` is how many seconds the stand-in waits for tracks and participants that are not there
    (the real one: 30). `capacity` is how many recordings it takes at a time; 0: any number.
    """

    name = "egress"

    def __init__(
        self, livekit: LiveKit, redis: Redis, *, wait: float = 30.0, capacity: int = 0
    ) -> None:
        super().__init__()
        self._livekit = livekit
        self._redis = redis
        self._wait = wait
        self._capacity = capacity
        self._port = free_port()

    @property
    def is_stand_in(self) -> bool:
        """Whether it is not the real one."""
        return real_egress() is None

    async def misbehave(self, fault: str, *, times: int = 0, seconds: float = 0.0) -> None:
        """Have something go wrong: to so many recordings (0: to all, until `well`).

        `seconds` is for faults that come late. What there is stands in
        tests/egress_standin/faults.go; a name that is not there raises ValueError.
        """
        command = {"name": fault, "times": times, "seconds": seconds}
        await self._ask("POST", "/misbehave", command)

    async def well(self) -> None:
        """Nothing goes wrong from now on."""
        await self._ask("POST", "/well")

    async def recordings(self) -> dict[str, dict[str, Any]]:
        """The recordings that run, by id: `status`, and of how many `tracks` they got packets."""
        answer = await self._ask("GET", "/")
        return dict(answer.json()["recordings"])

    def command(self) -> list[str]:
        file = self.directory / "egress.yaml"
        real = real_egress()
        # JSON is YAML too.
        file.write_text(json.dumps(self._real_settings() if real else self._settings(), indent=1))
        if real:
            return [str(real), "--config", str(file)]
        return [str(stand_in()), str(file)]

    async def answers(self) -> bool:
        try:
            async with httpx2.AsyncClient(verify=NO_TLS, timeout=_ASK_TIMEOUT) as client:
                return (await client.get(self._url)).is_success
        except httpx2.TransportError:
            return False

    @property
    def _url(self) -> str:
        return f"http://{LOOPBACK}:{self._port}"

    async def _ask(self, method: str, path: str, command: Any = None) -> Any:
        if not self.is_stand_in:
            raise NoStandIn(f"{real_egress()} is on PATH, and no stand-in")
        async with httpx2.AsyncClient(verify=NO_TLS, timeout=_ASK_TIMEOUT) as client:
            answer = await client.request(method, self._url + path, json=command)
        if answer.is_client_error:
            raise ValueError(answer.text.strip())
        answer.raise_for_status()
        return answer

    def _settings(self) -> dict[str, Any]:
        return self._common_settings() | {
            "redis": self._redis.address,
            "control_port": self._port,
            "directory": str(self.directory / "recording"),
            "mixer": [sys.executable, str(_SOURCES / "mix.py")],
            "wait_seconds": self._wait,
            "capacity": self._capacity,
        }

    def _real_settings(self) -> dict[str, Any]:
        return self._common_settings() | {
            "redis": {"address": self._redis.address},
            "health_port": self._port,
            "cpu_cost": {f"{kind}_cpu_cost": _COST for kind in _KINDS},
        }

    def _common_settings(self) -> dict[str, Any]:
        return {
            "ws_url": self._livekit.url,
            "api_key": self._livekit.api_key,
            "api_secret": self._livekit.api_secret,
        }
