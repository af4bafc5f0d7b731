"""The doors of the migration: LiveKit's dispatch rules, files and their names, and the ledger.

Beside the service, which knows nothing of them; `ports.py` has its doors.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from egress_manager.domain.dispatch import DispatchRule, Trunk
from egress_manager.domain.moves import Fingerprint
from egress_manager.domain.policy import Policy
from egress_manager.ports import Calls, Clock, Files, Recordings


class DispatchRules(Protocol):
    """LiveKit's SIP trunks and dispatch rules. Verbs raise `LiveKitUnavailable`, `LiveKitRefused`.

    LiveKit can't write a rule on the condition that nobody else did: who replaces one reads it just
    before and just after.
    """

    async def trunks(self) -> Sequence[Trunk]:
        """All inbound and outbound trunks."""
        ...

    async def rules(self) -> Sequence[DispatchRule]:
        """All dispatch rules, whole."""
        ...

    def read(self, message: bytes) -> DispatchRule:
        """The rule that was kept as LiveKit's own message."""
        ...

    def with_room_per_call(self, rule: DispatchRule, prefix: str) -> DispatchRule:
        """A direct rule as it would be of the individual kind; all else in it stays."""
        ...

    async def replace(self, rule: DispatchRule) -> None:
        """Put the rule, whole, in the place of the one that has its id."""
        ...


class Ledger(Protocol):
    """What was done to the house, durably: books of JSON entries, of which nothing is ever lost.

    Verbs raise `StorageFailed` where the disk does not do it.
    """

    def alone(self) -> AbstractContextManager[None]:
        """Meanwhile nobody else writes. Raises `Conflict` where somebody is at it."""
        ...

    def books(self) -> Sequence[str]:
        """The names of all books, the oldest first."""
        ...

    def read(self, book: str) -> Iterator[Mapping[str, Any]]:
        """Its entries in order; one that was torn by a crash is passed over. Raises `NotFound`."""
        ...

    def begin(self, entry: Mapping[str, Any]) -> str:
        """The name of a new book that has this entry: there are none without any."""
        ...

    def write(self, book: str, entry: Mapping[str, Any]) -> None:
        """Add an entry; it is on the disk when this returns."""
        ...


class Shelf(Files, Protocol):
    """Finished files and their names, as documents have them; content is never written over.

    Verbs raise `StorageFailed` where the disk does not do it.
    """

    def holds(self, path: str) -> bool:
        """Whether that is the name of a file, not a link, in the recordings directory or below.

        Hidden folders are not part of it.
        """
        ...

    async def fingerprint(self, path: str) -> Fingerprint | None:
        """What the file holds; None where there is none."""
        ...

    async def also_as(self, path: str, name: str, fingerprint: Fingerprint) -> None:
        """Give a file a second name; both are on the disk when this returns. Harmless to repeat.

        Raises `Conflict` where something else has that name, `StorageFailed` where it is not what
        the fingerprint says.
        """
        ...

    async def drop(self, path: str, fingerprint: Fingerprint) -> None:
        """Take a name away from what the fingerprint says, and folders that are empty then.

        Harmless to repeat. Something else that has the name keeps it.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Switchboard:
    """LiveKit's dispatch rules, where what they were is kept, and which rooms are recorded."""

    rules: DispatchRules
    ledger: Ledger
    clock: Clock
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Movers:
    """Recordings, their files, and where what is done to them is kept."""

    recordings: Recordings
    calls: Calls
    shelf: Shelf
    ledger: Ledger
    clock: Clock
