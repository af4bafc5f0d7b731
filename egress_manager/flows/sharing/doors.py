"""The doors of sharing: claims, signs of life on this host, captures on their way to another."""

from collections.abc import Collection, Sequence
from typing import Protocol

from egress_manager.domain.claims import Claim, Presence
from egress_manager.domain.identity import DatabaseIdentity, LiveKitIdentity


class Claims(Protocol):
    """Who is at what, for all processes. Verbs raise `StoreUnavailable` when the store is away."""

    async def say(self, presence: Presence) -> None:
        """Note that a process is there, and how it is."""
        ...

    async def present(self) -> Sequence[Presence]:
        """Every process that said so, and was not forgotten."""
        ...

    async def forget(self, process_id: str) -> None:
        """A process has ended: it is not there any more."""
        ...

    async def held(self) -> Sequence[Claim]:
        """Every claim there is, also those that were only asked for."""
        ...

    async def claim(self, name: str, who: str, of: Collection[str]) -> Claim:
        """Take it if its holder is one `of` these, else note that it was asked for; as it is then.

        Of several who do so at once, one gets it.
        """
        ...

    async def set_ready(self, claim: Claim) -> None:
        """The holder has it in hand; nothing happens where it has changed hands since."""
        ...

    async def let_go(self, claim: Claim, *, even_if_asked: bool = False) -> None:
        """It is nobody's any more, unless it changed hands or was asked for since."""
        ...


class Signs(Protocol):
    """Signs of life that the kernel of this host keeps: they go out with their process."""

    def show(self) -> None:
        """Show this process's own, from now on. Never raises: then others go by the beat."""
        ...

    def gone(self, among: Collection[str]) -> Collection[str]:
        """Those of these processes, of this host and this place, that have ended."""
        ...

    def hide(self) -> None:
        """This process ends in good order."""
        ...


class Carrier(Protocol):
    """Brings captures from the host that has them to where they are wanted.

    All verbs raise `StoreUnavailable`, and `StorageFailed` where the disk fails.
    """

    async def send(self, capture_id: str) -> None:
        """Have a capture of this host, that nobody writes any more, to be had by others."""
        ...

    async def bring(self, capture_id: str) -> bool:
        """Have it on this host; False where it is not to be had yet."""
        ...

    async def forget(self, capture_id: str) -> None:
        """Nobody wants it any more; harmless where it was never sent."""
        ...


class Identities(Protocol):
    """The mark in the database. Verbs raise `StoreUnavailable` when the store is away."""

    async def read(self, known: DatabaseIdentity | None = None) -> DatabaseIdentity:
        """The database's mark; one that has none gets an id: of two processes, one gives it.

        `known` is the mark it had when this process read it last: one that was emptied since gets
        that one back.
        """
        ...

    async def save(self, before: DatabaseIdentity, livekit: LiveKitIdentity) -> DatabaseIdentity:
        """Note its LiveKit if the mark is still as it was before; the mark as it is then."""
        ...


class DirectoryMark(Protocol):
    """The mark in the recordings directory."""

    @property
    def path(self) -> str:
        """The directory."""
        ...

    async def owner(self, database_id: str) -> str:
        """The id of the database that it belongs to; this one if it belonged to none.

        A directory that can't be written is taken for this one's. With an empty id it is only
        looked at.
        """
        ...

    async def give_to(self, database_id: str) -> None:
        """From now on it belongs to that database. Raises `StorageFailed`."""
        ...


class LiveKitProof(Protocol):
    """What the LiveKit of the settings says about itself.

    Verbs raise `LiveKitUnavailable` where it does not answer, `LiveKitRefused`.
    """

    @property
    def own(self) -> LiveKitIdentity:
        """As the settings have it."""
        ...

    async def knows(self, credential: str) -> bool:
        """Whether it knows the key that this was signed with."""
        ...

    async def is_reached_at(self, address: str) -> bool:
        """Whether the LiveKit there is the same one; False where that one does not answer."""
        ...
