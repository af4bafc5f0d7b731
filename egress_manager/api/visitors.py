"""Who asks too often without having shown who it is, and who tries keys.

A visitor that shows the API key, or a webhook's signature, is known and never held up. All others
are counted by address: one that asks more often than it may waits for its turn, and wrong keys
are counted and logged. The right key opens all the same: attacker and owner may have one address,
as behind a proxy.
"""

import asyncio
import contextlib
import hashlib
import ipaddress
import logging
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

log = logging.getLogger(__name__)

#: A visitor that asks too often waits for its turn as long as this at most; who would have to wait
#: longer is refused then. Seconds.
HELD_UP_AT_MOST: Final = 10.0
#: So many counts are kept at a time; further addresses share one.
MOST_COUNTS: Final = 2_000
#: Keys that begin with the same so many characters are tries at the same one.
KEY_ID: Final = 12
#: An IPv6 customer has a network of this many leading bits, not an address.
IPV6_NETWORK: Final = 64
#: What is no address, as a proxy may tell it, is counted by so many characters.
ADDRESS_AT_MOST: Final = 64

_OTHERS: Final = "others"
_KNOWN: Final = "is_known"
_TELL: Final = "tell_known"
_GONE: Final = "gone"
_REFUSAL: Final = "refusal"


@dataclass(slots=True)
class KeyTally:
    """Keys that were wrong since this process started."""

    refused: int = 0
    last_refused_at: datetime | None = None


@dataclass(slots=True)
class Visitors:
    """What visitors that are not known asked, by address.

    `asks_per_second`: as often one address is answered; `tries_per_minute`: so many wrong keys it
    may bring, and a third of them for one key, until they are too many.
    """

    asks_per_second: int = 50
    tries_per_minute: int = 30
    keys: KeyTally = field(default_factory=KeyTally)
    _memory: MemoryStorage = field(default_factory=MemoryStorage)
    _next_answer: dict[str, float] = field(default_factory=dict)

    def waits(self, address: str, now: float) -> float:
        """Count a request; how long it has to wait. Seconds, by the clock of the loop.

        Those of a second may come at once, then each has its turn.
        """
        address = self._counted(address, now)
        every = 1 / self.asks_per_second
        turn = max(self._next_answer.get(address, 0.0), now - 1.0) + every
        self._next_answer[address] = min(turn, now + HELD_UP_AT_MOST)
        return min(max(0.0, turn - now), HELD_UP_AT_MOST)

    def _counted(self, address: str, now: float) -> str:
        """The address, or the one that all further ones share. Those that rest are forgotten."""
        if address in self._next_answer or len(self._next_answer) < MOST_COUNTS:
            return address
        for known in [each for each, turn in self._next_answer.items() if turn < now - 1.0]:
            del self._next_answer[known]
        return address if len(self._next_answer) < MOST_COUNTS else _OTHERS

    async def is_news(self, what: str, address: str) -> bool:
        """Whether nothing of the kind was logged of that address for a minute."""
        return await self._hit(RateLimitItemPerMinute(1, namespace=what), address)

    async def is_guessing(self, address: str) -> bool:
        """Whether too many wrong keys came from there within a minute."""
        return not await self._limiter.test(self._of_all, *self._named(address))

    async def tried(self, address: str, key: str, at: datetime) -> bool:
        """Count and log a wrong key; whether there are too many."""
        self.keys.refused += 1
        self.keys.last_refused_at = at
        key_id = hashlib.sha256(key[:KEY_ID].encode("utf-8", "surrogatepass")).hexdigest()
        of_key = RateLimitItemPerMinute(self.tries_per_minute // 3 or 1, namespace="key")
        are_few = await self._hit(self._of_all, address)
        are_few = await self._hit(of_key, address, key_id) and are_few
        event = "key_refused" if are_few else "keys_guessed"
        if await self.is_news(event, address):
            log.warning(event, extra={"address": address, "so_far": self.keys.refused})
        return not are_few

    @property
    def counted(self) -> int:
        """How many counts are kept of wrong keys and of what was logged."""
        return len(self._memory.storage)

    @property
    def _limiter(self) -> FixedWindowRateLimiter:
        return FixedWindowRateLimiter(self._memory)

    @property
    def _of_all(self) -> RateLimitItem:
        """The limit of an address."""
        return RateLimitItemPerMinute(self.tries_per_minute, namespace="tries")

    async def _hit(self, limit: RateLimitItem, *of: str) -> bool:
        return await self._limiter.hit(limit, *self._named(*of))

    def _named(self, *of: str) -> tuple[str, ...]:
        """What something is counted as while there are many counts."""
        return of if self.counted < MOST_COUNTS else (_OTHERS,)


def address_of(client: tuple[str, int] | None) -> str:
    """What an address is counted as: IPv4 as it is, IPv6 by its network; "" for a local socket."""
    if not client:
        return ""
    try:
        address = ipaddress.ip_address(client[0].partition("%")[0])
    except ValueError:
        return client[0][:ADDRESS_AT_MOST]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, IPV6_NETWORK), strict=False))


def know(scope: MutableMapping[str, Any]) -> None:
    """Note that who sends this request has shown who it is, and tell the connection."""
    state = scope.setdefault("state", {})
    state[_KNOWN] = True
    state.get(_TELL, _nobody)()


def refuse(scope: MutableMapping[str, Any], why: Exception) -> None:
    """Note that this request's key is wrong: it is one try, however often somebody looks at it."""
    scope.setdefault("state", {})[_REFUSAL] = why


def refusal_of(scope: Mapping[str, Any]) -> Exception | None:
    """Why this request was refused, if it was."""
    refusal: Exception | None = scope.get("state", {}).get(_REFUSAL)
    return refusal


def tell(scope: MutableMapping[str, Any], who: Callable[[], None]) -> None:
    """Have `who` called as soon as it is known who sends this request."""
    scope.setdefault("state", {})[_TELL] = who


def tell_gone(scope: MutableMapping[str, Any], gone: asyncio.Event) -> None:
    """Have the request know when its client has hung up."""
    scope.setdefault("state", {})[_GONE] = gone


async def is_gone_within(scope: Mapping[str, Any], seconds: float) -> bool:
    """Wait so long; whether the client has hung up by then, which is noticed at once."""
    gone = scope.get("state", {}).get(_GONE) or asyncio.Event()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(gone.wait(), seconds)
    return bool(gone.is_set())


def _nobody() -> None:
    """Under a server without our bounds nobody wants to know."""


def is_known(scope: Mapping[str, object]) -> bool:
    """Whether who sends this request has shown who it is."""
    state = scope.get("state")
    return isinstance(state, dict) and bool(state.get(_KNOWN))
