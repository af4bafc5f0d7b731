"""A phone is a telephone where livekit-sip is, and a participant of kind SIP elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from livekit import api

from lab import livekit_sip, sounds
from lab.listeners import Listener
from lab.livekit_sip import LiveKitSip, real_livekit_sip
from lab.phones import Agent, Phone, SipParticipant, Telephone
from lab.plans import Line, Part
from lab.ports import LOOPBACK
from lab.servers import LiveKit, Redis
from lab.sip_phone import CallRefused, SipPhone
from lab.theatre import Stage

CALLER, CALLED = "+15550100", "+15557650000"
ROOM = "friday-assistant-room"


only_real = pytest.mark.skipif(real_livekit_sip() is None, reason="livekit-sip is not on PATH")


@pytest.fixture
async def livekit() -> AsyncIterator[LiveKit]:
    """A livekit-server that keeps trunks and dispatch rules."""
    async with Redis() as redis, LiveKit(redis=redis) as livekit:
        await livekit_sip.let_in(livekit)
        yield livekit


@pytest.fixture
async def bridged() -> AsyncIterator[LiveKit]:
    """A livekit-server with livekit-sip beside it."""
    async with (
        Redis() as redis,
        LiveKit(redis=redis) as livekit,
        LiveKitSip(livekit, redis),
    ):
        yield livekit


@pytest.fixture
async def desk(livekit: LiveKit) -> AsyncIterator[SipPhone]:
    """A telephone where livekit-sip would be: it takes the calls that go there."""
    async with SipPhone(CALLED) as desk:
        livekit.sip_port = desk.place[1]
        yield desk


async def rules(livekit: LiveKit) -> list[api.SIPDispatchRuleInfo]:
    """What is kept of where calls are led."""
    async with asking(livekit) as client:
        listed = await client.sip.list_dispatch_rule(api.ListSIPDispatchRuleRequest())
    return list(listed.items)


def asking(livekit: LiveKit) -> api.LiveKitAPI:
    """The server's API."""
    return api.LiveKitAPI(livekit.http_url, livekit.api_key, livekit.api_secret)


async def test_telephones_are_let_in_once(livekit: LiveKit) -> None:
    """One trunk for whoever calls from this machine, however often that is asked for."""
    await livekit_sip.let_in(livekit)

    async with asking(livekit) as client:
        listed = await client.sip.list_inbound_trunk(api.ListSIPInboundTrunkRequest())
    (trunk,) = listed.items
    assert (trunk.name, list(trunk.allowed_addresses)) == ("lab", ["127.0.0.1/32"])


async def test_calls_are_led_into_one_room_or_into_rooms_of_their_own(livekit: LiveKit) -> None:
    """By dispatch rules of the two kinds, for a number or for all; and not any more."""
    direct = await livekit_sip.lead(livekit, CALLER, ROOM)
    individual = await livekit_sip.lead_to_own_rooms(livekit, "call-")

    by_id = {rule.sip_dispatch_rule_id: rule for rule in await rules(livekit)}
    assert by_id[direct].rule.dispatch_rule_direct.room_name == ROOM
    assert list(by_id[direct].inbound_numbers) == [CALLER]
    assert by_id[individual].rule.dispatch_rule_individual.room_prefix == "call-"
    assert list(by_id[individual].inbound_numbers) == []
    await livekit_sip.forget(livekit, direct)
    await livekit_sip.forget(livekit, individual)
    await livekit_sip.forget(livekit, individual)
    assert await rules(livekit) == []


async def test_where_no_livekit_sip_is_a_phone_is_a_participant(livekit: LiveKit) -> None:
    """Of kind SIP; and so is who asks for one by name, whatever is there."""
    assert type(Phone(livekit, ROOM, number=CALLER)) is SipParticipant
    livekit.sip_port = 5060
    assert type(Phone(livekit, ROOM, number=CALLER)) is Telephone
    assert type(SipParticipant(livekit, ROOM, number=CALLER)) is SipParticipant


async def test_a_telephone_is_led_into_its_room_and_does_what_phones_do(
    livekit: LiveKit, desk: SipPhone
) -> None:
    """It rings, is answered, speaks, hangs up; its dispatch rule is there until the answer."""
    word = sounds.chirp(0.5)
    async with Phone(livekit, ROOM, number=CALLER, says=word) as phone:
        (rule,) = await rules(livekit)
        rings = phone.first("ringing")
        await desk.answer()
        await phone.answered()
        said = await phone.said()
        await phone.say(sounds.silence(0.2))
        async with asyncio.timeout(30):
            while await rules(livekit):
                await asyncio.sleep(0.05)
        await phone.hang_up()
        await desk.left()
        heard = desk.heard()

    assert (phone.number, phone.identity, phone.room_name) == (CALLER, f"sip_{CALLER}", ROOM)
    assert rule.rule.dispatch_rule_direct.room_name == ROOM
    assert rings is not None
    assert said.details["ended_at"] - said.details["started_at"] > 0
    assert sounds.locate(heard, word).score > 0.9
    assert await rules(livekit) == []


async def test_a_telephone_that_is_not_let_in_says_so(livekit: LiveKit, desk: SipPhone) -> None:
    """The answer's status and reason; nothing of it stays."""
    async with Phone(livekit, ROOM, number=CALLER):
        with pytest.raises(CallRefused, match="486"):
            async with Phone(livekit, ROOM, number="+15550101"):
                pass

    assert await rules(livekit) == []


async def test_a_stage_plays_plain_parts_with_telephones(livekit: LiveKit, desk: SipPhone) -> None:
    """In its own process too; a part that no telephone can play is a participant's."""
    plain = Part(room=ROOM, number=CALLER, lines=(Line(sound="chirp:0.5"),))
    odd = Part(room=ROOM, number="+15550101", answer="at_once", attributes={"tenant": "acme"})
    async with Stage(livekit, [plain, odd]) as stage:
        rings = await desk.reached("ringing")
        await desk.answer()
        reports = await stage.over()

    told = {
        who: [r["what"] for r in reports if r.get("who") == who] for who in (plain.who, odd.who)
    }
    assert rings.details == {"number": CALLER}
    assert told[plain.who] == ["ringing", "answered", "said", "left"]
    assert told[odd.who][0] == "joined"


@only_real
async def test_livekit_sip_leads_a_telephone_into_its_room(bridged: LiveKit) -> None:
    """It rings until an agent's sound is there; then each side hears the other."""
    first, second = sounds.chirp(1), sounds.chirp(1, low=3400, high=400)
    async with (
        Listener(bridged, ROOM) as listener,
        Phone(bridged, ROOM, number=CALLER) as phone,
    ):
        assert isinstance(phone, Telephone)
        rings = phone.first("answered") is None
        async with Agent(bridged, ROOM, identity="agent") as agent:
            await phone.answered()
            await phone.say(first)
            await agent.say(second)
            await until(lambda: is_in(listener.heard(phone.identity), first))
            await until(lambda: is_in(phone.heard(), second))
            await phone.hang_up()

    assert rings


@only_real
async def test_livekit_sip_leads_calls_into_rooms_of_their_own(bridged: LiveKit) -> None:
    """The room is named after the prefix and the caller; to take the call back closes nothing."""
    await livekit_sip.lead_to_own_rooms(bridged, "call-")
    async with SipPhone(CALLER) as phone, asking(bridged) as client:
        await phone.dial(CALLED, (LOOPBACK, bridged.sip_port or 0))
        async with asyncio.timeout(30):
            while not (listed := await client.room.list_rooms(api.ListRoomsRequest())).rooms:
                await asyncio.sleep(0.05)
        await phone.hang_up()

    (room,) = listed.rooms
    assert room.name.startswith(f"call-_{CALLER}_")
    assert phone.first("answered") is None


def is_in(heard: sounds.PCM, sound: sounds.PCM) -> bool:
    """Whether all of a sound was heard by now."""
    return len(heard) > len(sound) and sounds.locate(heard, sound).score > 0.8


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.05)
