"""Captures over a network that fails: what is cut comes back, what is lost is asked for again."""

import asyncio
from dataclasses import replace

from attending import LAST_WORD, attended, share_heard, share_in_any, studio, until

from egress_manager.domain.captures import (
    ConnectionChanged,
    Ended,
    StretchBegan,
    StretchEnded,
    Trouble,
)
from egress_manager.recorder.knocking import Turn, Turns
from lab.phones import Agent, Answer, Manner, SipParticipant
from lab.servers import LiveKit
from lab.sounds import RATE, beeps, chirp, find_beeps, follow, locate, silence
from lab.wire import Wire

WORDS = chirp(1.5)


async def test_a_lost_signal_connection_leaves_no_hole(livekit_server, room_name, tmp_path):
    """The media of the old connection go on until the new one brings the track itself."""
    words = chirp(6.0)
    async with (
        Wire(livekit_server) as wire,
        attended(livekit_server, room_name, tmp_path, through=wire) as (recorder, phone),
    ):
        sid = phone.track_sid
        saying = asyncio.create_task(phone.say(words))
        await recorder.until_kept(sid, 1.0)
        wire.cut_signal()
        await recorder.until_told(ConnectionChanged, state="lost")
        wire.heal_signal()
        await recorder.until_told(StretchEnded, reason="handed_over")
        await saying
        await recorder.until_kept(sid, LAST_WORD)
        [kept] = await recorder.stopped()

    assert len(list(kept.story.stretches_of(sid))) == 2
    # A piece that lies across the change of connections is whole in neither stretch.
    assert share_in_any(kept.sounds(sid), words) >= 59 / 60
    assert kept.count("lost") == 0


async def test_a_connection_is_not_waited_for_while_the_media_still_come(
    livekit_server, room_name, tmp_path
):
    """However long the signal connection stays away, and however often joining fails."""
    words = chirp(4.0)
    async with (
        Wire(livekit_server) as wire,
        studio(wire, tmp_path) as recorder,
        SipParticipant(
            livekit_server, room_name, number="+15550101", answer=Answer.AT_ONCE
        ) as phone,
    ):
        sid = phone.track_sid
        attendance = recorder.attend(room_name)
        await recorder.until_told(StretchBegan, track_sid=sid)
        wire.cut_signal()
        await recorder.until_told(ConnectionChanged, 4, state="lost")
        await phone.say(words)
        await recorder.until_kept(sid, LAST_WORD)
        connections = len(list(attendance._connections))
        is_capturing = attendance.is_capturing
        [kept] = await recorder.stopped()

    assert connections <= 2
    assert is_capturing
    assert share_heard(kept.sound(sid), words) == 1.0


async def test_a_cut_media_path_is_noticed_and_replaced(livekit_server, room_name, tmp_path):
    """A capture hears that it hears nothing, and joins anew as soon as the network is back."""
    async with (
        Wire(livekit_server) as wire,
        studio(wire, tmp_path) as recorder,
        SipParticipant(
            livekit_server, room_name, number="+15550101", answer=Answer.AT_ONCE
        ) as phone,
    ):
        sid = phone.track_sid
        attendance = recorder.attend(room_name)
        await recorder.until_told(StretchBegan, track_sid=sid)
        await phone.say(WORDS)
        wire.cut_media()
        lost = await recorder.until_told(ConnectionChanged, state="lost")
        is_capturing = attendance.is_capturing
        wire.heal_media()
        await recorder.until_told(StretchBegan, 2, track_sid=sid)
        await phone.say(WORDS)
        await recorder.until_kept(sid, LAST_WORD)
        [kept] = await recorder.stopped()

    assert lost.detail in ("media_silent", "deaf")
    assert not is_capturing
    assert share_heard(kept.sounds(sid)[0], WORDS) == 1.0
    assert share_heard(kept.sounds(sid)[-1], WORDS) == 1.0


async def test_a_server_that_restarts_is_joined_again(room_name, tmp_path):
    """What was kept before is a capture of its own; the call that comes back is another."""
    async with LiveKit() as server, studio(server, tmp_path) as recorder:
        recorder.attend(room_name)
        phone = SipParticipant(server, room_name, number="+15550101", answer=Answer.AT_ONCE)
        await phone.join()
        before = phone.track_sid
        await recorder.until_told(StretchBegan, track_sid=before)
        await phone.say(WORDS)
        await server.restart()
        await recorder.until_told(ConnectionChanged, state="lost")
        await phone.leave()
        async with SipParticipant(
            server, room_name, number="+15550102", answer=Answer.AT_ONCE
        ) as caller:
            after = caller.track_sid
            await recorder.until_told(StretchBegan, track_sid=after)
            await caller.say(WORDS)
        await recorder.until_told(Ended, 2)
        first, second = await recorder.stopped()

    assert share_heard(first.sound(before), WORDS) == 1.0
    assert share_heard(second.sound(after), WORDS) == 1.0
    assert first.story.ended.reason == "room_replaced"


async def test_a_connection_that_is_never_answered_does_not_hold_up_the_next_one(
    livekit_server, room_name, tmp_path
):
    """Two attempts to come back hang, and the recorder is back without having given up on them."""
    async with (
        Wire(livekit_server) as wire,
        attended(livekit_server, room_name, tmp_path, through=wire) as (recorder, _),
    ):
        wire.hang_signal(2)
        wire.cut_signal()
        wire.heal_signal()
        await recorder.until_told(ConnectionChanged, 2, state="joined")
        lost = recorder.told(ConnectionChanged, state="lost")
        await recorder.stopped()

    assert len(lost) == 1


async def test_a_server_that_stood_still_for_a_while_is_joined_again(room_name, tmp_path):
    """Its port takes connections all the time; the first one that it serves again is enough."""
    async with (
        LiveKit() as server,
        studio(server, tmp_path) as recorder,
        SipParticipant(server, room_name, number="+15550101", answer=Answer.AT_ONCE) as phone,
    ):
        recorder.attend(room_name)
        await recorder.until_told(StretchBegan, track_sid=phone.track_sid)
        server.pause()
        await recorder.until_told(ConnectionChanged, 2, state="lost")
        server.resume()
        await recorder.until_told(ConnectionChanged, 2, state="joined")
        await recorder.stopped()


async def test_almost_nothing_is_lost_where_a_tenth_of_the_packets_is(
    livekit_server, room_name, tmp_path
):
    """Missing packets are asked for again, and the server sends them again."""
    words = beeps(10)
    async with (
        Wire(livekit_server) as wire,
        attended(livekit_server, room_name, tmp_path, through=wire) as (recorder, phone),
    ):
        sid = phone.track_sid
        wire.drop(0.1)
        await phone.say(words)
        await recorder.until_kept(sid, LAST_WORD)
        wire.drop(0.0)
        [kept] = await recorder.stopped()

    assert wire.counts["lost"] > 20
    assert kept.count("recovered") > 20
    assert kept.count("lost") <= 3
    assert len(find_beeps(kept.sound(sid))) == 10


async def test_packets_that_overtake_each_other_are_put_in_order(
    livekit_server, room_name, tmp_path
):
    """A tenth is late, a tenth comes twice: the file is as if nothing had been."""
    words = chirp(3.0)
    async with (
        Wire(livekit_server) as wire,
        attended(livekit_server, room_name, tmp_path, through=wire) as (recorder, phone),
    ):
        sid = phone.track_sid
        wire.reorder(0.1)
        wire.duplicate(0.1)
        await phone.say(words)
        await recorder.until_kept(sid, LAST_WORD)
        [kept] = await recorder.stopped()

    pieces = follow(kept.sound(sid), words)
    offsets = [piece.found_at - piece.said_at for piece in pieces]
    assert kept.count("lost") == 0
    assert all(piece.score > 0.9 for piece in pieces)
    assert max(offsets) - min(offsets) < 0.002


async def test_where_udp_is_blocked_media_come_over_tcp(livekit_server, room_name, tmp_path):
    """A server that is reached on its TCP port only is recorded as well."""
    async with (
        Wire(livekit_server, transport="tcp") as wire,
        attended(livekit_server, room_name, tmp_path, through=wire) as (recorder, phone),
    ):
        sid = phone.track_sid
        await phone.say(WORDS)
        await recorder.until_kept(sid, LAST_WORD)
        [kept] = await recorder.stopped()

    assert wire.counts["down"] == 0
    assert share_heard(kept.sound(sid), WORDS) == 1.0


async def test_an_encrypted_room_is_said_to_be_encrypted(livekit_server, room_name, tmp_path):
    """Its packets are kept, and the journal says that nobody understands them, once a track."""
    manner = Manner(key=b"between us")
    async with studio(livekit_server, tmp_path) as recorder:
        attendance = recorder.attend(room_name, is_standing=True)
        async with (
            Agent(livekit_server, room_name, identity="agent", manner=manner) as agent,
            SipParticipant(livekit_server, room_name, number="+15550101", manner=manner) as phone,
        ):
            await recorder.until_told(Trouble, what="encrypted", track_sid=phone.track_sid)
            await recorder.until_told(Trouble, what="encrypted", track_sid=agent.track_sid)
            await until(lambda: attendance.is_capturing)
            await phone.answered()
            await phone.say(WORDS)
        [kept] = await recorder.over()

    assert phone.track_sid in {s.began.track_sid for s in kept.story.stretches.values()}
    assert len(kept.story.troubles) == 2


async def test_stopping_is_quick_and_keeps_the_last_word(livekit_server, room_name, tmp_path):
    """SIGTERM in the middle of a word: all that was sent until then is in the file."""
    async with attended(livekit_server, room_name, tmp_path) as (recorder, phone):
        sid = phone.track_sid
        await phone.say(WORDS)
        [kept] = await recorder.stopped()

    assert share_heard(kept.sound(sid), WORDS) >= 0.8
    assert kept.story.ended.reason == "test_over"
    assert len(kept.sound(sid)) > 0.9 * RATE


async def test_a_server_that_answers_nothing_does_not_hold_us_up(room_name, tmp_path):
    """A frozen server is left without its good-bye."""
    async with (
        LiveKit() as server,
        studio(server, tmp_path) as recorder,
        SipParticipant(server, room_name, number="+15550101", answer=Answer.AT_ONCE) as phone,
    ):
        recorder.attend(room_name)
        await recorder.until_told(StretchBegan, track_sid=phone.track_sid)
        server.pause()
        try:
            [kept] = await recorder.stopped()
        finally:
            server.resume()

    assert kept.story.ended is not None


async def test_media_come_through_turn_where_no_other_way_is_open(room_name, tmp_path):
    """Neither UDP nor TCP leads to the server; its TURN relay does."""
    words = chirp(1.0)
    async with (
        LiveKit(turn=True) as server,
        Wire(server, transport="relay") as wire,
        studio(wire, tmp_path) as recorder,
        Agent(server, room_name, identity="agent"),
        SipParticipant(server, room_name, number="+15550100", answer=Answer.AT_ONCE) as phone,
    ):
        wire.cut_media()
        recorder.attend(room_name)
        sid = phone.track_sid
        await recorder.until_kept(sid)
        await phone.say(words)
        await phone.say(silence(LAST_WORD))
        await phone.hang_up()
        kept = (await recorder.over())[-1]

    assert locate(kept.sound(sid), words).score > 0.9


async def test_a_call_that_begins_does_not_wait_behind_rooms_that_come_back(
    livekit_server, room_name, tmp_path
):
    """Hundreds of rooms want to be joined again, and none of them gets its turn."""

    class Crowded(Turns):
        async def take(self, *, after: float = 0.0) -> Turn:
            await asyncio.Event().wait()
            return await super().take(after=after)

    async with (
        Wire(livekit_server) as wire,
        attended(livekit_server, room_name, tmp_path, through=wire) as (recorder, _),
    ):
        recorder.door = replace(recorder.door, turns_back=Crowded())
        waiting, _ = recorder.running[0]
        waiting._door = recorder.door
        wire.cut_signal()
        await until(lambda: not waiting.is_in)
        wire.heal_signal()
        new = f"{room_name}-new"
        async with SipParticipant(
            livekit_server, new, number="+15550102", answer=Answer.AT_ONCE
        ) as phone:
            recorder.attend(new)
            await recorder.until_told(StretchBegan, track_sid=phone.track_sid)
            assert not waiting.is_in
