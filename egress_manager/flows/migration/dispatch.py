"""Give each call a room of its own: change SIP dispatch rules, and take it back.

What a rule was is in the ledger, on the disk, before anything is changed. A run of `apply` is one
book; `undo` takes back what such a book says, also where the process died in the middle.
"""

from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from egress_manager.domain.dispatch import (
    Change,
    DispatchRule,
    Plan,
    Standing,
    check_prefix,
    plan,
    standing,
)
from egress_manager.errors import Conflict, LiveKitRefused, NotFound
from egress_manager.flows.migration.doors import Switchboard

#: What a book is about, in its first entry.
APPLY: Final = "sip apply"
UNDO: Final = "sip undo"


@dataclass(frozen=True, slots=True)
class Review:
    """A rule that was changed, or was to be, and how it is now."""

    made: Change
    now: DispatchRule | None
    standing: Standing


async def survey(board: Switchboard, only: Collection[str], prefix: str) -> Plan:
    """What leads to a room for each call. Raises what `plan` and `check_prefix` raise."""
    with_room = partial(board.rules.with_room_per_call, prefix=check_prefix(prefix))
    return plan(await board.rules.rules(), only, with_room)


async def apply(board: Switchboard, changes: Sequence[Change]) -> str:
    """Keep what the rules are, then replace them; the name of the run, for `undo`.

    Raises `Conflict` where a rule is not any more what was planned from, `LiveKitRefused` where
    LiveKit does not take one, or keeps another than was sent. What was replaced by then stays
    replaced, and `undo` takes it back.
    """
    with board.ledger.alone():
        run = _begin(board, APPLY)
        for change in changes:
            board.ledger.write(run, _entry(change))
        for change in changes:
            await _replace(board, change.before, change.after)
            board.ledger.write(run, {"entry": "replaced", "rule_id": change.before.id})
    return run


async def review(board: Switchboard, run: str | None = None) -> tuple[str, Sequence[Review]]:
    """A run of `apply`, the last one unless said otherwise, and how its rules are now.

    Raises `NotFound` where there is no such run.
    """
    run = run or _last(board)
    made = [_change(board, entry) for entry in board.ledger.read(run) if entry["entry"] == "rule"]
    now = {rule.id: rule for rule in await board.rules.rules()}
    found = [(change, now.get(change.before.id)) for change in made]
    return run, [Review(change, rule, standing(change, rule)) for change, rule in found]


async def undo(board: Switchboard, reviews: Sequence[Review], *, force: bool = False) -> None:
    """Put rules back as they were; harmless to repeat.

    Raises `Conflict`, before anything is changed, where somebody changed or removed a rule since.
    With `force` what somebody made of a rule is kept in the ledger, and replaced; a rule that is
    gone stays gone, because LiveKit would give it another id.
    """
    for each in reviews:
        _check(each, force)
    with board.ledger.alone():
        if any(each.standing is Standing.CHANGED_SINCE for each in reviews):
            run = _begin(board, UNDO)
            for each in reviews:
                if each.now is not None and each.standing is Standing.CHANGED_SINCE:
                    board.ledger.write(run, _entry(Change(each.now, each.made.before)))
        for each in reviews:
            if each.now is not None and each.standing is not Standing.AS_BEFORE:
                await _replace(board, each.now, each.made.before)


def _check(each: Review, force: bool) -> None:
    """Raise `Conflict` where a rule is not to be touched."""
    called = each.made.before.called
    if each.standing is Standing.GONE and not force:
        raise Conflict(f"{called} was deleted since: make it anew by hand, or leave it (--force)")
    if each.standing is Standing.CHANGED_SINCE and not force:
        raise Conflict(
            f"{called} was changed by somebody since: look at the difference, then decide (--force)"
        )


async def _replace(board: Switchboard, expected: DispatchRule, wanted: DispatchRule) -> None:
    """Replace a rule if it still is what is expected, and see that it is what was wanted."""
    now = await _rule(board, expected.id)
    if now is None or now.mark != expected.mark:
        raise Conflict(f"{expected.called} was changed by somebody just now: look at it again")
    await board.rules.replace(wanted)
    stored = await _rule(board, wanted.id)
    if stored is None or stored.mark != wanted.mark:
        raise LiveKitRefused(
            f"{wanted.called} is not what was sent: compare it with `egress-manager sip undo`"
        )


async def _rule(board: Switchboard, rule_id: str) -> DispatchRule | None:
    return next((rule for rule in await board.rules.rules() if rule.id == rule_id), None)


def _begin(board: Switchboard, deed: str) -> str:
    at = board.clock.now().isoformat()
    return board.ledger.begin({"entry": "begun", "deed": deed, "at": at})


def _last(board: Switchboard) -> str:
    for run in reversed(board.ledger.books()):
        if next(board.ledger.read(run))["deed"] == APPLY:
            return run
    raise NotFound("there is nothing to undo: no rule was ever changed from here")


def _entry(change: Change) -> Mapping[str, Any]:
    """A change to be kept: in words for people, whole for us."""
    return {
        "entry": "rule",
        "rule_id": change.before.id,
        "before": _kept(change.before),
        "after": _kept(change.after),
    }


def _kept(rule: DispatchRule) -> Mapping[str, Any]:
    return {"facts": rule.facts, "message": b64encode(rule.message).decode()}


def _change(board: Switchboard, entry: Mapping[str, Any]) -> Change:
    before, after = (
        board.rules.read(b64decode(entry[side]["message"])) for side in ("before", "after")
    )
    return Change(before, after)
