"""How the parts of the system are, asked for at most once a second, however many want to know."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from egress_manager.errors import EgressManagerError

log = logging.getLogger(__name__)

#: How long one part may take to say how it is. Seconds.
TIMEOUT: Final = 2.0
#: What the parts said counts for this long: asking costs a write, a query and a call to LiveKit,
#: and anybody may ask. Seconds.
COUNTS_FOR: Final = 1.0

#: Looks at one part of the system: returns how it is in a few words, raises where it is ill.
HealthCheck = Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Part:
    """How one part is."""

    ok: bool
    detail: str


class Probe:
    """Asks the parts, and answers with what they said until that is too old."""

    def __init__(self) -> None:
        self._asking: asyncio.Task[dict[str, Part]] | None = None
        self._asked_at = 0.0

    async def look(self, checks: Mapping[str, HealthCheck]) -> Mapping[str, Part]:
        """How every part is, or was within the last second."""
        now = asyncio.get_running_loop().time()
        if self._asking is None or (self._asking.done() and now - self._asked_at >= COUNTS_FOR):
            self._asking, self._asked_at = asyncio.create_task(_ask(checks)), now
        return await asyncio.shield(self._asking)


async def _ask(checks: Mapping[str, HealthCheck]) -> dict[str, Part]:
    parts = await asyncio.gather(*(_part(check) for check in checks.values()))
    return dict(zip(checks, parts, strict=True))


async def _part(check: HealthCheck) -> Part:
    """How one part is; whatever goes wrong in asking is its illness."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return Part(ok=True, detail=await check())
    except EgressManagerError as error:
        return Part(ok=False, detail=str(error) or error.code)
    except TimeoutError:
        return Part(ok=False, detail=f"no answer within {TIMEOUT:g} s")
    except Exception as error:
        log.exception("health_check_failed")
        return Part(ok=False, detail=type(error).__name__)
