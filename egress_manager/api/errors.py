"""What goes wrong, as HTTP says it: a status, and a problem document (RFC 9457).

    {"type": "urn:egress-manager:not_found", "title": "Not Found", "status": 404,
     "code": "not_found", "detail": "there is no call call_1", "retryable": false}

`code` is stable; `retryable` says whether the same request may succeed later.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from egress_manager.errors import BadRequest, EgressManagerError, NotFound

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"

#: So much of a path is logged. Characters.
PATH_AT_MOST: Final = 256

#: Seconds after which LiveKit and others may try again what is retryable, by its status.
RETRY_AFTER: Final[Mapping[HTTPStatus, str]] = {
    HTTPStatus.SERVICE_UNAVAILABLE: "1",
    HTTPStatus.TOO_MANY_REQUESTS: "60",
}


class NoFile(NotFound):
    """There is no file, and there will be none; the recording's `reason` or `verdict` says why."""

    code = "no_file"


class NoFileYet(NotFound):
    """There is no file yet: the recording is not finished."""

    code = "no_file_yet"
    retryable = True


#: The status of every error that can reach a client. One that is not here has its parent's.
STATUS: Final[Mapping[str, HTTPStatus]] = {
    "bad_request": HTTPStatus.BAD_REQUEST,
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "signature_refused": HTTPStatus.UNAUTHORIZED,
    "too_many_requests": HTTPStatus.TOO_MANY_REQUESTS,
    "not_found": HTTPStatus.NOT_FOUND,
    "no_file": HTTPStatus.NOT_FOUND,
    "no_file_yet": HTTPStatus.NOT_FOUND,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "conflict": HTTPStatus.CONFLICT,
    "range_not_satisfiable": HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    "not_yet": HTTPStatus.SERVICE_UNAVAILABLE,
    "too_busy": HTTPStatus.SERVICE_UNAVAILABLE,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "chain_broken": HTTPStatus.SERVICE_UNAVAILABLE,
    "document_foreign": HTTPStatus.CONFLICT,
    "document_unreadable": HTTPStatus.CONFLICT,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
    "settings_wrong": HTTPStatus.INTERNAL_SERVER_ERROR,
    "render_failed": HTTPStatus.INTERNAL_SERVER_ERROR,
    "listen_failed": HTTPStatus.INTERNAL_SERVER_ERROR,
    "livekit_refused": HTTPStatus.BAD_GATEWAY,
    "store_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "livekit_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "capture_failed": HTTPStatus.SERVICE_UNAVAILABLE,
    "storage_failed": HTTPStatus.SERVICE_UNAVAILABLE,
}


class NoSuchRange(BadRequest):
    """`Range` asks for bytes that the file does not have."""

    code = "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"the file has {size} bytes; ask for some of those")
        self.headers = {"Content-Range": f"bytes */{size}"}


class OfReading(HTTPException):
    """An error of ours while a body is read, where the framework lets only its own pass."""

    def __init__(self, why: EgressManagerError) -> None:
        super().__init__(status_of(type(why)))
        self.why = why


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="The code as a URI.", examples=["urn:egress-manager:not_found"])
    title: str = Field(description="The HTTP status in words.", examples=["Not Found"])
    status: int = Field(description="The HTTP status.", examples=[404])
    code: str = Field(description="What went wrong; stable.", examples=["not_found"])
    detail: str = Field(description="What went wrong, for people.")
    retryable: bool = Field(description="Whether the same request may succeed later.")


def status_of(error: type[EgressManagerError]) -> HTTPStatus:
    """The status of an error: its own, or that of the nearest kind of error that has one."""
    codes = (getattr(kind, "code", "") for kind in error.__mro__)
    return next(STATUS[code] for code in codes if code in STATUS)


def problem(
    code: str,
    detail: str,
    *,
    status: HTTPStatus | None = None,
    retryable: bool = False,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The answer that says so; its status is the code's own unless another is given."""
    status = status or STATUS[code]
    content = Problem(
        type=f"urn:egress-manager:{code}",
        title=status.phrase,
        status=status,
        code=code,
        detail=detail,
        retryable=retryable,
    )
    told = dict(headers or {})
    if code == "unauthenticated":
        told["WWW-Authenticate"] = "Bearer"
    if status in RETRY_AFTER:
        told["Retry-After"] = RETRY_AFTER[status]
    return JSONResponse(content.model_dump(), status, told, media_type=MEDIA_TYPE)


def described(*codes: str) -> dict[int | str, dict[str, Any]]:
    """These errors, for a route's description in OpenAPI."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(STATUS[code], []).append(f"`{code}`")
    return {
        status: {"description": ", ".join(named), "model": Problem}
        for status, named in by_status.items()
    }


def describe_problems(app: FastAPI) -> None:
    """Have OpenAPI say what is answered: the framework knows of JSON and of its own 422 only."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        description = describe()
        for path in description["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
                for response in operation["responses"].values():
                    _as_problem(response.get("content", {}))
        return description

    app.openapi = openapi  # type: ignore[method-assign]


def _as_problem(content: dict[str, Any]) -> None:
    """What is described as JSON and is a problem document is a problem document."""
    schema = content.get("application/json", {}).get("schema", {})
    if schema.get("$ref", "").endswith(f"/{Problem.__name__}"):
        content[MEDIA_TYPE] = content.pop("application/json")


def answer_problems(app: FastAPI) -> None:
    """Have every error answered as a problem document."""
    app.add_exception_handler(EgressManagerError, _ours)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(HTTPException, _of_the_framework)
    app.add_exception_handler(ClientDisconnect, _hung_up)
    app.add_exception_handler(Exception, _unexpected)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, EgressManagerError)
    return answer_to(error)


def answer_to(error: EgressManagerError) -> JSONResponse:
    """The answer that says what of ours went wrong."""
    detail = str(error) or type(error).__doc__ or error.code
    return problem(
        error.code,
        detail,
        status=status_of(type(error)),
        retryable=error.retryable,
        headers=getattr(error, "headers", None),
    )


async def _not_understood(request: Request, error: Exception) -> JSONResponse:
    """A parameter that can't be read; its value is not repeated."""
    assert isinstance(error, RequestValidationError)
    wrong = [f"{problem['loc'][-1]}: {problem['msg']}" for problem in error.errors()]
    return problem("bad_request", "; ".join(wrong))


async def _of_the_framework(request: Request, error: Exception) -> JSONResponse:
    """What the framework refuses by itself: paths and methods that there are not."""
    assert isinstance(error, HTTPException)
    if isinstance(error, OfReading):
        return await _ours(request, error.why)
    of_status = (code for code, status in STATUS.items() if status == error.status_code)
    is_method = error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    headers = dict(error.headers or {})
    if is_method and (allowed := _methods(request)):
        headers = {"Allow": ", ".join(allowed)}
    return problem(next(of_status, "bad_request"), str(error.detail), headers=headers)


def _methods(request: Request) -> list[str]:
    """The methods of the path that is asked for: the framework names those of its first route."""
    fitting = (
        route.methods or ()
        for route in request.app.state.routes
        if isinstance(route, Route) and route.path_regex.match(get_route_path(request.scope))
    )
    return sorted({method for methods in fitting for method in methods})


async def _hung_up(request: Request, error: Exception) -> JSONResponse:
    """The client went away before all of its request had come: nobody reads this answer."""
    log.info("client_hung_up", extra={"path": request.scope["path"][:PATH_AT_MOST]})
    return problem("bad_request", "the request's body is not whole")


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    """A mistake of ours: the log has it whole, the client does not."""
    log.error(
        "request_failed", exc_info=error, extra={"path": request.scope["path"][:PATH_AT_MOST]}
    )
    return problem("internal", "something went wrong here; the log has more")
