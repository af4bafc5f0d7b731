"""Webhooks that wait in the inbox."""

from egress_manager.domain.incoming import EgressReported, Webhook
from egress_manager.flows import receive
from tests.story.conftest import ROOM, Tale


async def test_what_comes_too_early_is_taken_later(tale: Tale) -> None:
    """A job is told of before the call it serves; the sweep does not try again without a rest."""
    report = EgressReported(tale.clock.now(), ROOM, "EG_1", "ACTIVE")
    await tale.inbox.keep(Webhook("EV_1", "egress_updated", report, b"1"), tale.clock.now())

    assert await receive.take_waiting(tale.doors) == 0

    tale.clock.pass_(minutes=10)
    assert await receive.take_waiting(tale.doors) == 1
    assert await receive.take_waiting(tale.doors) == 0
