"""A service in memory, for tests of the API."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from egress_manager import api
from egress_manager.api.services import ApiServices
from egress_manager.api.visitors import Visitors
from egress_manager.domain import access
from egress_manager.domain.ledger import Report
from egress_manager.domain.policy import Policy, Scope
from egress_manager.domain.recordings import Observation, Recording, State
from egress_manager.errors import EgressManagerError, SignatureRefused
from egress_manager.flows import manual, report
from egress_manager.flows.ingest import Outcome
from egress_manager.flows.reconcile import Difference, Kind
from egress_manager.testing import (
    FixedClock,
    MemoryCalls,
    MemoryKeys,
    MemoryObjects,
    MemoryRecordings,
)
from tests.story.conftest import in_memory

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEY = "houba-houba-hop"
#: The signature of a webhook that is refused before its body is read.
STRANGER = "x.y.z"


class House:
    """A service in memory: what it has, and what its doors say."""

    def __init__(self, directory: Path) -> None:
        self.calls = MemoryCalls()
        self.recordings = MemoryRecordings()
        self.keys = MemoryKeys(kept=access.fingerprint(KEY))
        self.clock = FixedClock(NOON)
        self.directory = directory
        self.objects = MemoryObjects()
        self.received: list[tuple[bytes, str | None]] = []
        self.trouble: EgressManagerError | None = None
        self.ills: dict[str, Exception] = {}
        self.found: list[Difference] = []
        tale = in_memory(Policy(Scope.NONE))
        self.rooms = tale.rooms
        self.doors = replace(
            tale.doors, calls=self.calls, recordings=self.recordings, clock=self.clock
        )
        self.visitors = Visitors()
        self.app = FastAPI(**api.WITHOUT_PAGES)
        api.install(self.app)
        self.app.state.services = ApiServices(
            calls=self.calls,
            recordings=self.recordings,
            keys=self.keys,
            clock=self.clock,
            admit=self.admit,
            receive=self.receive,
            recordings_dir=directory,
            objects=self.objects,
            health_checks={"mongodb": self.mongodb, "storage": self.storage},
            start=partial(manual.start, doors=self.doors),
            stop=partial(manual.stop, doors=self.doors),
            render=partial(manual.render, doors=self.doors),
            differences=self.look,
            mend=self.mend,
            draw_up=self.draw_up,
            visitors=self.visitors,
        )

    async def draw_up(self, since: datetime, until: datetime) -> Report:
        """The ledger of the calls in memory."""
        return await report.draw_up(self, since, until)  # type: ignore[arg-type]

    async def look(self) -> list[Difference]:
        """What a test lets it find."""
        return self.found

    async def mend(self, difference: Difference) -> bool:
        """Everything but foreign jobs."""
        return difference.kind is not Kind.FOREIGN

    def admit(self, authorization: str | None) -> None:
        """Refuse what `stranger` says."""
        if authorization == STRANGER:
            raise SignatureRefused("not signed by a key that we know")

    async def receive(self, body: bytes, authorization: str | None) -> Outcome:
        """Take in a webhook, or say what is wrong with it."""
        if self.trouble is not None:
            raise self.trouble
        self.received.append((body, authorization))
        return Outcome("recorded", "call_1", "rec_1", "EG_1")

    async def mongodb(self) -> str:
        """How MongoDB is."""
        if ill := self.ills.get("mongodb"):
            raise ill
        return "ok"

    async def storage(self) -> str:
        """How the disk is."""
        if ill := self.ills.get("storage"):
            raise ill
        return "1 MB free"

    async def has(self, **fields: Any) -> Recording:
        """Put a finished recording into the store."""
        given: dict[str, Any] = {
            "id": "rec_1",
            "call_id": "call_1",
            "egress_id": "EG_1",
            "engine": "builtin",
            "room_name": "palombia",
            "seen": Observation(State.CAPTURED, NOON),
            "created_at": NOON,
            "state": State.VERIFIED,
        }
        return await self.recordings.add(Recording(**(given | fields)))

    def file(self, name: str, content: bytes = b"0123456789") -> str:
        """Put a file into the recordings directory, and say where it is."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path)
