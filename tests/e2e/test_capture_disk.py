"""Captures on a disk that fails: clear state, other rooms go on, nothing that is kept is lost."""

import pytest
from attending import LAST_WORD, attended, share_heard, studio, until

from egress_manager.domain.captures import Ended, StretchBegan, Trouble
from lab.disk import NoDisk, disk, fill
from lab.phones import Answer, SipParticipant
from lab.sounds import chirp

WORDS = chirp(1.5)


@pytest.fixture
def small_disk():
    """A disk of a megabyte."""
    try:
        with disk(1) as path:
            yield path
    except NoDisk as reason:
        pytest.skip(str(reason))


async def test_a_full_disk_is_named_and_when_it_has_room_again_nothing_is_missing(
    livekit_server, room_name, tmp_path, small_disk
):
    """What comes meanwhile waits in memory; a room on another disk does not notice."""
    async with (
        studio(livekit_server, small_disk) as recorder,
        studio(livekit_server, tmp_path) as elsewhere,
        SipParticipant(
            livekit_server, room_name, number="+15550101", answer=Answer.AT_ONCE
        ) as phone,
        SipParticipant(
            livekit_server, room_name + "-2", number="+15550102", answer=Answer.AT_ONCE
        ) as other,
    ):
        sids = phone.track_sid, other.track_sid
        recorder.attend(room_name)
        elsewhere.attend(room_name + "-2")
        await recorder.until_told(StretchBegan, track_sid=sids[0])
        await elsewhere.until_told(StretchBegan, track_sid=sids[1])
        ballast = fill(small_disk)
        await phone.say(WORDS)
        trouble = await recorder.until_told(Trouble, what="disk")
        await other.say(WORDS)
        await elsewhere.until_kept(sids[1], LAST_WORD)
        ballast.unlink()
        await until(lambda: "No space" in recorder.stories[0].story.troubles[0].detail)
        [kept], [unharmed] = await recorder.stopped(), await elsewhere.stopped()

    assert trouble.detail == "No space left on device"
    assert share_heard(kept.sound(sids[0]), WORDS) == 1.0
    assert share_heard(unharmed.sound(sids[1]), WORDS) == 1.0
    assert kept.story.ended is not None


async def test_a_disk_that_stays_full_keeps_what_it_had(livekit_server, room_name, small_disk):
    """The file plays up to where the disk was full, and the capture comes to its end."""
    async with attended(livekit_server, room_name, small_disk) as (recorder, phone):
        sid = phone.track_sid
        await phone.say(WORDS)
        await recorder.until_kept(sid, LAST_WORD)
        fill(small_disk)
        await phone.say(WORDS)
        await recorder.until_told(Trouble, what="disk")
        [kept] = await recorder.stopped()
        ended = recorder.told(Ended)

    assert share_heard(kept.sound(sid), WORDS) == 1.0
    assert len(ended) == 1


@pytest.mark.parametrize("is_healed", [True, False])
async def test_a_file_in_the_directorys_place_before_a_call_is_named(
    livekit_server, room_name, tmp_path, is_healed
):
    """The call goes on unrecorded, loudly; once the file is gone, all that came is written."""
    blocked = tmp_path / "captures"
    blocked.write_text("not a directory")
    async with attended(livekit_server, room_name, tmp_path) as (recorder, phone):
        sid = phone.track_sid
        await phone.say(WORDS)
        await recorder.until_kept(sid, LAST_WORD)
        await recorder.until_told(Trouble, what="disk")
        if is_healed:
            blocked.unlink()
            await until(lambda: bool(recorder.stories and recorder.stories[0].story.stretches))
        kept = await recorder.stopped()

    assert [share_heard(k.sound(sid), WORDS) for k in kept] == ([1.0] if is_healed else [])
    assert recorder.told(Ended)


async def test_a_file_in_the_directorys_place_during_a_call_costs_nothing_that_is_kept(
    livekit_server, room_name, tmp_path
):
    """Open files go on; what can't be opened is named, and tried again."""
    captures, aside = tmp_path / "captures", tmp_path / "aside"
    async with attended(livekit_server, room_name, tmp_path) as (recorder, phone):
        sid = phone.track_sid
        captures.rename(aside)
        captures.write_text("not a directory")
        await phone.say(WORDS)
        async with SipParticipant(
            livekit_server, room_name, number="+15550102", answer=Answer.AT_ONCE
        ) as second:
            later = second.track_sid
            await second.say(WORDS)
            await recorder.until_kept(later, LAST_WORD)
            await recorder.until_told(Trouble, what="disk")
            captures.unlink()
            aside.rename(captures)
        [kept] = await recorder.stopped()

    assert [share_heard(kept.sound(s), WORDS) for s in (sid, later)] == [1.0, 1.0]
