"""The doors of the migration in memory: dispatch rules, the ledger, and files with their names.

They keep the contracts of `flows/migration/doors.py`; one set of tests holds them, LiveKit and the
disk to these (`tests/e2e/test_sip_rules.py`, `tests/integration/test_ledger_and_shelf.py`).
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from egress_manager.domain.dispatch import DispatchRule, Facts, Trunk, rule_of
from egress_manager.domain.moves import Fingerprint
from egress_manager.errors import Conflict, LiveKitRefused, NotFound, StorageFailed
from egress_manager.testing.work import MemoryFiles


@dataclass
class MemoryDispatchRules:
    """`DispatchRules` in a dictionary, by id; `spoils` is what LiveKit does to what it stores.

    Every rule that has a PIN has this one: 4711.
    """

    kept: dict[str, Facts] = field(default_factory=dict)
    replaced: list[str] = field(default_factory=list)
    spoils: Callable[[Facts], Facts] = lambda facts: facts

    async def trunks(self) -> Sequence[Trunk]:
        return []

    async def rules(self) -> Sequence[DispatchRule]:
        return [_rule(facts) for facts in self.kept.values()]

    def read(self, message: bytes) -> DispatchRule:
        return _rule(json.loads(message))

    def with_room_per_call(self, rule: DispatchRule, prefix: str) -> DispatchRule:
        pin = {"pin": "4711"} if rule.has_pin else {}
        individual = {"dispatch_rule_individual": {"room_prefix": prefix} | pin}
        return _rule({**rule.facts, "rule": individual})

    async def replace(self, rule: DispatchRule) -> None:
        if rule.id not in self.kept:
            raise LiveKitRefused("no such rule")
        self.kept[rule.id] = self.spoils(rule.facts)
        self.replaced.append(rule.id)


def _rule(facts: Facts) -> DispatchRule:
    message = json.dumps(facts, sort_keys=True).encode()
    timeless = {name: value for name, value in facts.items() if name != "updated_at"}
    return rule_of(facts, message, json.dumps(timeless, sort_keys=True))


@dataclass
class MemoryLedger:
    """`Ledger` in a dictionary."""

    kept: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    is_held: bool = False

    @contextmanager
    def alone(self) -> Iterator[None]:
        if self.is_held:
            raise Conflict("somebody is at it")
        self.is_held = True
        try:
            yield
        finally:
            self.is_held = False

    def books(self) -> Sequence[str]:
        return list(self.kept)

    def read(self, book: str) -> Iterator[Mapping[str, Any]]:
        if book not in self.kept:
            raise NotFound(f"there is no run {book}")
        return iter(list(self.kept[book]))

    def begin(self, entry: Mapping[str, Any]) -> str:
        book = f"{len(self.kept) + 1:04d}"
        self.kept[book] = []
        self.write(book, entry)
        return book

    def write(self, book: str, entry: Mapping[str, Any]) -> None:
        self.kept[book].append(json.loads(json.dumps(entry)))


@dataclass
class MemoryShelf(MemoryFiles):
    """`Shelf` below `/recordings`: what is in each file, by its names."""

    content: dict[str, bytes] = field(default_factory=dict)

    async def exists(self, path: str) -> bool | None:
        return bool(self.content.get(path))

    def holds(self, path: str) -> bool:
        parts = path.removeprefix("/recordings/").split("/")
        is_hidden = any(part.startswith(".") for part in parts)
        return path.startswith("/recordings/") and not is_hidden

    async def fingerprint(self, path: str) -> Fingerprint | None:
        return printed(self.content[path]) if path in self.content else None

    async def also_as(self, path: str, name: str, fingerprint: Fingerprint) -> None:
        if name not in self.content and path not in self.content:
            raise StorageFailed(f"{path} is not there any more")
        if await self.fingerprint(name) not in (None, fingerprint):
            raise Conflict(f"{name} is there already")
        self.content.setdefault(name, self.content.get(path, b""))
        if await self.fingerprint(name) != fingerprint:
            raise StorageFailed(f"{name} is not the same")

    async def drop(self, path: str, fingerprint: Fingerprint) -> None:
        if await self.fingerprint(path) == fingerprint:
            del self.content[path]


def printed(content: bytes) -> Fingerprint:
    """The fingerprint of what a file holds."""
    return Fingerprint(hashlib.sha256(content).hexdigest(), len(content))
