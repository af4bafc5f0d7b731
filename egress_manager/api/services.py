"""What the routers need of the rest, in one value: `app.state.services`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Protocol

from fastapi import Depends, Request

from egress_manager.api.connections import ConnectionTally
from egress_manager.api.probe import HealthCheck, Probe
from egress_manager.api.recent import Recent
from egress_manager.api.visitors import Visitors
from egress_manager.domain.buckets import Stored
from egress_manager.domain.downloads import Download
from egress_manager.domain.ledger import Report
from egress_manager.domain.manual import Wish
from egress_manager.domain.recordings import Recording
from egress_manager.flows.ingest import Outcome
from egress_manager.flows.manual import Begun
from egress_manager.flows.reconcile import Difference
from egress_manager.flows.room_lists import RoomListTally
from egress_manager.ports import Calls, Clock, Keys, Recordings

#: Raises `SignatureRefused` where a webhook with this `Authorization` would be refused whatever
#: its body is.
Admit = Callable[[str | None], None]

#: Takes in a webhook: its body as it came, and what stood in `Authorization`.
Receive = Callable[[bytes, str | None], Awaitable[Outcome]]

#: Has something recorded; stops a recording, or has its files made again.
Start = Callable[[Wish], Awaitable[Begun]]
Stop = Callable[[str], Awaitable[Recording]]
Render = Callable[[str], Awaitable[Recording]]

#: Finds what does not fit, and mends one thing of it.
FindDifferences = Callable[[], Awaitable[Sequence[Difference]]]
Mend = Callable[[Difference], Awaitable[bool]]

#: Draws up the ledger of a period.
DrawUp = Callable[[datetime, datetime], Awaitable[Report]]

#: Notes that somebody is given a file, before it is given.
NoteDownload = Callable[[Download], Awaitable[None]]


class Objects(Protocol):
    """What LiveKit Egress has put into a bucket, by the addresses that it gives.

    Verbs raise `StorageFailed` where the bucket does not answer, or refuses.
    """

    async def about(self, address: str) -> Stored | None:
        """The object, with something in it; None where there is none, or it is not ours."""
        ...

    def read(self, stored: Stored, start: int, stop: int) -> AsyncIterator[bytes]:
        """Its bytes from `start` up to before `stop`, a part at a time."""
        ...


@dataclass(slots=True)
class WebhookTally:
    """What came of webhooks since this process started."""

    taken: int = 0
    refused: int = 0
    last_refused_at: datetime | None = None
    refused_because: str = ""

    def take(self) -> None:
        """One was signed as it should be."""
        self.taken += 1

    def refuse(self, why: str, at: datetime) -> None:
        """One was not."""
        self.refused += 1
        self.refused_because, self.last_refused_at = why, at


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServices:
    """The doors of the API.

    Only files below `recordings_dir` and objects of the bucket are ever served; `objects` is None
    where there is no bucket. `place` is the name of the directory. `note_download` is
    None where nothing is noted.
    """

    calls: Calls
    recordings: Recordings
    keys: Keys
    clock: Clock
    admit: Admit
    receive: Receive
    recordings_dir: Path
    health_checks: Mapping[str, HealthCheck]
    start: Start
    stop: Stop
    render: Render
    differences: FindDifferences
    mend: Mend
    draw_up: DrawUp
    note_download: NoteDownload | None = None
    objects: Objects | None = None
    place: str = ""
    webhooks: WebhookTally = field(default_factory=WebhookTally)
    room_lists: RoomListTally = field(default_factory=RoomListTally)
    visitors: Visitors = field(default_factory=Visitors)
    connections: ConnectionTally = field(default_factory=ConnectionTally)
    probe: Probe = field(default_factory=Probe)
    recent_key: Recent[str | None] = field(default_factory=Recent)


async def _services(request: Request) -> ApiServices:
    services: ApiServices = request.app.state.services
    return services


#: A parameter of this type is given the services.
Services = Annotated[ApiServices, Depends(_services)]
