"""What captures that were left behind have to tell: after a kill, or a store that was away."""

import logging
from collections.abc import Sequence

from egress_manager.domain.calls import call_id_of, is_caller
from egress_manager.domain.incoming import News, ParticipantSeen
from egress_manager.errors import NotFound
from egress_manager.flows import ingest
from egress_manager.flows.doors import Doors

log = logging.getLogger(__name__)


async def recover(doors: Doors) -> int:
    """Hear out every capture that is left behind, settle those that are done; how many were heard.

    Raises `StoreUnavailable`.
    """
    waiting = await doors.captures.left_behind()
    for capture_id in waiting:
        story = await doors.captures.retell(capture_id)
        for news in story:
            await ingest.take(news, doors)
        if await _is_settled(story, doors):
            await doors.captures.settle(capture_id)
            log.info("capture_settled", extra={"capture": capture_id})
    return len(waiting)


async def _is_settled(story: Sequence[News], doors: Doors) -> bool:
    """Whether every call in it is over and has its final files, or a reason."""
    callers = {
        call_id_of(news.room, news.participant)
        for news in story
        if isinstance(news, ParticipantSeen) and is_caller(news.participant)
    }
    for call_id in callers:
        try:
            call = await doors.calls.get(call_id)
        except NotFound:
            return False
        if not call.is_over:
            return False
        if call.recording_id and not (await doors.recordings.get(call.recording_id)).is_final:
            return False
    return True
