"""Redis, asked whether it is there (`Redis` of the checks)."""

import contextlib
from typing import Final
from urllib.parse import urlsplit

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from egress_manager.domain.troubles import CheckFailed, Trouble

#: How long connecting, and an answer, may take. Seconds.
TIMEOUT: Final = 3.0


class RedisProbe:
    """One connection for one question."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def ping(self) -> str:
        client = redis.asyncio.from_url(
            self._url,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        async with contextlib.aclosing(client):
            try:
                await client.ping()
                return str((await client.info("server"))["redis_version"])
            except (AuthenticationError, NoPermissionError) as error:
                raise CheckFailed(Trouble.REDIS_REFUSED, why=str(error)) from error
            except (RedisError, OSError) as error:
                facts = {"place": _place(self._url), "why": type(error).__name__}
                raise CheckFailed(Trouble.REDIS_AWAY, **facts) from error


def _place(url: str) -> str:
    """Where it is, without the password."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else parts.netloc.rpartition("@")[2]
