"""livekit-server, mongod and Redis, each on free ports of 127.0.0.1.

async with Redis() as redis, LiveKit(webhook_urls=[url], redis=redis) as livekit:
    await livekit.restart()
"""

import asyncio
import contextlib
import json
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lab import programs
from lab.mongo_wire import admin_command
from lab.ports import LOOPBACK, free_port
from lab.processes import Server, ServerFailed

__all__ = ["API_KEY", "API_SECRET", "LiveKit", "Mongod", "Redis", "Server", "ServerFailed"]

API_KEY = "devkey"
API_SECRET = "devsecret-devsecret-devsecret-devsecret"
#: One look at whether a server answers.
_LOOK_TIMEOUT = 2.0
_NOT_YET_INITIALIZED = 94


class Redis(Server):
    """redis-server that keeps its data over `kill()` and `restart()`."""

    name = "redis-server"

    def __init__(self, *, port: int | None = None) -> None:
        super().__init__()
        self.port = port or free_port()

    @property
    def address(self) -> str:
        """host:port, as livekit-server wants it."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """As Redis clients want it."""
        return f"redis://{self.address}/0"

    async def tell(self, *words: str) -> bytes:
        """Send it one command; the first line of its answer."""
        parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
        return await _asked(self.port, f"*{len(words)}\r\n{''.join(parts)}".encode())

    async def restart_empty(self) -> None:
        """Stop it, remove all that it keeps, and start it again."""
        await self.stop()
        for kept in self.directory.iterdir():
            if kept.is_dir():
                shutil.rmtree(kept)
            elif kept != self.log:
                kept.unlink()
        await self.start()

    def command(self) -> list[str]:
        settings = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": str(self.directory),
            "appendonly": "yes",
            "save": "",
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return [str(programs.redis_server()), *options]

    async def answers(self) -> bool:
        return await _asked(self.port, b"PING\r\n") == b"+PONG\r\n"


class Reached(Protocol):
    """What livekit-server needs of a Redis: host:port."""

    @property
    def address(self) -> str: ...


class LiveKit(Server):
    """livekit-server, as little configured as loopback needs.

    `keys` maps API keys to secrets; the first one signs webhooks and is `api_key`.
    `departure_timeout` is how many seconds a room outlives its last participant.
    `room` and `rtc` add to or replace settings of those sections of its configuration; `turn` has
    it relay media too.
    """

    name = "livekit-server"
    #: It waits for all participants to leave, until it is asked a second time.
    reminders = 1

    def __init__(
        self,
        *,
        webhook_urls: Sequence[str] = (),
        keys: Mapping[str, str] | None = None,
        redis: Reached | None = None,
        departure_timeout: int = 2,
        port: int | None = None,
        room: Mapping[str, Any] | None = None,
        rtc: Mapping[str, Any] | None = None,
        turn: bool = False,
        log_level: str = "info",
    ) -> None:
        super().__init__()
        self.port = port or free_port()
        self.tcp_port = free_port()
        self.udp_port = free_port()
        self.keys = dict(keys or {API_KEY: API_SECRET})
        self.webhook_urls = list(webhook_urls)
        #: Where telephones call, while livekit-sip is beside it.
        self.sip_port: int | None = None
        self._redis = redis
        self._room = {"departure_timeout": departure_timeout, **(room or {})}
        self._rtc = dict(rtc or {})
        self.turn_port = free_port() if turn else None
        self._log_level = log_level

    @property
    def url(self) -> str:
        """For clients that join rooms."""
        return f"ws://{LOOPBACK}:{self.port}"

    @property
    def http_url(self) -> str:
        """For its API."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def api_key(self) -> str:
        return next(iter(self.keys))

    @property
    def api_secret(self) -> str:
        return self.keys[self.api_key]

    def command(self) -> list[str]:
        # JSON is YAML too. Written anew at each start, so webhook_urls may change between.
        file = self.directory / "livekit.yaml"
        file.write_text(json.dumps(self._configuration(), indent=1))
        return [str(programs.livekit_server()), "--config", str(file)]

    async def answers(self) -> bool:
        line = await _asked(self.port, b"GET / HTTP/1.0\r\n\r\n")
        return b" 200 " in line

    def _configuration(self) -> dict[str, Any]:
        sections: dict[str, Any] = {
            "port": self.port,
            "bind_addresses": [LOOPBACK],
            "rtc": self._loopback_rtc() | self._rtc,
            "room": self._room,
            "keys": self.keys,
            "logging": {"level": self._log_level},
        }
        if self.turn_port is not None:
            sections["turn"] = {
                "enabled": True,
                "udp_port": self.turn_port,
                "allow_restricted_peer_cidrs": [f"{LOOPBACK}/32"],
            }
        if self._redis is not None:
            sections["redis"] = {"address": self._redis.address}
        if self.webhook_urls:
            sections["webhook"] = {"api_key": self.api_key, "urls": self.webhook_urls}
        return sections

    def _loopback_rtc(self) -> dict[str, Any]:
        return {
            "tcp_port": self.tcp_port,
            "udp_port": self.udp_port,
            "node_ip": LOOPBACK,
            "use_external_ip": False,
            "enable_loopback_candidate": True,
            "interfaces": {"includes": ["lo"]},
            # Nobody is there: it keeps clients from asking public servers.
            "stun_servers": [f"{LOOPBACK}:3478"],
        }


class Mongod(Server):
    """mongod as a replica set of one, which change streams and transactions need."""

    name = "mongod"
    replica_set = "rs0"

    def __init__(self, *, port: int | None = None, cache_gb: float = 0.25) -> None:
        super().__init__()
        self.port = port or free_port()
        self._cache_gb = cache_gb

    @property
    def uri(self) -> str:
        """The connection string; name a database yourself."""
        return f"mongodb://{LOOPBACK}:{self.port}/?replicaSet={self.replica_set}"

    def command(self) -> list[str]:
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        options = {
            "dbpath": data,
            "bind_ip": LOOPBACK,
            "port": self.port,
            "replSet": self.replica_set,
            "wiredTigerCacheSizeGB": self._cache_gb,
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        return [str(programs.mongod()), *arguments, "--nounixsocket"]

    async def answers(self) -> bool:
        try:
            status = await self._ask({"replSetGetStatus": 1})
            if status.get("code") == _NOT_YET_INITIALIZED:
                await self._ask({"replSetInitiate": self._members()})
            return bool((await self._ask({"hello": 1})).get("isWritablePrimary"))
        except (OSError, TimeoutError):
            return False

    async def _ask(self, command: Mapping[str, Any]) -> dict[str, Any]:
        return await admin_command(self.port, command, _LOOK_TIMEOUT)

    def _members(self) -> dict[str, Any]:
        member = {"_id": 0, "host": f"{LOOPBACK}:{self.port}"}
        return {"_id": self.replica_set, "members": [member]}


async def _asked(port: int, request: bytes) -> bytes:
    """The first line answered to `request`; empty when nobody answers."""
    try:
        async with asyncio.timeout(_LOOK_TIMEOUT):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(request)
                return await reader.readline()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return b""
