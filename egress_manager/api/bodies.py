"""No body is read before it is known who sends it, nor further than any that is expected goes."""

from http import HTTPStatus
from typing import Final

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from egress_manager.api import visitors
from egress_manager.api.auth import recognise
from egress_manager.api.errors import OfReading
from egress_manager.errors import EgressManagerError, TooBusy

#: LiveKit's largest events are a few KiB. Bytes.
BODY_AT_MOST: Final = 2**20
#: All bodies that are held at one time, of whoever sends them. Bytes.
BODIES_AT_MOST: Final = 64 * BODY_AT_MOST

#: No route reads a body with these; what is sent as one is thrown away.
_WITHOUT_BODY: Final = ("GET", "HEAD")


class BoundedBodies:
    """The app, but what asks with a larger body is answered 413, and the rest is never kept.

    The framework reads a body before it asks who sends it. Here the key is looked at first, unless
    a route has found out by itself who asks, as the webhook's does.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _WITHOUT_BODY:
            await self._app(scope, receive, send)
            return
        read, is_answered = 0, False

        async def bounded() -> Message:
            nonlocal read
            if not is_answered and not visitors.is_known(scope):
                await _recognised(scope)
            message = await receive()
            size = len(message.get("body", b""))
            read += size
            self._held += size
            if not is_answered:
                _keep_bounds(read, self._held)
            return message

        async def noting(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        try:
            await self._app(scope, bounded, noting)
        finally:
            self._held -= read


async def _recognised(scope: Scope) -> None:
    try:
        await recognise(Request(scope))
    except EgressManagerError as error:
        raise OfReading(error) from error


def _keep_bounds(read: int, held: int) -> None:
    """Raise `HTTPException` where one body is too large, `OfReading` where all of them are."""
    if read > BODY_AT_MOST:
        why = f"the body is larger than {BODY_AT_MOST} bytes"
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why)
    if held > BODIES_AT_MOST:
        raise OfReading(TooBusy("too many bodies are being read; try again in a moment"))
