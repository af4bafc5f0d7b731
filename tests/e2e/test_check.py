"""`egress-manager check` beside a service that runs: all is well, or one thing is not."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from egress_manager.domain.checks import CHECKS
from lab.manager import Manager
from lab.programs import ROOT
from lab.servers import LiveKit, Mongod
from lab.wire import Wire
from tests.e2e.houses import House, house

CHECK_TIMEOUT = 240.0
#: LiveKit Egress is to record.
WANTED = {"EGRESS_MANAGER_ENGINE": "egress"}
#: Nobody listens on this port of any machine.
NOBODY = "127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class Said:
    """What the command said, and how it ended."""

    code: int
    findings: Mapping[str, Mapping[str, Any]]

    def having(self, outcome: str) -> set[str]:
        """The checks that ended so."""
        return {name for name, each in self.findings.items() if each["outcome"] == outcome}

    def trouble(self, name: str) -> str:
        """What a check found wrong."""
        return str(self.findings[name]["trouble"])

    def whole(self, name: str) -> str:
        """All that is said to people."""
        return f"{self.findings[name]['words']} {self.findings[name]['remedy']}"


async def check(manager: Manager, *arguments: str, **settings: str) -> Said:
    """The command in a process of its own, with the service's settings but for these."""
    code, out = await run(manager, "--json", *arguments, **settings)
    said = json.loads(out)
    assert said["ok"] is (code == 0)
    findings = {each["check"]: each for each in said["checks"]}
    assert list(findings) == [each.name for each in CHECKS]
    return Said(code, findings)


async def run(manager: Manager, *arguments: str, **settings: str) -> tuple[int, str]:
    """How it ended, and what it printed."""
    where = [] if "--url" in arguments else ["--url", manager.url]
    command = ["-m", "recording.recording", "check", *where, *arguments]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        env=os.environ | manager.environment() | settings,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, out.decode()


@pytest.fixture
async def home(mongod_server: Mongod, mongo_database: str, tmp_path: Path) -> AsyncIterator[House]:
    """Where the recorder is the built-in one."""
    async with house(mongod_server, mongo_database, tmp_path / "recordings") as home:
        yield home


@asynccontextmanager
async def alone(**options: Any) -> AsyncIterator[Manager]:
    """A service whose livekit-server is away."""
    async with Manager(livekit_url=f"http://{NOBODY}", **options) as manager:
        yield manager


class TestAllIsWell:
    """Nothing is wrong."""

    async def test_a_test_call_is_recorded_and_listened_to(self, home: House) -> None:
        """The whole way from a phone to a file; the recording stays, in a room named for it."""
        said = await check(home.manager)

        assert said.having("failed") == set(), said.findings
        assert said.code == 0
        assert said.having("skipped") >= {"dispatch_rules", "redis", "egress"}
        (recording,) = await home.manager.recordings_of()
        assert recording["room_name"].startswith("egress-manager-check-")
        assert recording["filepath"] in said.findings["call"]["words"]
        assert (await home.manager.ask(f"/recordings/{recording['id']}/audio")).is_success

    async def test_people_read_a_line_for_each_check(self, home: House) -> None:
        """And no call is placed where none is wanted."""
        code, out = await run(home.manager, "--no-call")

        lines = out.splitlines()
        assert code == 0, out
        assert len(lines) == len(CHECKS)
        assert all(each.title in line for each, line in zip(CHECKS, lines, strict=True))
        assert "(--no-call)" in lines[-1]
        assert await home.manager.calls() == []

    async def test_a_room_that_would_not_be_recorded_is_not_called(
        self, mongod_server: Mongod, mongo_database: str, tmp_path: Path
    ) -> None:
        """A policy is not a fault."""
        policy = {"EGRESS_MANAGER_RECORD": "rooms", "EGRESS_MANAGER_RECORD_ROOMS": "desk-*"}
        async with house(mongod_server, mongo_database, tmp_path, settings=policy) as home:
            said = await check(home.manager)

        assert said.code == 0, said.findings
        assert "matches no pattern" in said.whole("call")

    async def test_a_mongod_of_the_services_own_is_shared(self) -> None:
        """The service keeps it, and goes on with it."""
        async with LiveKit() as livekit, Manager(livekit_url=livekit.http_url) as manager:
            said = await check(manager, "--no-call")
            health = await manager.ask("/health")

        assert said.having("failed") == {"webhook"}, said.findings
        assert "one of our own" in said.whole("mongodb")
        assert health.json()["status"] == "ok"


class TestLiveKit:
    """Something is wrong with LiveKit, or between LiveKit and us."""

    async def test_livekit_is_away(self, mongod_server: Mongod, mongo_database: str) -> None:
        """What does not need it is looked at."""
        async with alone(mongo_uri=mongod_server.uri, mongo_db=mongo_database) as manager:
            said = await check(manager)

        assert said.code == 1
        assert said.trouble("livekit") == "livekit_refuses_connections"
        assert "LIVEKIT_URL" in said.whole("livekit")
        assert said.having("failed") == {"livekit", "health"}
        assert said.having("ok") >= {"mongodb", "directory", "service", "api_key"}

    async def test_the_secret_is_wrong(self, home: House) -> None:
        """The setting is named, the secret is not repeated."""
        secret = "a-secret-that-no-server-knows-of"

        said = await check(home.manager, LIVEKIT_API_SECRET=secret)

        assert said.having("failed") == {"key"}, said.findings
        assert said.trouble("key") == "secret_wrong"
        assert "LIVEKIT_API_SECRET" in said.whole("key")
        assert secret not in json.dumps(said.findings)

    async def test_webhooks_are_not_configured(
        self, mongod_server: Mongod, mongo_database: str, tmp_path: Path
    ) -> None:
        """The call is found by asking then, so it is recorded all the same."""
        async with house(mongod_server, mongo_database, tmp_path, webhooks=False) as home:
            said = await check(home.manager)

        assert said.having("failed") == {"webhook"}, said.findings
        assert said.code == 1
        assert said.trouble("webhook") == "webhook_silent"
        assert f"{home.manager.url}/webhook" in said.whole("webhook")

    async def test_the_webhook_secret_is_wrong(
        self, mongod_server: Mongod, mongo_database: str, tmp_path: Path
    ) -> None:
        """The webhook came; it is not taken for one that did not."""
        wrong = {"WEBHOOK_SECRET": "a-secret-that-signs-nothing-here"}
        async with house(mongod_server, mongo_database, tmp_path, settings=wrong) as home:
            said = await check(home.manager, "--no-call")

        assert said.having("failed") == {"webhook"}, said.findings
        assert said.trouble("webhook") == "webhook_refused"
        assert "WEBHOOK_SECRET" in said.whole("webhook")

    async def test_the_service_writes_to_another_database(self, home: House) -> None:
        """Whoever checks with other settings than the service's is told so."""
        said = await check(home.manager, "--no-call", MONGO_DB=f"{home.manager.port}_of_nobody")

        assert said.trouble("webhook") == "webhook_elsewhere"
        assert said.having("failed") == {"webhook"}, said.findings

    async def test_the_service_records_another_livekit(
        self, home: House, livekit_server: LiveKit
    ) -> None:
        """Neither the webhook comes nor the call is seen."""
        said = await check(home.manager, LIVEKIT_URL=livekit_server.url)

        assert said.having("failed") == {"webhook", "call"}, said.findings
        assert said.trouble("call") == "call_not_seen"

    async def test_the_recorder_does_not_get_through(
        self, mongod_server: Mongod, mongo_database: str
    ) -> None:
        """The service sees the call, and can't hear it: media ports are closed to it alone."""
        async with LiveKit() as livekit, Wire(livekit) as wire:
            wire.cut_media()
            store = {"mongo_uri": mongod_server.uri, "mongo_db": mongo_database}
            async with Manager(livekit_url=wire.http_url, **store) as manager:
                said = await check(manager, LIVEKIT_URL=livekit.url)

        assert said.having("failed") == {"webhook", "call"}, said.findings
        assert said.trouble("call") == "call_not_captured", said.findings["call"]
        assert "rtc.udp_port" in said.whole("call")


class TestHouse:
    """Something is wrong on our side."""

    async def test_mongodb_is_away(self) -> None:
        """Webhooks can't arrive then; the service says itself that it is ill."""
        async with (
            LiveKit() as livekit,
            Manager(livekit_url=livekit.http_url, mongo_uri=f"mongodb://{NOBODY}/") as manager,
        ):
            said = await check(manager, "--no-call")

        assert said.trouble("mongodb") == "mongo_away"
        assert "MONGO_URI" in said.whole("mongodb")
        assert "mongodb" in said.whole("health")
        assert said.having("ok") >= {"livekit", "key", "directory", "service"}
        assert said.findings["webhook"]["words"].startswith("needs this first: MongoDB")

    async def test_the_directory_cannot_be_written(self, home: House, tmp_path: Path) -> None:
        """Here because a file is in its place; the path stands in the sentence."""
        (tmp_path / "in-the-way").write_text("a file")
        place = str(tmp_path / "in-the-way" / "recordings")

        said = await check(home.manager, "--no-call", RECORDINGS_DIR=place)

        assert said.having("failed") == {"directory"}, said.findings
        assert said.trouble("directory") == "folder_is_a_file"
        assert place in said.whole("directory")
        assert said.findings["space"]["outcome"] == "skipped"

    async def test_redis_is_away(self, home: House) -> None:
        """Where it is set, it has to be there."""
        said = await check(home.manager, "--no-call", REDIS_URL=f"redis://{NOBODY}/0")

        assert said.having("failed") == {"redis"}, said.findings
        assert NOBODY in said.whole("redis")

    async def test_the_service_does_not_run(self, home: House) -> None:
        """It says so, and looks at what it can without it."""
        said = await check(home.manager, "--url", f"http://{NOBODY}")

        assert said.having("failed") == {"service"}, said.findings
        assert "egress-manager serve" in said.whole("service")
        assert said.having("skipped") >= {"health", "api_key", "webhook", "call"}
        assert said.having("ok") >= {"livekit", "key", "mongodb", "directory"}

    @pytest.mark.parametrize("key", ["", "another-key-than-that-of-it"])
    async def test_the_api_key_is_wrong(self, home: House, key: str) -> None:
        """Webhooks and health need none."""
        said = await check(home.manager, EGRESS_MANAGER_API_KEY=key)

        assert said.having("failed") == {"api_key"}, said.findings
        assert "--api-key" in said.whole("api_key")
        assert said.having("ok") >= {"health", "webhook"}

    async def test_settings_that_cannot_be_used(self, home: House) -> None:
        """Every other line is there, and says what it waits for."""
        said = await check(home.manager, LIVEKIT_API_KEY="", REDIS_URL="localhost")

        assert said.code == 1
        assert said.having("failed") == {"settings"}
        assert "LIVEKIT_API_KEY is missing" in said.whole("settings")
        assert "REDIS_URL can't be used" in said.whole("settings")
        assert len(said.having("skipped")) == len(CHECKS) - 1


class TestEgress:
    """LiveKit Egress is to record."""

    async def test_it_takes_a_job(
        self, mongod_server: Mongod, mongo_database: str, tmp_path: Path
    ) -> None:
        """And the test call is recorded by it."""
        async with house(mongod_server, mongo_database, tmp_path, engine="egress") as home:
            said = await check(home.manager)

        assert said.having("failed") == set(), said.findings
        assert said.having("ok") >= {"egress", "dispatch_rules", "call"}

    async def test_livekit_has_no_redis(self, home: House) -> None:
        """So it can't reach any egress; the other engine needs none."""
        said = await check(home.manager, "--no-call", **WANTED)

        assert said.having("failed") == {"egress"}, said.findings
        assert said.trouble("egress") == "egress_without_redis"
        assert "EGRESS_MANAGER_ENGINE=builtin" in said.whole("egress")
