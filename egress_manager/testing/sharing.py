"""What several processes share, in memory: claims, presences, signs of life."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from egress_manager.domain.claims import NOBODY, Claim, Presence
from egress_manager.domain.identity import DatabaseIdentity, LiveKitIdentity
from egress_manager.errors import LiveKitUnavailable, StoreUnavailable


@dataclass
class MemoryClaims:
    """`Claims`; while `away` every verb raises `StoreUnavailable`."""

    away: bool = False
    presences: dict[str, Presence] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)

    async def say(self, presence: Presence) -> None:
        self._answer()
        self.presences[presence.id] = presence

    async def present(self) -> Sequence[Presence]:
        self._answer()
        return list(self.presences.values())

    async def forget(self, process_id: str) -> None:
        self._answer()
        self.presences.pop(process_id, None)

    async def held(self) -> Sequence[Claim]:
        self._answer()
        return list(self.claims.values())

    async def claim(self, name: str, who: str, of: Collection[str]) -> Claim:
        self._answer()
        known = self.claims.get(name, Claim(name))
        if known.holder in {*of, NOBODY}:
            known = replace(known, holder=who, token=known.token + 1, is_ready=False)
        self.claims[name] = replace(known, asked=known.asked + 1)
        return self.claims[name]

    async def set_ready(self, claim: Claim) -> None:
        self._answer()
        known = self.claims.get(claim.name)
        if known and known.token == claim.token:
            self.claims[claim.name] = replace(known, is_ready=True)

    async def let_go(self, claim: Claim, *, even_if_asked: bool = False) -> None:
        self._answer()
        known = self.claims.get(claim.name)
        if known is None or known.token != claim.token:
            return
        if even_if_asked or known.asked == claim.asked:
            del self.claims[claim.name]

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("the claims are away")


@dataclass
class MemorySigns:
    """`Signs`: `ended` are those whose end this host knows of."""

    ended: set[str] = field(default_factory=set)

    def show(self) -> None:
        return None

    def gone(self, among: Collection[str]) -> Collection[str]:
        return self.ended & set(among)

    def hide(self) -> None:
        return None


@dataclass
class MemoryIdentities:
    """`Identities`; while `away` every verb raises `StoreUnavailable`."""

    away: bool = False
    mark: DatabaseIdentity | None = None
    next_id: str = "houba"

    async def read(self, known: DatabaseIdentity | None = None) -> DatabaseIdentity:
        if self.away:
            raise StoreUnavailable("told to be away")
        self.mark = self.mark or known or DatabaseIdentity(self.next_id)
        return self.mark

    async def save(self, before: DatabaseIdentity, livekit: LiveKitIdentity) -> DatabaseIdentity:
        if await self.read() == before:
            self.mark = replace(before, livekit=livekit)
        return await self.read()


@dataclass
class MemoryDirectoryMark:
    """`DirectoryMark`."""

    path: str = "/recordings"
    database: str = ""

    async def owner(self, database_id: str) -> str:
        self.database = self.database or database_id  # an empty id only looks
        return self.database

    async def give_to(self, database_id: str) -> None:
        self.database = database_id


@dataclass
class MemoryLiveKitProof:
    """`LiveKitProof` of a server that knows `keys`, and that is reached at `at`, too."""

    own: LiveKitIdentity
    keys: set[str] = field(default_factory=set)
    at: set[str] = field(default_factory=set)
    away: bool = False
    asked: list[str] = field(default_factory=list)

    async def knows(self, credential: str) -> bool:
        self._answer(credential)
        return credential in self.keys

    async def is_reached_at(self, address: str) -> bool:
        self._answer(address)
        return address in self.at

    def _answer(self, what: str) -> None:
        self.asked.append(what)
        if self.away:
            raise LiveKitUnavailable("told to be away")
