"""livekit-server's API: opened when it is first asked, and its errors become ours."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
from livekit import api

from egress_manager.errors import EgressManagerError, LiveKitRefused, LiveKitUnavailable

#: How long a question may take. Seconds.
TIMEOUT: Final = 5.0

#: Twirp codes that mean: not with this key, or not this way (twitchtv.github.io/twirp/docs/errors).
_REFUSALS: Final = frozenset({"unauthenticated", "permission_denied", "bad_route"})

#: Twirp codes that say nothing of what was asked: asked again later, the answer may be another.
_PASSING: Final = frozenset({"unavailable", "deadline_exceeded", "internal", "unknown"})


#: A token is refused if the server's clock and ours differ by more than a moment: then that is said
#: and not the key blamed. LiveKit tells full seconds, and an answer takes time. Seconds.
CLOCKS_DIFFER: Final = 5.0


class LiveKitApi:
    """Asks livekit-server; open it in the event loop it is used in.

    `timeout` is how long what is asked in one go may take, in seconds. `on_time` is told what time
    the server says it is, in full seconds, with every answer.
    """

    def __init__(
        self, url: str, api_key: str, api_secret: str, *, timeout: float = TIMEOUT
    ) -> None:
        self.on_time: Callable[[datetime], None] | None = None
        self._clock_ahead = 0.0
        self._where = (url, api_key, api_secret)
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._open: api.LiveKitAPI | None = None

    async def aclose(self) -> None:
        """Close the HTTP session."""
        if self._session is not None:
            await self._session.close()

    @contextlib.asynccontextmanager
    async def asking(self) -> AsyncIterator[api.LiveKitAPI]:
        """The API; its errors become ours.

        The SDK takes a time-out and does not keep it: its requests name none of their own.
        """
        if self._open is None:
            self._session = self._hearing()
            self._open = api.LiveKitAPI(*self._where, session=self._session)
        try:
            async with asyncio.timeout(self._timeout):
                yield self._open
        except api.TwirpError as error:
            raise ours(error, self._clock_ahead) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise LiveKitUnavailable("livekit-server does not answer") from error

    def _hearing(self) -> aiohttp.ClientSession:
        """A session that hears what time the server says it is."""
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(self._hear_time)
        connector = aiohttp.TCPConnector(limit=0)  # what is asked at once, its askers limit
        return aiohttp.ClientSession(connector=connector, trace_configs=[trace])

    async def _hear_time(self, *heard: Any) -> None:
        """Called with the session, a context of its own, and the request that was answered."""
        said = heard[2].response.headers.get("Date")
        if said is not None:
            with contextlib.suppress(ValueError, TypeError):
                theirs = parsedate_to_datetime(said)
                self._clock_ahead = (datetime.now(UTC) - theirs).total_seconds()
                if self.on_time is not None:
                    self.on_time(theirs)


def ours(error: api.TwirpError, clock_ahead: float = 0.0) -> EgressManagerError:
    """The error in our words; our clock is `clock_ahead` of the server's, in seconds."""
    if error.code in _REFUSALS or error.status in (401, 403):
        if abs(clock_ahead) > CLOCKS_DIFFER:
            way = "ahead of" if clock_ahead > 0 else "behind"
            return LiveKitRefused(
                f"LiveKit refused our token: the clock of this host is {abs(clock_ahead):.0f} s "
                f"{way} that of livekit-server's; set the clocks right (NTP)"
            )
        return LiveKitRefused("LiveKit refused the API key: check LIVEKIT_API_KEY and _SECRET")
    if error.code in _PASSING:
        return LiveKitUnavailable(f"livekit-server answered {error.code}")
    return LiveKitRefused(f"livekit-server answered {error.code}")
