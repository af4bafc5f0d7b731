"""The stand-in for LiveKit Egress tells and does what the real one was seen to tell and do.

With the real one on PATH the same is asked of it.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from livekit import api

from lab.buckets import S3
from lab.phones import Agent, Answer, Manner, SipParticipant
from tests.e2e import egress_sequences as sequences
from tests.e2e.egress_studio import (
    AGENT,
    CALLER,
    ROOM,
    Studio,
    call,
    caller,
    only_stand_in,
    opened,
    place,
    place_said,
    says,
    size,
    who_is_on,
)
from tests.e2e.listening import listen


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    async with opened(tmp_path, wait=1.0) as studio:
        yield studio


async def test_a_mix_and_a_track_are_told_as_the_real_one_tells_them(studio):
    """Agents left, everybody else right; the track ends with the caller."""
    async with call(studio) as (phone, agent):
        mix, track = await studio.mix(), await studio.track(phone.track_sid)
        await asyncio.gather(studio.active(mix), studio.active(track))
        asked, answered = await says(phone, CALLER), await says(agent, AGENT)
        stopping = await studio.stop(mix)
        await phone.hang_up()
        mixed, alone = await asyncio.gather(studio.ended(mix), studio.ended(track))
        with pytest.raises(api.ServerError, match="EGRESS_COMPLETE cannot be stopped") as refusal:
            await studio.stop(mix)

    assert studio.sequence(mix) == sequences.MIX_STOPPED
    assert studio.sequence(track) == sequences.TRACK
    assert (stopping.status, stopping.details) == (
        api.EgressStatus.EGRESS_ENDING,
        "End reason: StopEgress API",
    )
    assert refusal.value.status == 412
    heard = listen(mixed["location"])
    assert (place(heard.left, CALLER), place(heard.right, AGENT)) == (None, None)
    assert place(heard.right, CALLER) == place_said(mixed, asked)
    assert place(heard.left, AGENT) == place_said(mixed, answered)
    assert heard.decoded_sec == pytest.approx(int(mixed["duration"]) / 1e9, abs=0.1)
    assert place(listen(alone["location"]).left, CALLER) == place_said(alone, asked)
    assert f"{ROOM}-{phone.track_sid}" in alone["filename"]
    assert size(alone["location"]) == int(alone["size"])


async def test_a_participant_is_recorded_until_it_leaves(studio):
    """As an MP4 with a black picture; the manifest lies beside it."""
    file = api.EncodedFileOutput(filepath=str(studio.files / "{publisher_identity}.mp4"))
    async with call(studio) as (phone, agent):
        request = api.ParticipantEgressRequest(
            room_name=ROOM, identity=phone.identity, file_outputs=[file]
        )
        egress = (await studio.api.egress.start_participant_egress(request)).egress_id
        await studio.active(egress)
        asked = await says(phone, CALLER)
        await says(agent, AGENT)
        await phone.hang_up()
        recorded = await studio.ended(egress)

    assert studio.sequence(egress) == sequences.PARTICIPANT
    assert recorded["filename"] == str(studio.files / "sip_+15550100.mp4")
    assert (studio.files / f"{egress}.json").is_file()
    heard = listen(recorded["location"])
    assert place(heard.left, CALLER) == place_said(recorded, asked)
    assert place(heard.left, AGENT) is None


async def test_a_mix_that_nobody_stops_ends_with_the_room(studio):
    """Its last words are followed by the silence of an empty room."""
    async with caller(studio) as phone:
        egress = await studio.mix("mix.mp4", audio_mixing=api.AudioMixing.DEFAULT_MIXING)
        await studio.active(egress)
        asked = await says(phone, CALLER)
        await phone.hang_up()
    recorded = await studio.ended(egress)

    assert recorded["location"] == str(studio.files / "mix.mp4")
    assert studio.sequence(egress) == sequences.MIX_CLOSED
    heard = listen(recorded["location"])
    assert place(heard.left, CALLER) == place_said(recorded, asked)
    assert place(heard.right, CALLER) == place_said(recorded, asked)


async def test_a_deleted_room_is_delivered_at_once(studio):
    """The recording is complete up to then."""
    async with caller(studio) as phone:
        egress = await studio.mix()
        await studio.active(egress)
        asked = await says(phone, CALLER)
        await studio.api.room.delete_room(api.DeleteRoomRequest(room=ROOM))
        recorded = await studio.ended(egress)

    assert studio.sequence(egress) == sequences.MIX_CLOSED
    assert place(listen(recorded["location"]).right, CALLER) == place_said(recorded, asked)


async def test_nobody_speaks(studio):
    """A call that nobody answered is ABORTED when the room closes, and was never ACTIVE."""
    async with SipParticipant(
        studio.livekit, ROOM, number="+15550100", manner=Manner(publishes=False)
    ):
        egress = await studio.mix()
    await studio.ended(egress)

    assert studio.sequence(egress) == sequences.NOBODY_SPEAKS


async def test_a_recording_is_stopped_before_anything_was_heard(studio):
    """ABORTED is what the API answers, too."""
    async with SipParticipant(studio.livekit, ROOM, number="+15550100", answer=Answer.NEVER):
        egress = await studio.mix()
        stopped = await studio.stop(egress)
        await studio.ended(egress)

    assert studio.sequence(egress) == sequences.STOPPED_AT_ONCE
    assert stopped.status == api.EgressStatus.EGRESS_ABORTED


async def test_a_track_that_is_not_there_is_waited_for(studio):
    """The start is accepted all the same."""
    async with caller(studio):
        egress = await studio.track("TR_nope")
        await studio.ended(egress)

    assert studio.sequence(egress) == sequences.TRACK_MISSING


async def test_a_directory_that_cannot_be_made_shows_at_the_end_only(studio):
    """All that was said is lost."""
    async with caller(studio):
        egress = await studio.mix("/proc/nope/mix.ogg")
        await studio.active(egress)
    await studio.ended(egress)

    assert studio.sequence(egress) == sequences.UNWRITABLE


async def test_rooms_and_recordings_that_do_not_exist(studio):
    """Both are 404."""
    with pytest.raises(api.ServerError, match="requested room does not exist") as no_room:
        await studio.mix()
    with pytest.raises(api.ServerError, match="egress does not exist") as no_egress:
        await studio.stop("EG_nope")

    assert (no_room.value.status, no_egress.value.status) == (404, 404)


def by_kind(_: SipParticipant, __: Agent) -> list[api.AudioRoute]:
    return [
        api.AudioRoute(
            participant_kind=api.ParticipantInfo.Kind.SIP,
            channel=api.AudioChannel.AUDIO_CHANNEL_LEFT,
        )
    ]


def by_identity(_: SipParticipant, agent: Agent) -> list[api.AudioRoute]:
    return [
        api.AudioRoute(
            participant_identity=agent.identity, channel=api.AudioChannel.AUDIO_CHANNEL_RIGHT
        )
    ]


def by_track(phone: SipParticipant, agent: Agent) -> list[api.AudioRoute]:
    return [
        api.AudioRoute(track_id=phone.track_sid, channel=api.AudioChannel.AUDIO_CHANNEL_RIGHT),
        api.AudioRoute(track_id=agent.track_sid, channel=api.AudioChannel.AUDIO_CHANNEL_BOTH),
    ]


def to_all(_: SipParticipant, __: Agent) -> list[api.AudioRoute]:
    return []


@pytest.mark.parametrize(
    ("routes", "left", "right"),
    [
        (by_kind, {"caller"}, set()),
        (by_identity, set(), {"agent"}),
        (by_track, {"agent"}, {"agent", "caller"}),
        (to_all, {"agent", "caller"}, {"agent", "caller"}),
    ],
)
async def test_routes_choose_who_is_heard_and_where(studio, routes, left, right):
    """By kind, by identity, by track, or all; who matches no route is not in the file."""
    async with call(studio) as (phone, agent):
        chosen = routes(phone, agent)
        egress = await studio.media(*chosen, capture_all=not chosen)
        await studio.active(egress)
        await says(phone, CALLER)
        await says(agent, AGENT)
        await studio.stop(egress)
        recorded = await studio.ended(egress)

    assert studio.sequence(egress) == sequences.MIX_STOPPED
    heard = listen(recorded["location"])
    assert (who_is_on(heard.left), who_is_on(heard.right)) == (left, right)


@only_stand_in
async def test_alternate_sides_go_by_who_comes_first(studio):
    """The first track is left, the next one right."""
    async with caller(studio) as phone:
        egress = await studio.mix(audio_mixing=api.AudioMixing.DUAL_CHANNEL_ALTERNATE)
        await studio.active(egress)
        async with Agent(studio.livekit, ROOM, identity="agent") as agent:
            await studio.hears(egress, 2)
            await says(agent, AGENT)
            await says(phone, CALLER)
            await studio.stop(egress)
        recorded = await studio.ended(egress)

    heard = listen(recorded["location"])
    assert (who_is_on(heard.left), who_is_on(heard.right)) == ({"caller"}, {"agent"})


async def test_a_participant_cannot_be_recorded_as_ogg(studio):
    """There is always a picture, and Ogg has none."""
    file = api.EncodedFileOutput(file_type=api.EncodedFileType.OGG, filepath="x.ogg")
    request = api.ParticipantEgressRequest(room_name=ROOM, identity="a", file_outputs=[file])
    async with caller(studio):
        with pytest.raises(api.ServerError, match="no supported codec") as refusal:
            await studio.api.egress.start_participant_egress(request)

    assert refusal.value.status == 400


async def test_a_recording_goes_into_a_bucket(studio):
    """`filename` is the key, `location` the address; the manifest goes there too."""
    async with S3("calls") as s3, caller(studio) as phone:
        file = api.EncodedFileOutput(
            file_type=api.EncodedFileType.OGG,
            filepath="here/{room_name}",
            s3=api.S3Upload(
                access_key=s3.access_key,
                secret=s3.secret_key,
                region=s3.region,
                endpoint=s3.url,
                bucket="calls",
                force_path_style=True,
            ),
        )
        egress = await studio.order(file)
        await studio.active(egress)
        asked = await says(phone, CALLER)
        await studio.stop(egress)
        recorded = await studio.ended(egress)
        objects = s3.objects("calls")
        heard = listen(objects[f"here/{ROOM}.ogg"])

    assert recorded["filename"] == f"here/{ROOM}.ogg"
    assert recorded["location"] == f"{s3.url}/calls/here/{ROOM}.ogg".replace("http:", "https:")
    assert set(objects) == {f"here/{ROOM}.ogg", f"here/{egress}.json"}
    assert place(heard.right, CALLER) == place_said(recorded, asked)


async def test_a_bucket_that_is_not_there_shows_at_the_end_only(studio):
    """What was recorded is lost; the keys are not shown."""
    async with S3("calls") as s3, caller(studio):
        storage = api.S3Upload(
            access_key=s3.access_key,
            secret=s3.secret_key,
            endpoint=s3.url,
            bucket="other",
            force_path_style=True,
        )
        egress = await studio.order(api.EncodedFileOutput(filepath="x.ogg", s3=storage))
        await studio.active(egress)
        await studio.stop(egress)
        await studio.ended(egress)

    (*_, last) = studio.sequence(egress)
    assert (last.status, last.code, last.file) == ("FAILED", 400, sequences.OVER)
    assert last.error.startswith("S3 upload failed: ")
    assert s3.secret_key not in str(studio.webhooks.events)
