"""Changing dispatch rules and taking it back, in memory."""

from typing import Any

import pytest

from egress_manager.domain.dispatch import Standing
from egress_manager.errors import Conflict, LiveKitRefused, NotFound
from egress_manager.flows.migration import dispatch
from egress_manager.flows.migration.doors import Switchboard
from egress_manager.testing import MemoryDispatchRules, MemoryLedger
from tests.unit.migration.memory import direct, switchboard


class Killed(BaseException):
    """As by kill -9: nobody tidies up."""


def rules(board: Switchboard) -> MemoryDispatchRules:
    """The fake behind the door."""
    assert isinstance(board.rules, MemoryDispatchRules)
    return board.rules


def ledger(board: Switchboard) -> MemoryLedger:
    """The fake behind the door."""
    assert isinstance(board.ledger, MemoryLedger)
    return board.ledger


async def applied(board: Switchboard, *only: str) -> str:
    """Plan and apply."""
    planned = await dispatch.survey(board, only, "call-")
    return await dispatch.apply(board, planned.changes)


async def undone(board: Switchboard, *, force: bool = False, run: str | None = None) -> list[str]:
    """Review and undo; how the rules stood."""
    _, reviews = await dispatch.review(board, run)
    await dispatch.undo(board, reviews, force=force)
    return [each.standing.name for each in reviews]


async def test_what_a_rule_was_is_kept_before_it_is_changed() -> None:
    """All of them, before the first is touched."""
    board = switchboard(direct("SDR_1"), direct("SDR_2", "monday"))
    books = ledger(board).kept

    def spoils(facts: Any) -> Any:
        (entries,) = books.values()
        assert [entry["entry"] for entry in entries[:3]] == ["begun", "rule", "rule"]
        return facts

    rules(board).spoils = spoils

    await applied(board)

    assert rules(board).replaced == ["SDR_1", "SDR_2"]


async def test_undo_restores_exactly_what_was_there_and_is_harmless_to_repeat() -> None:
    """Byte for byte; the second time there is nothing to do."""
    before = direct(attributes={"tenant": "acme"}, updated_at="2025")
    board = switchboard(before)
    await applied(board)

    assert rules(board).kept["SDR_1"] != before
    assert await undone(board) == ["AS_CHANGED"]
    assert rules(board).kept["SDR_1"] == before
    assert await undone(board) == ["AS_BEFORE"]
    assert rules(board).replaced == ["SDR_1", "SDR_1"]


async def test_only_the_rules_that_were_named_are_changed() -> None:
    """And only those are taken back."""
    board = switchboard(direct("SDR_1"), direct("SDR_2"))

    await applied(board, "SDR_2")

    assert rules(board).replaced == ["SDR_2"]
    assert await undone(board) == ["AS_CHANGED"]


async def test_a_rule_that_changed_between_plan_and_deed_is_not_touched() -> None:
    """LiveKit can't compare and swap, so it is read just before."""
    board = switchboard(direct())
    planned = await dispatch.survey(board, (), "call-")
    rules(board).kept["SDR_1"] = direct(name="renamed")

    with pytest.raises(Conflict, match="just now"):
        await dispatch.apply(board, planned.changes)
    assert rules(board).kept["SDR_1"] == direct(name="renamed")


async def test_what_livekit_did_not_store_as_sent_is_said() -> None:
    """A server that drops a field must not go unnoticed; undo says what differs."""
    board = switchboard(direct(metadata="m"))
    rules(board).spoils = lambda facts: {k: v for k, v in facts.items() if k != "metadata"}

    with pytest.raises(LiveKitRefused, match="not what was sent"):
        await applied(board)

    rules(board).spoils = lambda facts: facts
    with pytest.raises(Conflict, match="changed by somebody"):
        await undone(board)
    assert await undone(board, force=True) == ["CHANGED_SINCE"]
    assert rules(board).kept["SDR_1"] == direct(metadata="m")


async def test_that_livekit_notes_when_it_was_stored_is_no_change() -> None:
    """Its own time of the last update is no part of a rule."""
    board = switchboard(direct())
    rules(board).spoils = lambda facts: {**facts, "updated_at": "now"}

    await applied(board)

    assert await undone(board) == ["AS_CHANGED"]


async def test_undo_refuses_what_somebody_changed_since_and_touches_nothing() -> None:
    """Also rules that nobody else changed; told to, it keeps what somebody made of it."""
    board = switchboard(direct("SDR_1"), direct("SDR_2"))
    await applied(board)
    mine = {**rules(board).kept["SDR_2"], "name": "mine"}
    rules(board).kept["SDR_2"] = mine
    rules(board).replaced.clear()

    with pytest.raises(Conflict, match="SDR_2"):
        await undone(board)
    assert rules(board).replaced == []
    assert await undone(board, force=True) == ["AS_CHANGED", "CHANGED_SINCE"]
    assert rules(board).kept == {"SDR_1": direct("SDR_1"), "SDR_2": direct("SDR_2")}
    kept = [entry for book in ledger(board).kept.values() for entry in book]
    assert mine in [entry["before"]["facts"] for entry in kept if entry["entry"] == "rule"]


async def test_after_a_forced_undo_there_is_nothing_left_to_undo() -> None:
    """What was kept of somebody's rule is no run of its own."""
    board = switchboard(direct())
    await applied(board)
    rules(board).kept["SDR_1"] = direct(name="mine")
    await undone(board, force=True)

    assert await undone(board) == ["AS_BEFORE"]


async def test_a_rule_that_is_gone_stays_gone() -> None:
    """LiveKit would give it another id."""
    board = switchboard(direct("SDR_1"), direct("SDR_2"))
    await applied(board)
    del rules(board).kept["SDR_1"]

    with pytest.raises(Conflict, match="deleted"):
        await undone(board)
    assert await undone(board, force=True) == ["GONE", "AS_CHANGED"]
    assert rules(board).kept == {"SDR_2": direct("SDR_2")}


async def test_a_run_that_died_in_the_middle_is_taken_back_whole() -> None:
    """One rule was replaced, the other was not yet: both are as they were."""
    board = switchboard(direct("SDR_1"), direct("SDR_2"))

    def dies(facts: Any) -> Any:
        if facts["sip_dispatch_rule_id"] == "SDR_2":
            raise Killed
        return facts

    rules(board).spoils = dies
    with pytest.raises(Killed):
        await applied(board)
    rules(board).spoils = lambda facts: facts

    assert await undone(board) == ["AS_CHANGED", "AS_BEFORE"]
    assert rules(board).kept == {"SDR_1": direct("SDR_1"), "SDR_2": direct("SDR_2")}


async def test_the_same_change_again_is_a_run_of_its_own() -> None:
    """Applied, undone, led to another room by hand, applied: undo knows which room it was last."""
    board = switchboard(direct(room="one"))
    first = await applied(board)
    await undone(board)
    rules(board).kept["SDR_1"] = direct(room="two")
    second = await applied(board)

    assert first != second
    await undone(board)
    assert rules(board).kept["SDR_1"] == direct(room="two")
    _, reviews = await dispatch.review(board, first)
    assert [each.standing for each in reviews] == [Standing.CHANGED_SINCE]


async def test_undo_without_anything_done_is_an_error() -> None:
    """And so is a run that there never was."""
    board = switchboard(direct())

    with pytest.raises(NotFound, match="nothing to undo"):
        await dispatch.review(board)
    with pytest.raises(NotFound, match="0007"):
        await dispatch.review(board, "0007")
