"""Our presence in one room, for as long as somebody needs it.

An attendance joins as a hidden participant, knows who is there, runs a capture while a caller is,
and keeps the connection up: what is lost is replaced, and the old one's media is kept until the
new one's has come up. A *standing* attendance stays between callers, so that the next one costs no
join.
"""

import asyncio
import contextlib
import itertools
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from livekit.protocol import models, rtc

from egress_manager.domain.captures import (
    Entry,
    ParticipantChanged,
    ParticipantGone,
    TrackChanged,
    TrackGone,
)
from egress_manager.errors import CaptureFailed, LiveKitRefused
from egress_manager.recorder.capture import Capture
from egress_manager.recorder.clock import now
from egress_manager.recorder.connection import Connection
from egress_manager.recorder.stream import Stream

log = logging.getLogger(__name__)

#: The capture goes on for this long after the last caller left: one may come back. Seconds.
LINGER: Final = 1.0
#: A caller that we were told of may take this long to show up. Seconds.
EXPECT: Final = 10.0
#: What a leaving participant sent last may take this long to reach us. Seconds.
TAIL: Final = 0.15
#: A stream that flowed and then says nothing for this long, unmuted, is deaf. Seconds.
DEAF: Final = 6.0
#: Look after everything this often. Seconds.
TICK: Final = 0.1
#: Waits before the next try to join, the last one again and again. Seconds.
BACKOFF: Final = (0.0, 0.2, 0.5, 1.0, 2.0, 3.0)
#: After this long without any connection, an attendance gives up; polling finds the room again.
GIVE_UP: Final = 60.0


@dataclass(frozen=True, slots=True)
class Door:
    """How to get into rooms: the server (ws or wss), tokens for it, and where captures are kept.

    `token(room_name, identity)` makes a capture's token. `is_caller` says for whom a capture runs.
    `hear(capture_id, entry)` is told every entry of every journal. `sync_interval`: seconds.
    """

    session: aiohttp.ClientSession
    url: str
    token: Callable[[str, str], str]
    captures_dir: Path
    is_caller: Callable[[ParticipantChanged], bool]
    hear: Callable[[str, Entry], None]
    sync_interval: float = 2.0


class Attendance:
    """One room's attendance; `run()` returns when it is over."""

    def __init__(self, room_name: str, door: Door, *, is_standing: bool = False) -> None:
        self.room_name = room_name
        self.is_standing = is_standing
        self.capture: Capture | None = None
        self._door = door
        self._people: dict[str, ParticipantChanged] = {}
        self._tracks: dict[str, TrackChanged] = {}
        self._leaving: dict[str, tuple[float, ParticipantGone]] = {}
        self._room_sid = ""
        self._current: Connection | None = None
        self._fading: list[Connection] = []
        self._joins = itertools.count(1)
        self._expected_until = now() + EXPECT
        self._caller_seen_at = 0.0
        self._connected_at = now()
        self._synced_at = now()
        self._stopping = ""
        self._closing: set[asyncio.Task[None]] = set()

    # What the outside may ask

    def expect(self) -> None:
        """A caller is said to be there, or to come: wait for it a while."""
        self._expected_until = now() + EXPECT

    def stop(self, reason: str) -> None:
        """Leave soon, keeping all that has come."""
        self._stopping = reason

    @property
    def is_capturing(self) -> bool:
        """Whether packets of a caller's room can reach us now."""
        return self.capture is not None and self._current is not None and self._current.has_media

    def flush(self) -> str | None:
        """Give all that has come to the kernel; the id of the running capture, if there is one."""
        if self.capture is None:
            return None
        for connection in self._connections():
            connection.drain()
        self.capture.flush()
        return self.capture.id

    async def run(self) -> None:
        """Be in the room until nobody needs us."""
        ticking = asyncio.create_task(self._tick_forever())
        try:
            await self._stay()
        finally:
            ticking.cancel()
            await asyncio.wait([ticking])
            for connection in self._connections():
                await connection.close()
            for gone in list(self._leaving.values()):
                self._depart(gone[1])
            self._end_capture(self._stopping or "left")

    # What a connection tells (see `connection.Audience`)

    def joined(self, connection: Connection, join: rtc.JoinResponse) -> None:
        """We are in: who is there is in the server's welcome."""
        self._connected_at = now()
        if self.capture is not None and join.room.sid != self._room_sid:
            self._forget_room("room_replaced")
        self._room_sid = join.room.sid
        listed = {p.sid for p in join.other_participants}
        for sid in [sid for sid in self._people if sid not in listed]:
            self._left(ParticipantGone(now(), sid, self._people[sid].identity, "missing_on_rejoin"))
        self._journal_connection("joined", connection.identity)
        self.updated(join.other_participants)

    def updated(self, participants: Sequence[models.ParticipantInfo]) -> None:
        """Somebody came, changed or left."""
        for info in participants:
            if info.state == models.ParticipantInfo.DISCONNECTED:
                if info.sid in self._people:
                    reason = models.DisconnectReason.Name(info.disconnect_reason).lower()
                    self._left(ParticipantGone(now(), info.sid, info.identity, reason))
                continue
            self._there(info)
        self._mind_callers(now())

    def media_up(self, connection: Connection) -> None:
        """Packets can flow: what faded until now is not needed any more."""
        self._journal_connection("media", connection.identity)
        for old in self._fading:
            self._close_later(old)
        self._fading.clear()

    def digit(self, identity: str, digit: str) -> None:
        """A caller pressed a key."""
        if self.capture is not None:
            self.capture.digit(identity, digit)

    # Staying connected

    async def _stay(self) -> None:
        failures = 0
        while self._is_needed(now()):
            await asyncio.sleep(BACKOFF[min(failures, len(BACKOFF) - 1)])
            reason = await self._attend_once(use_turn=failures > 0)
            if self._is_needed(now()):
                log.warning(
                    "connection_lost", extra={"reason": reason, "pii.room_name": self.room_name}
                )
            failures = 0 if self._current and self._current.has_media else failures + 1
            if now() - self._connected_at > GIVE_UP:
                self._stopping = self._stopping or "livekit_unreachable"

    async def _attend_once(self, *, use_turn: bool) -> str:
        """One connection, from joining to its end; says why it ended."""
        identity = f"recorder-{secrets.token_hex(4)}-{next(self._joins)}"
        connection = Connection(self, identity, use_turn=use_turn)
        if self._current is not None:
            self._fading.append(self._current)
        self._current = connection
        token = self._door.token(self.room_name, identity)
        serving = asyncio.create_task(connection.run(self._door.session, self._door.url, token))
        needed = asyncio.create_task(self._until_unneeded(connection))
        try:
            await asyncio.wait([serving, needed], return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                await connection.leave()
                return needed.result()
            return serving.result()
        except LiveKitRefused as error:
            self._stopping = "refused"
            return str(error)
        except CaptureFailed as error:
            return str(error)
        finally:
            for task in (serving, needed):
                task.cancel()
            await asyncio.wait([serving, needed])
            self._journal_connection("lost", identity)

    async def _until_unneeded(self, connection: Connection) -> str:
        """Returns when nobody needs us any more, or this connection has gone deaf."""
        while self._is_needed(now()):
            if self._is_deaf(connection, now()):
                return "deaf"
            await asyncio.sleep(TICK)
        return "unneeded"

    def _is_needed(self, moment: float) -> bool:
        if self._stopping:
            return False
        if self.capture is not None or moment < self._expected_until:
            return True
        return self.is_standing and any(not p.is_recorder for p in self._people.values())

    def _is_deaf(self, connection: Connection, moment: float) -> bool:
        """Whether a stream that flowed has stopped though its track is there, unmuted."""

        def deaf(stream: Stream) -> bool:
            track = self._tracks.get(stream.track_sid)
            return (
                track is not None
                and not track.is_muted
                and stream.heard_at is not None
                and moment - stream.heard_at > DEAF
            )

        return connection.has_media and any(map(deaf, connection.streams.values()))

    # Who is there

    def _there(self, info: models.ParticipantInfo) -> None:
        person = _person(info)
        if person.is_recorder:
            return
        self._leaving.pop(info.sid, None)
        self._people[info.sid] = person
        if self.capture is not None:
            self.capture.participant(person)
        tracks = {t.sid: _track(t, info.sid) for t in info.tracks if t.type == models.AUDIO}
        for track in tracks.values():
            self._tracks[track.track_sid] = track
            if self.capture is not None:
                self.capture.track(track)
        gone = [
            sid
            for sid, track in self._tracks.items()
            if track.participant_sid == info.sid and sid not in tracks
        ]
        for sid in gone:
            del self._tracks[sid]
            if self.capture is not None:
                self._drain()
                self.capture.track_gone(TrackGone(now(), sid))

    def _left(self, gone: ParticipantGone) -> None:
        """Somebody left: their last packets get a moment to arrive before it is written down."""
        self._leaving.setdefault(gone.participant_sid, (now() + TAIL, gone))

    def _depart(self, gone: ParticipantGone) -> None:
        self._leaving.pop(gone.participant_sid, None)
        self._people.pop(gone.participant_sid, None)
        for sid in [
            s for s, t in self._tracks.items() if t.participant_sid == gone.participant_sid
        ]:
            del self._tracks[sid]
        if self.capture is not None:
            self._drain()
            self.capture.participant_gone(gone)

    def _mind_callers(self, moment: float) -> None:
        """Begin a capture when a caller is there; end it when none has been for a while."""
        if any(self._door.is_caller(person) for person in self._people.values()):
            self._caller_seen_at = moment
            if self.capture is None and not self._stopping:
                self._begin_capture()
        elif self.capture is not None and moment - self._caller_seen_at > LINGER:
            self._end_capture("callers_left")

    def _begin_capture(self) -> None:
        capture_id = f"cap_{int(now() * 1000):012x}{secrets.token_hex(4)}"
        hear = self._door.hear
        self.capture = Capture(
            self._door.captures_dir / capture_id,
            self.room_name,
            self._room_sid,
            lambda entry: hear(capture_id, entry),
        )
        if self._current is not None:
            state = "media" if self._current.has_media else "joined"
            self.capture.connection(state, self._current.identity)
        for person in self._people.values():
            self.capture.participant(person)
        for track in self._tracks.values():
            self.capture.track(track)

    def _end_capture(self, reason: str) -> None:
        if self.capture is None:
            return
        self._drain()
        capture, self.capture = self.capture, None
        capture.close(reason)
        self._expected_until = min(self._expected_until, now())

    def _forget_room(self, reason: str) -> None:
        """The room is another one of the same name: nobody whom we knew is there."""
        for person in list(self._people.values()):
            self._depart(ParticipantGone(now(), person.participant_sid, person.identity, reason))
        self._end_capture(reason)
        self.expect()

    # Looking after things

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            with contextlib.suppress(OSError):
                await self._tick(now())

    async def _tick(self, moment: float) -> None:
        for due, gone in list(self._leaving.values()):
            if moment >= due:
                self._depart(gone)
        for connection in self._connections():
            connection.tick(moment)
        self._mind_callers(moment)
        if self.capture is not None:
            self.capture.tick(moment)
            if moment - self._synced_at >= self._door.sync_interval:
                self._synced_at = moment
                await self.capture.sync()

    def _connections(self) -> list[Connection]:
        return [*self._fading, *([self._current] if self._current else [])]

    def _drain(self) -> None:
        for connection in self._connections():
            connection.drain()

    def _close_later(self, connection: Connection) -> None:
        closing = asyncio.create_task(connection.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _journal_connection(self, state: str, identity: str) -> None:
        if self.capture is not None:
            self.capture.connection(state, identity)


def _person(info: models.ParticipantInfo) -> ParticipantChanged:
    """LiveKit's participant in the journal's words."""
    kind = models.ParticipantInfo.Kind.Name(info.kind)
    return ParticipantChanged(
        at=now(),
        participant_sid=info.sid,
        identity=info.identity,
        name=info.name,
        kind=kind,
        metadata=info.metadata,
        attributes=dict(info.attributes),
        joined_at=info.joined_at_ms / 1000 if info.joined_at_ms else float(info.joined_at) or None,
        is_recorder=kind == "EGRESS" or info.permission.recorder,
    )


def _track(info: models.TrackInfo, participant_sid: str) -> TrackChanged:
    """LiveKit's track in the journal's words."""
    return TrackChanged(
        at=now(),
        track_sid=info.sid,
        participant_sid=participant_sid,
        name=info.name,
        mime=info.mime_type.lower(),
        is_muted=info.muted,
        is_encrypted=info.encryption != models.Encryption.NONE,
    )
