"""What LiveKit lets us do, tried on the real server: tokens, webhooks, dispatch rules."""

import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import httpx2
import jwt
import pytest
from livekit import api

from egress_manager.adapters.livekit_rooms import LiveKitRooms
from egress_manager.adapters.livekit_tokens import capture_token, recorder_token
from egress_manager.errors import LiveKitRefused
from egress_manager.recorder.signalling import signal
from lab import sounds
from lab.phones import Agent, Phone
from lab.servers import LiveKit, Mongod, Redis
from lab.web import NO_TLS
from tests.e2e.houses import House, heard, house

pytestmark = pytest.mark.builtin_only("doors of the capture")


def _key(livekit: LiveKit) -> tuple[str, str]:
    return livekit.api_key, livekit.keys[livekit.api_key]


async def joined(livekit: LiveKit, token: str) -> str:
    """The room that a token lets into."""
    async with (
        aiohttp.ClientSession() as session,
        signal(session, livekit.url, token) as signalling,
    ):
        async for message in signalling.messages():
            if message.WhichOneof("message") == "join":
                return str(message.join.room.name)
    raise AssertionError("the server hung up")


async def test_edge_case_2_an_expired_token_is_refused(
    livekit_server: LiveKit, room_name: str
) -> None:
    """Tokens are made just before each call to LiveKit, and an old one opens nothing."""
    key, secret = _key(livekit_server)
    fresh = capture_token(key, secret, room_name, "recorder-1")
    claims = jwt.decode(fresh, options={"verify_signature": False})
    long_ago = {"exp": claims["exp"] - 7200, "nbf": claims["nbf"] - 7200}
    expired = jwt.encode(claims | long_ago, secret, algorithm="HS256")

    assert await joined(livekit_server, fresh) == room_name
    with pytest.raises(LiveKitRefused):
        await joined(livekit_server, expired)


async def test_a_captures_token_is_good_for_its_room_only(
    livekit_server: LiveKit, room_name: str
) -> None:
    """Asked for another room with it, LiveKit refuses, or leads to the token's own."""
    token = capture_token(*_key(livekit_server), room_name, "recorder-1")
    asked = {"access_token": token, "room": "somebody-elses"}
    async with httpx2.AsyncClient(verify=NO_TLS, timeout=10) as client:
        answer = await client.get(f"{livekit_server.http_url}/rtc/validate", params=asked)

    assert answer.status_code == 401 or await joined(livekit_server, token) == room_name
    rooms = await _open_rooms(livekit_server)
    assert "somebody-elses" not in rooms


async def test_the_users_recorder_token_cannot_join_a_room(
    livekit_server: LiveKit, room_name: str
) -> None:
    """`{room, roomRecord}` is for the Egress API alone."""
    with pytest.raises(LiveKitRefused):
        await joined(livekit_server, recorder_token(*_key(livekit_server), room_name))


async def _open_rooms(livekit: LiveKit) -> list[str]:
    rooms = LiveKitRooms(livekit.http_url, *_key(livekit))
    try:
        return [room.name for room in await rooms.rooms()]
    finally:
        await rooms.aclose()


async def test_a_wrong_key_is_said_so(livekit_server: LiveKit) -> None:
    """The remedy stands in the message."""
    rooms = LiveKitRooms(livekit_server.http_url, livekit_server.api_key, "a-wrong-secret" * 4)
    try:
        with pytest.raises(LiveKitRefused, match="LIVEKIT_API_KEY"):
            await rooms.rooms()
    finally:
        await rooms.aclose()


async def test_a_server_without_sip_names_no_fixed_rooms(livekit_server: LiveKit) -> None:
    """No SIP bridge is no error."""
    rooms = LiveKitRooms(livekit_server.http_url, *_key(livekit_server))
    try:
        assert await rooms.direct_rooms() == []
    finally:
        await rooms.aclose()


@contextlib.asynccontextmanager
async def with_sip(
    mongod: Mongod, database: str, recordings: Path, fixed: str
) -> AsyncIterator[House]:
    """A house whose LiveKit has a dispatch rule of the direct kind for a fixed room."""
    async with (
        Redis() as redis,
        house(mongod, database, recordings, webhooks=True, redis=redis) as home,
    ):
        async with api.LiveKitAPI(home.livekit.http_url, *_key(home.livekit)) as livekit:
            rule = api.SIPDispatchRule(
                dispatch_rule_direct=api.SIPDispatchRuleDirect(room_name=fixed)
            )
            await livekit.sip.create_dispatch_rule(
                api.CreateSIPDispatchRuleRequest(
                    dispatch_rule=api.SIPDispatchRuleInfo(name="friday", rule=rule)
                )
            )
        await home.manager.restart()  # rules are asked for at the start, then every minute
        yield home


async def test_a_fixed_room_of_a_dispatch_rule_gets_a_standing_capture(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path
) -> None:
    """The recorder is there as soon as the agent is, before anybody calls; nothing is lost."""
    fixed = "friday-assistant-room"
    async with (
        with_sip(mongod_server, mongo_database, tmp_path, fixed) as home,
        Agent(home.livekit, fixed, identity="agent") as agent,
    ):
        await home.recorder_is_in(fixed)
        assert not await home.manager.recordings_of()
        async with Phone(home.livekit, fixed, number="+15550400") as phone:
            await phone.answered()
            await agent.say(sounds.silence(0.3))
            await phone.say(sounds.chirp(1))
            await phone.hang_up()
        recording = await home.finished(phone)

    assert sounds.locate(heard(recording).left, sounds.chirp(1)).score > 0.9
    assert recording["holes"] == []


async def test_webhooks_are_taken_only_when_livekit_signed_them(
    home: House, room_name: str
) -> None:
    """401 for what anybody made up; the real server's own are taken, and counted once."""
    forged = json.dumps({"event": "room_started", "room": {"name": room_name}}).encode()
    async with httpx2.AsyncClient(verify=NO_TLS, timeout=10) as client:
        unsigned = await client.post(home.manager.webhook_url, content=forged)
        wrong = await client.post(
            home.manager.webhook_url,
            content=forged,
            headers={"Authorization": jwt.encode({"sha256": "x"}, "wrong" * 8, algorithm="HS256")},
        )
    async with (
        Agent(home.livekit, room_name, identity="agent"),
        Phone(home.livekit, room_name, number="+15550401") as phone,
    ):
        await home.capturing(phone)

    assert (unsigned.status_code, wrong.status_code) == (401, 401)
    assert len(await home.manager.calls()) == 1


async def test_what_time_it_is_at_livekit_is_heard_with_every_answer(
    livekit_server: LiveKit,
) -> None:
    """In full seconds, as HTTP has it."""
    heard_at: list[datetime] = []
    rooms = LiveKitRooms(livekit_server.http_url, *_key(livekit_server))
    rooms.on_time = heard_at.append
    before = datetime.now(UTC).replace(microsecond=0)
    try:
        await rooms.rooms()
        await rooms.participants("nowhere")
    finally:
        await rooms.aclose()

    assert len(heard_at) == 2
    assert before <= heard_at[0] <= heard_at[1] <= datetime.now(UTC)
