"""A livekit-server with an egress service, words to say before them, and judging the files."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from livekit import api

from lab.egress import Egress, real_egress
from lab.phones import Agent, Answer, Browser, SipParticipant
from lab.servers import API_KEY, API_SECRET, LiveKit, Redis
from lab.sounds import PCM, chirp, locate, silence
from lab.webhooks import Event, Webhooks
from tests.e2e.egress_sequences import Told, told

ROOM = "palombia-studio"
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
        return await self.order(file, **request)

    async def order(self, file: api.EncodedFileOutput, **request: Any) -> str:
        """Start a recording of the room into such a file."""
        wanted: dict[str, Any] = {"audio_mixing": api.AudioMixing.DUAL_CHANNEL_AGENT}
        started = await self.api.egress.start_room_composite_egress(
            api.RoomCompositeEgressRequest(
                room_name=ROOM, audio_only=True, file_outputs=[file], **wanted | request
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

    async def hears(self, egress_id: str, tracks: int) -> None:
        """Wait until it got packets of so many tracks."""

        async def is_so() -> bool:
            recordings = await self.egress.recordings()
            return bool(recordings[egress_id]["tracks"] >= tracks)

        await until(is_so)

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
        return tuple(told(event) for event in events if egress_of(event) == egress_id)

    async def reached(self, what: str, egress_id: str, status: str | None = None) -> Event:
        def is_it(event: Event) -> bool:
            is_status = status in (None, event["egressInfo"].get("status"))
            return egress_of(event) == egress_id and is_status

        return await self.webhooks.reached(what, where=is_it)

    def _path(self, filename: str) -> str:
        return str(self.files / filename)


def egress_of(event: Event) -> str | None:
    """The id of the egress that a webhook is about."""
    return event.get("egressInfo", {}).get("egressId")


@contextlib.asynccontextmanager
async def opened(files: Path, **options: Any) -> AsyncIterator[Studio]:
    """A studio of one's own; `options` are those of `Egress`."""
    webhooks = Webhooks(API_KEY, API_SECRET)
    async with (
        webhooks,
        Redis() as redis,
        LiveKit(redis=redis, webhook_urls=[webhooks.url], departure_timeout=1) as livekit,
        Egress(livekit, redis, **options) as egress,
        api.LiveKitAPI(livekit.http_url, API_KEY, API_SECRET) as client,
    ):
        yield Studio(livekit, egress, webhooks, client, files)


@contextlib.asynccontextmanager
async def call(studio: Studio) -> AsyncIterator[tuple[SipParticipant, Agent]]:
    """A caller and an agent who have begun to send."""
    async with (
        Agent(studio.livekit, ROOM, identity="agent") as agent,
        SipParticipant(studio.livekit, ROOM, number="+15550100") as phone,
    ):
        await phone.answered()
        yield phone, agent


@contextlib.asynccontextmanager
async def caller(studio: Studio) -> AsyncIterator[SipParticipant]:
    """A caller who is alone and sends."""
    async with SipParticipant(
        studio.livekit, ROOM, number="+15550100", answer=Answer.AT_ONCE
    ) as phone:
        yield phone


async def says(who: SipParticipant | Agent | Browser, word: PCM) -> float:
    """Say a word, and a little silence behind it; returns when it began."""
    return (await who.say(np.concatenate([word, silence(0.5)]))).started_at


def size(file: str) -> int:
    """In bytes; 0 where there is none."""
    return Path(file).stat().st_size if Path(file).exists() else 0


def place(pcm: Any, word: PCM) -> float | None:
    """Where a word is in a recording; None when it is not there."""
    found = locate(pcm, word)
    return found.at if found.score > ALIKE else None


def place_said(file: dict[str, Any], said_at: float) -> Any:
    """Where what was said then ought to be."""
    return pytest.approx(said_at - int(file["startedAt"]) / 1e9, abs=ROUGHLY)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so."""
    async with asyncio.timeout(60):
        while not await is_so():
            await asyncio.sleep(0.05)


def who_is_on(side: PCM) -> set[str]:
    """Whose word is on a side."""
    words = {"caller": CALLER, "agent": AGENT}
    return {name for name, word in words.items() if place(side, word) is not None}
