"""What clients of the API may do, and how much of it."""

from pydantic import Field
from pydantic_settings import BaseSettings

from egress_manager.settings.house import PREFIX


class HttpSettings(BaseSettings):
    """How many there may be, and the limits of those who have not shown who they are."""

    http_connections: int = Field(
        default=4096,
        ge=16,
        le=100_000,
        alias=f"{PREFIX}HTTP_CONNECTIONS",
        description="How many clients may be connected to the API at a time. A further one takes "
        "the place of the one that has been connected longest without a key or a signature.",
    )
    http_asks_per_second: int = Field(
        default=50,
        ge=1,
        le=100_000,
        alias=f"{PREFIX}HTTP_ASKS_PER_SECOND",
        description="How many requests without a key or a signature one address may send each "
        "second; further ones wait for their turn.",
    )
    http_tries_per_minute: int = Field(
        default=30,
        ge=1,
        le=100_000,
        alias=f"{PREFIX}HTTP_TRIES_PER_MINUTE",
        description="How many wrong keys one address may send each minute; further ones are "
        "answered 429. Of keys that begin alike it is a third of that.",
    )
