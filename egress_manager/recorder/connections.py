"""An attendance's connections: the one that serves, and those that fade.

A connection whose signal is lost fades: its media are kept until another one brings each track, and
until all that had come by then was read.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Final

from egress_manager.domain.quotas import Quotas
from egress_manager.recorder.capture import Capture
from egress_manager.recorder.clock import now
from egress_manager.recorder.connection import Connection
from egress_manager.recorder.roster import Roster

#: A new connection that has media brings every track that flows within this. Seconds.
HANDOVER: Final = 1.0
#: What was read so late, or sooner, was not read late. Seconds.
PROMPT: Final = 0.1
#: What has come by the end of a room may take this long to be read. Seconds.
CATCH_UP: Final = 3.0


class Connections:
    """`current` is the one that serves, None between two."""

    def __init__(self) -> None:
        self.current: Connection | None = None
        self._fading: list[Connection] = []
        self._flowing: dict[str, Connection] = {}
        self._faded_by = 0.0

    def __iter__(self) -> Iterator[Connection]:
        yield from self._fading
        if self.current is not None:
            yield self.current

    def fade(self, connection: Connection) -> None:
        """It serves no more, and its media may go on."""
        self._faded_by = float("inf")
        self._fading.append(connection)

    def media_up(self, moment: float) -> None:
        """Packets can flow: what fades until now has a moment to hand over what flows."""
        self._faded_by = moment + HANDOVER

    def flowing(self, connection: Connection, track_sid: str) -> None:
        """A track's packets have come: those that fade need not bring them for long."""
        if self._fading:
            self._flowing[track_sid] = connection

    def tick(self, moment: float) -> list[Connection]:
        """Hand over what flows; those that have nothing to bring any more.

        Those do not belong to it from here on. Who fades hands over once it has read what had come.
        """
        for old in self._fading:
            for track_sid, new in self._flowing.items():
                if old is not new and old.read_until(moment) > moment - PROMPT:
                    old.streams.hand_over(track_sid)
        over = [old for old in self._fading if self._is_over(old, moment)]
        self._fading = [old for old in self._fading if old not in over]
        if not self._fading:
            self._flowing.clear()
        return over

    def end_if_deaf(
        self, roster: Roster, quotas_of: Callable[[str, float], Quotas], moment: float
    ) -> None:
        """End the one that serves if a participant fell silent on it, who may cause that so often.

        Who has caused it too often uses up nothing that others have for it.
        """
        if self.current is None:
            return
        for sid in self.current.deaf(roster.tracks, moment):
            person = roster.people.get(sid)
            identity = "" if person is None else person.identity
            if quotas_of(identity, moment).deaf.take(1, moment):
                self.current.end("deaf")
                return

    def _is_over(self, old: Connection, moment: float) -> bool:
        if not old.has_media:
            return True
        is_late = old.read_until(moment) > self._faded_by
        has_successor = self.current is not None and self.current.has_media
        return has_successor and (is_late or old.streams.are_handed_over)

    def read_until(self, moment: float) -> float:
        """Everything that came by then, on any of them, was read; `moment` is now."""
        return min((each.read_until(moment) for each in self), default=moment)

    async def catch_up(self) -> None:
        """Returns when everything that has come was read, or that takes too long."""
        came_by = now()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP):
                for _ in range(round(CATCH_UP / PROMPT)):
                    if self.read_until(now()) > came_by - PROMPT:
                        return
                    await asyncio.sleep(PROMPT)

    def drain(self, capture: Capture | None, track_sid: str = "") -> None:
        """Let go of what is held back of one track, or of all."""
        for each in self:
            each.streams.drain(capture, track_sid)
