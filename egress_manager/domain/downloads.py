"""Who was given a recording's audio: an entry of the chain for each, once in a while.

Players ask for a file in many parts; so whoever goes on asking for one is noted once per `WINDOW`.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from egress_manager.domain.seal import Facts, moment

#: The kind of these entries, among those of `Kind`.
DOWNLOADED: Final = "downloaded"
#: One who asks for the same file again within this is listening on.
WINDOW: Final = timedelta(minutes=10)
#: Listeners that are remembered at most; beyond them the oldest is noted anew.
MOST_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Download:
    """Somebody is given a file: `principal` by the name of who asks, `address` of the network.

    `role` is the mix or a track's sid, as in seals.
    """

    recording_id: str
    role: str
    path: str
    principal: str
    address: str


def facts_of_download(download: Download, at: datetime) -> Facts:
    """A download as it is hashed and stored, before it is linked."""
    return {
        "at": moment(at),
        "kind": DOWNLOADED,
        "subject": download.recording_id,
        "role": download.role,
        "path": download.path,
        "principal": download.principal,
        "address": download.address,
    }


def is_download(facts: Facts) -> bool:
    """Whether an entry says who was given a file, and nothing of what it holds."""
    return facts.get("kind") == DOWNLOADED


@dataclass(slots=True)
class Listeners:
    """Who was noted lately, by this process, the longest ago first."""

    noted: dict[Download, datetime] = field(default_factory=dict)

    def are_new(self, download: Download, now: datetime) -> bool:
        """Whether this is to be noted: it was not within `WINDOW`, or the clock was set back."""
        at = self.noted.get(download)
        return at is None or not timedelta() <= now - at < WINDOW

    def note(self, download: Download, now: datetime) -> None:
        """It was noted."""
        self.noted.pop(download, None)
        self.noted[download] = now
        if len(self.noted) > MOST_REMEMBERED:
            del self.noted[next(iter(self.noted))]
