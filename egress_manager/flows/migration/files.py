"""Give the files of finished recordings new names, and take it back; safe to be killed anywhere.

Each recording is moved by itself: its files get second names, then its document names those (by
compare-and-swap, beside a service that runs), then the old names go. So at no instant a document
names a file that is not there. What is planned is in the ledger before it is begun, and whoever
comes next finishes it.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from egress_manager.domain.moves import (
    LeftAlone,
    Planned,
    Renaming,
    Run,
    done_in,
    names_of,
    planned_entry,
    renaming,
    why_not,
    with_names,
)
from egress_manager.domain.naming import recording_id_of
from egress_manager.domain.pages import RecordingFilter
from egress_manager.domain.recordings import Recording
from egress_manager.errors import Conflict, NotFound
from egress_manager.flows.migration.doors import Ledger, Movers, Shelf
from egress_manager.flows.update import update
from egress_manager.ports import Calls, Recordings

#: What a book is about, in its first entry.
FILES: Final = "migrate files"
UNDO: Final = "migrate undo"

#: So many documents are read at once.
PAGE: Final = 200

#: What becomes of one recording.
Outcome = Renaming | LeftAlone
Tell = Callable[[Outcome], None]


@dataclass(slots=True)
class _Book:
    """The book of a run; it is begun with its first entry, so that no run leaves an empty one."""

    ledger: Ledger
    head: Mapping[str, Any]
    name: str = ""
    run: Run = field(default_factory=Run)

    def write(self, entry: Mapping[str, Any]) -> None:
        if not self.name:
            self.name = self.ledger.begin({"entry": "begun", **self.head})
        self.ledger.write(self.name, entry)


async def survey(pattern: str, movers: Movers) -> AsyncIterator[Outcome]:
    """What `move` would do now, recording by recording. Changes nothing."""
    shared = await _named_twice(movers.recordings)
    async for recording in _all(movers.recordings):
        yield await _wanted(recording, pattern, shared, movers)


async def move(pattern: str, movers: Movers, tell: Tell) -> str:
    """Move what can be moved; the name of the run, empty where there was nothing to do.

    A run to the same pattern that was interrupted is gone on with. Raises `Conflict` where another
    one was, or somebody else is at it.
    """
    with movers.ledger.alone():
        book = _book(movers, FILES, pattern=pattern)
        await _finish_open(book, movers, tell)
        shared = await _named_twice(movers.recordings)
        async for recording in _all(movers.recordings):
            wanted = await _wanted(recording, pattern, shared, movers)
            tell(await _begun(wanted, book, movers))
        if book.name:
            book.write({"entry": "ended"})
    return book.name


async def survey_undo(movers: Movers, run: str | None = None) -> AsyncIterator[Outcome]:
    """What `undo` would do now, recording by recording. Changes nothing."""
    run = run or _last(movers)
    for back in _ways_back(run, movers):
        yield await _wanted_back(back, movers)


async def undo(movers: Movers, tell: Tell, run: str | None = None) -> str:
    """Take back what a run did, the last one unless said otherwise; the name of that run.

    Harmless to repeat. What somebody changed since is left alone. Raises `NotFound` where there is
    no such run, `Conflict` where somebody else is at it.
    """
    with movers.ledger.alone():
        run = run or _last(movers)
        told = Run().tell(movers.ledger.read(run))
        if not told.is_over:  # it died in the middle: finish what it had in its hands
            interrupted = _Book(movers.ledger, {}, run, told)
            await _finish_open(interrupted, movers, tell=lambda _: None)
            interrupted.write({"entry": "ended"})
        book = _book(movers, UNDO, undoes=run)
        await _finish_open(book, movers, tell)
        for back in _ways_back(run, movers):
            tell(await _begun(await _wanted_back(back, movers), book, movers))
        if book.name:
            book.write({"entry": "ended"})
    return run


def _book(movers: Movers, deed: str, **about: str) -> _Book:
    """The book of a run that was interrupted, if it was of this kind, else of a new one."""
    head = {"deed": deed, "at": movers.clock.now().isoformat(), **about}
    books = movers.ledger.books()
    run = Run().tell(movers.ledger.read(books[-1])) if books else Run(is_over=True)
    if run.is_over:
        return _Book(movers.ledger, head)
    if run.deed == deed and about in ({"pattern": run.pattern}, {"undoes": run.undoes}):
        return _Book(movers.ledger, head, books[-1], run)
    raise Conflict(
        f"run {books[-1]} ({run.deed} {run.pattern or run.undoes}) was interrupted: "
        "do the same again to finish it, or take it back with `egress-manager migrate undo`"
    )


async def _finish_open(book: _Book, movers: Movers, tell: Tell) -> None:
    """What a run had in its hands when it died."""
    for planned in tuple(book.run.open.values()):
        tell(await _carried_out(planned, book, movers))


def _last(movers: Movers) -> str:
    """The last run that moved files."""
    for name in reversed(movers.ledger.books()):
        if next(movers.ledger.read(name))["deed"] == FILES:
            return name
    raise NotFound("there is nothing to undo: no file was ever moved from here")


def _ways_back(run: str, movers: Movers) -> Iterator[Renaming]:
    """What a run did, the other way round."""
    told = Run().tell(movers.ledger.read(run))
    return (done.reversed for done in done_in(movers.ledger.read(run), told))


async def _all(recordings: Recordings) -> AsyncIterator[Recording]:
    """Every recording, newest first."""
    cursor: str | None = None
    while True:
        page = await recordings.page(RecordingFilter(), cursor=cursor, limit=PAGE)
        for recording in page.items:
            yield recording
        cursor = page.next_cursor
        if cursor is None:
            return


async def _named_twice(recordings: Recordings) -> Collection[str]:
    """Files that several documents name: only names that have no recording's id can be."""
    seen: Counter[str] = Counter()
    async for recording in _all(recordings):
        files = set(filter(None, names_of(recording).files))
        seen.update(path for path in files if recording_id_of(path) != recording.id)
    return {path for path, times in seen.items() if times > 1}


async def _wanted(
    recording: Recording, pattern: str, shared: Collection[str], movers: Movers
) -> Outcome:
    """The new names, or why there are none."""
    if left := why_not(recording):
        return left
    identity = await _identity(recording, movers.calls)
    if identity is None:
        return LeftAlone(recording.id, "no_call")
    change = renaming(recording, identity=identity, pattern=pattern, path=movers.shelf.path)
    if any(old in shared for old, _ in change.moves):
        return LeftAlone(recording.id, "named_twice")
    return await _possible(change, movers.shelf)


async def _identity(recording: Recording, calls: Calls) -> str | None:
    """The caller's identity; documents that are older than it have it in their calls."""
    if recording.identity or recording.call_id is None:
        return recording.identity
    try:
        return (await calls.get(recording.call_id)).identity
    except NotFound:
        return None


async def _wanted_back(back: Renaming, movers: Movers) -> Outcome:
    """The way back, or why there is none."""
    try:
        recording = await movers.recordings.get(back.recording_id)
    except NotFound:
        return LeftAlone(back.recording_id, "changed")
    names = names_of(recording)
    if names == back.after:
        return LeftAlone(recording.id, "in_place")
    if names != back.before or not recording.is_final:
        return LeftAlone(recording.id, "changed")
    return await _possible(back, movers.shelf)


async def _possible(change: Renaming, shelf: Shelf) -> Outcome:
    """The change, where the disk allows it."""
    if change.before == change.after:
        return LeftAlone(change.recording_id, "in_place")
    for old, new in change.moves:
        if not shelf.holds(old) or not shelf.holds(new):
            return LeftAlone(change.recording_id, "outside")
        if not await shelf.exists(old):
            return LeftAlone(change.recording_id, "not_there")
        if await shelf.exists(new):
            return LeftAlone(change.recording_id, "taken")
    return change


async def _begun(wanted: Outcome, book: _Book, movers: Movers) -> Outcome:
    """Look at the files, write down what is planned, and do it."""
    if isinstance(wanted, LeftAlone):
        return wanted
    fingerprints = {}
    for old, _ in wanted.moves:
        found = await movers.shelf.fingerprint(old)
        if found is None:
            return LeftAlone(wanted.recording_id, "not_there")
        fingerprints[old] = found
    planned = Planned(wanted, fingerprints)
    book.write(planned_entry(planned))
    return await _carried_out(planned, book, movers)


async def _carried_out(planned: Planned, book: _Book, movers: Movers) -> Outcome:
    """Second names, the document, then the old names. Every part is harmless to repeat."""
    change, shelf = planned.renaming, movers.shelf
    why = ""
    try:
        for old, new in change.moves:
            await shelf.also_as(old, new, planned.fingerprints[old])
    except Conflict:
        why = "taken"
    why = why or await _told(change, movers.recordings)
    if why:
        await _withdraw(planned, movers)
        book.write({"entry": "given_up", "recording": change.recording_id, "why": why})
        return LeftAlone(change.recording_id, why)
    for old, _ in change.moves:
        await shelf.drop(old, planned.fingerprints[old])
    book.write({"entry": "done", "recording": change.recording_id})
    return change


async def _told(change: Renaming, recordings: Recordings) -> str:
    """Have the document name the new files; why it does not, where somebody changed it."""
    try:
        after = await update(recordings, change.recording_id, partial(with_names, renaming=change))
    except NotFound:
        return "changed"
    return "" if names_of(after) == change.after else "changed"


async def _withdraw(planned: Planned, movers: Movers) -> None:
    """Take back the second names that the document does not know; never the last one of a file."""
    try:
        recording = await movers.recordings.get(planned.renaming.recording_id)
        known = set(names_of(recording).files)
    except NotFound:
        known = set()
    for old, new in planned.renaming.moves:
        has_both = await movers.shelf.fingerprint(old) == planned.fingerprints[old]
        if has_both and new not in known:
            await movers.shelf.drop(new, planned.fingerprints[old])
