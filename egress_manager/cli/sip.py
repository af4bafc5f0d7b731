"""`egress-manager sip`: LiveKit's trunks and dispatch rules, and from one room to one per call."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final

from cyclopts import App, Parameter

from egress_manager.cli.plainly import Yes, line
from egress_manager.cli.service import AsJson
from egress_manager.cli.tables import console, print_json, table
from egress_manager.domain.dispatch import (
    PREFIX,
    Change,
    Difference,
    DispatchRule,
    Plan,
    Standing,
    Trunk,
    cautions,
    differences,
)
from egress_manager.flows.migration import dispatch
from egress_manager.flows.migration.dispatch import Review
from egress_manager.settings import load_settings

sip = App("sip", help="LiveKit's SIP trunks and dispatch rules; a room for each call.")

_DRY: Final = "Nothing was changed. Do it with --yes."
_DONE: Final = "Done. `egress-manager sip undo` takes it back."
_NOTHING: Final = "Nothing is to be changed."

#: What undo does, by how a rule is now.
_UNDOING: Final[Mapping[Standing, str]] = {
    Standing.AS_BEFORE: "is as it was: nothing to do",
    Standing.AS_CHANGED: "is put back",
    Standing.CHANGED_SINCE: "was changed by somebody since: put back with --force only",
    Standing.GONE: "was deleted since: it can't be put back",
}


@sip.command
def show(*, as_json: AsJson = False) -> None:
    """Show trunks and dispatch rules.

    Parameters
    ----------
    as_json
        For scripts.
    """
    trunks, rules = asyncio.run(_show())
    if as_json:
        print_json({"trunks": [asdict(each) for each in trunks], "rules": [*map(_facts, rules)]})
        return
    columns = ["trunk", "direction", "name", "numbers", "addresses", "password"]
    console().print(table(columns, map(_trunk_row, trunks)))
    console().print()
    columns = ["rule", "name", "kind", "room", "trunks", "numbers", "callers", "agents", "PIN"]
    console().print(table(columns, map(_rule_row, rules)))


@sip.command
def plan(*rule_ids: str, prefix: str = PREFIX, as_json: AsJson = False) -> None:
    """Show what leads to a room for each call; changes nothing.

    Parameters
    ----------
    rule_ids
        Only these dispatch rules; all where none is named.
    prefix
        What rooms are called in front of the caller's number.
    as_json
        For scripts.
    """
    asyncio.run(_apply(rule_ids, prefix, is_meant=False, as_json=as_json))


@sip.command
def apply(*rule_ids: str, prefix: str = PREFIX, yes: Yes = False, as_json: AsJson = False) -> None:
    """Give each call a room of its own: shows what would be changed; changes it with --yes.

    Parameters
    ----------
    rule_ids
        Only these dispatch rules; all where none is named.
    prefix
        What rooms are called in front of the caller's number.
    yes
        Change it.
    as_json
        For scripts.
    """
    asyncio.run(_apply(rule_ids, prefix, is_meant=yes, as_json=as_json))


@sip.command
def undo(
    run: str | None = None,
    /,
    *,
    yes: Yes = False,
    force: Annotated[bool, Parameter(negative="")] = False,
    as_json: AsJson = False,
) -> None:
    """Put dispatch rules back as they were: shows what would be changed; changes it with --yes.

    Parameters
    ----------
    run
        What is to be taken back, as `apply` named it; the last where none is named.
    yes
        Change it.
    force
        Also put back what somebody changed since; that is kept in RECORDINGS_DIR/.sip.
    as_json
        For scripts.
    """
    asyncio.run(_undo(run, is_meant=yes, force=force, as_json=as_json))


async def _show() -> tuple[Sequence[Trunk], Sequence[DispatchRule]]:
    from egress_manager.wiring.beside import open_switchboard

    async with open_switchboard(load_settings()) as board:
        return await board.rules.trunks(), await board.rules.rules()


async def _apply(rule_ids: Sequence[str], prefix: str, *, is_meant: bool, as_json: bool) -> None:
    from egress_manager.wiring.beside import open_switchboard

    run: str | None = None
    async with open_switchboard(load_settings()) as board:
        planned = await dispatch.survey(board, rule_ids, prefix)
        minded = [*cautions(planned.changes, board.policy)]
        if not as_json:
            _print_plan(planned, minded)
        if is_meant and planned.changes:
            run = await dispatch.apply(board, planned.changes)
    if as_json:
        print_json({"run": run, **_plan_facts(planned), "cautions": minded})
    else:
        print(_DONE if run else _DRY if planned.changes else _NOTHING)


async def _undo(run: str | None, *, is_meant: bool, force: bool, as_json: bool) -> None:
    from egress_manager.wiring.beside import open_switchboard

    async with open_switchboard(load_settings()) as board:
        run, reviews = await dispatch.review(board, run)
        if not as_json:
            _print_reviews(run, reviews)
        if is_meant:
            await dispatch.undo(board, reviews, force=force)
    if as_json:
        print_json({"run": run, "done": is_meant, "rules": [*map(_review_facts, reviews)]})
    elif all(each.standing is Standing.AS_BEFORE for each in reviews):
        print(_NOTHING)
    else:
        print("Done." if is_meant else _DRY)


def _print_plan(planned: Plan, minded: Iterable[str]) -> None:
    for change in planned.changes:
        line(f"{change.before.called}: a room for each call")
        _print_differences(differences(change.before, change.after))
        line("    all else stays as it is")
    for left in planned.left_alone:
        line(f"{left.rule.called} stays: {left.why}")
    for caution in minded:
        line(f"! {caution}")


def _print_reviews(run: str, reviews: Iterable[Review]) -> None:
    line(f"run {run}:")
    for each in reviews:
        line(f"{each.made.before.called} {_UNDOING[each.standing]}")
        if each.now is not None:
            _print_differences(differences(each.now, each.made.before))


def _print_differences(found: Iterable[Difference]) -> None:
    for each in found:
        if each.before is not None:
            line(f"  - {each.field} = {each.before}")
        if each.after is not None:
            line(f"  + {each.field} = {each.after}")


def _plan_facts(planned: Plan) -> dict[str, Any]:
    return {
        "changes": [*map(_change_facts, planned.changes)],
        "left_alone": [
            {"rule_id": each.rule.id, "name": each.rule.name, "why": each.why}
            for each in planned.left_alone
        ],
    }


def _change_facts(change: Change) -> dict[str, Any]:
    return {
        "rule_id": change.before.id,
        "name": change.before.name,
        "differences": [asdict(each) for each in differences(change.before, change.after)],
    }


def _review_facts(each: Review) -> dict[str, Any]:
    found: Iterator[Difference] = iter(())
    if each.now is not None:
        found = differences(each.now, each.made.before)
    return {
        "rule_id": each.made.before.id,
        "name": each.made.before.name,
        "standing": each.standing.name.lower(),
        "differences": [asdict(difference) for difference in found],
    }


def _facts(rule: DispatchRule) -> dict[str, Any]:
    """A rule for scripts: without the PIN and whatever else only LiveKit should know."""
    kept = asdict(rule)
    return {name: kept[name] for name in kept if name not in ("message", "facts", "mark")}


def _trunk_row(trunk: Trunk) -> Sequence[str]:
    return [
        trunk.id,
        trunk.direction,
        trunk.name,
        ", ".join(trunk.numbers) or "any",
        ", ".join(trunk.addresses) or "any",
        _yes(trunk.has_password),
    ]


def _rule_row(rule: DispatchRule) -> Sequence[str]:
    listed = (rule.trunk_ids, rule.numbers, rule.inbound_numbers)
    return [
        rule.id,
        rule.name,
        rule.kind,
        rule.room,
        *(", ".join(each) or "any" for each in listed),
        ", ".join(rule.agents),
        _yes(rule.has_pin),
    ]


def _yes(is_so: bool) -> str:
    return "yes" if is_so else ""
