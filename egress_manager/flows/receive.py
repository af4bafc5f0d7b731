"""A webhook arrives: durable in the inbox before LiveKit hears 200; the work begins at once."""

from egress_manager.errors import StoreUnavailable
from egress_manager.flows import ingest
from egress_manager.flows.doors import Doors
from egress_manager.flows.ingest import Outcome


async def receive(body: bytes, authorization: str | None, doors: Doors) -> Outcome:
    """Check it, have the recorder go, keep it, fold it in; what came of it.

    Raises `SignatureRefused`, `BadRequest`, and `StoreUnavailable` where it could not be kept: the
    capture begins all the same.
    """
    at = doors.clock.now()
    webhook = doors.webhooks.read(body, authorization, at)
    await ingest.attend_if_wanted(webhook.news, doors)
    await doors.inbox.keep(webhook, at)
    try:
        outcome = await ingest.take(webhook.news, doors)
        await doors.inbox.done(webhook.event_id, doors.clock.now(), _facts(outcome))
    except StoreUnavailable:
        return Outcome("kept")  # it is in the inbox: the sweep takes it from there
    return outcome


async def take_waiting(doors: Doors, limit: int = 100) -> int:
    """Fold in webhooks that were kept and not worked on; how many there were."""
    waiting = await doors.inbox.waiting(limit)
    for webhook in waiting:
        outcome = await ingest.take(webhook.news, doors)
        await doors.inbox.done(webhook.event_id, doors.clock.now(), _facts(outcome))
    return len(waiting)


def _facts(outcome: Outcome) -> dict[str, str | None]:
    return {"outcome": outcome.outcome, "call_id": outcome.call_id}
