"""Strangers wait for their turn before anything is done for them.

A request that brings the key, or a webhook with a signature of ours, is worked on at once: both are
seen from the headers. Of all others one address has a few worked on in a second. What waits costs a
connection, which are limited, and ends with it: who asks and hangs up gains nothing.
"""

import asyncio
from typing import Any, Final

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from egress_manager.api import visitors
from egress_manager.api.auth import gives_key, recognise
from egress_manager.api.errors import answer_to
from egress_manager.api.services import ApiServices
from egress_manager.errors import EgressManagerError, TooManyRequests

_WEBHOOK: Final = ("POST", "/webhook")


class InTurn:
    """The app, for strangers as often as they may ask."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or await _is_shown(scope):
            await self._app(scope, receive, send)
            return
        among, now = _services(scope).visitors, asyncio.get_running_loop().time()
        wait = among.waits(visitors.address_of(scope.get("client")), now)
        if wait > 0 and await visitors.is_gone_within(scope, wait):
            return
        app: Any = self._app if wait < visitors.HELD_UP_AT_MOST else _TOO_MANY
        await app(scope, receive, send)


_TOO_MANY: Final = answer_to(TooManyRequests("your address asks too often without the API key"))


async def _is_shown(scope: Scope) -> bool:
    """Whether the headers show who sends it."""
    request = Request(scope)
    try:
        if (scope["method"], scope["path"]) == _WEBHOOK:
            _services(scope).admit(request.headers.get("authorization"))
        elif not await gives_key(request):
            return False
        else:
            await recognise(request)
    except EgressManagerError:
        return False
    return True


def _services(scope: Scope) -> ApiServices:
    services: ApiServices = scope["app"].state.services
    return services
