"""The doors of sealing in memory: the chain, what waits, and sidecars beside files.

They keep the contracts of `flows/audit/doors.py`; one set of tests holds them, MongoDB and the disk
to these (`tests/integration/test_audit_doors.py`).
"""

import hashlib
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from egress_manager.domain.calls import Call
from egress_manager.domain.downloads import is_download
from egress_manager.domain.moves import Fingerprint
from egress_manager.domain.provenance import BEGINNING, Older, Provenance, Reached
from egress_manager.domain.recordings import Recording
from egress_manager.domain.seal import Facts
from egress_manager.domain.sidecars import Lying, Sidecar, Unreadable, beside, by_id
from egress_manager.errors import Conflict
from egress_manager.testing.migration import printed
from egress_manager.testing.stores import MemoryCalls, MemoryRecordings

#: So many documents are looked at in one stretch of a walk.
STRETCH: Final = 3


@dataclass
class MemoryAudit:
    """`Audit` in a dictionary, by number."""

    kept: dict[int, Facts] = field(default_factory=dict)

    async def newest(self) -> Facts | None:
        return self.kept[max(self.kept)] if self.kept else None

    async def about(self, subject: str) -> Sequence[Facts]:
        return [each for each in await self.history(subject) if not is_download(each)]

    async def history(self, subject: str) -> Sequence[Facts]:
        return [each async for each in self.entries() if each["subject"] == subject]

    async def append(self, entry: Facts) -> None:
        if entry["number"] in self.kept:
            raise Conflict(f"there is an entry {entry['number']}")
        self.kept[entry["number"]] = dict(entry)

    async def entries(self) -> AsyncIterator[Facts]:
        for number in sorted(self.kept):
            yield self.kept[number]


@dataclass
class MemoryWaiting:
    """`Waiting`: what in the stores is over and not sealed as it is."""

    stored_recordings: MemoryRecordings
    stored_calls: MemoryCalls

    async def recordings(self, limit: int, but: Collection[str] = ()) -> Sequence[str]:
        found = (each.id for each in self.stored_recordings.kept.values() if each.is_unsealed)
        return sorted(each for each in found if each not in but)[:limit]

    async def calls(
        self, left_before: datetime, limit: int, but: Collection[str] = ()
    ) -> Sequence[str]:
        calls = [each for each in self.stored_calls.kept.values() if each.is_unsealed]
        found = (each.id for each in calls if each.left_at and each.left_at < left_before)
        return sorted(each for each in found if each not in but)[:limit]

    async def every(self) -> AsyncIterator[tuple[bool, object]]:
        for each in sorted(self.stored_recordings.kept):
            yield False, each
        for each in sorted(self.stored_calls.kept):
            yield True, each

    async def unsigned(self, reached: Reached = BEGINNING) -> Older:
        kept: list[Call | Recording] = [
            *self.stored_recordings.kept.values(),
            *self.stored_calls.kept.values(),
        ]
        older = sorted((each for each in kept if each.id > reached[1]), key=lambda each: each.id)
        unsigned = (each for each in older[:STRETCH] if each.provenance is Provenance.UNSIGNED)
        end = (0, older[STRETCH - 1].id) if len(older) > STRETCH else None
        return Older([each.id for each in unsigned if each.seal], end)


@dataclass
class MemorySigner:
    """`Signer` that signs with a word; `trusts` has the words of keys before it."""

    word: str = "signed"
    made_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    origins: Sequence[str] = ("memory",)
    trusts: Collection[str] = ()
    kept: str = ""
    size: int = 0

    def sign(self, text: str) -> str:
        return f"{self.word}-{hashlib.sha256(text.encode()).hexdigest()}"

    def holds(self, text: str, signature: str) -> bool:
        words = (self.word, *self.trusts)
        return signature in {MemorySigner(word).sign(text) for word in words}

    async def noted(self) -> str:
        return self.kept

    async def note(self, size: int, note: str) -> None:
        if size > self.size:
            self.size, self.kept = size, note


@dataclass
class MemorySidecars:
    """`Sidecars` by their paths, beside the files in `content`; others' JSON is in `illegible`."""

    content: dict[str, bytes] = field(default_factory=dict)
    kept: dict[str, Sidecar] = field(default_factory=dict)
    illegible: dict[str, str] = field(default_factory=dict)
    listened: list[Facts] = field(default_factory=list)

    async def fingerprint(self, path: str) -> Fingerprint | None:
        return printed(self.content[path]) if path in self.content else None

    async def put(self, sidecar: Sidecar, filepath: str | None, was: Collection[str] = ()) -> None:
        for old in (filepath, *was):
            for place in self._places(sidecar.subject, old):
                if place in self.kept and self.kept[place].subject == sidecar.subject:
                    del self.kept[place]
        places = self._places(sidecar.subject, filepath if filepath in self.content else None)
        self.kept[next(place for place in places if place not in self.kept)] = sidecar

    async def about(self, subject: str, filepath: str | None) -> Sidecar | None:
        found = (self.kept.get(place) for place in self._places(subject, filepath))
        return next((each for each in found if each and each.subject == subject), None)

    async def every(self) -> AsyncIterator[Lying | Unreadable]:
        for path in sorted(self.kept | self.illegible):
            if path in self.kept:
                yield Lying(path, self.kept[path])
            else:
                yield Unreadable(path, self.illegible[path])

    def holds(self, path: str) -> bool:
        return path.startswith("/recordings/") and "/." not in path

    async def add_download(self, entry: Facts) -> None:
        self.listened.append(entry)

    async def downloads(self) -> AsyncIterator[Facts]:
        for entry in self.listened:
            yield entry

    def _places(self, subject: str, filepath: str | None) -> list[str]:
        name = beside(filepath) if filepath else None
        return [*([name] if name else []), f"/recordings/{by_id(subject)}"]
