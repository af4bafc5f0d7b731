"""Our presence in one room, for as long as somebody needs it.

An attendance joins as a hidden participant, knows who is there, runs a capture while a caller is
(one that `keeps_all`: while anybody is), and keeps the connection up: what is lost is replaced, and
the old one's media is kept until the new one brings each track itself. A *standing* attendance
stays between callers, so that the next one costs no join.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Collection, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, Final

from livekit.protocol import models, rtc

from egress_manager.domain.captures import ParticipantChanged, TrackGone, capture_id_of
from egress_manager.errors import CaptureFailed, LiveKitRefused
from egress_manager.recorder.capture import Capture
from egress_manager.recorder.clock import now
from egress_manager.recorder.connection import AWAKE, Connection
from egress_manager.recorder.connections import HANDOVER, Connections
from egress_manager.recorder.door import Door
from egress_manager.recorder.roster import News, Roster

log = logging.getLogger(__name__)

#: The capture goes on for this long after the last caller left: one may come back. Seconds.
LINGER: Final = 1.0
#: A caller that we were told of may take this long to show up. Seconds.
EXPECT: Final = 10.0
#: After a stop by hand the connection stays this long, without a capture: whoever stops may start
#: again at once, and joining takes time. Seconds.
AGAIN: Final = 5.0
#: Look after everything this often. Seconds.
TICK: Final = 0.1
#: A process that did nothing for this long stood still: packets wait in the kernel, or are dropped
#: there when there is no more room. Seconds.
STALLED: Final = 1.0
#: From one try to join to the next, the last one again and again: a server that is back has its
#: recorder back within 1.5 s. Seconds.
BACKOFF: Final = (0.0, 0.2, 0.5, 0.75)
#: A connection that lived longer was a good one: the next try need not wait. Seconds.
STABLE: Final = 5.0
#: After this long without any connection, an attendance gives up; polling finds the room again.
GIVE_UP: Final = 60.0
#: To join again after these would bring a room back to life that somebody has closed.
ROOM_OVER: Final = frozenset({"server_said_room_deleted", "server_said_room_closed"})
#: How long saying goodbye may take. Seconds.
GOODBYE: Final = 0.5


class Attendance:
    """One room's attendance; `run()` returns when it is over."""

    def __init__(self, room_name: str, door: Door, *, is_standing: bool = False) -> None:
        self.room_name = room_name
        self.is_standing = is_standing
        self.keeps_all = False
        self.unwanted: Collection[str] = ()
        self.capture: Capture | None = None
        self.is_leaving = False
        self._door = door
        self._roster = Roster()
        self._room_sid = ""
        self.is_in = False
        self._connections = Connections()
        self._joined: Connection | None = None
        self._expected_at = now()
        self._stays_until = 0.0
        self._caller_seen_at = 0.0
        self._connected_at = now()
        self._synced_at = self._ticked_at = now()
        self._stopping = ""
        self._unneeded = asyncio.Event()
        self._errands: set[asyncio.Task[None]] = set()
        self._syncing: asyncio.Task[None] | None = None

    # What the outside may ask

    def expect(self) -> None:
        """A caller is said to be there, or to come: wait for it a while."""
        self._expected_at = now()

    def stay(self) -> None:
        """What was recorded was stopped, and may be started again: stay a while."""
        self._stays_until = now() + AGAIN

    def stop(self, reason: str) -> None:
        """Leave soon, keeping all that has come."""
        self._stopping = reason
        self._unneeded.set()

    @property
    def is_capturing(self) -> bool:
        """Whether packets of a caller's room can reach us now."""
        return self.capture is not None and any(c.has_media for c in self._connections)

    @property
    def can_hear(self) -> bool:
        """Whether we are in the room, and the packets of a capture can reach us now."""
        return self.is_in if self.capture is None else self.is_capturing

    @property
    def hears_all(self) -> bool:
        """Whether every track that is not muted has reached us, or had the time to."""
        connection = self._connections.current
        if self.capture is None or connection is None or not connection.has_media:
            return False
        flowing = {stream.track_sid for stream in connection.streams if stream.heard_at is not None}
        speaking = {track.track_sid for track in self._roster.tracks.values() if not track.is_muted}
        return speaking <= flowing or now() - connection.media_up_at > HANDOVER

    @property
    def seen(self) -> tuple[str, Roster | None]:
        """The room's sid and its roster; None while the server does not tell us who comes."""
        is_told = self._joined is not None and self._joined is self._connections.current
        return self._room_sid, self._roster if is_told else None

    def flush(self) -> str | None:
        """Give all that has come to the kernel; the id of the running capture, if there is one."""
        if self.capture is None:
            return None
        self._connections.drain(self.capture)
        self.capture.flush()
        return self.capture.id

    async def run(self) -> None:
        """Be in the room until nobody needs us."""
        ticking = asyncio.create_task(self._tick_forever())
        try:
            await self._stay()
        finally:
            self.is_leaving = True  # from here on nobody looks at what is expected
            try:
                await self._connections.catch_up()
            finally:
                await self._end(ticking)

    async def _end(self, ticking: asyncio.Task[None]) -> None:
        """Nothing more comes: write all that has come, and close everything."""
        ticking.cancel()
        await asyncio.wait([ticking])
        self._tell(self._roster.due(float("inf")))
        self._connections.drain(self.capture)
        for connection in self._connections:
            connection.streams.close()
            self._begin_errand(connection.close())
        self._end_capture(self._stopping or "left")
        await asyncio.gather(*self._errands, return_exceptions=True)

    # What a connection tells (see `connection.Audience`)

    def joined(self, connection: Connection, join: rtc.JoinResponse) -> None:
        """We are in: who is there is in the server's welcome."""
        self.is_in = True
        self.room_known(join.room.sid)
        self._journal_connection("joined", connection.identity)
        self._tell(self._roster.see_all(join.other_participants, now()))
        self._joined = connection
        self._mind_callers(now())

    def room_known(self, room_sid: str) -> None:
        """Which room it is. If it is another one of the same name, nobody we knew is there."""
        if room_sid and self._room_sid and room_sid != self._room_sid:
            self._roster.everybody_left(now(), "room_replaced")
            self._tell(self._roster.due(float("inf")))
            self._end_capture("room_replaced")
            self.expect()
        self._room_sid = room_sid or self._room_sid

    def updated(self, participants: Sequence[models.ParticipantInfo]) -> None:
        """Somebody came, changed or left."""
        for info in participants:
            self._tell(self._roster.see(info, now()))
        self._mind_callers(now())

    def media_up(self, connection: Connection) -> None:
        """Packets can flow: what fades until now has a moment to hand over what flows."""
        self._journal_connection("media", connection.identity)
        self._connections.media_up(now())

    def flowing(self, connection: Connection, track_sid: str) -> None:
        """A track's packets have come: connections that fade need not bring them any more."""
        self._connections.flowing(connection, track_sid)

    def digit(self, identity: str, digit: str) -> None:
        """A caller pressed a key."""
        if self.capture is not None:
            self.capture.digit(identity, digit)

    # Staying connected

    async def _stay(self) -> None:
        failures, is_reachable, tried_at = 0, True, 0.0
        while self._is_needed(now()):
            self._unneeded.clear()
            await self._rest(tried_at + BACKOFF[min(failures, len(BACKOFF) - 1)] - now())
            tried_at = now()
            connection, reason = await self._attend_once(use_turn=not is_reachable)
            if not self._is_needed(now()):
                return
            if reason != "left":  # it was leaving when it was wanted again
                where = {"reason": reason, "pii.room_name": self.room_name}
                log.warning("connection_lost", extra=where)
            is_reachable = connection.media_up_at < float("inf")
            failures = 0 if now() - connection.media_up_at > STABLE else failures + 1
            if now() - self._connected_at > GIVE_UP:
                self.stop("livekit_unreachable")

    async def _rest(self, seconds: float) -> None:
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._unneeded.wait(), seconds)

    async def _attend_once(self, *, use_turn: bool) -> tuple[Connection, str]:
        """One connection, from joining to its end, and why it ended."""
        connection = self._connections.current = Connection(self, use_turn=use_turn)
        door, make_pass = self._door, partial(self._door.make_pass, self.room_name)
        turns = door.turns_back if self._room_sid else door.turns
        running = connection.run(door.session, door.url, make_pass, turns)
        serving = asyncio.create_task(running)
        unneeded = asyncio.create_task(self._unneeded.wait())
        reason = "left"
        try:
            await asyncio.wait([serving, unneeded], return_when=asyncio.FIRST_COMPLETED)
            reason = await self._outcome(connection, serving)
            return connection, reason
        finally:
            await _ended(serving, unneeded)
            self._part_with(connection, reason)

    async def _outcome(self, connection: Connection, serving: asyncio.Task[str]) -> str:
        """Why a connection ended; one that still serves is left."""
        if not serving.done():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE):
                    await connection.leave()
            return "left"
        try:
            reason = serving.result()
        except LiveKitRefused as error:
            self.stop("refused")
            return str(error)
        except CaptureFailed as error:
            return str(error)
        except Exception:
            # A library's error, not ours; another connection is tried all the same.
            log.exception("connection_failed")
            return "failed"
        if reason in ROOM_OVER:
            self._roster.everybody_left(now(), reason.removeprefix("server_said_"))
            self.stop(reason)
        return reason

    def _part_with(self, connection: Connection, reason: str) -> None:
        """Its signal is gone; its media may go on until another brings what flows."""
        self._connections.current, self.is_in = None, False
        if connection.has_media:
            self._connections.fade(connection)
        else:
            self._begin_errand(connection.close())
        state = "left" if reason == "left" else "lost"
        self._journal_connection(state, connection.identity, reason)

    def _is_needed(self, moment: float) -> bool:
        if self._stopping:
            return False
        if self.capture is not None or moment < max(self._expected_at + EXPECT, self._stays_until):
            return True
        return self.is_standing and bool(self._roster.people)

    # Who is there

    def _tell(self, news: Iterable[News]) -> None:
        for entry in news:
            if isinstance(entry, TrackGone):
                self._connections.drain(self.capture, entry.track_sid)
            if self.capture is not None:
                self.capture.tell(entry)

    def _mind_callers(self, moment: float) -> None:
        """Begin a capture when a caller is there; end it when none has been for a while."""
        if any(map(self._is_wanted, self._roster.people.values())):
            self._caller_seen_at = moment
            if self.capture is None and not self._stopping:
                self._begin_capture()
            elif self.capture and moment - self.capture.began_at > self._door.rotate_after:
                self._end_capture("rotated")
                self._begin_capture()
        elif self.capture is not None and moment - self._caller_seen_at > LINGER:
            self._end_capture("callers_left")
            if self._expected_at < self._caller_seen_at:  # who was expected has been here
                self._expected_at = 0.0

    def _is_wanted(self, person: ParticipantChanged) -> bool:
        is_alone = person.participant_sid in self.unwanted
        return self.keeps_all or (self._door.is_caller(person) and not is_alone)

    def _begin_capture(self) -> None:
        capture_id = capture_id_of(now(), secrets.token_hex(4), self._door.place)
        hear = self._door.hear
        self.capture = Capture(
            self._door.captures_dir / capture_id,
            self.room_name,
            self._room_sid,
            lambda entry: hear(capture_id, entry),
            self._door.shelf,
        )
        for connection in self._connections:
            state = "media" if connection.has_media else "joined"
            self._journal_connection(state, connection.identity)
        self._tell([*self._roster.people.values(), *self._roster.tracks.values()])

    def _end_capture(self, reason: str) -> None:
        if self.capture is None:
            return
        self._connections.drain(self.capture)
        capture, self.capture = self.capture, None
        capture.close(reason)
        self._begin_errand(self._release(capture, self._syncing))

    # Looking after things

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            if now() - self._ticked_at > AWAKE:
                await _sockets_were_read()
            try:
                self._tick(now())
            except Exception:
                # One bad turn must not be the last: everything else here depends on the next.
                log.exception("tick_failed", extra={"pii.room_name": self.room_name})

    def _tick(self, moment: float) -> None:
        for connection in self._connections:
            connection.tick(moment)
            if connection.has_media:
                self._connected_at = moment
        self._tell(self._roster.due(self._connections.read_until(moment)))
        self._mind_callers(moment)
        quotas_of = partial(self._door.shelf.of, self.room_name)
        self._connections.end_if_deaf(self._roster, quotas_of, moment)
        for old in self._connections.tick(moment):
            self._begin_errand(old.close())
        if self.capture is not None:
            if moment - self._ticked_at > STALLED:
                self.capture.stalled(moment - self._ticked_at)
            self.capture.tick(moment)
            self._sync(self.capture, moment)
        self._ticked_at = moment
        if not self._is_needed(moment):
            self._unneeded.set()

    def _sync(self, capture: Capture, moment: float) -> None:
        is_due = moment - self._synced_at >= self._door.sync_interval
        if is_due and (self._syncing is None or self._syncing.done()):
            self._synced_at = moment
            self._syncing = self._begin_errand(capture.sync())

    async def _release(self, capture: Capture, syncing: asyncio.Task[None] | None) -> None:
        if syncing is not None:
            await asyncio.wait([syncing])
        await capture.release()

    def _begin_errand(self, errand: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Something to be done beside; it is over before `run` is."""
        task = asyncio.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errand_over)
        return task

    def _errand_over(self, task: asyncio.Task[None]) -> None:
        self._errands.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("errand_failed", exc_info=error)

    def _journal_connection(self, state: str, identity: str, detail: str = "") -> None:
        if self.capture is not None:
            self.capture.connection(state, identity, detail)


async def _sockets_were_read() -> None:
    """Returns when each socket had its turn: a loop that overslept looks at its clocks first."""
    for _ in range(2):
        await asyncio.sleep(0)


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, wait for them, and take no notice of how they ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
