"""The phone of `egress-manager check` on a real livekit-server, over every way to it."""

import asyncio
from contextlib import aclosing
from functools import partial

import pytest
from attending import LAST_WORD, studio

from egress_manager.adapters.builtin_phone import NUMBER, ChirpingPhone
from egress_manager.adapters.livekit_rooms import LiveKitRooms
from egress_manager.adapters.livekit_tokens import caller_token
from egress_manager.audio import chirp
from egress_manager.domain.captures import StretchBegan
from egress_manager.domain.incoming import Kind
from egress_manager.domain.troubles import CheckFailed, Trouble
from lab.servers import API_KEY, API_SECRET, LiveKit
from lab.tokens import Rooms
from lab.wire import Wire


def phone_at(rooms: Rooms, secret: str = API_SECRET) -> ChirpingPhone:
    """A phone that calls into that server's rooms."""
    return ChirpingPhone(rooms.url, partial(caller_token, API_KEY, secret))


async def test_it_is_a_caller_as_livekit_sip_brings_one(livekit_server, room_name):
    """Kind SIP, with the attributes that make a call; gone from the room when it hangs up."""
    async with aclosing(LiveKitRooms(livekit_server.http_url, API_KEY, API_SECRET)) as rooms:
        async with phone_at(livekit_server).call(room_name) as line:
            await line.play()
            (caller,) = await rooms.participants(room_name)
        after = await rooms.participants(room_name)

    assert caller.kind is Kind.SIP
    assert caller.identity == f"sip_{NUMBER}"
    assert caller.attributes["sip.callStatus"] == "active"
    assert caller.attributes["sip.phoneNumber"] == NUMBER
    assert caller.attributes["sip.callID"].startswith("SCL_")
    assert line.server
    assert after == []


async def test_what_it_plays_is_heard_whole(livekit_server, room_name, tmp_path):
    """From the first sample to the last, though it hangs up right behind it."""
    assert await heard(livekit_server, livekit_server, room_name, tmp_path) > 0.95


async def test_where_udp_is_blocked_it_comes_over_tcp(livekit_server, room_name, tmp_path):
    """As the recorder does."""
    async with Wire(livekit_server, transport="tcp") as wire:
        assert await heard(wire, livekit_server, room_name, tmp_path) > 0.95


async def test_it_comes_through_turn_where_no_other_way_is_open(room_name, tmp_path):
    """As the recorder does."""
    async with LiveKit(turn=True) as server, Wire(server, transport="relay") as wire:
        wire.cut_media()

        assert await heard(wire, server, room_name, tmp_path) > 0.95


async def test_no_way_for_media_is_told_from_no_way_at_all(livekit_server, room_name):
    """The call was in its room: it is the media ports that are closed."""
    async with Wire(livekit_server) as wire:
        wire.cut_media()
        with pytest.raises(CheckFailed) as failed:
            async with phone_at(wire).call(room_name):
                pytest.fail("nobody can be heard here")

    assert failed.value.trouble is Trouble.CALL_WITHOUT_MEDIA
    assert "rtc.udp_port" in failed.value.remedy


async def test_a_call_that_is_refused_says_so(livekit_server, room_name):
    """Here because its token is signed with another secret."""
    with pytest.raises(CheckFailed) as failed:
        async with phone_at(livekit_server, "x" * 32).call(room_name):
            pytest.fail("nobody should be let in")

    assert failed.value.trouble is Trouble.CALL_NOT_PLACED


async def test_hanging_up_leaves_nothing_running(livekit_server, room_name):
    """Neither where it talked nor where it was interrupted."""
    before = asyncio.all_tasks()

    async with phone_at(livekit_server).call(room_name):
        pass
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001), phone_at(livekit_server).call(room_name):
            pass

    async with asyncio.timeout(10):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0.01)


async def heard(way: Rooms, server: LiveKit, room_name, tmp_path) -> float:
    """How much of the sound a recorder keeps of a caller who comes that way."""
    async with studio(server, tmp_path) as recorder:
        recorder.attend(room_name)
        async with phone_at(way).call(room_name) as line:
            began = await recorder.until_told(StretchBegan)
            await recorder.until_kept(began.track_sid)
            await line.play()
            await recorder.until_kept(began.track_sid, LAST_WORD)
        kept = (await recorder.over())[-1]
    return chirp.likeness(kept.sound(began.track_sid).astype("float32"), chirp.chirp())
