"""LiveKit Egress as the recorder: what the user gets when it is late, broken, killed or absent."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from egress_manager.adapters import livekit_tokens
from egress_manager.adapters.egress_recorder import EgressRecorder, Output
from egress_manager.domain.incoming import EgressReported, News, Sides
from egress_manager.ports import Order
from lab import sounds
from lab.egress import real_egress
from lab.participants import Manner
from lab.phones import Agent, Answer, Phone, SipParticipant
from lab.ports import LOOPBACK, free_port
from lab.servers import API_KEY, API_SECRET, LiveKit, Mongod
from tests.e2e.houses import Facts, House, heard, house

#: Faults are the stand-in's alone: the real one does not misbehave on command.
only_stand_in = pytest.mark.skipif(real_egress() is not None, reason="the real egress is on PATH")

FIRST, SECOND = sounds.chirp(1.5), sounds.chirp(1.5, low=3400, high=400)


@pytest.fixture
async def home(mongod_server: Mongod, mongo_database: str, tmp_path: Path) -> AsyncIterator[House]:
    """A house where LiveKit Egress records."""
    recordings = tmp_path / "recordings"
    async with house(mongod_server, mongo_database, recordings, engine="egress") as home:
        yield home


async def call(home: House, room: str, number: str, pause: float = 4) -> None:
    """A call of two sentences; the second is said when a recorder has had time to come back."""
    async with (
        Agent(home.livekit, room, identity="agent"),
        Phone(home.livekit, room, number=number) as phone,
    ):
        await home.hears(phone)
        await phone.say(FIRST)
        await phone.say(sounds.silence(pause))
        await phone.say(SECOND)
        await phone.hang_up()


def has(recording: Facts, sound: object) -> bool:
    """Whether a sound is heard on the caller's side."""
    return sounds.locate(heard(recording).left, sound).score > 0.6


@only_stand_in
async def test_where_no_egress_answers_the_builtin_recorder_takes_over(
    home: House, room_name: str
) -> None:
    """LiveKit says 503 after 20 s; two seconds are missing, and the document says so."""
    assert home.egress is not None
    await home.egress.misbehave("absent")

    await call(home, room_name, "+15550200")
    recording = await home.manager.recording("completed", caller_number="+15550200")

    assert (recording["engine"], recording["fell_back"]) == ("builtin", "egress_did_not_start")
    assert has(recording, FIRST)
    assert has(recording, SECOND)


@only_stand_in
async def test_what_a_killed_handler_had_is_gone_and_the_rest_is_recorded(
    home: House, room_name: str
) -> None:
    """Its file is deleted by LiveKit: no fault of ours, but a hole with its reason."""
    assert home.egress is not None
    await home.egress.misbehave("handler_killed", seconds=2)

    await call(home, room_name, "+15550201", pause=10)
    recording = await home.manager.recording("completed", caller_number="+15550201")

    assert recording["fell_back"] == "egress_failed"
    assert has(recording, SECOND)
    assert "signal: killed" in {job["error"] for job in recording["egresses"]}
    assert recording["holes"][0]["start_sec"] == pytest.approx(0, abs=0.5)


@only_stand_in
async def test_pieces_of_a_call_become_one_file(home: House, room_name: str) -> None:
    """The connection is lost after some seconds: what it had is delivered, and the rest follows."""
    assert home.egress is not None
    await home.egress.misbehave("connection_lost", times=1, seconds=5)

    await call(home, room_name, "+15550202")
    recording = await home.manager.recording("completed", caller_number="+15550202")

    assert has(recording, FIRST)
    assert has(recording, SECOND)


@only_stand_in
async def test_a_file_that_nobody_says_where_it_is_is_found(home: House, room_name: str) -> None:
    """COMPLETE without a location: the disk knows."""
    assert home.egress is not None
    await home.egress.misbehave("no_location")

    await call(home, room_name, "+15550203")
    recording = await home.manager.recording("completed", caller_number="+15550203")

    assert has(recording, SECOND)


@only_stand_in
async def test_a_file_that_cannot_be_delivered_is_a_failure_with_its_reason(
    home: House, room_name: str
) -> None:
    """ACTIVE all along, and nothing at the end: never called completed."""
    assert home.egress is not None
    await home.egress.misbehave("upload_failed")

    await call(home, room_name, "+15550204")
    recording = await home.manager.recording("failed", caller_number="+15550204")

    assert "no space left on device" in recording["reason"]


@only_stand_in
@pytest.mark.parametrize("fault", ["skip_active", "ended_twice", "limit_reached"])
async def test_whatever_it_says_on_the_way_the_file_counts(
    home: House, room_name: str, fault: str
) -> None:
    """ACTIVE left out, an end told twice, a limit: the recording is completed all the same."""
    assert home.egress is not None
    await home.egress.misbehave(fault, times=1, seconds=4)
    async with (
        Agent(home.livekit, room_name, identity="agent"),
        Phone(home.livekit, room_name, number="+15550205") as phone,
    ):
        await phone.answered()
        await phone.say(sounds.silence(3))
        await phone.say(FIRST)
        await phone.hang_up()

    recording = await home.manager.recording("completed", caller_number="+15550205")

    assert heard(recording).decoded_sec > 1


async def test_nobody_speaks(home: House, room_name: str) -> None:
    """Answered, but not one packet came: LiveKit Egress is aborted, and so is the recording."""
    async with SipParticipant(
        home.livekit,
        room_name,
        number="+15550206",
        answer=Answer.AT_ONCE,
        manner=Manner(publishes=False),
    ) as phone:
        await home.manager.call(lambda call: call["answered_at"], caller_number=phone.number)
        await phone.hang_up()
    recording = await home.manager.recording("aborted", caller_number="+15550206")

    assert recording["reason"] == "no_audio"


async def test_edge_case_1_a_caller_who_leaves_at_once_has_a_document(
    home: House, room_name: str
) -> None:
    """The start may come too late, or end at once: the document has what there is, and why."""
    async with (
        Agent(home.livekit, room_name, identity="agent"),
        Phone(home.livekit, room_name, number="+15550207", says=sounds.chirp(0.3)) as phone,
    ):
        await phone.said()
        await phone.hang_up()
    recording = await home.manager.recording(
        "completed", "aborted", "failed", caller_number="+15550207"
    )

    assert recording["filepath"] or recording["reason"]


async def test_what_webhooks_do_not_tell_is_asked_for(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path, room_name: str
) -> None:
    """Not one webhook comes: rooms, participants and egresses are listed."""
    async with house(
        mongod_server, mongo_database, tmp_path, engine="egress", webhooks=False
    ) as home:
        await call(home, room_name, "+15550208")
        recording = await home.manager.recording("completed", caller_number="+15550208")

    assert recording["engine"] == "egress"
    assert has(recording, SECOND)
    assert len([job for job in recording["egresses"] if job["kind"] == "mix"]) == 1


async def test_a_manager_that_is_killed_finds_its_egress_again(home: House, room_name: str) -> None:
    """kill -9 in the middle of a call: LiveKit Egress goes on, and is not doubled."""
    async with (
        Agent(home.livekit, room_name, identity="agent"),
        Phone(home.livekit, room_name, number="+15550209") as phone,
    ):
        await home.hears(phone)
        await phone.say(FIRST)
        await home.manager.kill()
        await home.manager.start()
        await phone.say(SECOND)
        await phone.hang_up()
    recording = await home.manager.recording("completed", caller_number="+15550209")

    assert recording["engine"] == "egress"
    assert has(recording, FIRST)
    assert has(recording, SECOND)
    assert len([job for job in recording["egresses"] if job["kind"] == "mix"]) == 1


async def test_the_user_s_own_way_records_the_caller_alone(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path, room_name: str
) -> None:
    """`StartParticipantEgress`: one side, and the document says that it is on both."""
    wanted = {"EGRESS_MANAGER_EGRESS_MODE": "participant"}
    async with house(
        mongod_server, mongo_database, tmp_path, engine="egress", settings=wanted
    ) as home:
        await call(home, room_name, "+15550210")
        recording = await home.manager.recording("completed", caller_number="+15550210")

    (mix,) = [job for job in recording["egresses"] if job["kind"] == "mix"]
    assert mix["sides"] == "one_voice"
    assert recording["filepath"].endswith(".mp4")
    assert has(recording, SECOND)


@only_stand_in
async def test_its_health_is_watched(home: House, room_name: str) -> None:
    """Refused orders are counted, and /health names the part that is ill."""
    assert home.egress is not None
    await home.egress.misbehave("refuse")

    async with SipParticipant(
        home.livekit, room_name, number="+15550211", answer=Answer.AT_ONCE
    ) as phone:
        await home.hears(phone)
        await home.manager.ill("egress")
        await phone.hang_up()


@contextlib.asynccontextmanager
async def older(livekit: LiveKit) -> AsyncIterator[str]:
    """The same server as one that knows no unified StartEgress: up to 1.13.0. Its address."""

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/StartEgress"):
            refusal = {"code": "bad_route", "msg": f"no handler for path {request.path!r}"}
            return web.json_response(refusal, status=404)
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type")}
        async with (
            aiohttp.ClientSession(livekit.http_url) as session,
            session.post(request.path, data=await request.read(), headers=headers) as said,
        ):
            return web.Response(
                body=await said.read(), status=said.status, content_type=said.content_type
            )

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, LOOPBACK, port).start()
    try:
        yield f"http://{LOOPBACK}:{port}"
    finally:
        await runner.cleanup()


async def test_edge_case_4_an_older_server_is_asked_in_its_own_way(
    home: House, room_name: str, tmp_path: Path
) -> None:
    """No StartEgress: a room composite with agents left is what there is, found out once."""
    told: list[EgressReported] = []

    async def listen(news: News) -> None:
        assert isinstance(news, EgressReported)
        told.append(news)

    async with (
        older(home.livekit) as url,
        contextlib.aclosing(
            EgressRecorder(
                url,
                partial(livekit_tokens.recorder_token, API_KEY, API_SECRET),
                Output(str(tmp_path)),
            )
        ) as recorder,
        Agent(home.livekit, room_name, identity="agent"),
        Phone(home.livekit, room_name, number="+15550212", says=sounds.silence(5)),
    ):
        recorder.listener = listen
        for number in range(2):
            await recorder.order(Order(room_name, f"{number}.ogg", identity="sip_+15550212"))
            async with asyncio.timeout(30):
                while len(told) <= number:
                    await asyncio.sleep(0.05)

    assert [report.sides for report in told] == [Sides.AGENTS_LEFT, Sides.AGENTS_LEFT]
    assert all(report.egress_id for report in told)
