"""The stand-in for LiveKit Egress tells and does what the real one was seen to tell and do.

With the real one on PATH the same is asked of it; what only a stand-in can do is skipped.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from livekit import api

from lab.egress import Egress, NoStandIn, real_egress
from lab.phones import Agent, Answer, Browser, Manner, Phone
from lab.servers import API_KEY, API_SECRET, LiveKit, Redis
from lab.sounds import PCM, chirp, locate, silence
from lab.webhooks import Event, Webhooks
from tests.e2e import egress_sequences as sequences
from tests.e2e.egress_sequences import Told, told
from tests.e2e.listening import listen

ROOM = "call_1"
CALLER, AGENT = chirp(1, 500, 1800), chirp(1, 3400, 1900)
#: How alike a word and its place in a file are; a word that is not there scores below 0.3.
ALIKE = 0.8
#: A place is right to this many seconds, on a machine that has much else to do.
ROUGHLY = 0.6

only_stand_in = pytest.mark.skipif(real_egress() is not None, reason="the real egress is on PATH")


@dataclass(frozen=True, slots=True)
class Studio:
    """A livekit-server, an egress service, and what the first tells of the second."""

    livekit: LiveKit
    egress: Egress
    webhooks: Webhooks
    api: api.LiveKitAPI
    files: Path

    async def mix(self, filename: str = "mix.ogg", **request: Any) -> str:
        """Start a recording of the room; returns its id."""
        is_mp4 = filename.endswith(".mp4")
        file = api.EncodedFileOutput(
            file_type=api.EncodedFileType.MP4 if is_mp4 else api.EncodedFileType.OGG,
            filepath=self._path(filename),
            disable_manifest=True,
        )
        started = await self.api.egress.start_room_composite_egress(
            api.RoomCompositeEgressRequest(
                room_name=ROOM,
                audio_only=True,
                file_outputs=[file],
                **{"audio_mixing": api.AudioMixing.DUAL_CHANNEL_AGENT} | request,
            )
        )
        return str(started.egress_id)

    async def track(self, track_id: str) -> str:
        """Start a recording of one track."""
        file = api.DirectFileOutput(filepath=self._path("{room_name}-{track_id}"))
        request = api.TrackEgressRequest(room_name=ROOM, track_id=track_id, file=file)
        return str((await self.api.egress.start_track_egress(request)).egress_id)

    async def media(self, *routes: api.AudioRoute, capture_all: bool = False) -> str:
        """Start a recording of what the routes choose, or of all."""
        audio = api.AudioConfig(routes=routes, capture_all=capture_all)
        file = api.FileOutput(
            file_type=api.EncodedFileType.OGG,
            filepath=self._path("media.ogg"),
            disable_manifest=True,
        )
        request = api.StartEgressRequest(
            room_name=ROOM, media=api.MediaSource(audio=audio), outputs=[api.Output(file=file)]
        )
        return str((await self.api.egress.start_egress(request)).egress_id)

    async def stop(self, egress_id: str) -> api.EgressInfo:
        return await self.api.egress.stop_egress(api.StopEgressRequest(egress_id=egress_id))

    async def listed(self, egress_id: str) -> api.EgressInfo:
        answer = await self.api.egress.list_egress(api.ListEgressRequest(egress_id=egress_id))
        return answer.items[0]

    async def active(self, egress_id: str) -> None:
        """Wait until it records."""
        await self.reached("egress_updated", egress_id, "EGRESS_ACTIVE")

    async def ended(self, egress_id: str) -> dict[str, Any]:
        """Wait until it has ended; returns its file's result."""
        event = await self.reached("egress_ended", egress_id)
        return dict(event["egressInfo"]["file"])

    def sequence(self, egress_id: str) -> tuple[Told, ...]:
        """What was told of it, in order."""
        events = self.webhooks.events
        return tuple(told(event) for event in events if _egress_id(event) == egress_id)

    async def reached(self, what: str, egress_id: str, status: str | None = None) -> Event:
        def is_it(event: Event) -> bool:
            is_status = status in (None, event["egressInfo"].get("status"))
            return _egress_id(event) == egress_id and is_status

        return await self.webhooks.reached(what, where=is_it)

    def _path(self, filename: str) -> str:
        return str(self.files / filename)


def _egress_id(event: Event) -> str | None:
    return event.get("egressInfo", {}).get("egressId")


@contextlib.asynccontextmanager
async def opened(files: Path, **options: Any) -> AsyncIterator[Studio]:
    webhooks = Webhooks(API_KEY, API_SECRET)
    async with (
        webhooks,
        Redis() as redis,
        LiveKit(redis=redis, webhook_urls=[webhooks.url], departure_timeout=1) as livekit,
        Egress(livekit, redis, **options) as egress,
        api.LiveKitAPI(livekit.http_url, API_KEY, API_SECRET) as client,
    ):
        yield Studio(livekit, egress, webhooks, client, files)


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    async with opened(tmp_path, wait=1.0) as studio:
        yield studio


@contextlib.asynccontextmanager
async def call(studio: Studio) -> AsyncIterator[tuple[Phone, Agent]]:
    """A caller and an agent who have begun to send."""
    async with (
        Agent(studio.livekit, ROOM, identity="agent") as agent,
        Phone(studio.livekit, ROOM, number="+15550100") as phone,
    ):
        await phone.answered()
        yield phone, agent


@contextlib.asynccontextmanager
async def caller(studio: Studio) -> AsyncIterator[Phone]:
    """A caller who is alone and sends."""
    async with Phone(studio.livekit, ROOM, number="+15550100", answer=Answer.AT_ONCE) as phone:
        yield phone


async def says(who: Phone | Agent | Browser, word: PCM) -> float:
    """Say a word, and a little silence behind it; returns when it began."""
    return (await who.say(np.concatenate([word, silence(0.5)]))).started_at


def _size(file: str) -> int:
    """In bytes; 0 where there is none."""
    return Path(file).stat().st_size if Path(file).exists() else 0


def place(pcm: Any, word: PCM) -> float | None:
    """Where a word is in a recording; None when it is not there."""
    found = locate(pcm, word)
    return found.at if found.score > ALIKE else None


def place_said(file: dict[str, Any], said_at: float) -> Any:
    """Where what was said then ought to be."""
    return pytest.approx(said_at - int(file["startedAt"]) / 1e9, abs=ROUGHLY)


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
    assert _size(alone["location"]) == int(alone["size"])


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
    async with Phone(studio.livekit, ROOM, number="+15550100", manner=Manner(publishes=False)):
        egress = await studio.mix()
    await studio.ended(egress)

    assert studio.sequence(egress) == sequences.NOBODY_SPEAKS


async def test_a_recording_is_stopped_before_anything_was_heard(studio):
    """ABORTED is what the API answers, too."""
    async with Phone(studio.livekit, ROOM, number="+15550100", answer=Answer.NEVER):
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


async def gone(studio: Studio) -> None:
    await studio.egress.kill()


async def frozen(studio: Studio) -> None:
    studio.egress.pause()


async def broken(studio: Studio) -> None:
    """A recording failed for want of an encoder, and all of the service with it."""
    await studio.egress.misbehave("no_aac_encoder", times=1)
    egress = await studio.mix("mix.mp4")
    await studio.ended(egress)
    assert studio.sequence(egress) == sequences.NO_AAC_ENCODER


async def busy(studio: Studio) -> None:
    await studio.egress.misbehave("refuse")


NO_RESPONSE = "no response from servers"
ABSENCES: dict[Callable[[Studio], Awaitable[None]], str] = {
    gone: NO_RESPONSE,
    frozen: NO_RESPONSE,
    broken: NO_RESPONSE,
    busy: "not enough CPU",
}


async def test_nobody_takes_the_request(tmp_path):
    """503 after some 20 s, for which livekit-server asks again and again; nothing starts later."""

    async def refused(absence: Callable[[Studio], Awaitable[None]]) -> None:
        async with opened(tmp_path) as studio, caller(studio):
            await absence(studio)
            with pytest.raises(api.ServerError, match=ABSENCES[absence]) as refusal:
                await studio.mix()
            assert refusal.value.status == 503
            before = {event["id"] for event in studio.webhooks.events if _egress_id(event)}
            await (_resume(studio) if absence is frozen else studio.egress.restart())
            egress = await studio.mix()
            await studio.active(egress)
            after = (event for event in studio.webhooks.events if event["id"] not in before)
            assert {_egress_id(event) for event in after} - {None} == {egress}

    absences = [gone, frozen] if real_egress() else ABSENCES
    await asyncio.gather(*map(refused, absences))


async def _resume(studio: Studio) -> None:
    studio.egress.resume()


def by_kind(_: Phone, __: Agent) -> list[api.AudioRoute]:
    return [
        api.AudioRoute(
            participant_kind=api.ParticipantInfo.Kind.SIP,
            channel=api.AudioChannel.AUDIO_CHANNEL_LEFT,
        )
    ]


def by_identity(_: Phone, agent: Agent) -> list[api.AudioRoute]:
    return [
        api.AudioRoute(
            participant_identity=agent.identity, channel=api.AudioChannel.AUDIO_CHANNEL_RIGHT
        )
    ]


def by_track(phone: Phone, agent: Agent) -> list[api.AudioRoute]:
    return [
        api.AudioRoute(track_id=phone.track_sid, channel=api.AudioChannel.AUDIO_CHANNEL_RIGHT),
        api.AudioRoute(track_id=agent.track_sid, channel=api.AudioChannel.AUDIO_CHANNEL_BOTH),
    ]


def to_all(_: Phone, __: Agent) -> list[api.AudioRoute]:
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
    assert (_who(heard.left), _who(heard.right)) == (left, right)


@only_stand_in
async def test_alternate_sides_go_by_who_comes_first(studio):
    """The first track is left, the next one right."""
    async with caller(studio) as phone:
        egress = await studio.mix(audio_mixing=api.AudioMixing.DUAL_CHANNEL_ALTERNATE)
        await studio.active(egress)
        async with Agent(studio.livekit, ROOM, identity="agent") as agent:
            await _until(lambda: _hears(studio, egress, 2))
            await says(agent, AGENT)
            await says(phone, CALLER)
            await studio.stop(egress)
        recorded = await studio.ended(egress)

    heard = listen(recorded["location"])
    assert (_who(heard.left), _who(heard.right)) == ({"caller"}, {"agent"})


async def _hears(studio: Studio, egress: str, tracks: int) -> bool:
    return bool((await studio.egress.recordings())[egress]["tracks"] == tracks)


async def _until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await is_so():
            await asyncio.sleep(0.05)


def _who(side: PCM) -> set[str]:
    words = {"caller": CALLER, "agent": AGENT}
    return {name for name, word in words.items() if place(side, word) is not None}


@only_stand_in
@pytest.mark.parametrize(
    ("fault", "sequence"),
    [
        ("handler_killed", sequences.HANDLER_KILLED),
        ("connection_lost", sequences.CONNECTION_LOST),
        ("limit_reached", sequences.LIMIT_REACHED),
        ("pipeline_error", sequences.PIPELINE_ERROR),
    ],
)
async def test_a_recording_ends_by_itself(studio, fault, sequence):
    """In the middle of a call, and the file is there when the last word says so."""
    async with caller(studio) as phone:
        egress = await studio.mix()
        await studio.active(egress)
        asked = await says(phone, CALLER)
        await studio.egress.misbehave(fault, times=1)
        recorded = await studio.ended(egress)

    assert studio.sequence(egress) == sequence
    assert bool(_size(recorded["filename"])) == ("location" in recorded)
    if "location" in recorded:
        assert place(listen(recorded["location"]).right, CALLER) == place_said(recorded, asked)


@only_stand_in
@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        ("skip_active", ["", "ENDING", "COMPLETE"]),
        ("never_active", ["", "ABORTED"]),
        ("upload_failed", ["", "ACTIVE", "ENDING", "FAILED"]),
        ("no_location", ["", "ACTIVE", "ENDING", "COMPLETE"]),
        ("ended_twice", ["", "ACTIVE", "ENDING", "COMPLETE", "FAILED"]),
    ],
)
async def test_a_recording_does_not_end_as_it_should(studio, fault, statuses):
    """The next one is well again: the fault was for one."""
    await studio.egress.misbehave(fault, times=1)
    async with caller(studio):
        egress = await studio.mix()
        await _until(lambda: _hears(studio, egress, 1))
        if "ACTIVE" in statuses:
            await studio.active(egress)
        await studio.stop(egress)
        ended = await studio.ended(egress)
        await studio.reached("egress_ended", egress, f"EGRESS_{statuses[-1]}")
        well = await studio.mix("well.ogg")
        await studio.active(well)
        await studio.stop(well)
        await studio.ended(well)

    assert [heard.status for heard in studio.sequence(egress)] == statuses
    assert ("location" in ended) == (fault in ("skip_active", "ended_twice"))
    assert studio.sequence(well) == sequences.MIX_STOPPED


@only_stand_in
async def test_some_ends_are_told_to_nobody(studio):
    """A status that is not known, and a service that dies: both stay in LiveKit's books."""
    async with caller(studio):
        egress = await studio.mix()
        await studio.active(egress)
        await studio.egress.misbehave("unknown_status", times=1)
        await studio.stop(egress)
        await _until(lambda: _is_over(studio, egress))
        orphan = await studio.mix("orphan.ogg")
        await studio.active(orphan)
        await studio.egress.kill()

    assert (await studio.listed(egress)).status == 17
    assert (await studio.listed(orphan)).status == api.EgressStatus.EGRESS_ACTIVE
    assert studio.sequence(egress) == sequences.MIX_STOPPED[:3]


async def _is_over(studio: Studio, egress: str) -> bool:
    return bool((await studio.listed(egress)).status > api.EgressStatus.EGRESS_ENDING)


@only_stand_in
async def test_a_service_falls_silent(studio):
    """Its recorder is out of the room, and LiveKit believes it active."""
    async with caller(studio):
        egress = await studio.mix()
        await studio.active(egress)
        await studio.egress.misbehave("silent")
        await studio.webhooks.reached(
            "participant_left", where=lambda event: event["participant"]["identity"] == egress
        )

    assert (await studio.listed(egress)).status == api.EgressStatus.EGRESS_ACTIVE
    assert studio.sequence(egress) == sequences.MIX_STOPPED[:2]


@only_stand_in
async def test_a_start_that_nobody_answered_comes_all_the_same(studio):
    """The caller has given up long before."""
    await studio.egress.misbehave("no_answer", times=1, seconds=1)
    async with caller(studio):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(studio.mix(), 0.8)
        event = await studio.webhooks.reached("egress_started")
        await studio.active(event["egressInfo"]["egressId"])


@only_stand_in
async def test_a_slow_service_answers_in_the_end(studio):
    """And is ACTIVE later still."""
    await studio.egress.misbehave("slow_start", times=1, seconds=0.3)
    await studio.egress.misbehave("slow_active", times=1, seconds=0.3)
    async with caller(studio):
        await studio.active(await studio.mix())


@only_stand_in
async def test_a_fault_that_there_is_not(studio):
    """The answer names those that there are."""
    with pytest.raises(ValueError, match="handler_killed"):
        await studio.egress.misbehave("hiccups")


async def test_the_real_one_does_not_misbehave(studio, monkeypatch, tmp_path):
    """So that a test can skip what only a stand-in does."""
    real = tmp_path / "egress"
    real.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert not studio.egress.is_stand_in
    with pytest.raises(NoStandIn, match=str(real)):
        await studio.egress.misbehave("absent")


async def test_a_participant_cannot_be_recorded_as_ogg(studio):
    """There is always a picture, and Ogg has none."""
    file = api.EncodedFileOutput(file_type=api.EncodedFileType.OGG, filepath="x.ogg")
    request = api.ParticipantEgressRequest(room_name=ROOM, identity="a", file_outputs=[file])
    async with caller(studio):
        with pytest.raises(api.ServerError, match="no supported codec") as refusal:
            await studio.api.egress.start_participant_egress(request)

    assert refusal.value.status == 400
