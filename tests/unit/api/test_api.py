"""The HTTP API over ASGI, with the stores in memory."""

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from egress_manager import api
from egress_manager.api import auth
from egress_manager.api.errors import STATUS
from egress_manager.api.services import ApiServices
from egress_manager.api.webhook import BODY_AT_MOST
from egress_manager.domain import access
from egress_manager.domain.calls import Call, Stay
from egress_manager.domain.incoming import Room
from egress_manager.domain.recordings import Observation, Recording, State, TrackFile, Verdict
from egress_manager.errors import (
    BadRequest,
    EgressManagerError,
    SignatureRefused,
    StorageFailed,
    StoreUnavailable,
)
from egress_manager.flows.ingest import Outcome
from egress_manager.testing import FixedClock, MemoryCalls, MemoryKeys, MemoryRecordings

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEY = "houba-houba-hop"


class House:
    """A service in memory: what it has, and what its doors say."""

    def __init__(self, directory: Path) -> None:
        self.calls = MemoryCalls()
        self.recordings = MemoryRecordings()
        self.keys = MemoryKeys(kept=access.fingerprint(KEY))
        self.clock = FixedClock(NOON)
        self.directory = directory
        self.received: list[tuple[bytes, str | None]] = []
        self.trouble: EgressManagerError | None = None
        self.ills: dict[str, Exception] = {}
        self.app = FastAPI()
        api.install(self.app)
        self.app.state.services = ApiServices(
            calls=self.calls,
            recordings=self.recordings,
            keys=self.keys,
            clock=self.clock,
            receive=self.receive,
            recordings_dir=directory,
            health_checks={"mongodb": self.mongodb, "storage": self.storage},
        )

    async def receive(self, body: bytes, authorization: str | None) -> Outcome:
        """Take in a webhook, or say what is wrong with it."""
        if self.trouble is not None:
            raise self.trouble
        self.received.append((body, authorization))
        return Outcome("recorded", "call_1", "rec_1", "EG_1")

    async def mongodb(self) -> str:
        """How MongoDB is."""
        if ill := self.ills.get("mongodb"):
            raise ill
        return "ok"

    async def storage(self) -> str:
        """How the disk is."""
        if ill := self.ills.get("storage"):
            raise ill
        return "1 MB free"

    async def has(self, **fields: Any) -> Recording:
        """Put a finished recording into the store."""
        given: dict[str, Any] = {
            "id": "rec_1",
            "call_id": "call_1",
            "egress_id": "EG_1",
            "engine": "builtin",
            "room_name": "palombia",
            "seen": Observation(State.CAPTURED, NOON),
            "created_at": NOON,
            "state": State.RENDERED,
        }
        return await self.recordings.add(Recording(**(given | fields)))

    def file(self, name: str, content: bytes = b"0123456789") -> str:
        """Put a file into the recordings directory, and say where it is."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path)


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A service with nothing in it."""
    return House(tmp_path / "recordings")


@pytest.fixture
async def anybody(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    """A client without a key."""
    transport = httpx2.ASGITransport(app=house.app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://manager") as client:
        yield client


@pytest.fixture
async def client(house: House, anybody: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """A client with the key."""
    anybody.headers["Authorization"] = f"Bearer {KEY}"
    return anybody


class TestWebhook:
    """`POST /webhook`."""

    async def test_it_says_what_it_led_to(self, house: House, anybody: httpx2.AsyncClient) -> None:
        """Step 4 of the user's checklist; the body and its signature arrive as they were sent."""
        answer = await anybody.post(
            "/webhook",
            content=b'{"event" :  "x"}',
            headers={"Authorization": "a.b.c", "Content-Type": "application/webhook+json"},
        )

        assert answer.status_code == 200
        assert answer.json() == {
            "outcome": "recorded",
            "call_id": "call_1",
            "recording_id": "rec_1",
            "egress_id": "EG_1",
        }
        assert house.received == [(b'{"event" :  "x"}', "a.b.c")]

    @pytest.mark.parametrize(
        ("trouble", "status", "code"),
        [
            (SignatureRefused("not signed"), 401, "signature_refused"),
            (BadRequest("lacks event"), 400, "bad_request"),
            (StoreUnavailable("AutoReconnect"), 503, "store_unavailable"),
        ],
    )
    async def test_what_is_wrong_has_the_status_that_livekit_understands(
        self,
        house: House,
        anybody: httpx2.AsyncClient,
        trouble: EgressManagerError,
        status: int,
        code: str,
    ) -> None:
        """503 is sent again, 4xx is not."""
        house.trouble = trouble

        answer = await anybody.post("/webhook", content=b"{}")

        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == code
        assert answer.json()["detail"] == str(trouble)
        assert answer.json()["retryable"] is (status == 503)
        assert ("retry-after" in answer.headers) is (status == 503)

    async def test_a_body_that_is_too_large_is_not_even_read(
        self, house: House, anybody: httpx2.AsyncClient
    ) -> None:
        """1 MiB is far more than any event has."""
        answer = await anybody.post("/webhook", content=b"x" * (BODY_AT_MOST + 1))

        assert answer.status_code == 413
        assert answer.json()["code"] == "too_large"
        assert house.received == []


class TestKey:
    """Who may ask."""

    @pytest.mark.parametrize(
        "path",
        [
            "/calls",
            "/calls/call_1",
            "/recordings",
            "/recordings/rec_1",
            "/recordings/rec_1/audio",
            "/recordings/rec_1/tracks/TR_1/audio",
        ],
    )
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Basic {KEY}"},
            {"X-API-Key": "wrong"},
            {"X-API-Key": ""},
            {"X-API-Key": KEY[:-1]},
        ],
    )
    async def test_nothing_is_read_without_it(
        self, anybody: httpx2.AsyncClient, path: str, headers: dict[str, str]
    ) -> None:
        """Whether the thing exists or not."""
        answer = await anybody.get(path, headers=headers)

        assert answer.status_code == 401
        assert answer.json()["code"] == "unauthenticated"
        assert answer.headers["www-authenticate"] == "Bearer"

    @pytest.mark.parametrize("headers", [{"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}])
    async def test_it_opens_in_either_header(
        self, anybody: httpx2.AsyncClient, headers: dict[str, str]
    ) -> None:
        """As people are used to."""
        assert (await anybody.get("/calls", headers=headers)).status_code == 200

    async def test_no_key_opens_while_there_is_none(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """Nothing is open because nobody has set a key yet."""
        house.keys.kept = None

        assert (await client.get("/calls")).status_code == 401

    async def test_every_route_but_the_open_ones_wants_it(
        self, house: House, anybody: httpx2.AsyncClient
    ) -> None:
        """Also the routes that somebody will add."""
        described = (await anybody.get("/openapi.json")).json()["paths"]
        open_paths = {"/webhook", "/health", "/health/live"}

        for path, operations in described.items():
            for operation in operations.values():
                assert ("security" in operation) is (path not in open_paths), path

    async def test_the_first_one_is_shown_on_a_terminal_once(self, house: House) -> None:
        """And only its fingerprint is kept."""
        house.keys.kept = None
        terminal = Terminal()

        assert await auth.make_first_key(house.keys, house.clock, terminal)
        assert await auth.make_first_key(house.keys, house.clock, terminal)

        shown = terminal.getvalue().split()[-1]
        assert terminal.getvalue().count(shown) == 1
        assert access.opens(shown, house.keys.kept)
        assert shown not in str(house.keys.kept)

    async def test_none_is_made_where_nobody_would_see_it(self, house: House) -> None:
        """What is not a terminal is a log."""
        house.keys.kept = None
        not_a_terminal = io.StringIO()

        assert not await auth.make_first_key(house.keys, house.clock, not_a_terminal)
        assert not_a_terminal.getvalue() == ""
        assert house.keys.kept is None

    async def test_a_new_one_takes_the_place_of_the_old(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """From the next request on."""
        new = await auth.make_new_key(house.keys, house.clock)

        assert (await client.get("/calls")).status_code == 401
        client.headers["Authorization"] = f"Bearer {new}"
        assert (await client.get("/calls")).status_code == 200


class Terminal(io.StringIO):
    """Somebody is watching."""

    def isatty(self) -> bool:
        return True


class TestCalls:
    """`GET /calls`."""

    async def test_a_call_is_shown_with_the_reason_why_it_is_not_recorded(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """Room and numbers on the top level."""
        await house.calls.add(
            Call(
                "call_1",
                Room("palombia", "RM_1"),
                "sip_1",
                (Stay("PA_1"),),
                NOON,
                NOON,
                caller_number="+15550100",
                reason="policy_none",
            )
        )

        shown = (await client.get("/calls/call_1")).json()

        assert shown["room_name"] == "palombia"
        assert shown["room_sid"] == "RM_1"
        assert shown["participant_sids"] == ["PA_1"]
        assert shown["direction"] == "inbound"
        assert shown["joined_at"] == "2026-11-22T12:00:00Z"
        assert shown["left_at"] is None
        assert shown["reason"] == "policy_none"

    async def test_lists_are_filtered_and_paged(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """The cursor of a page leads to the next; a number's plus may stand in the URL as it is."""
        for number in range(5):
            at = NOON + timedelta(seconds=number)
            await house.calls.add(
                Call(f"call_{number}", Room("r"), "i", (Stay("PA"),), at, at, "+1555")
            )

        first = (await client.get("/calls?caller_number=+1555&limit=2")).json()
        second = (await client.get("/calls", params={"cursor": first["next_cursor"]})).json()
        until = (await client.get("/calls?until=2026-11-22T12:00:02+00:00")).json()

        assert [call["id"] for call in first["items"]] == ["call_4", "call_3"]
        assert [call["id"] for call in second["items"]] == ["call_2", "call_1", "call_0"]
        assert second["next_cursor"] is None
        assert [call["id"] for call in until["items"]] == ["call_1", "call_0"]

    @pytest.mark.parametrize(
        "query",
        [
            "limit=0",
            "limit=201",
            "limit=many",
            "cursor=houba",
            "since=yesterday",
            "since=2026-11-22T12:00:00",
            "is_over=perhaps",
        ],
    )
    async def test_what_cannot_be_understood_is_said(
        self, client: httpx2.AsyncClient, query: str
    ) -> None:
        """Which parameter, and why."""
        answer = await client.get(f"/calls?{query}")

        assert answer.status_code == 400
        assert answer.json()["code"] == "bad_request"
        assert answer.json()["detail"].startswith(query.partition("=")[0])

    async def test_a_store_that_is_away_is_retryable(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """Not an internal error."""
        house.calls.away = True

        answer = await client.get("/calls")

        assert answer.status_code == 503
        assert answer.json()["retryable"]


class TestRecordings:
    """`GET /recordings`."""

    async def test_a_recording_has_the_users_field_names(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """As in the user's document."""
        track = TrackFile("TR_1", "sip_1", "SIP", "left", reason="never_sent")
        await house.has(tracks=(track,), filepath="/r/a.mp4", duration_sec=30.5)

        shown = (await client.get("/recordings/rec_1")).json()

        assert list(shown)[1:11] == [
            "room_name",
            "egress_id",
            "caller_number",
            "agent_identity",
            "filepath",
            "started_at",
            "stopped_at",
            "duration_sec",
            "status",
            "tracks",
        ]
        assert shown["status"] == "completed"
        assert shown["tracks"][0]["track_id"] == "TR_1"
        assert shown["verdict"] == "pending"

    @pytest.mark.parametrize("state", State)
    async def test_every_state_has_a_public_status(
        self, house: House, client: httpx2.AsyncClient, state: State
    ) -> None:
        """And can be asked for by it."""
        recording = await house.has(state=state)

        shown = (await client.get("/recordings", params={"status": recording.status})).json()

        assert [found["state"] for found in shown["items"]] == [state.value]

    async def test_a_status_that_there_is_not_is_refused(self, client: httpx2.AsyncClient) -> None:
        """Instead of an empty list."""
        assert (await client.get("/recordings?status=done")).status_code == 400

    async def test_an_id_that_nobody_has_is_not_found(self, client: httpx2.AsyncClient) -> None:
        """As a problem document."""
        answer = await client.get("/recordings/rec_9")

        assert answer.status_code == 404
        assert answer.json()["type"] == "urn:egress-manager:not_found"


class TestAudio:
    """`GET /recordings/{id}/audio` and that of a track."""

    @pytest.mark.parametrize(("name", "kind"), [("a.mp4", "audio/mp4"), ("a.ogg", "audio/ogg")])
    async def test_the_mix_is_sent_whole(
        self, house: House, client: httpx2.AsyncClient, name: str, kind: str
    ) -> None:
        """With its type; players are told that they may ask for parts."""
        await house.has(filepath=house.file(f"palombia/{name}"))

        answer = await client.get("/recordings/rec_1/audio")

        assert answer.status_code == 200
        assert answer.headers["content-type"] == kind
        assert answer.headers["accept-ranges"] == "bytes"
        assert answer.content == b"0123456789"

    async def test_a_part_is_sent_that_is_asked_for(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """What players do when somebody jumps."""
        await house.has(filepath=house.file("a.mp4"))

        part = await client.get("/recordings/rec_1/audio", headers={"Range": "bytes=3-5"})
        rest = await client.get("/recordings/rec_1/audio", headers={"Range": "bytes=-2"})
        none = await client.get("/recordings/rec_1/audio", headers={"Range": "bytes=99-"})

        assert (part.status_code, part.content) == (206, b"345")
        assert part.headers["content-range"] == "bytes 3-5/10"
        assert (rest.status_code, rest.content) == (206, b"89")
        assert none.status_code == 416

    async def test_its_size_can_be_asked_for_alone(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """With HEAD."""
        await house.has(filepath=house.file("a.mp4"))

        answer = await client.head("/recordings/rec_1/audio")

        assert answer.headers["content-length"] == "10"
        assert answer.content == b""

    async def test_a_track_has_its_own_file(self, house: House, client: httpx2.AsyncClient) -> None:
        """A track that there is not is not found; one without a file says so."""
        tracks = (
            TrackFile("TR_1", "sip_1", "SIP", "left", filepath=house.file("t/TR_1.ogg")),
            TrackFile("TR_2", "sip_2", "SIP", "left", reason="never_sent"),
        )
        await house.has(tracks=tracks)

        one = await client.get("/recordings/rec_1/tracks/TR_1/audio")
        two = await client.get("/recordings/rec_1/tracks/TR_2/audio")
        nine = await client.get("/recordings/rec_1/tracks/TR_9/audio")

        assert (one.status_code, one.headers["content-type"]) == (200, "audio/ogg")
        assert (two.status_code, two.json()["code"]) == (404, "no_file")
        assert (nine.status_code, nine.json()["code"]) == (404, "not_found")

    async def test_a_recording_that_goes_on_has_no_file_yet(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """Which is another thing than never having one."""
        await house.has(state=State.ACTIVE)

        mix = (await client.get("/recordings/rec_1/audio")).json()
        track = (await client.get("/recordings/rec_1/tracks/TR_1/audio")).json()

        assert (mix["code"], mix["retryable"]) == ("no_file_yet", True)
        assert track["code"] == "no_file_yet"

    async def test_a_file_that_is_gone_says_why(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """The user's simulated `egress_completed` names one that never was."""
        await house.has(filepath=str(house.directory / "gone.mp4"), verdict=Verdict.MISSING)

        answer = await client.get("/recordings/rec_1/audio")

        assert answer.status_code == 404
        assert answer.json()["code"] == "no_file"
        assert "missing" in answer.json()["detail"]

    @pytest.mark.parametrize(
        "filepath",
        [
            "/etc/passwd",
            "{dir}/../secret.mp4",
            "{dir}/link.mp4",
            "{dir}/.captures/journal.jsonl",
            "{dir}",
            "\x00",
            "a" * 5000,
        ],
    )
    async def test_nothing_outside_the_directory_is_ever_sent(
        self, house: House, client: httpx2.AsyncClient, filepath: str
    ) -> None:
        """Whatever a document says, wherever a link leads, and not what is hidden."""
        house.file("../secret.mp4")
        house.file(".captures/journal.jsonl")
        (house.directory / "link.mp4").symlink_to(house.directory / "../secret.mp4")
        await house.has(filepath=filepath.replace("{dir}", str(house.directory)))

        answer = await client.get("/recordings/rec_1/audio")

        assert answer.status_code == 404
        assert answer.json()["code"] == "no_file"


class TestHealth:
    """`GET /health`."""

    async def test_all_is_well(self, anybody: httpx2.AsyncClient) -> None:
        """Nobody needs a key to ask."""
        answer = await anybody.get("/health")

        assert answer.status_code == 200
        assert answer.json() == {
            "status": "ok",
            "ill": [],
            "parts": {
                "mongodb": {"ok": True, "detail": "ok"},
                "storage": {"ok": True, "detail": "1 MB free"},
            },
        }

    @pytest.mark.parametrize(
        ("ill", "detail"),
        [
            (StorageFailed("/r can't be written"), "/r can't be written"),
            (TimeoutError(), "no answer within 2 s"),
            (RuntimeError("a secret"), "RuntimeError"),
        ],
    )
    async def test_the_part_that_is_ill_is_named(
        self, house: House, anybody: httpx2.AsyncClient, ill: Exception, detail: str
    ) -> None:
        """The others are still asked."""
        house.ills["storage"] = ill

        answer = await anybody.get("/health")

        assert answer.status_code == 503
        assert answer.json()["ill"] == ["storage"]
        assert answer.json()["parts"]["storage"] == {"ok": False, "detail": detail}
        assert answer.json()["parts"]["mongodb"]["ok"]

    async def test_the_process_answers_whatever_is_ill(
        self, house: House, anybody: httpx2.AsyncClient
    ) -> None:
        """Restarting it would not help MongoDB."""
        house.ills["mongodb"] = StoreUnavailable("away")

        assert (await anybody.get("/health/live")).status_code == 200


class TestProblems:
    """What goes wrong elsewhere."""

    async def test_a_path_that_there_is_not(self, anybody: httpx2.AsyncClient) -> None:
        """Is a problem document, too."""
        answer = await anybody.get("/houba")

        assert answer.status_code == 404
        assert answer.json()["code"] == "not_found"

    async def test_a_method_that_there_is_not(self, anybody: httpx2.AsyncClient) -> None:
        """Is a problem document, too."""
        answer = await anybody.get("/webhook")

        assert answer.status_code == 405
        assert answer.json()["code"] == "method_not_allowed"

    async def test_a_mistake_of_ours_tells_nothing(
        self, house: House, client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The log has it whole."""
        call = Call("call_1", Room("r"), "i", (Stay("PA"),), NOON, NOON)
        house.calls.kept["call_1"] = replace(call, joined_at="never")  # type: ignore[arg-type]

        answer = await client.get("/calls/call_1")

        assert answer.status_code == 500
        assert answer.json()["code"] == "internal"
        assert "never" not in answer.text
        assert any(record.message == "request_failed" for record in caplog.records)

    def test_every_error_of_ours_has_a_status(self) -> None:
        """So that a new one can't be forgotten."""
        assert {error.code for error in _kinds(EgressManagerError)} <= STATUS.keys()

    def test_the_documentation_names_every_path_and_code(self, house: House) -> None:
        """`docs/api.md` is kept true."""
        text = (Path(__file__).parents[3] / "docs" / "api.md").read_text()

        for path in house.app.openapi()["paths"]:
            assert f" {path}`" in text, path
        for code, status in STATUS.items():
            assert f"| `{code}` | {status.value} |" in text, code


def _kinds(error: type[EgressManagerError]) -> set[type[EgressManagerError]]:
    return {error}.union(*(_kinds(kind) for kind in error.__subclasses__()))


async def test_a_part_that_does_not_answer_is_ill_in_time(
    house: House, anybody: httpx2.AsyncClient
) -> None:
    """A probe must not wait for ever."""

    async def asleep() -> str:
        await asyncio.sleep(60)
        return "never"

    house.app.state.services = replace(house.app.state.services, health_checks={"livekit": asleep})

    async with asyncio.timeout(10):
        answer = await anybody.get("/health")

    assert answer.json()["ill"] == ["livekit"]
