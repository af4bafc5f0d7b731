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
from starlette.exceptions import HTTPException

from egress_manager.errors import EgressManagerError, NotFound

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"

#: Seconds after which LiveKit and others may try again what is retryable.
RETRY_AFTER: Final = "1"


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
    "not_found": HTTPStatus.NOT_FOUND,
    "no_file": HTTPStatus.NOT_FOUND,
    "no_file_yet": HTTPStatus.NOT_FOUND,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "conflict": HTTPStatus.CONFLICT,
    "not_yet": HTTPStatus.SERVICE_UNAVAILABLE,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "chain_broken": HTTPStatus.SERVICE_UNAVAILABLE,
    "document_foreign": HTTPStatus.CONFLICT,
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
    code: str, detail: str, *, status: HTTPStatus | None = None, retryable: bool = False
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
    headers = {}
    if code == "unauthenticated":
        headers["WWW-Authenticate"] = "Bearer"
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = RETRY_AFTER
    return JSONResponse(content.model_dump(), status, headers, media_type=MEDIA_TYPE)


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
    app.add_exception_handler(Exception, _unexpected)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, EgressManagerError)
    detail = str(error) or type(error).__doc__ or error.code
    return problem(error.code, detail, status=status_of(type(error)), retryable=error.retryable)


async def _not_understood(request: Request, error: Exception) -> JSONResponse:
    """A parameter that can't be read; its value is not repeated."""
    assert isinstance(error, RequestValidationError)
    wrong = [f"{problem['loc'][-1]}: {problem['msg']}" for problem in error.errors()]
    return problem("bad_request", "; ".join(wrong))


async def _of_the_framework(request: Request, error: Exception) -> JSONResponse:
    """What the framework refuses by itself: paths and methods that there are not."""
    assert isinstance(error, HTTPException)
    of_status = (code for code, status in STATUS.items() if status == error.status_code)
    return problem(next(of_status, "bad_request"), str(error.detail))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    """A mistake of ours: the log has it whole, the client does not."""
    log.error("request_failed", exc_info=error, extra={"path": request.url.path})
    return problem("internal", "something went wrong here; the log has more")
