"""`egress-manager replay` and `inbox export` against a running service: calls that happen again."""

import asyncio
import json
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from egress_manager.adapters.mongo_client import connect
from egress_manager.domain.replaying import Manner, read_trace
from egress_manager.flows.replay import Answer, replay
from egress_manager.testing import FixedClock
from lab.manager import Manager
from lab.programs import ROOT
from lab.servers import Mongod
from tests.unit.migration.terminal import Said, Terminal

DATABASE = "test_replay"
#: When the call was recorded. Seconds since 1970.
THEN = 1_760_681_713
ROOM = {"sid": "RM_1", "name": "friday-assistant-room"}
CALLER = {
    "sid": "PA_1",
    "identity": "sip_+15550100",
    "kind": "SIP",
    "joinedAt": str(THEN),
    "joinedAtMs": str(THEN * 1000 + 40),
    "attributes": {
        "sip.callID": "SCL_1",
        "sip.callStatus": "active",
        "sip.phoneNumber": "+15550100",
    },
}
AGENT = {"sid": "PA_2", "identity": "agent-1", "kind": "AGENT", "joinedAt": str(THEN + 1)}
TRACK = {"sid": "TR_1", "mimeType": "audio/opus"}

Facts = dict[str, Any]


def webhook(t: float, event: str, number: int, **parts: Any) -> Facts:
    """A line of a trace."""
    body = {"event": event, "room": ROOM, **parts, "id": f"EV_{number}"}
    return {"t": t, "kind": "webhook", "body": {**body, "createdAt": str(THEN + int(t))}}


#: What a real server sends of a short call.
CALL = [
    {"t": 0.0, "kind": "phone", "said": "STATE CALLING"},
    webhook(0.1, "room_started", 1),
    webhook(0.2, "participant_joined", 2, participant=CALLER),
    webhook(0.3, "track_published", 3, participant=CALLER, track=TRACK),
    webhook(1.2, "participant_joined", 4, participant=AGENT),
    webhook(8.0, "participant_left", 5, participant=CALLER),
]


@pytest.fixture(scope="module")
def manager(mongod_server: Mongod) -> Iterator[Manager]:
    """A service that never met a LiveKit."""
    service = Manager(
        livekit_url="http://127.0.0.1:9", mongo_uri=mongod_server.uri, mongo_db=DATABASE
    )
    asyncio.run(service.start())
    yield service
    asyncio.run(service.close())


@pytest.fixture(autouse=True)
async def forgetful(manager: Manager, mongo_uri: str) -> AsyncIterator[None]:
    """It knows nothing of what other tests told it."""
    client = connect(mongo_uri)
    for collection in ("calls", "recordings", "inbox"):
        await client[DATABASE][collection].delete_many({})
    yield
    await client.close()


@pytest.fixture
def terminal(
    manager: Manager,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Terminal:
    """Somebody beside the service, with its settings."""
    monkeypatch.chdir(tmp_path)
    return Terminal(monkeypatch, capsys, manager.environment())


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """The call, as a file."""
    return written(tmp_path / "call.jsonl", *CALL)


def written(file: Path, *facts: Any) -> Path:
    """JSON lines."""
    file.write_text("".join(json.dumps(each) + "\n" for each in facts))
    return file


def again(terminal: Terminal, manager: Manager, file: Path, *how: str) -> list[Facts]:
    """Replay a file at once; every answer."""
    said = terminal.types("replay", str(file), "--url", manager.url, "--at-once", "--json", *how)
    assert said.code == 0, said.error
    items: list[Facts] = json.loads(said.out)["items"]
    return items


def calls(manager: Manager) -> list[Facts]:
    """The calls that the service knows."""
    return asyncio.run(manager.calls())


class TestReplay:
    """`replay`."""

    def test_a_recorded_call_happens_now(
        self, terminal: Terminal, manager: Manager, trace: Path
    ) -> None:
        """Every webhook is taken, and says what it led to."""
        before = datetime.now(UTC)

        answers = again(terminal, manager, trace)

        assert [each["event"] for each in answers] == [line["body"]["event"] for line in CALL[1:]]
        assert all(each["ok"] for each in answers)
        (call,) = calls(manager)
        joined = next(each for each in answers if each["call_id"])
        assert joined["call_id"] == call["id"]
        assert joined["recording_id"] == call["recording_id"]
        assert joined["egress_id"].startswith("EG_")
        assert call["caller_number"] == "+15550100"
        assert datetime.fromisoformat(call["joined_at"]) >= before
        assert call["left_at"] is not None

    def test_it_can_happen_many_times(
        self, terminal: Terminal, manager: Manager, trace: Path
    ) -> None:
        """Each time it is another call."""
        for _ in range(3):
            again(terminal, manager, trace)

        assert len({call["id"] for call in calls(manager)}) == 3

    def test_with_its_own_ids_it_happens_once(
        self, terminal: Terminal, manager: Manager, trace: Path
    ) -> None:
        """As when LiveKit sends its events twice."""
        for _ in range(2):
            again(terminal, manager, trace, "--keep-ids")

        (call,) = calls(manager)
        assert call["participant_sids"] == ["PA_1"]

    def test_with_its_own_times_it_is_old_news(
        self, terminal: Terminal, manager: Manager, trace: Path
    ) -> None:
        """The call is known, when it was; nobody is sent to its room."""
        again(terminal, manager, trace, "--keep-times")

        (call,) = calls(manager)
        assert datetime.fromisoformat(call["joined_at"]).timestamp() == pytest.approx(THEN, abs=1)

    def test_it_can_happen_in_another_room(
        self, terminal: Terminal, manager: Manager, trace: Path
    ) -> None:
        """Where nobody minds."""
        again(terminal, manager, trace, "--room", "palombia")

        assert [call["room_name"] for call in calls(manager)] == ["palombia"]

    def test_answers_are_a_table_for_people(
        self, terminal: Terminal, manager: Manager, tmp_path: Path
    ) -> None:
        """Bodies alone are a trace, too."""
        bodies = [line["body"] for line in CALL[1:4]]
        file = written(tmp_path / "bodies.jsonl", *bodies)

        said = terminal.types("replay", str(file), "--url", manager.url, "--speed", "1000")

        head, *rows = said.out.splitlines()
        assert head.split() == ["t", "event", "call", "recording", "egress", "outcome"]
        (call,) = calls(manager)
        cells = ["participant_joined", call["id"], call["recording_id"]]
        assert rows[1].split()[1:4] == cells

    def test_what_is_refused_is_told_and_the_rest_goes_on(
        self, terminal: Terminal, manager: Manager, tmp_path: Path
    ) -> None:
        """With the service's own words; the end is 1."""
        broken = webhook(0.1, "participant_joined", 9)
        file = written(tmp_path / "broken.jsonl", broken, *CALL[1:3])

        said = terminal.types("replay", str(file), "--url", manager.url, "--at-once")

        assert said.code == 1
        assert "400: the webhook lacks participant" in said.out
        assert said.error == "egress-manager: 1 of 3 webhooks were refused\n"
        assert len(calls(manager)) == 1


class TestTrouble:
    """What goes wrong is one sentence."""

    def said(self, terminal: Terminal, trace: Path, url: str, **settings: str) -> Said:
        """What came of it; always 1."""
        said = terminal.types("replay", str(trace), "--url", url, "--at-once", **settings)
        assert said.code == 1
        return said

    def test_a_service_that_does_not_run(self, terminal: Terminal, trace: Path) -> None:
        """Where it was looked for."""
        said = self.said(terminal, trace, "http://127.0.0.1:9")

        assert "nobody answers at http://127.0.0.1:9: is it running? (--url)" in said.error

    def test_a_service_with_other_settings(
        self, terminal: Terminal, manager: Manager, trace: Path
    ) -> None:
        """It would refuse every single one."""
        said = self.said(terminal, trace, manager.url, LIVEKIT_API_SECRET="another" * 8)

        assert "the service does not know the key that signs" in said.error

    def test_something_else_that_answers(self, terminal: Terminal, trace: Path) -> None:
        """Whatever it says."""
        with HTTPServer(("127.0.0.1", 0), Cheerful) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            said = self.said(terminal, trace, f"http://127.0.0.1:{server.server_port}")
            server.shutdown()

        assert "is not Egress Manager (--url)" in said.error

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            ("{", "line 1 is no webhook"),
            ("", "there is no webhook in it"),
            (b"\xff\xfe", "is no text"),
            (None, "can't be used: No such file or directory"),
        ],
    )
    def test_a_file_that_is_no_trace(
        self, terminal: Terminal, tmp_path: Path, content: str | bytes | None, sentence: str
    ) -> None:
        """Before anything is sent."""
        file = tmp_path / "x.jsonl"
        if content is not None:
            file.write_bytes(content.encode() if isinstance(content, str) else content)

        assert sentence in self.said(terminal, file, "http://127.0.0.1:9").error

    @pytest.mark.parametrize("speed", ["0", "-1", "inf", "nan"])
    def test_a_speed_that_is_none(self, terminal: Terminal, trace: Path, speed: str) -> None:
        """There is --at-once."""
        said = terminal.types("replay", str(trace), f"--speed={speed}")

        assert said.code == 1
        assert "--speed can't be used" in said.error


class Cheerful(BaseHTTPRequestHandler):
    """Takes everything."""

    def do_POST(self) -> None:
        """Says yes."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status": "fine"}')

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


class TestInbox:
    """`inbox export`."""

    def test_what_came_can_be_sent_again(
        self, terminal: Terminal, manager: Manager, trace: Path, tmp_path: Path
    ) -> None:
        """Written for its owner's eyes only, and in order."""
        again(terminal, manager, trace)
        file = tmp_path / "kept.jsonl"

        said = terminal.types("inbox", "export", str(file))
        answers = again(terminal, manager, file)

        assert said.out == f"5 webhooks were written to {file}. Phone numbers are in it.\n"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert [each["event"] for each in answers] == [line["body"]["event"] for line in CALL[1:]]
        assert len(calls(manager)) == 2

    def test_one_room_is_enough(
        self, terminal: Terminal, manager: Manager, trace: Path, tmp_path: Path
    ) -> None:
        """Of many."""
        again(terminal, manager, trace)
        again(terminal, manager, trace, "--room", "palombia")
        file = tmp_path / "kept.jsonl"

        terminal.types("inbox", "export", str(file), "--room", "palombia")

        with file.open() as lines:
            assert {each.room_name for each in read_trace(lines)} == {"palombia"}

    def test_a_file_that_is_there_stays(
        self, terminal: Terminal, manager: Manager, trace: Path
    ) -> None:
        """Whatever it is."""
        content = trace.read_text()

        said = terminal.types("inbox", "export", str(trace))

        assert (said.code, trace.read_text()) == (1, content)
        assert "can't be used: File exists" in said.error

    @pytest.mark.parametrize("asked", [["--room", "nowhere"], ["--since", "2999-01-01"]])
    def test_without_webhooks_there_is_no_file(
        self, terminal: Terminal, manager: Manager, trace: Path, tmp_path: Path, asked: list[str]
    ) -> None:
        """And it is said."""
        again(terminal, manager, trace)
        file = tmp_path / "kept.jsonl"

        said = terminal.types("inbox", "export", str(file), *asked)

        assert (said.code, said.error) == (1, "egress-manager: no such webhooks are kept\n")
        assert not file.exists()


class Slow:
    """A service that notes what was sent when; its answers take no time."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, str]] = []

    async def post(self, body: bytes) -> Answer:
        """Take it."""
        now = asyncio.get_running_loop().time()
        self.sent.append((now, json.loads(body)["event"]))
        return Answer(200, {})


async def test_webhooks_are_sent_in_their_rhythm() -> None:
    """None before its time, however fast the service is."""
    service = Slow()
    trace = read_trace(json.dumps(line) for line in CALL)
    began = asyncio.get_running_loop().time()

    clock = FixedClock(datetime(2026, 11, 22, tzinfo=UTC))
    pairs = [pair async for pair in replay(trace, Manner(speed=20), receiver=service, clock=clock)]

    assert len(pairs) == len(service.sent) == len(trace)
    for webhook, (at, event) in zip(trace, service.sent, strict=True):
        assert event == webhook.event
        assert at - began >= webhook.at_sec / 20 - 0.001


@pytest.mark.parametrize("command", ["import", "replay", "inbox"])
def test_the_script_of_the_first_design_does_the_same(command: str) -> None:
    """From a checkout that is not installed, wherever one stands."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "recording" / "recording.py"), command, "--help"],
        capture_output=True,
        text=True,
        cwd="/",
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: egress-manager {command}")
