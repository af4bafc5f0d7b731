"""Lists of LiveKit that lack somebody whom a live capture saw all the time: logged and counted."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

log = logging.getLogger(__name__)


@dataclass(slots=True)
class RoomListTally:
    """How many lists were contradicted by a live capture since this process started.

    Somebody who leaves while LiveKit answers is for a moment on the capture's side only: so each
    list is judged with the next one, when the capture has heard of every leave.
    """

    contradicted: int = 0
    last_contradicted_at: datetime | None = None
    _lacking: Mapping[str, Collection[str]] = field(default_factory=dict)
    _listed_at: datetime | None = None
    _logged: set[str] = field(default_factory=set)

    def judge(
        self, at: datetime, lacking: Mapping[str, Collection[str]], seen: Collection[str]
    ) -> None:
        """All rooms were listed at `at`. `lacking`: the sids that each room's list lacks.

        `seen` are all sids that captures see now.
        """
        wrong = {room: set(sids) & set(seen) for room, sids in self._lacking.items()}
        wrong = {room: sids for room, sids in wrong.items() if sids}
        self.contradicted += len(wrong)
        if wrong:
            self.last_contradicted_at = self._listed_at
        for room in wrong.keys() - self._logged:  # once for each time that a room's lists go wrong
            facts = {"room_name": room, "participants": len(wrong[room])}
            log.warning("room_list_contradicted", extra=facts)
        self._logged = set(wrong)
        self._lacking, self._listed_at = dict(lacking), at
