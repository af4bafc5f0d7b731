"""A house in memory: every door is a fake of ours, and time passes when a test says so."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from egress_manager import jobs
from egress_manager.domain.claims import Presence
from egress_manager.domain.incoming import (
    Kind,
    News,
    Participant,
    ParticipantLeft,
    ParticipantSeen,
    Room,
    Source,
    Webhook,
)
from egress_manager.domain.policy import Engine, Policy
from egress_manager.domain.recordings import Recording
from egress_manager.errors import SignatureRefused
from egress_manager.flows import ingest
from egress_manager.flows.doors import Doors, House
from egress_manager.flows.sharing.membership import Membership
from egress_manager.testing import (
    FixedClock,
    MemoryCalls,
    MemoryCaptures,
    MemoryCarrier,
    MemoryClaims,
    MemoryEars,
    MemoryFiles,
    MemoryInbox,
    MemoryQueue,
    MemoryRecorder,
    MemoryRecordings,
    MemoryRenderer,
    MemoryReports,
    MemoryRooms,
    MemorySigns,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ROOM = Room("friday-assistant-room", "RM_1")


@dataclass
class PlainWebhooks:
    """`Webhooks` for stories that begin with a webhook: what it says is given beside it."""

    says: dict[bytes, News]

    def read(self, body: bytes, authorization: str | None, at: datetime) -> Webhook:
        if authorization is None:
            raise SignatureRefused("not signed")
        return Webhook(f"EV_{body.decode()}", "participant_joined", self.says[body], body)


@dataclass
class Tale:
    """The house, and verbs that make stories short."""

    clock: FixedClock
    webhooks: PlainWebhooks
    inbox: MemoryInbox
    calls: MemoryCalls
    recordings: MemoryRecordings
    rooms: MemoryRooms
    recorder: MemoryRecorder
    egress: MemoryRecorder
    captures: MemoryCaptures
    renderer: MemoryRenderer
    queue: MemoryQueue
    files: MemoryFiles
    ears: MemoryEars
    doors: Doors

    def caller(self, sid: str = "PA_caller", **fields: Any) -> Participant:
        """The marsupilami, on the phone."""
        attributes = {"sip.callID": "SCL_1", "sip.callStatus": "active"}
        attributes |= {"sip.phoneNumber": "+15550100", "sip.trunkPhoneNumber": "+15550199"}
        attributes |= fields.pop("attributes", {})
        given = {"identity": "sip_+15550100", "kind": Kind.SIP, "attributes": attributes}
        return Participant(sid, **(given | fields))

    async def sees(
        self,
        person: Participant,
        source: Source = Source.WEBHOOK,
        *,
        capture: str | None = None,
        room: Room = ROOM,
    ) -> ingest.Outcome:
        """LiveKit (or a capture) shows somebody."""
        news = ParticipantSeen(self.clock.now(), room, person, source, capture)
        if capture:
            self.recorder.capturing.add(room.name)
        return await ingest.take(news, self.doors)

    async def loses(
        self, person: Participant, source: Source = Source.CAPTURE, room: Room = ROOM
    ) -> None:
        """Somebody leaves."""
        await ingest.take(ParticipantLeft(self.clock.now(), room, person, source), self.doors)

    async def works(self, turns: int = 10) -> None:
        """Everything that is due is done."""
        for _ in range(turns):
            for due in await self.recordings.due(self.clock.now(), 100):
                await self.queue.soon(due.id)
            if not self.queue.waiting:
                return
            await self.queue.serve(partial(jobs.work_on, doors=self.doors))

    async def recording(self) -> Recording:
        """The only recording there is."""
        (only,) = self.recordings.kept.values()
        return only


@pytest.fixture
def policy() -> Policy:
    """All calls are recorded, unless a story says otherwise."""
    return Policy()


@pytest.fixture
def tale(policy: Policy) -> Tale:
    """A house at noon, nobody there."""
    return in_memory(policy)


def in_memory(policy: Policy) -> Tale:
    """A house with every fake there is."""
    clock, webhooks = FixedClock(NOON), PlainWebhooks({})
    rooms, recorder = MemoryRooms(), MemoryRecorder()
    egress = MemoryRecorder(Engine.EGRESS)
    files = MemoryFiles()
    parts: dict[str, Any] = {
        "clock": clock,
        "webhooks": webhooks,
        "inbox": MemoryInbox(),
        "calls": MemoryCalls(),
        "recordings": MemoryRecordings(),
        "rooms": rooms,
        "captures": MemoryCaptures(),
        "renderer": MemoryRenderer(files=files),
        "queue": MemoryQueue(),
        "files": files,
        "ears": MemoryEars(files),
    }
    recorders = {Engine.BUILTIN: recorder, Engine.EGRESS: egress}
    doors = Doors(
        house=House(policy, "rooms"),
        trunks=rooms,
        recorders=recorders,
        reports=MemoryReports(),
        membership=Membership(Presence("alone", "", records=True), MemoryClaims(), MemorySigns()),
        carrier=MemoryCarrier(),
        **parts,
    )
    return Tale(doors=doors, recorder=recorder, egress=egress, **parts)
