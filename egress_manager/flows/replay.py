"""Send recorded webhooks again, in their rhythm; and have those that are kept recorded."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from egress_manager.domain.replaying import Manner, Recorded, anew, read_trace, sent
from egress_manager.errors import BadRequest
from egress_manager.ports import Clock


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered: HTTP's status, and what it said."""

    status: int
    said: dict[str, Any]

    @property
    def is_good(self) -> bool:
        """Whether it took the webhook."""
        return 200 <= self.status < 300


class Receiver(Protocol):
    """A running service."""

    async def post(self, body: bytes) -> Answer:
        """Send it a webhook, signed. Raises `EgressManagerError` where it can't be one of ours."""
        ...


class Kept(Protocol):
    """The webhooks that are still in the inbox."""

    def all(
        self, since: datetime | None, until: datetime | None
    ) -> AsyncIterator[tuple[datetime, bytes]]:
        """When each came, and its body; the oldest first. Raises `StoreUnavailable`."""
        ...


async def replay(
    trace: Sequence[Recorded], manner: Manner, *, receiver: Receiver, clock: Clock
) -> AsyncIterator[tuple[Recorded, Answer]]:
    """Each webhook as it was sent, and the answer. Raises what the receiver raises."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for webhook in anew(trace, manner, clock.now()):
        await asyncio.sleep(max(0.0, began + manner.delay(webhook) - loop.time()))
        yield webhook, await receiver.post(sent(webhook.body))


async def kept_webhooks(
    kept: Kept, *, room_name: str | None, since: datetime | None, until: datetime | None
) -> AsyncIterator[tuple[datetime, Recorded]]:
    """Webhooks of the inbox, as a trace has them; the first one is at second 0."""
    first: datetime | None = None
    async for at, body in kept.all(since, until):
        with suppress(BadRequest):  # it was taken once, and means nothing any more
            (webhook,) = read_trace([body.decode()])
            if room_name in (None, webhook.room_name):
                first = first or at
                yield at, Recorded((at - first).total_seconds(), webhook.body)
