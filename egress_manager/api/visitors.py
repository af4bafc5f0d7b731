"""Who asks too often without having shown who it is, and who tries keys.

A visitor that shows the API key, or a webhook's signature, is known and never held up. All others
are counted by address: one that asks more often than it may waits for each answer, wrong keys are
counted and logged, and one key is not tried again and again.
"""

import asyncio
import hashlib
import ipaddress
import logging
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from limits import RateLimitItem, RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from egress_manager.errors import TooManyRequests

log = logging.getLogger(__name__)

#: How long a visitor that asks too often waits for an answer. Seconds.
HOLD_UP: Final = 1.0
#: So many counts are kept at a time; further addresses share one.
MOST_ADDRESSES: Final = 10_000
#: Keys that begin with the same so many characters are tries at the same one.
KEY_ID: Final = 12
#: An IPv6 customer has a network of this many leading bits, not an address.
IPV6_NETWORK: Final = 64

_OTHERS: Final = "others"
_KNOWN: Final = "is_known"


@dataclass(slots=True)
class KeyTally:
    """Keys that were wrong since this process started."""

    refused: int = 0
    last_refused_at: datetime | None = None


@dataclass(slots=True)
class Visitors:
    """What visitors that are not known asked, by address.

    `asks_per_second`: as often one address may ask; `tries_per_minute`: so many wrong keys it may
    bring, and a third of them for one key.
    """

    asks_per_second: int = 50
    tries_per_minute: int = 30
    keys: KeyTally = field(default_factory=KeyTally)
    _memory: MemoryStorage = field(default_factory=MemoryStorage)

    def asks(self, address: str) -> bool:
        """Count a request; whether the address asks too often."""
        return not self._hit(RateLimitItemPerSecond(self.asks_per_second), address)

    def is_news(self, what: str, address: str) -> bool:
        """Whether nothing of the kind was logged of that address for a minute."""
        return self._hit(RateLimitItemPerMinute(1, namespace=what), address)

    def may_try(self, address: str, key: str) -> None:
        """Raise `TooManyRequests` where that key was tried too often from there.

        Then nobody learns whether it is right now.
        """
        if not self._limiter.test(*self._of_key(address, key)):
            raise TooManyRequests("this key was tried too often from this address; wait a minute")

    def is_guessing(self, address: str) -> bool:
        """Whether too many wrong keys came from there. The right one is let in all the same: an
        attacker behind the same proxy locks nobody out.
        """
        return not self._limiter.test(*self._of_all(address))

    def tried(self, address: str, key: str, at: datetime) -> None:
        """Count a wrong key; log the first of a minute, and when there are too many."""
        self.keys.refused += 1
        self.keys.last_refused_at = at
        self._hit(*self._of_key(address, key))
        is_too_many = not self._hit(*self._of_all(address))
        event = "keys_guessed" if is_too_many else "key_refused"
        if self.is_news(event, address):
            log.warning(event, extra={"address": address, "so_far": self.keys.refused})

    @property
    def counted(self) -> int:
        """How many counts are kept."""
        return len(self._memory.storage)

    @property
    def _limiter(self) -> FixedWindowRateLimiter:
        return FixedWindowRateLimiter(self._memory)

    def _of_all(self, address: str) -> tuple[RateLimitItem, str]:
        """The limit of an address."""
        return RateLimitItemPerMinute(self.tries_per_minute, namespace="tries"), address

    def _of_key(self, address: str, key: str) -> tuple[RateLimitItem, str, str]:
        """The limit of one key from an address."""
        key_id = hashlib.sha256(key[:KEY_ID].encode("utf-8", "surrogatepass")).hexdigest()
        limit = RateLimitItemPerMinute(self.tries_per_minute // 3 or 1, namespace="key")
        return limit, address, key_id

    def _hit(self, limit: RateLimitItem, *of: str) -> bool:
        of = of if self.counted < MOST_ADDRESSES else (_OTHERS,)
        return self._limiter.hit(limit, *of)


def address_of(client: tuple[str, int] | None) -> str:
    """What an address is counted as: IPv4 as it is, IPv6 by its network; "" for a local socket."""
    if not client:
        return ""
    try:
        address = ipaddress.ip_address(client[0].partition("%")[0])
    except ValueError:
        return client[0]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, IPV6_NETWORK), strict=False))


def know(scope: MutableMapping[str, Any]) -> None:
    """Note that who sends this request has shown who it is."""
    scope.setdefault("state", {})[_KNOWN] = True


def is_known(scope: Mapping[str, object]) -> bool:
    """Whether who sends this request has shown who it is."""
    state = scope.get("state")
    return isinstance(state, dict) and bool(state.get(_KNOWN))


class HeldUp:
    """The app, but visitors that are not known and ask too often wait for each answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        among: Visitors = scope["app"].state.services.visitors

        async def later(message: Message) -> None:
            is_answer = message["type"] == "http.response.start"
            if is_answer and not is_known(scope) and among.asks(address_of(scope.get("client"))):
                await asyncio.sleep(HOLD_UP)
            await send(message)

        await self._app(scope, receive, later)
