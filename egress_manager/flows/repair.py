"""A mix with a fault that its tracks do not have is made again, beside the first one."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

from egress_manager.domain.calls import Call
from egress_manager.domain.proof import Judgement
from egress_manager.domain.recordings import Recording, RenderPlan
from egress_manager.domain.trial import channels_of_tracks, has_whole_tracks, pieces_of_tracks
from egress_manager.errors import RenderFailed, StorageFailed
from egress_manager.flows import render
from egress_manager.flows.doors import Doors

log = logging.getLogger(__name__)

#: What stands in the name of a mix that was made again.
MARK: Final = ".repaired"


async def made_again(
    recording: Recording, call: Call, judgement: Judgement, doors: Doors
) -> Recording | None:
    """The recording as it is with a mix that was made again; None where none can be made.

    The captures come first: they are all there ever was. Then the tracks, where all are whole.
    Nothing is written down.
    """
    async for plan in _plans(recording, call, judgement, doors):
        try:
            rendered = await render.finished(plan, doors)
        except (RenderFailed, StorageFailed) as error:
            log.warning("not_made_again", extra={"recording": recording.id, "why": error.code})
            continue
        made = render.with_files(recording, call, rendered, doors)
        if not plan.captures:
            channels = channels_of_tracks(recording)
            made = replace(made, channels=channels, tracks=recording.tracks)
        return replace(made, repaired_from=recording.filepath or "")
    return None


async def discard(recording: Recording, doors: Doors) -> None:
    """Remove what was made again and is no better."""
    await doors.files.discard(_name(recording, doors))


def _name(recording: Recording, doors: Doors) -> str:
    return f"{recording.file_stem}{MARK}.{doors.house.mix_format}"


async def _plans(
    recording: Recording, call: Call, judgement: Judgement, doors: Doors
) -> AsyncIterator[RenderPlan]:
    """The ways to make it again, the best first."""
    there = tuple(name for name in recording.captures if name in recording.rendered_from)
    recording = replace(recording, captures=there)
    plan = await render.plan_of(call, recording, doors)
    plan = replace(plan, mix_filepath=_name(recording, doors))
    if recording.captures:
        yield plan
    if has_whole_tracks(recording, judgement) and plan.ends_at is not None:
        yield replace(plan, captures=(), pieces=pieces_of_tracks(recording))
