"""The command line against a running service, and by itself."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from egress_manager import cli
from egress_manager.adapters.mongo_calls import MongoCalls
from egress_manager.adapters.mongo_client import connect, database
from egress_manager.adapters.mongo_recordings import MongoRecordings
from egress_manager.cli import service
from egress_manager.domain.calls import Call, Stay
from egress_manager.domain.incoming import Room
from egress_manager.domain.recordings import Observation, Recording, State, TrackFile
from egress_manager.settings import words
from lab.manager import KEY, Manager

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def manager(mongod_server: object) -> Iterator[Manager]:
    """A service that never met a LiveKit."""
    uri = mongod_server.uri  # type: ignore[attr-defined]
    service = Manager(livekit_url="http://127.0.0.1:9", mongo_uri=uri, mongo_db="test_cli")
    asyncio.run(service.start())
    yield service
    asyncio.run(service.close())


@pytest.fixture
async def told(manager: Manager, mongo_uri: str) -> AsyncIterator[None]:
    """It knows three calls, of which one was recorded."""
    client = connect(mongo_uri)
    await client.drop_database("test_cli")
    db = database(client, "test_cli")
    for number in range(3):
        at = NOON + timedelta(minutes=number)
        call = Call(
            f"call_{number}",
            Room("palombia\x1b[2J"),
            "sip_1",
            (Stay("PA_1"),),
            at,
            at,
            caller_number=f"+1555010{number}",
            left_at=at + timedelta(seconds=83),
            recording_id="rec_0" if number == 0 else None,
            reason="" if number == 0 else "policy_none",
        )
        await MongoCalls(db).add(call)
    await MongoRecordings(db).add(
        Recording(
            "rec_0",
            "call_0",
            "EG_0",
            "builtin",
            "palombia",
            Observation(State.CAPTURED, NOON),
            NOON,
            state=State.VERIFIED,
            duration_sec=83.2,
            filepath="/recordings/palombia/a.mp4",
        )
    )
    yield
    await client.drop_database("test_cli")
    await client.close()


async def _keep_as(uri: str, recording_id: str, **facts: Any) -> None:
    """A recording with a file in the service's database."""
    client = connect(uri)
    recording = Recording(
        recording_id,
        "call_1",
        "EG_b",
        "builtin",
        "palombia",
        Observation(State.CAPTURED, NOON),
        NOON,
        state=State.VERIFIED,
        **facts,
    )
    await MongoRecordings(database(client, "test_cli")).add(recording)
    await client.close()


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without settings, and a current directory without `.env`."""
    for setting in words.described():
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.chdir(tmp_path)


class Said:
    """What a command said, and how it ended."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        self.code = ended.value.code or 0
        self.out, self.error = capsys.readouterr()


@pytest.mark.usefixtures("told")
class TestLists:
    """`calls` and `recordings`."""

    def test_calls_are_a_table(self, manager: Manager, capsys: pytest.CaptureFixture[str]) -> None:
        """Newest first, with what became of each; what others chose can't command a terminal."""
        said = Said(capsys, "calls", "--url", manager.url, "--api-key", KEY)

        lines = said.out.splitlines()
        assert [line.split()[2] for line in lines[1:]] == ["+15550102", "+15550101", "+15550100"]
        assert "no: policy_none" in lines[1]
        assert "1:23" in lines[1]
        assert "rec_0" in lines[3]
        assert "\x1b" not in said.out

    def test_for_scripts_it_is_what_the_api_says(
        self, manager: Manager, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """And filters are the API's."""
        asked = ["calls", "--url", manager.url, "--api-key", KEY, "--json"]

        said = Said(capsys, *asked, "--caller", "+15550101")
        first = Said(capsys, *asked, "--limit", "1")

        assert [call["id"] for call in json.loads(said.out)["items"]] == ["call_1"]
        assert json.loads(first.out)["next_cursor"]

    def test_more_than_a_page_is_asked_for_page_by_page(
        self, manager: Manager, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As if there were no pages."""
        monkeypatch.setattr(service, "PAGE", 2)

        said = Said(capsys, "calls", "--url", manager.url, "--api-key", KEY, "--json")

        assert len(json.loads(said.out)["items"]) == 3

    def test_a_report_has_every_call_and_totals(
        self, manager: Manager, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """As a table, for scripts, and for spreadsheets."""
        period = ["--since", NOON.isoformat(), "--until", (NOON + timedelta(1)).isoformat()]
        asked = ["report", "--url", manager.url, "--api-key", KEY, *period]

        table, script, sheet = (
            Said(capsys, *asked, *more).out for more in ([], ["--json"], ["--csv"])
        )

        assert "not_recorded (policy_none)" in table
        assert "3 calls: 1 completed, 2 not_recorded" in table
        assert json.loads(script)["totals"]["by_fate"]["not_recorded"] == 2
        assert len(sheet.splitlines()) == 4

    def test_what_does_not_fit_needs_a_livekit_that_answers(
        self, manager: Manager, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """`reconcile` says so in a sentence where there is none."""
        said = Said(capsys, "reconcile", "--url", manager.url, "--api-key", KEY)

        assert said.code == 1
        assert "livekit-server does not answer" in said.error

    def test_recordings_are_a_table(
        self, manager: Manager, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The key may stand in the environment."""
        monkeypatch.setenv("EGRESS_MANAGER_API_KEY", KEY)

        said = Said(capsys, "recordings", "--url", manager.url, "--status", "completed")
        none = Said(capsys, "recordings", "--url", manager.url, "--status", "failed")

        assert "completed" in said.out
        assert "/recordings/palombia/a.mp4" in said.out
        assert (none.out, none.error) == ("", "none\n")

    @pytest.mark.parametrize("noun", [("calls", "call_0"), ("recordings", "rec_0")])
    def test_one_is_shown_whole(
        self, manager: Manager, capsys: pytest.CaptureFixture[str], noun: tuple[str, str]
    ) -> None:
        """For people and for scripts."""
        asked = [noun[0], "show", noun[1], "--url", manager.url, "--api-key", KEY]

        for_people, for_scripts = Said(capsys, *asked), Said(capsys, *asked, "--json")

        assert "palombia" in for_people.out
        assert json.loads(for_scripts.out)["id"] == noun[1]

    def test_one_is_stopped(self, manager: Manager, capsys: pytest.CaptureFixture[str]) -> None:
        """What is over is shown as it is."""
        asked = ["recordings", "stop", "rec_0", "--url", manager.url, "--api-key", KEY]

        for_people, for_scripts = Said(capsys, *asked), Said(capsys, *asked, "--json")

        assert "completed" in for_people.out
        assert json.loads(for_scripts.out)["id"] == "rec_0"

    def test_a_recording_is_downloaded(
        self, manager: Manager, mongo_uri: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Under its own name, or where one says; nothing is written over, and no half is left."""
        sound = os.urandom(300_000)
        there = manager.recordings / "palombia" / "b.mp4"
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(sound)
        track = TrackFile("TR_1", "sip_1", "SIP", "left", filepath=str(there), duration_sec=1.0)
        asyncio.run(_keep_as(mongo_uri, "rec_b", filepath=str(there), tracks=(track,)))
        asked = ["recordings", "download", "rec_b"]
        where = ["--url", manager.url, "--api-key", KEY]

        said = Said(capsys, *asked, *where)
        again = Said(capsys, *asked, *where)
        one = Said(capsys, *asked, "t.ogg", "--track", "TR_1", *where)
        none = Said(capsys, *asked, "n.ogg", "--track", "TR_2", *where)
        there.unlink()
        gone = Said(capsys, *asked, "gone.mp4", *where)

        assert (said.code, said.out.strip()) == (0, "b.mp4")
        assert Path("b.mp4").read_bytes() == Path("t.ogg").read_bytes() == sound
        assert Path("b.mp4").stat().st_mode & 0o777 == 0o600
        assert (again.code, none.code, gone.code, one.code) == (1, 1, 1, 0)
        assert "b.mp4 can't be written: File exists" in again.error
        assert "rec_b has no track TR_2" in none.error
        assert not Path("gone.mp4").exists()

    @pytest.mark.parametrize("command", ["calls", "recordings", "report"])
    def test_a_day_is_the_midnight_of_this_machine(
        self,
        manager: Manager,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        command: str,
    ) -> None:
        """Half a day ahead of UTC the day of noon there has begun long before."""
        asked = [command, "--url", manager.url, "--api-key", KEY, "--json"]
        found = {}
        for zone in ("Etc/GMT-14", "Etc/GMT+12"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            period = ["--since", f"{NOON:%Y-%m-%d}", "--until", f"{NOON:%Y-%m-%dT%H:%M}"]
            said = Said(capsys, *asked, *period)
            told = json.loads(said.out)
            found[zone] = len(told.get("items", told.get("lines")))
        monkeypatch.delenv("TZ")
        time.tzset()

        assert found["Etc/GMT-14"] == 0
        assert found["Etc/GMT+12"] > 0


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """For a report of a fault."""
    said = Said(capsys, "--version")

    assert (said.out.strip(), said.code) == (f"egress-manager {version('egress-manager')}", 0)


class TestTrouble:
    """What goes wrong is one sentence."""

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["calls"], "the API key is missing: give --api-key, or set EGRESS_MANAGER_API_KEY"),
            (["calls", "--api-key", "x"], "the API key is not the service's API key"),
            (["calls", "show", "a?b c", "--api-key", KEY], "there is no call a?b c"),
            (["recordings", "--since", "now", "--api-key", KEY], "since: "),
            (["recordings", "stop", "rec_9", "--api-key", KEY], "there is no recording rec_9"),
            (["recordings", "start", "palombia", "--api-key", KEY], "livekit-server does not"),
            (["recordings", "start", "", "--key", "k", "--api-key", KEY], "room_name: "),
        ],
    )
    def test_what_the_service_refuses(
        self,
        manager: Manager,
        capsys: pytest.CaptureFixture[str],
        arguments: list[str],
        sentence: str,
    ) -> None:
        """With what to do, and an exit code for scripts."""
        said = Said(capsys, *arguments, "--url", manager.url)

        assert said.code == 1
        assert said.error.startswith(f"egress-manager: {sentence}")

    @pytest.mark.parametrize(
        ("arguments", "code", "exit_code"),
        [
            (["calls", "show", "call_9", "--api-key", KEY], "failed", 1),
            (["calls", "--api-key", "x"], "unauthenticated", 1),
            (["report", "--since", "tomorrow", "--api-key", KEY], "bad_request", 1),
            (["report", "--csv", "--api-key", KEY], "bad_request", 1),
            (["calls", "--colour", "red"], "bad_command", 1),
            (["settings"], "settings_wrong", 2),
        ],
    )
    def test_a_script_reads_what_went_wrong(
        self,
        manager: Manager,
        capsys: pytest.CaptureFixture[str],
        arguments: list[str],
        code: str,
        exit_code: int,
    ) -> None:
        """With --json, errors are JSON, too; the sentence for people is beside it."""
        where = ["--url", manager.url] if arguments[0] != "settings" else []
        said = Said(capsys, *arguments, *where, "--json")

        error = json.loads(said.out)["error"]
        assert (error["code"], said.code) == (code, exit_code)
        assert error["detail"] in said.error

    def test_a_service_that_does_not_run(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Where it was looked for."""
        said = Said(capsys, "calls", "--url", "http://127.0.0.1:9")

        assert said.code == 1
        assert "nobody answers at http://127.0.0.1:9: is it running?" in said.error

    @pytest.mark.parametrize("command", [["settings"], ["serve"], ["keys", "new"]])
    def test_settings_that_cannot_be_used(
        self, capsys: pytest.CaptureFixture[str], command: list[str]
    ) -> None:
        """Each on its line, before anything is started."""
        said = Said(capsys, *command)

        assert said.code == 2
        assert "LIVEKIT_API_KEY is missing" in said.error

    @pytest.mark.parametrize(
        "command", [[], ["serve"], ["check"], ["calls"], ["recordings"], ["settings"], ["keys"]]
    )
    def test_every_command_explains_itself(
        self, capsys: pytest.CaptureFixture[str], command: list[str]
    ) -> None:
        """With --help."""
        said = Said(capsys, *command, "--help")

        assert said.code == 0
        assert said.out.startswith("Usage: egress-manager")


class TestSettings:
    """`settings`."""

    @pytest.fixture(autouse=True)
    def three(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is needed is set."""
        monkeypatch.setenv("LIVEKIT_URL", "ws://localhost:7880")
        monkeypatch.setenv("LIVEKIT_API_KEY", "devkey")
        Path(".env").write_text("LIVEKIT_API_SECRET=hunter2\n")

    def test_they_are_shown_with_their_origin(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Secrets are masked."""
        table, facts = Said(capsys, "settings"), Said(capsys, "settings", "--json")

        shown = json.loads(facts.out)
        assert shown["LIVEKIT_API_KEY"] == {"value": "devkey", "from": "environment"}
        assert shown["LIVEKIT_API_SECRET"] == {"value": words.MASK, "from": ".env"}
        assert shown["MONGO_DB"] == {"value": "egress_manager", "from": "default"}
        assert "hunter2" not in table.out + facts.out

    def test_the_documentation_comes_from_here(self, capsys: pytest.CaptureFixture[str]) -> None:
        """And the example."""
        assert Said(capsys, "settings", "--markdown").out == words.as_markdown()
        assert Said(capsys, "settings", "--env-example").out == words.as_env_example()


def test_a_new_key_opens_and_the_old_one_does_not(mongo_uri: str, mongo_database: str) -> None:
    """As an operator does it beside a service that runs, which was given no key."""
    settings = {"EGRESS_MANAGER_API_KEY": ""}
    service = Manager(
        livekit_url="http://127.0.0.1:9",
        mongo_uri=mongo_uri,
        mongo_db=mongo_database,
        settings=settings,
    )
    asyncio.run(service.start())
    try:
        first, second = _new_key(service), _new_key(service)

        assert _calls(service, first).startswith("egress-manager: the API key is not")
        assert _calls(service, second) == "none\n"
        assert first not in service.log_tail()
    finally:
        asyncio.run(service.close())


def _new_key(service: Manager) -> str:
    return _run(service, "keys", "new").stdout.strip()


def _calls(service: Manager, key: str) -> str:
    return _run(service, "calls", "--url", service.url, "--api-key", key).stderr


def _run(service: Manager, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, with the service's settings."""
    command = [sys.executable, "-m", "recording.recording", *arguments]
    return subprocess.run(
        command, env=os.environ | service.environment(), capture_output=True, text=True, cwd=ROOT
    )
