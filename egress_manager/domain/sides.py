"""Who is heard on which side of the mix. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from egress_manager.domain.calls import is_caller
from egress_manager.domain.captures import ParticipantChanged, Story
from egress_manager.domain.recordings import RenderPlan
from egress_manager.domain.retelling import participant_of


@dataclass(frozen=True, slots=True)
class Sides:
    """Who is heard where in the mix, as participant sids, and why anybody is not.

    Reasons: `recorder`, `other_caller`, `not_there` (left before the call began, or came after it).
    """

    left: tuple[str, ...]
    right: tuple[str, ...]
    left_out: Mapping[str, str]

    def of(self, participant_sid: str) -> str | None:
        """`left`, `right`, `both`, or None."""
        if participant_sid in self.left:
            return "both" if participant_sid in self.right else "left"
        return "right" if participant_sid in self.right else None


def sides(stories: Sequence[Story], plan: RenderPlan) -> Sides:
    """The caller's stays left, everyone else right who was there during the call."""
    left: list[str] = []
    right: list[str] = []
    left_out: dict[str, str] = {}
    for sid, participant in _everyone(stories).items():
        reason = _why_not(sid, participant, stories, plan)
        if reason:
            left_out[sid] = reason
        else:
            (left if _is_left(participant, plan) else right).append(sid)
    if plan.of_room and not (left and right):
        left = right = left or right
    return Sides(tuple(left), tuple(right), left_out)


def _is_left(participant: ParticipantChanged, plan: RenderPlan) -> bool:
    if plan.of_room:
        return is_caller(participant_of(participant))
    by_name = plan.left_identity and participant.identity == plan.left_identity
    return bool(by_name) or participant.participant_sid in plan.caller_sids


def _everyone(stories: Sequence[Story]) -> dict[str, ParticipantChanged]:
    """Everybody who was seen, by sid, in the order of their coming."""
    seen = {sid: one for story in stories for sid, one in story.participants.items()}
    return dict(sorted(seen.items(), key=lambda item: item[1].joined_at or item[1].at))


def _why_not(
    sid: str, participant: ParticipantChanged, stories: Sequence[Story], plan: RenderPlan
) -> str | None:
    """Why a participant is not in the mix; None where it is."""
    if participant.is_recorder:
        return "recorder"
    if sid in plan.caller_sids:
        return None
    if sid in plan.other_caller_sids and not plan.include_other_callers:
        return "other_caller"
    gone = [story.gone[sid].at for story in stories if sid in story.gone]
    came_after = (participant.joined_at or participant.at) > (plan.ends_at or inf)
    return "not_there" if came_after or (gone and max(gone) <= plan.begins_at) else None
