"""The running service, asked over HTTP."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, Final

import httpx2
from cyclopts import Parameter

from egress_manager.errors import EgressManagerError
from egress_manager.settings import words

#: The most that the API gives at once.
PAGE: Final = 200
#: How long the service may take to answer. Seconds.
TIMEOUT: Final = 10.0

KEY_VARIABLE: Final = "EGRESS_MANAGER_API_KEY"

#: For scripts: what was found as JSON, in the place of a table.
AsJson = Annotated[bool, Parameter(name="--json", negative="")]

Facts = Mapping[str, Any]


class Failed(EgressManagerError):
    """What was asked for could not be had; the message says what to do."""


class KeyRefused(Failed):
    """The API key is missing or wrong."""

    code = "unauthenticated"


@Parameter(name="*")
@dataclass(frozen=True)
class Service:
    """The service that is asked.

    Parameters
    ----------
    url
        Where the service is.
    api_key
        The API key; EGRESS_MANAGER_API_KEY where it is not given.
    as_json
        Print what the API says, for scripts.
    """

    url: str = "http://127.0.0.1:5000"
    api_key: str = ""
    as_json: AsJson = False


#: The service of this machine.
HERE: Final = Service()


def every(service: Service, path: str, where: Mapping[str, str | None], limit: int) -> Facts:
    """As many as wanted, page after page, as if they were one."""
    items: list[Facts] = []
    cursor: str | None = None
    while True:
        page = ask(service, path, {**where, "cursor": cursor, "limit": min(limit, PAGE)})
        items += page["items"]
        limit, cursor = limit - len(page["items"]), page["next_cursor"]
        if cursor is None or limit <= 0:
            return {"items": items, "next_cursor": cursor}


def ask(service: Service, path: str, params: Mapping[str, Any]) -> Any:
    """The service's answer. Raises `Failed` with a sentence."""
    return _checked(get(service, path, params), service)


def tell(
    service: Service,
    path: str,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """Have the service do something; its answer. Raises `Failed` with a sentence."""
    return _checked(_send(service, "POST", path, headers, json=dict(body or {})), service)


def _checked(answer: httpx2.Response, service: Service) -> Any:
    said = said_in(answer, service)
    if answer.status_code == httpx2.codes.UNAUTHORIZED:
        wrong = "is not the service's API key" if _key(service) else "is missing"
        raise KeyRefused(f"the API key {wrong}: give --api-key, or set {KEY_VARIABLE}")
    if not answer.is_success:
        raise Failed(said.get("detail", f"the service answered {answer.status_code}"))
    return said


def get(service: Service, path: str, params: Mapping[str, Any]) -> httpx2.Response:
    """Whatever the service answers. Raises `Failed` where nobody does."""
    given = {name: value for name, value in params.items() if value is not None}
    return _send(service, "GET", path, params=given)


def _send(
    service: Service,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    **given: Any,
) -> httpx2.Response:
    key = _key(service)
    with_key = {**(headers or {}), **({"X-API-Key": key} if key else {})}
    try:
        with httpx2.Client(base_url=service.url, timeout=TIMEOUT) as client:
            return client.request(method, path, headers=with_key, **given)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise Failed(f"nobody answers at {service.url}: is it running? (--url)") from error


def fetch(service: Service, path: str, into: BinaryIO) -> None:
    """Write what the service has there, as it comes. Raises `Failed` with a sentence."""
    key = _key(service)
    headers = {"X-API-Key": key} if key else {}
    try:
        with (
            httpx2.Client(base_url=service.url, timeout=TIMEOUT, headers=headers) as client,
            client.stream("GET", path) as answer,
        ):
            if not answer.is_success:
                answer.read()
                _checked(answer, service)
            for part in answer.iter_bytes():
                into.write(part)
    except httpx2.HTTPError as error:
        raise Failed(f"{service.url} does not send all of it: {type(error).__name__}") from error


def said_in(answer: httpx2.Response, service: Service) -> Any:
    """The JSON of an answer. Raises `Failed` where it is none."""
    try:
        return answer.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Failed(f"what answers at {service.url} is not Egress Manager (--url)") from error


def _key(service: Service) -> str:
    return service.api_key or words.value_of(KEY_VARIABLE)
