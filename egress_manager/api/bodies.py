"""No body is read further than any that is expected here goes, whatever a route does with it."""

from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: LiveKit's largest events are a few KiB. Bytes.
BODY_AT_MOST: Final = 2**20


class BoundedBodies:
    """The app, but what asks with a larger body is answered 413, and the rest is never kept.

    A route's body is read before it is known who asks: anybody could fill the memory.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        read, is_answered = 0, False

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > BODY_AT_MOST and not is_answered:
                why = f"the body is larger than {BODY_AT_MOST} bytes"
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why)
            return message

        async def noting(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        await self._app(scope, bounded, noting)
