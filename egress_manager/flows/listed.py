"""Whom this process's own LiveKit has shown: only of those can its list say that they are gone.

Two LiveKits that nothing tells apart (the same address, the same key) may come to share a database.
Neither lists the other's callers, and neither ends their calls: each keeps seeing its own.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from egress_manager.domain.calls import Call, Stay
from egress_manager.domain.incoming import ParticipantSeen, Source

#: A call that nobody has seen for this long is seen by no other process: each of them writes down
#: every few seconds whom its LiveKit lists (`calls.UNSEEN`).
SEEN_BY_NOBODY: Final = timedelta(seconds=15)
#: A call of somebody else's that is not met again for this long is over.
FORGET_AFTER: Final = timedelta(seconds=10)
#: This many stays are remembered, the newest; and this many calls that others see.
MOST_STAYS: Final = 20_000
MOST_STRANGE: Final = 1_000


@dataclass(slots=True)
class Listed:
    """The stays that were seen first-hand, and the calls that only others see: since when, until.

    In memory: after a restart, a stay that has ended meanwhile is found by its time.
    """

    _stays: dict[str, None] = field(default_factory=dict)
    _strange: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)

    def note(self, news: ParticipantSeen) -> None:
        """Somebody was seen: a webhook may have been kept by another process, so it proves nothing.

        What was seen first-hand is no stranger's.
        """
        if news.source is Source.WEBHOOK:
            return
        self._stays[news.participant.sid] = None
        while len(self._stays) > MOST_STAYS:
            del self._stays[next(iter(self._stays))]

    def has_met(self, call: Call) -> bool:
        """Whether a list lacked this call before, and others are known to see it."""
        return call.id in self._strange or len(self._strange) >= MOST_STRANGE

    def may_end(self, call: Call, stay: Stay, at: datetime) -> bool:
        """Whether a list without this stay means that it is over."""
        if stay.participant_sid in self._stays or at - call.seen_at > SEEN_BY_NOBODY:
            self._strange.pop(call.id, None)
            return True
        if call.id in self._strange or len(self._strange) < MOST_STRANGE:
            since, _ = self._strange.get(call.id, (at, at))
            self._strange[call.id] = since, at
        return False

    def strange(self, now: datetime) -> int:
        """How many calls go on that others see, and that this LiveKit has never listed."""
        self._strange = {
            call_id: (since, until)
            for call_id, (since, until) in self._strange.items()
            if now - until < FORGET_AFTER
        }
        return sum(until - since > SEEN_BY_NOBODY for since, until in self._strange.values())
