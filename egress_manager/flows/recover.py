"""What captures that were left behind have to tell: after a kill, or a store that was away."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from egress_manager.domain.calls import call_id_of, is_caller
from egress_manager.domain.incoming import News, ParticipantSeen
from egress_manager.errors import NotFound, StoreUnavailable
from egress_manager.flows import accompany, gather, ingest, record
from egress_manager.flows.doors import Doors
from egress_manager.flows.subject import subject_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Heard:
    """Whom a capture is of, by id: the calls that it tells of, and recordings begun by hand."""

    calls: frozenset[str]
    by_hand: frozenset[str]


class Recovery:
    """Hears out captures that are left behind; each once, then asks only whether it is done."""

    def __init__(self) -> None:
        self._heard: dict[str, Heard] = {}

    async def recover(self, doors: Doors) -> int:
        """One look at everything that is left behind; how many captures are not settled yet.

        Raises `StoreUnavailable`.
        """
        waiting = await doors.captures.left_behind()
        self._heard = {name: heard for name, heard in self._heard.items() if name in waiting}
        settled = 0
        for capture_id in waiting:
            try:
                settled += await self._look_after(capture_id, doors)
            except StoreUnavailable:
                raise
            except Exception:  # one that can't be read must not hide the others
                log.exception("capture_not_recovered", extra={"capture": capture_id})
        return len(waiting) - settled

    async def _look_after(self, capture_id: str, doors: Doors) -> bool:
        """Hear it out, if that was not done before; whether it is settled now."""
        if capture_id not in self._heard:
            story = await doors.captures.retell(capture_id)
            for news in story:
                await ingest.take(news, doors)
            by_hand = await accompany.hear_out(capture_id, story, doors)
            self._heard[capture_id] = Heard(_calls_in(story), by_hand)
        if not await _is_settled(capture_id, self._heard[capture_id], doors):
            return False
        await doors.captures.settle(capture_id)
        await doors.carrier.forget(capture_id)
        del self._heard[capture_id]
        log.info("capture_settled", extra={"capture": capture_id})
        return True


def _calls_in(story: Sequence[News]) -> frozenset[str]:
    """The ids of the calls that a capture tells of."""
    return frozenset(
        call_id_of(news.room, news.participant)
        for news in story
        if isinstance(news, ParticipantSeen) and is_caller(news.participant)
    )


async def _is_settled(capture_id: str, heard: Heard, doors: Doors) -> bool:
    """Whether every call is over and has its final files, made of this capture too, or a reason.

    What other hosts make files of is sent there.
    """
    are_over, recording_ids = True, set(heard.by_hand)
    for call_id in heard.calls:
        try:
            call = await doors.calls.get(call_id)
        except NotFound:
            return False
        are_over &= call.is_over
        recording_ids |= {call.recording_id} if call.recording_id else set()
    for recording_id in recording_ids:
        are_over &= await _has_its_files(capture_id, recording_id, doors)
    return are_over


async def _has_its_files(capture_id: str, recording_id: str, doors: Doors) -> bool:
    """Whether a recording's files are made, of this capture too, and of the whole call."""
    recording = await doors.recordings.get(recording_id)
    await gather.send(capture_id, recording, doors)
    call = await subject_of(recording, doors)
    if not gather.is_outstanding(capture_id, recording) and not record.is_behind(call, recording):
        return recording.is_final
    await record.reconsider(call, recording, doors)
    return False
