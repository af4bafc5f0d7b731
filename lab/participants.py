"""Somebody in a room with one microphone: the ground on which phones and agents stand."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from livekit import rtc

from lab.actors import WAIT_TIMEOUT, Actor, Happening
from lab.microphone import Microphone, Utterance
from lab.sounds import PCM
from lab.tokens import Kind, Rooms, token

JOIN_TIMEOUT = 30.0
LEAVE_TIMEOUT = 5.0
_LOOK_AGAIN = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """How a participant takes part.

    `key` encrypts its sound end to end (all in the room need the same).
    `listens` subscribes to the others, which costs decoding.
    """

    publishes: bool = True
    listens: bool = False
    dtx: bool = False
    red: bool = False
    key: bytes | None = None

    def room_options(self) -> rtc.RoomOptions:
        options = rtc.RoomOptions(auto_subscribe=self.listens, connect_timeout=JOIN_TIMEOUT)
        if self.key is not None:
            provider = rtc.KeyProviderOptions(shared_key=self.key)
            options.encryption = rtc.E2EEOptions(key_provider_options=provider)
        return options

    def publish_options(self) -> rtc.TrackPublishOptions:
        source = rtc.TrackSource.SOURCE_MICROPHONE
        return rtc.TrackPublishOptions(source=source, dtx=self.dtx, red=self.red)


PLAIN = Manner()


class Participant(Actor):
    """Joins with `async with`, publishes one mono Opus track, says things, leaves.

    With its line open it sends without a pause: what it says, else silence. Before that
    the track is there and not one packet. `says` are its first words, said by themselves.
    """

    kind: Kind = "standard"

    def __init__(
        self,
        rooms: Rooms,
        room: str,
        *,
        identity: str,
        name: str = "",
        attributes: Mapping[str, str] | None = None,
        says: PCM | None = None,
        manner: Manner = PLAIN,
        on_happening: Callable[[Happening], None] | None = None,
    ) -> None:
        Actor.__init__(self, identity, on_happening)
        self.rooms = rooms
        self.room_name = room
        self.name = name
        self.attributes = dict(attributes or {})
        self.manner = manner
        self.room = rtc.Room()
        self._says = says
        # While a room closes, the SDK fails if a track of it is dropped at the same moment.
        self._kept: list[Any] = []
        self._microphone: Microphone | None = None
        self._track: rtc.LocalAudioTrack | None = None
        self._publication: rtc.LocalTrackPublication | None = None

    @property
    def sid(self) -> str:
        """PA_…"""
        return str(self.room.local_participant.sid)

    @property
    def track_sid(self) -> str:
        """TR_… of what it publishes."""
        if self._publication is None:
            raise RuntimeError(f"{self.identity} publishes nothing")
        return str(self._publication.sid)

    async def join(self) -> None:
        """Enter the room, publish and begin to speak."""
        self.room.on("disconnected", self._has_left)
        self.room.on("track_subscribed", lambda track: self._kept.append(track))
        self.room.on("local_track_subscribed", lambda _: self.note("subscribed"))
        pass_ = token(
            self.rooms,
            self.room_name,
            self.identity,
            kind=self.kind,
            name=self.name,
            attributes=self.attributes,
        )
        async with asyncio.timeout(JOIN_TIMEOUT):
            await self.room.connect(self.rooms.url, pass_, self.manner.room_options())
        self.note("joined", participant_sid=self.sid)
        if self.manner.publishes:
            await self.publish()
        await self._arrived()

    async def leave(self) -> None:
        """Say good-bye to the server; harmless when it is gone already."""
        await self._end_deeds()
        if self._microphone is not None:
            await self._microphone.close()
            self._microphone = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_TIMEOUT):
                await self.room.disconnect()
        # The SDK does not always tell of a leave that we wanted ourselves.
        if self.first("joined") is not None and self.first("left") is None:
            self.note("left", reason="CLIENT_INITIATED")

    async def publish(self) -> None:
        """Publish a new track; it has its own sid."""
        if self._microphone is None:
            self._microphone = Microphone()
        source = self._microphone.source
        self._track = rtc.LocalAudioTrack.create_audio_track(self.identity, source)
        async with asyncio.timeout(JOIN_TIMEOUT):
            self._publication = await self.room.local_participant.publish_track(
                self._track, self.manner.publish_options()
            )
            await self._negotiated(self._track)
        self.note("published", track_sid=self.track_sid)

    async def unpublish(self) -> None:
        """Take the track back; `publish` makes another one."""
        sid = self.track_sid
        async with asyncio.timeout(LEAVE_TIMEOUT):
            await self.room.local_participant.unpublish_track(sid)
        self._publication = self._track = None
        self.note("unpublished", track_sid=sid)

    def open_line(self) -> None:
        """Send from now on, silence where nothing is said."""
        if self._microphone is None:
            raise RuntimeError(f"{self.identity} has no microphone")
        self._microphone.open()

    async def shut_line(self) -> None:
        """Send nothing until something is said: lines do that to spare silence."""
        if self._microphone is not None:
            await self._microphone.shut()

    async def say(self, pcm: PCM) -> Utterance:
        """Say it in real time; returns when the last of it was pushed."""
        if self._microphone is None:
            raise RuntimeError(f"{self.identity} has no microphone")
        utterance = await self._microphone.say(pcm)
        self.note("said", started_at=utterance.started_at, ended_at=utterance.ended_at)
        return utterance

    def mute(self) -> None:
        """Mute the track as a client does: the server tells everybody."""
        self._published_track().mute()
        self.note("muted")

    def unmute(self) -> None:
        self._published_track().unmute()
        self.note("unmuted")

    async def set_attributes(self, attributes: Mapping[str, str]) -> None:
        """Change some of its attributes; everybody in the room sees it."""
        async with asyncio.timeout(WAIT_TIMEOUT):
            await self.room.local_participant.set_attributes(dict(attributes))
        self.attributes.update(attributes)

    async def _arrived(self) -> None:
        """It is in the room and has published: what now?"""
        await self._begin()

    async def _begin(self) -> None:
        if self.manner.publishes:
            self.open_line()
        if self._says is not None:
            self._do(self._say_first(self._says))

    async def _say_first(self, words: PCM) -> None:
        await self.say(words)

    def _has_left(self, reason: Any) -> None:
        self.note("left", reason=rtc.DisconnectReason.Name(reason))

    @staticmethod
    async def _negotiated(track: rtc.LocalAudioTrack) -> None:
        """Wait until the track has a sender: sound pushed before that goes nowhere."""
        while True:
            if any(stats.HasField("outbound_rtp") for stats in await track.get_stats()):
                return
            await asyncio.sleep(_LOOK_AGAIN)

    def _published_track(self) -> rtc.LocalAudioTrack:
        if self._track is None:
            raise RuntimeError(f"{self.identity} publishes nothing")
        return self._track
