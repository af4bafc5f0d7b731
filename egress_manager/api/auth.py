"""Who may ask: a request becomes a principal, or is refused.

The permission is the type of a parameter: a route that has a parameter of the type `Reader` can be
reached with the API key only, and one that lacks it is open.
"""

import sys
from dataclasses import dataclass
from typing import Annotated, TextIO

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from egress_manager.api import visitors
from egress_manager.api.filters import no_others
from egress_manager.api.services import ApiServices
from egress_manager.domain import access
from egress_manager.errors import TooManyRequests, Unauthenticated
from egress_manager.ports import Clock, Keys

_bearer = HTTPBearer(auto_error=False, description="The API key.")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="The API key.")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. There is one for now: the holder of the API key."""

    name: str = "key"


async def _reader(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> Principal:
    """Raise as `recognise` and `no_others` do; the parameters are for the API's description."""
    principal = await recognise(request)
    no_others(request)
    return principal


async def recognise(request: Request) -> Principal:
    """Who sends a request, by its headers alone.

    Raises `Unauthenticated` unless it brings the key; `TooManyRequests` in its place where too
    many wrong ones came from its address.
    """
    if visitors.is_known(request.scope):
        return Principal()
    if (refusal := visitors.refusal_of(request.scope)) is not None:
        raise refusal
    given = await gives_key(request)
    if not given:
        raise Unauthenticated("send the API key: Authorization: Bearer <key>, or X-API-Key: <key>")
    try:
        await _open(request, given)
    except (Unauthenticated, TooManyRequests) as error:
        visitors.refuse(request.scope, error)
        raise
    visitors.know(request.scope)
    return Principal()


async def gives_key(request: Request) -> str:
    """The key that a request brings, right or wrong; empty where there is none."""
    bearer = await _bearer(request)
    return (bearer.credentials if bearer else await _header(request)) or ""


async def _open(request: Request, given: str) -> None:
    """Raise unless it is the key; each wrong one is counted."""
    services: ApiServices = request.app.state.services
    address = visitors.address_of(request.scope.get("client"))
    is_guessing = await services.visitors.is_guessing(address)
    ask = services.keys.fingerprint
    kept = await (services.recent_key.get(ask) if is_guessing else ask())
    if not access.opens(given, kept):
        if await services.visitors.tried(address, given, services.clock.now()):
            raise TooManyRequests("too many wrong keys came from this address; wait a minute")
        raise Unauthenticated("this is not the API key; egress-manager keys new makes another one")


#: May read calls, recordings and their audio.
Reader = Annotated[Principal, Depends(_reader)]

#: May begin and stop recordings, too: whoever has the key.
Operator = Annotated[Principal, Depends(_reader)]


async def make_first_key(keys: Keys, clock: Clock, terminal: TextIO = sys.stderr) -> bool:
    """Make the API key if there is none, and show it, once; whether there is one now.

    Shown on a terminal only: what is not one is a log, and the key must not stand in a log. Where
    there is no terminal, none is made: `egress-manager keys new` does, and shows it.
    """
    if await keys.fingerprint() is not None:
        return True
    if not terminal.isatty():
        return False
    key = access.new_key()
    if await keys.keep_first(access.fingerprint(key), clock.now()):
        print(f"\nThe API key, shown this once:\n\n    {key}\n", file=terminal, flush=True)
    return True


async def make_new_key(keys: Keys, clock: Clock) -> str:
    """Make a key in the place of the one there is, and return it. See `Keys.replace`."""
    key = access.new_key()
    await keys.replace(access.fingerprint(key), clock.now())
    return key
