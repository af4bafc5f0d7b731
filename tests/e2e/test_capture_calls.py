"""Captures of whole calls: who comes and goes, and that every word of each is kept."""

import itertools

from attending import lab_api, share_heard, studio, until
from livekit import api

from egress_manager.domain.captures import (
    ConnectionChanged,
    DigitPressed,
    Ended,
    ParticipantGone,
    StretchBegan,
    TrackChanged,
    TrackGone,
)
from lab.phones import Agent, Answer, Browser, Manner, SipParticipant
from lab.sounds import RATE, beeps, chirp, find_beeps, locate

WORDS = chirp(1.5)
OTHER_WORDS = chirp(1.5, 3300, 500)


async def test_a_standing_attendance_keeps_both_sides_from_the_first_sample(
    livekit_server, room_name, tmp_path
):
    """Whoever comes into a room that is attended already is kept whole."""
    words = chirp(2.0)
    async with studio(livekit_server, tmp_path) as recorder:
        attendance = recorder.attend(room_name, is_standing=True)
        async with Agent(livekit_server, room_name, identity="agent") as agent:
            async with SipParticipant(
                livekit_server, room_name, number="+15550100", says=words, answer=Answer.NEVER
            ) as phone:
                await recorder.until_offered(phone.track_sid)
                await phone.answer()
                spoken = await agent.say(words)
                await phone.said()
                sids = phone.track_sid, agent.track_sid
                await until(lambda: attendance.is_capturing)
            await recorder.until_told(Ended)
        [kept] = await recorder.over()

    assert spoken.samples == len(words)
    assert share_heard(kept.sound(sids[0]), words) == 1.0
    assert share_heard(kept.sound(sids[1]), words) == 1.0
    assert locate(kept.sounds(sids[0])[0], words[: RATE // 2]).at < 0.1
    assert kept.story.ended is not None
    assert kept.story.ended.reason == "callers_left"


async def test_a_second_caller_is_kept_like_the_first(livekit_server, room_name, tmp_path):
    """LiveKit gives the second caller the first one's place in the session: nobody goes deaf."""
    async with studio(livekit_server, tmp_path) as recorder:
        recorder.attend(room_name, is_standing=True)
        sids: list[str] = []
        async with Agent(livekit_server, room_name, identity="agent"):
            for number in range(2):
                async with SipParticipant(
                    livekit_server, room_name, number=f"+1555010{number}", answer=Answer.NEVER
                ) as phone:
                    await recorder.until_offered(phone.track_sid)
                    await phone.answer()
                    await phone.say(WORDS)
                    sids.append(phone.track_sid)
                await recorder.until_told(TrackGone, track_sid=sids[-1])
        kept = await recorder.over()

    assert all(any(share_heard(k.sound(sid), WORDS) == 1.0 for k in kept) for sid in sids)


async def test_ten_callers_one_after_another_leave_nothing_behind(
    livekit_server, room_name, tmp_path
):
    """Every one is kept from the first sample, and what is held in memory does not grow."""
    words = chirp(0.5)
    sids, streams = [], []
    async with studio(livekit_server, tmp_path) as recorder:
        attendance = recorder.attend(room_name, is_standing=True)
        async with Browser(livekit_server, room_name, identity="host") as host:
            for number in range(10):
                async with SipParticipant(
                    livekit_server, room_name, number=f"+1555010{number}", answer=Answer.NEVER
                ) as phone:
                    await recorder.until_offered(phone.track_sid)
                    await phone.answer()
                    await phone.say(words)
                    sids.append(phone.track_sid)
                await recorder.until_told(TrackGone, track_sid=sids[-1])
            connection = attendance._connections.current
            await until(lambda: [s.track_sid for s in connection.streams] == [host.track_sid])
            streams = list(connection.streams)
        kept = await recorder.over()

    heard = [max(share_heard(k.sound(sid), words) for k in kept) for sid in sids]
    assert heard == [1.0] * 10
    assert len(streams) == 1


async def test_two_callers_at_once_have_a_track_each(livekit_server, room_name, tmp_path):
    """One capture serves both, and ends after the second has left."""
    async with studio(livekit_server, tmp_path) as recorder:
        recorder.attend(room_name)
        async with SipParticipant(
            livekit_server, room_name, number="+15550101", answer=Answer.AT_ONCE
        ) as first:
            await recorder.until_told(StretchBegan, track_sid=first.track_sid)
            async with SipParticipant(
                livekit_server, room_name, number="+15550102", answer=Answer.AT_ONCE
            ) as second:
                await recorder.until_told(StretchBegan, track_sid=second.track_sid)
                await first.say(WORDS)
                await second.say(WORDS)
                sids = first.track_sid, second.track_sid
        [kept] = await recorder.over()

    assert [share_heard(kept.sound(sid), WORDS) for sid in sids] == [1.0, 1.0]
    assert len(kept.story.gone) == 2


async def test_a_muted_track_goes_on_when_it_is_unmuted(livekit_server, room_name, tmp_path):
    """The mute is journaled, and what is said after it stands at its time."""
    async with studio(livekit_server, tmp_path) as recorder:
        recorder.attend(room_name)
        async with SipParticipant(
            livekit_server, room_name, number="+15550101", answer=Answer.AT_ONCE
        ) as phone:
            sid = phone.track_sid
            await recorder.until_told(StretchBegan, track_sid=sid)
            await phone.say(WORDS)
            phone.mute()
            muted = await recorder.until_told(TrackChanged, track_sid=sid, is_muted=True)
            phone.unmute()
            unmuted = await recorder.until_told(TrackChanged, 2, track_sid=sid, is_muted=False)
            await phone.say(OTHER_WORDS)
        [kept] = await recorder.over()

    whole = kept.sound(sid)
    assert [change.is_muted for change in kept.story.track_changes][-3:] == [False, True, False]
    assert share_heard(whole, WORDS) == share_heard(whole, OTHER_WORDS) == 1.0
    silent_for = locate(whole, OTHER_WORDS).at - locate(whole, WORDS).at - len(WORDS) / RATE
    assert silent_for > unmuted.at - muted.at - 0.1


async def test_a_track_that_is_published_again_is_another_track(
    livekit_server, room_name, tmp_path
):
    """The first one's stretches are closed, the second one's begin; no word is lost."""
    async with studio(livekit_server, tmp_path) as recorder:
        recorder.attend(room_name)
        async with SipParticipant(
            livekit_server, room_name, number="+15550101", answer=Answer.AT_ONCE
        ) as phone:
            sids = [phone.track_sid]
            await recorder.until_told(StretchBegan, track_sid=sids[0])
            await phone.say(WORDS)
            await phone.unpublish()
            await recorder.until_told(TrackGone, track_sid=sids[0])
            await phone.publish()
            sids.append(phone.track_sid)
            await phone.say(WORDS)
        [kept] = await recorder.over()

    assert sids[0] != sids[1]
    assert [share_heard(kept.sound(sid), WORDS) for sid in sids] == [1.0, 1.0]


async def test_people_who_come_late_and_leave_early_are_kept_for_their_stay(
    livekit_server, room_name, tmp_path
):
    """An agent joins in the middle of a call and leaves before its end."""
    async with studio(livekit_server, tmp_path) as recorder:
        recorder.attend(room_name)
        async with SipParticipant(
            livekit_server, room_name, number="+15550101", answer=Answer.AT_ONCE
        ) as phone:
            await recorder.until_told(StretchBegan, track_sid=phone.track_sid)
            await phone.say(WORDS)
            async with Agent(livekit_server, room_name, identity="late") as agent:
                await agent.say(WORDS)
                late = agent.sid, agent.track_sid
            await recorder.until_told(ParticipantGone, identity="late")
            await phone.say(WORDS)
            sid = phone.track_sid
        [kept] = await recorder.over()

    assert share_heard(kept.sound(late[1]), WORDS) == 1.0
    assert share_heard(kept.sound(sid), WORDS) == 1.0
    stay = kept.story.participants[late[0]], kept.story.gone[late[0]]
    assert stay[0].at < stay[1].at < kept.story.ended.at


async def test_a_track_that_is_sent_redundantly_is_kept_as_plain_opus(
    livekit_server, room_name, tmp_path
):
    """Browsers and agents send RED; the server unwraps it for us."""
    async with studio(livekit_server, tmp_path) as recorder:
        recorder.attend(room_name)
        manner = Manner(red=True)
        async with (
            Agent(livekit_server, room_name, identity="agent", manner=manner) as agent,
            SipParticipant(livekit_server, room_name, number="+15550101", answer=Answer.AT_ONCE),
        ):
            sid = agent.track_sid
            await recorder.until_told(StretchBegan, track_sid=sid)
            await agent.say(WORDS)
        [kept] = await recorder.over()

    assert kept.story.tracks[sid].mime == "audio/red"
    assert share_heard(kept.sound(sid), WORDS) == 1.0
    assert kept.story.troubles == []


async def test_keys_that_a_caller_presses_are_journaled(livekit_server, room_name, tmp_path):
    """DTMF digits travel as data; they reach a participant that may not speak itself."""
    async with studio(livekit_server, tmp_path) as recorder:
        recorder.attend(room_name)
        async with SipParticipant(
            livekit_server, room_name, number="+15550101", answer=Answer.AT_ONCE
        ) as phone:
            await recorder.until_told(StretchBegan, track_sid=phone.track_sid)
            await phone.send_dtmf("12#")
            await recorder.until_told(DigitPressed, 3)
        [kept] = await recorder.over()

    assert [digit.digit for digit in kept.story.digits] == ["1", "2", "#"]
    assert {digit.identity for digit in kept.story.digits} == {"sip_+15550101"}


async def test_a_room_that_is_deleted_ends_its_capture(livekit_server, room_name, tmp_path):
    """DeleteRoom throws everybody out, us as well; we do not bring the room back to life."""
    async with studio(livekit_server, tmp_path) as recorder:
        recorder.attend(room_name)
        async with (
            SipParticipant(
                livekit_server, room_name, number="+15550101", answer=Answer.AT_ONCE
            ) as phone,
            lab_api(livekit_server) as server,
        ):
            sid = phone.track_sid
            await recorder.until_told(StretchBegan, track_sid=sid)
            await phone.say(WORDS)
            await server.room.delete_room(api.DeleteRoomRequest(room=room_name))
            await phone.left()
            [kept] = await recorder.over()
            rooms = await server.room.list_rooms(api.ListRoomsRequest(names=[room_name]))

    assert share_heard(kept.sound(sid), WORDS) == 1.0
    assert kept.story.ended.reason == "server_said_room_deleted"
    assert [gone.reason for gone in kept.story.gone.values()] == ["room_deleted"]
    assert list(rooms.rooms) == []


async def test_a_recorder_that_is_removed_comes_back(livekit_server, room_name, tmp_path):
    """Whoever removes our participant by the API takes a moment of the call, not the rest."""
    async with studio(livekit_server, tmp_path) as recorder:
        recorder.attend(room_name)
        async with (
            SipParticipant(
                livekit_server, room_name, number="+15550101", answer=Answer.AT_ONCE
            ) as phone,
            lab_api(livekit_server) as server,
        ):
            sid = phone.track_sid
            await recorder.until_told(StretchBegan, track_sid=sid)
            [joined] = recorder.told(ConnectionChanged, state="media")[:1]
            await server.room.remove_participant(
                api.RoomParticipantIdentity(room=room_name, identity=joined.identity)
            )
            await recorder.until_told(ConnectionChanged, state="lost")
            await recorder.until_told(StretchBegan, 2, track_sid=sid)
            await phone.say(WORDS)
        [kept] = await recorder.over()

    assert share_heard(kept.sound(sid), WORDS) == 1.0


async def test_an_attendance_whose_caller_never_comes_ends_by_itself(
    livekit_server, room_name, tmp_path
):
    """It leaves no directory behind."""
    async with studio(livekit_server, tmp_path) as recorder:
        recorder.attend(room_name)
        kept = await recorder.over()

    assert kept == []


async def test_a_caller_who_hangs_up_while_it_rings_leaves_a_journal_and_no_sound(
    livekit_server, room_name, tmp_path
):
    """What happened can be told, though there is nothing to hear."""
    async with studio(livekit_server, tmp_path) as recorder:
        recorder.attend(room_name)
        async with SipParticipant(
            livekit_server, room_name, number="+15550101", answer=Answer.NEVER
        ):
            await recorder.until_told(TrackChanged)
        [kept] = await recorder.over()

    assert kept.story.stretches == {}
    assert [path.name for path in kept.directory.iterdir()] == ["journal.jsonl"]
    assert kept.story.ended is not None


async def test_the_words_of_a_long_call_stand_at_their_places(livekit_server, room_name, tmp_path):
    """Beeps a second apart are a second apart in the file."""
    async with studio(livekit_server, tmp_path) as recorder:
        recorder.attend(room_name)
        async with SipParticipant(
            livekit_server, room_name, number="+15550101", answer=Answer.AT_ONCE
        ) as phone:
            sid = phone.track_sid
            await recorder.until_told(StretchBegan, track_sid=sid)
            await phone.say(beeps(8))
        [kept] = await recorder.over()

    found = find_beeps(kept.sounds(sid)[0])
    assert [beep.number for beep in found] == list(range(8))
    steps = [later.at - earlier.at for earlier, later in itertools.pairwise(found)]
    assert all(abs(step - 1.0) < 0.003 for step in steps)
