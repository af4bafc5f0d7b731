"""Moving recordings' files in memory: killed at every single step, and at no instant a lie."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from egress_manager.domain.calls import Call, Stay
from egress_manager.domain.incoming import Room
from egress_manager.domain.moves import LeftAlone, Renaming
from egress_manager.domain.recordings import Recording, State
from egress_manager.errors import Conflict, NotFound
from egress_manager.flows.migration import files
from egress_manager.flows.migration.doors import Movers
from egress_manager.flows.migration.files import Outcome
from egress_manager.testing import MemoryCalls, MemoryLedger, MemoryRecordings, MemoryShelf
from tests.unit.migration.memory import NOON, movers, paths, recorded
from tests.unit.migration.mortal import Killed, Life, mortal

WHO = 3


def shelf(doors: Movers) -> MemoryShelf:
    """The fake behind the door."""
    assert isinstance(doors.shelf, MemoryShelf)
    return doors.shelf


def kept(doors: Movers) -> dict[str, Recording]:
    """The documents behind the door."""
    assert isinstance(doors.recordings, MemoryRecordings)
    return doors.recordings.kept


def books(doors: Movers) -> dict[str, list[Any]]:
    """The ledger behind the door."""
    assert isinstance(doors.ledger, MemoryLedger)
    return doors.ledger.kept  # type: ignore[return-value]


def some() -> Movers:
    """Three recordings with the user's first names."""
    return movers(*(recorded(number) for number in range(1, WHO + 1)))


def state(doors: Movers) -> tuple[Any, ...]:
    """All documents, versions aside, and all files with what is in them."""
    documents = {name: replace(each, version=0) for name, each in kept(doors).items()}
    return documents, dict(shelf(doors).content)


async def moved(doors: Movers, pattern: str = "rooms") -> list[Outcome]:
    """Move, and what became of each."""
    told: list[Outcome] = []
    await files.move(pattern, doors, told.append)
    return told


async def undone(doors: Movers, run: str | None = None) -> list[Outcome]:
    """Undo, and what became of each."""
    told: list[Outcome] = []
    await files.undo(doors, told.append, run)
    return told


async def surveyed(doors: Movers) -> list[Outcome]:
    """What would be done."""
    return [outcome async for outcome in files.survey("rooms", doors)]


def whys(told: list[Outcome]) -> list[str]:
    """Why recordings were left alone."""
    return [outcome.why for outcome in told if isinstance(outcome, LeftAlone)]


def check_nothing_is_missing(doors: Movers) -> None:
    """Every file that a document names is there, with what was always in it."""
    for recording in kept(doors).values():
        number = int(recording.id[-1])
        for path, first in zip(paths(recording), paths(recorded(number)), strict=True):
            assert shelf(doors).content.get(path) == first.encode(), path


async def test_all_files_get_their_names_and_the_old_ones_are_gone() -> None:
    """Documents and disk agree; every byte is there."""
    doors = some()

    told = await moved(doors)

    assert len(told) == WHO
    assert all(isinstance(outcome, Renaming) for outcome in told)
    check_nothing_is_missing(doors)
    assert len(shelf(doors).content) == 3 * WHO
    assert all("/friday-assistant-room/sip_" in path for path in shelf(doors).content)
    assert (await moved(doors)) == [
        LeftAlone(name, "in_place") for name in sorted(kept(doors))[::-1]
    ]


async def test_a_survey_tells_the_same_and_touches_nothing() -> None:
    """Neither files nor documents, and no book is begun."""
    doors = some()
    before = state(doors)

    would = await surveyed(doors)

    assert state(doors) == before
    assert not books(doors)
    assert would == await moved(doors)


async def test_undo_puts_everything_back_and_is_harmless_to_repeat() -> None:
    """Files and documents as they were."""
    doors = some()
    before = state(doors)
    await moved(doors)

    would = [outcome async for outcome in files.survey_undo(doors)]

    assert would == await undone(doors)
    assert state(doors) == before
    assert whys(await undone(doors)) == ["in_place"] * WHO
    assert state(doors) == before


@pytest.mark.parametrize("deed", ["move", "undo"])
async def test_killed_at_any_step_nothing_is_missing_and_the_next_run_finishes(deed: str) -> None:
    """Each step of every door, before it and after it; whoever looks meanwhile finds all files."""
    reference = some()
    await moved(reference)
    if deed == "undo":
        await undone(reference)

    deaths = 0
    for steps in range(10_000):
        doors = some()
        if deed == "undo":
            await moved(doors)
        life = Life(steps, at_each_step=lambda doors=doors: check_nothing_is_missing(doors))
        do = moved if deed == "move" else undone
        try:
            await do(mortal(doors, life))
            break
        except Killed:
            deaths += 1
        check_nothing_is_missing(doors)
        assert set(whys(await do(doors))) <= {"in_place"}
        assert state(doors) == state(reference)
    else:
        raise AssertionError("it never came to its end")

    assert deaths > 60


@pytest.mark.parametrize("steps", range(0, 120, 3))
async def test_a_run_that_was_killed_can_be_taken_back(steps: int) -> None:
    """What it had in its hands included."""
    doors = some()
    before = state(doors)
    with suppress(Killed):
        await moved(mortal(doors, Life(steps)))

    if books(doors):
        await undone(doors)

    assert state(doors) == before


async def test_killed_again_and_again_it_still_comes_to_its_end() -> None:
    """Each life a little longer than the one before."""
    doors = some()
    for steps in range(5, 400, 4):
        try:
            await moved(mortal(doors, Life(steps)))
            break
        except Killed:
            check_nothing_is_missing(doors)

    assert len(shelf(doors).content) == 3 * WHO
    assert all("/friday-assistant-room/sip_" in path for path in shelf(doors).content)
    assert len(books(doors)) == 1, "one run, for one undo"


async def test_another_way_is_refused_while_a_run_is_unfinished() -> None:
    """With a sentence that says what to do; undo is always possible."""
    doors = some()

    def dies_with_a_second_name() -> None:
        if len(shelf(doors).content) > 3 * WHO:
            raise Killed

    with pytest.raises(Killed):
        await moved(mortal(doors, Life(10_000, at_each_step=dies_with_a_second_name)))

    with pytest.raises(Conflict, match="was interrupted"):
        await moved(doors, "{room_name}_{identity}")
    await undone(doors)
    assert not whys(await moved(doors, "{room_name}_{identity}"))


async def test_of_two_at_once_one_is_refused() -> None:
    """On one host."""
    doors = some()
    with doors.ledger.alone(), pytest.raises(Conflict):
        await moved(doors)


async def test_a_document_that_changes_meanwhile_keeps_its_names() -> None:
    """A late capture opened it again between look and deed: the second names are withdrawn."""
    doors = some()
    name = f"rec_{2:020x}"
    before = dict(shelf(doors).content)

    def reopened() -> None:
        if len(shelf(doors).content) > len(before) and kept(doors)[name].state is State.VERIFIED:
            kept(doors)[name] = replace(kept(doors)[name], state=State.CAPTURED)

    told = await moved(mortal(doors, Life(10_000, at_each_step=reopened)))

    assert whys(told) == ["changed"]
    assert {path for path in before if "_1002-" in path} <= set(shelf(doors).content)
    assert len(shelf(doors).content) == len(before)
    check_nothing_is_missing(doors)


def leaving() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Recordings that are left alone."""
    yield "outside", {"filepath": "/etc/passwd.mp4"}, "outside"
    yield "elsewhere", {"filepath": "recordings/a.mp4"}, "outside"
    yield "hidden", {"filepath": "/recordings/.captures/a.ogg"}, "outside"
    yield "unfinished", {"state": State.ENDING}, "not_finished"
    yield "without", {"filepath": None, "tracks": ()}, "no_files"
    yield "nobody", {"identity": ""}, "no_call"


@pytest.mark.parametrize(("fields", "why"), [pytest.param(f, w, id=i) for i, f, w in leaving()])
async def test_what_is_left_alone_says_why_and_stays(fields: dict[str, Any], why: str) -> None:
    """The others are moved all the same."""
    doors = movers(recorded(1), recorded(2, **fields))
    before = kept(doors)[f"rec_{2:020x}"]

    told = await moved(doors)

    assert whys(told) == [why]
    assert kept(doors)[before.id] == before


async def test_a_file_that_is_not_there_is_said_so() -> None:
    """And its recording's other files stay where they are."""
    doors = some()
    del shelf(doors).content[recorded(2).tracks[0].filepath or ""]

    assert whys(await moved(doors)) == ["not_there"]
    assert recorded(2).filepath in shelf(doors).content


async def test_nothing_that_is_there_is_written_over() -> None:
    """Neither what is there before, nor what turns up at the last moment."""
    doors = some()
    taken = next(o.moves[0][1] for o in await surveyed(doors) if isinstance(o, Renaming))
    shelf(doors).content[taken] = b"somebody's own"

    assert whys(await moved(doors)) == ["taken"]
    assert shelf(doors).content[taken] == b"somebody's own"


async def test_what_takes_a_name_at_the_last_moment_keeps_it() -> None:
    """Between look and deed; what was named by then is withdrawn."""
    doors = some()
    before = dict(shelf(doors).content)
    change = next(o for o in await surveyed(doors) if isinstance(o, Renaming))

    def taken() -> None:
        if change.moves[0][1] in shelf(doors).content:
            shelf(doors).content.setdefault(change.moves[1][1], b"somebody's own")

    told = await moved(mortal(doors, Life(10_000, at_each_step=taken)))

    assert whys(told) == ["taken"]
    assert shelf(doors).content.pop(change.moves[1][1]) == b"somebody's own"
    assert len(shelf(doors).content) == len(before)
    check_nothing_is_missing(doors)


async def test_two_documents_that_name_one_file_are_left_alone() -> None:
    """As calls in a fixed room could, before names had an id."""
    same = recorded(1).filepath
    doors = movers(recorded(1), recorded(2, filepath=same), recorded(3))

    assert whys(await moved(doors)) == ["named_twice", "named_twice"]
    assert same in shelf(doors).content


async def test_older_documents_have_the_caller_in_their_call() -> None:
    """Where they do not say it themselves."""
    doors = movers(recorded(1, identity=""))
    assert isinstance(doors.calls, MemoryCalls)
    stays = (Stay("PA_1"),)
    doors.calls.kept["call_1"] = Call("call_1", Room("r"), "sip_of_call", stays, NOON, NOON)

    await moved(doors)

    assert any("/sip_of_call-" in path for path in shelf(doors).content)


async def test_a_recording_without_a_call_is_moved_too() -> None:
    """Such as one that LiveKit Egress made by itself."""
    doors = movers(recorded(1, identity="", call_id=None))

    assert not whys(await moved(doors))


async def test_undo_leaves_alone_what_changed_since() -> None:
    """A recording that was made again, or is gone; a file whose old name is taken."""
    doors = some()
    await moved(doors)
    one, two, three = (f"rec_{number:020x}" for number in (1, 2, 3))
    kept(doors)[one] = replace(kept(doors)[one], filepath="/recordings/made-again.mp4")
    del kept(doors)[two]
    shelf(doors).content[recorded(3).filepath or ""] = b"somebody's own"

    told = await undone(doors)

    assert sorted(whys(told)) == ["changed", "changed", "taken"]
    assert kept(doors)[three].file_stem.startswith("friday-assistant-room/")


async def test_a_run_is_taken_back_by_its_name_too() -> None:
    """Two runs; the first can't go back while the second stands, and says so for each."""
    doors = some()
    before = state(doors)
    await moved(doors)
    await moved(doors, "{room_name}_{identity}")

    assert set(whys(await undone(doors, "0001"))) == {"changed"}
    assert not whys(await undone(doors))
    assert not whys(await undone(doors, "0001"))
    assert state(doors) == before


async def test_undo_without_anything_done_is_an_error() -> None:
    """And so is a run that there never was."""
    with pytest.raises(NotFound, match="nothing to undo"):
        await undone(some())
    with pytest.raises(NotFound):
        await undone(some(), "0007")


async def test_a_run_without_anything_to_do_leaves_no_book() -> None:
    """So that undo takes back the last that did something."""
    doors = movers(recorded(1))
    await moved(doors)
    await moved(doors)

    assert list(books(doors)) == ["0001"]
