"""The built-in recorder behind the port `Recorder`: one attendance for each room that needs one."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

import aiohttp

from egress_manager.domain.attending import Awaited, named
from egress_manager.domain.calls import is_caller
from egress_manager.domain.captures import Ended, Entry, PageKept, ParticipantChanged, SenderReport
from egress_manager.domain.incoming import EgressReported, News, Room
from egress_manager.domain.policy import Engine
from egress_manager.domain.presence import RoomView
from egress_manager.domain.retelling import Retelling, moment_of, participant_of
from egress_manager.errors import EgressManagerError
from egress_manager.ports import Listener, Order
from egress_manager.recorder.attendance import Attendance
from egress_manager.recorder.clock import now
from egress_manager.recorder.door import Door
from egress_manager.recorder.roster import Roster

log = logging.getLogger(__name__)

#: News that could not be told (MongoDB away) are told again after this long. Seconds.
TELL_AGAIN: Final = 1.0
#: So many untold news of a capture are kept in memory; its journal has them all. News.
MOST_UNTOLD: Final = 10_000
#: So many stays that are to be left alone are remembered.
MOST_UNWANTED: Final = 10_000
#: How long all attendances together may take to leave. Seconds.
DRAIN_TIMEOUT: Final = 5.0
#: How long a capture that has ended may take to tell the rest. Seconds.
LAST_WORDS: Final = 2.0
#: Entries that are for the renderer only.
_QUIET: Final = (PageKept, SenderReport)


class BuiltinRecorder:
    """Attends rooms in this process. Give it its listener before the first room."""

    engine: Final = Engine.BUILTIN

    def __init__(
        self,
        url: str,
        token: Callable[[str, str], str],
        captures_dir: Path,
        *,
        sync_interval: float,
        place: str = "",
    ) -> None:
        self.listener: Listener | None = None
        self._url = url
        self._token = token
        self._captures_dir = captures_dir
        self._sync_interval = sync_interval
        self._place = place
        self._door: Door | None = None
        self._session: aiohttp.ClientSession | None = None
        self._attendances: dict[str, Attendance] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._tellers: dict[str, Teller] = {}
        self._kept: dict[str, set[str]] = {}
        self._unwanted: dict[str, None] = {}
        self._awaited: dict[str, Awaited] = {}
        self._is_draining = False

    async def attend(self, room_name: str, participant_sid: str = "") -> None:
        """See to it that the room is being captured."""
        if not self._is_draining and participant_sid not in self._unwanted:
            self._await(room_name)
            self._attendance(room_name).expect()

    async def leave_alone(self, room_name: str, participant_sid: str) -> None:
        """Nothing is captured for this stay alone."""
        if room_name in self._attendances and participant_sid not in self._unwanted:
            self._unwanted[participant_sid] = None
            self._attendances[room_name].stay()
        while len(self._unwanted) > MOST_UNWANTED:
            del self._unwanted[next(iter(self._unwanted))]

    async def keep(self, room_name: str, recording_id: str) -> str | None:
        """Keep what is said there, whoever is there; the capture that goes on already."""
        self._kept.setdefault(room_name, set()).add(recording_id)
        if self._is_draining:
            return None
        self._await(room_name)
        attendance = self._attendance(room_name)
        attendance.keeps_all = True
        if attendance.capture is None:
            attendance.expect()
            return None
        return attendance.capture.id

    async def let_go(self, room_name: str, recording_id: str) -> None:
        """With the last recording for which it is kept, a room is as any other again."""
        kept = self._kept.get(room_name, set())
        if recording_id in kept and room_name in self._attendances:
            self._attendances[room_name].stay()
        kept.discard(recording_id)
        if not kept:
            self._kept.pop(room_name, None)
            if room_name in self._attendances:
                self._attendances[room_name].keeps_all = False

    def kept_for(self, room_name: str) -> Collection[str]:
        """The recordings for which the room is kept."""
        return tuple(self._kept.get(room_name, ()))

    async def stand(self, room_name: str) -> None:
        """Be in the room for as long as anybody is."""
        if not self._is_draining:
            self._attendance(room_name).is_standing = True

    async def order(self, order: Order) -> None:
        """Be in the room: all that is said there is kept."""
        await self.attend(order.room_name)

    async def stop(self, egress_id: str) -> None:
        """Nothing to do: it leaves with the last caller."""

    async def jobs(self, room_name: str | None = None) -> Sequence[EgressReported]:
        """None: what it sees it tells at once."""
        return ()

    @property
    def rooms(self) -> Collection[str]:
        """The rooms that it is in, or on its way to."""
        return [name for name, each in self._attendances.items() if not each.is_leaving]

    def hears_all(self, room_name: str) -> bool:
        """Whether all that is said there reaches it."""
        attendance = self._attendances.get(room_name)
        return attendance is not None and attendance.hears_all

    def leave(self, room_name: str, reason: str) -> None:
        """Leave a room soon, keeping all that has come."""
        self._awaited.pop(room_name, None)
        if room_name in self._attendances:
            self._attendances[room_name].stop(reason)

    def attends(self, room_name: str) -> bool:
        """Whether it is capturing the room, or on its way."""
        attendance = self._attendances.get(room_name)
        return attendance is not None and attendance.capture is not None

    def view(self, room_name: str) -> RoomView | None:
        """Who is in a room that it attends; None where it does not."""
        attendance = self._attendances.get(room_name)
        if attendance is None or attendance.is_leaving:
            return None
        sid, roster = attendance.seen
        room = Room(room_name, sid)
        return RoomView(room, is_complete=False) if roster is None else _view_of(room, roster)

    @property
    def is_busy(self) -> bool:
        """Whether it is in a room, or on its way."""
        return bool(self._attendances)

    @property
    def capturing(self) -> int:
        """How many rooms are being captured now."""
        return sum(1 for a in self._attendances.values() if a.is_capturing)

    @property
    def troubles(self) -> list[str]:
        """What keeps captures from writing now, in plain words."""
        errors = (a.capture.error for a in self._attendances.values() if a.capture)
        return sorted({str(error.strerror) for error in errors if error})

    def unattended(self) -> int:
        """In how many rooms somebody is to be recorded and has not been heard for too long.

        To be asked again and again: what it says is as old as its last look.
        """
        if self._is_draining:
            return 0
        moment = now()
        for name, attendance in self._attendances.items():
            if attendance.capture is not None and not attendance.is_leaving:
                self._await(name)
        self._awaited = {
            name: room.seen(moment, is_attended=self._is_attended(name))
            for name, room in self._awaited.items()
            if room.is_current(moment)
        }
        return sum(room.is_overdue(moment) for room in self._awaited.values())

    def _await(self, room_name: str) -> None:
        self._awaited[room_name] = named(self._awaited.get(room_name), now())

    def _is_attended(self, room_name: str) -> bool:
        attendance = self._attendances.get(room_name)
        return attendance is not None and attendance.can_hear

    async def aclose(self) -> None:
        """Leave every room; what has come is on disk, the rest is told by the journals."""
        self._is_draining = True
        for attendance in list(self._attendances.values()):
            attendance.flush()  # whatever happens to this process now, the kernel has it
            attendance.stop("shutdown")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=DRAIN_TIMEOUT)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*(teller.aclose() for teller in list(self._tellers.values())))
        if self._session is not None:
            await self._session.close()

    def _attendance(self, room_name: str) -> Attendance:
        known = self._attendances.get(room_name)
        if known is not None and not known.is_leaving:
            return known
        attendance = self._attendances[room_name] = Attendance(room_name, self._open_door())
        attendance.keeps_all, attendance.unwanted = room_name in self._kept, self._unwanted
        task = asyncio.create_task(self._run(attendance))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return attendance

    async def _run(self, attendance: Attendance) -> None:
        try:
            await attendance.run()
        except Exception:
            log.exception("attendance_failed")
        finally:
            if self._attendances.get(attendance.room_name) is attendance:
                del self._attendances[attendance.room_name]

    def _open_door(self) -> Door:
        if self._door is None:
            # A room is a connection, and there are as many as there are calls.
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
            self._door = Door(
                session=self._session,
                url=self._url,
                token=self._token,
                captures_dir=self._captures_dir,
                is_caller=_is_caller,
                hear=self._hear,
                sync_interval=self._sync_interval,
                place=self._place,
            )
        return self._door

    def _hear(self, capture_id: str, entry: Entry) -> None:
        """Every entry of every journal comes by here, the moment it was written."""
        if isinstance(entry, _QUIET) or self.listener is None:
            return
        teller = self._tellers.get(capture_id)
        if teller is None:
            teller = self._tellers[capture_id] = Teller(capture_id, self.listener)
        teller.tell(entry)
        if isinstance(entry, Ended):
            teller.finish(lambda: self._tellers.pop(capture_id, None))


class Teller:
    """Tells the listener what one capture sees: in order, and again until it was heard."""

    def __init__(self, capture_id: str, listener: Listener) -> None:
        self._retelling = Retelling(capture_id)
        self._listener = listener
        self._news: deque[News] = deque(maxlen=MOST_UNTOLD)
        self._has_news = asyncio.Event()
        self._when_done: Callable[[], object] | None = None
        self._task = asyncio.create_task(self._run())

    def tell(self, entry: Entry) -> None:
        """Take an entry; what is news in it is told soon."""
        news = self._retelling.news_of(entry)
        if news is not None:
            self._news.append(news)
            self._has_news.set()

    def finish(self, when_done: Callable[[], object]) -> None:
        """Nothing more will come."""
        self._when_done = when_done
        self._has_news.set()

    async def aclose(self) -> None:
        """Tell what there still is, if the listener takes it; the journal has it all anyway."""
        await asyncio.wait([self._task], timeout=LAST_WORDS)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while self._news or self._when_done is None:
            if not self._news:
                self._has_news.clear()
                await self._has_news.wait()
                continue
            try:
                await self._listener(self._news[0])
            except EgressManagerError as error:
                if error.retryable:
                    await asyncio.sleep(TELL_AGAIN)
                    continue
                log.exception("news_refused")
            except Exception:
                log.exception("news_refused")
            self._news.popleft()
        self._when_done()


def _view_of(room: Room, roster: Roster) -> RoomView:
    """What a roster says, in LiveKit's words."""
    present = roster.present
    return RoomView(
        room,
        tuple(participant_of(person, roster.tracks.values()) for person in present),
        {p.participant_sid: moment_of(roster.since[p.participant_sid]) for p in present},
    )


def _is_caller(person: ParticipantChanged) -> bool:
    return is_caller(participant_of(person))
