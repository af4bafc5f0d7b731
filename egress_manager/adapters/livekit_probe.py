"""livekit-server asked from outside, so that what is wrong is told exactly (`LiveKitServer`).

Asked without the SDK: what livekit-server says of a key that it refuses stands in the body of its
answer, which the SDK does not give.
"""

import json
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from egress_manager.adapters.livekit_tokens import api_token
from egress_manager.domain.checks import Knock
from egress_manager.domain.troubles import CheckFailed, Trouble

#: How long a question may take. Seconds.
TIMEOUT: Final = 5.0
#: A job that no egress takes is refused after three attempts of livekit-server. Seconds.
DISPATCH_TIMEOUT: Final = 40.0
#: Our tokens are for one question. Seconds.
TOKEN_TTL: Final = 60

#: The rights that each service of the API wants.
_RIGHTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "RoomService": {"video": {"roomList": True, "roomCreate": True}},
    "SIP": {"sip": {"admin": True}},
    "Egress": {"video": {"roomRecord": True}},
}

#: What went wrong on the way, the first that fits.
_ON_THE_WAY: Final[Sequence[tuple[type[Exception], Trouble]]] = (
    (aiohttp.ClientConnectorDNSError, Trouble.LIVEKIT_UNKNOWN_HOST),
    (aiohttp.ClientSSLError, Trouble.LIVEKIT_TLS),
    (ssl.SSLError, Trouble.LIVEKIT_TLS),
    (aiohttp.ServerTimeoutError, Trouble.LIVEKIT_SILENT),
    (TimeoutError, Trouble.LIVEKIT_SILENT),
    (aiohttp.ClientConnectorError, Trouble.LIVEKIT_UNREACHABLE),
    (aiohttp.ClientError, Trouble.LIVEKIT_UNREACHABLE),
    (OSError, Trouble.LIVEKIT_UNREACHABLE),
)

#: What livekit-server says of a token that it refuses (pkg/service/auth.go), the first that fits.
_OF_TOKENS: Final[Sequence[tuple[str, Trouble]]] = (
    ("invalid API key", Trouble.KEY_UNKNOWN),
    ("signature is invalid", Trouble.SECRET_WRONG),
    ("token is expired", Trouble.TOKEN_NOT_OF_NOW),
    ("token is not valid yet", Trouble.TOKEN_NOT_OF_NOW),
)

_NO_EGRESS: Final = "egress not connected"
_NO_SIP: Final = "sip not connected"
#: What comes of a job that nobody takes.
_NOBODY: Final = frozenset({"unavailable", "deadline_exceeded", "resource_exhausted"})


class LiveKitProbe:
    """`LiveKitServer`; open it in the event loop it is used in, and close it."""

    def __init__(self, url: str, api_key: str, api_secret: str) -> None:
        self._url = url
        self._key = api_key
        self._secret = api_secret
        self._session: aiohttp.ClientSession | None = None

    async def knock(self) -> Knock:
        asked_at = datetime.now(UTC)
        status, body, headers = await self._answer("GET", "/", {}, b"", TIMEOUT)
        if status == 406:
            raise CheckFailed(Trouble.LIVEKIT_NOT_READY)
        if status != 200 or body.strip() != "OK":
            raise CheckFailed(Trouble.LIVEKIT_IS_SOMETHING_ELSE, url=self._url, status=status)
        return Knock(asked_at, datetime.now(UTC), _moment(headers.get("Date", "")))

    async def rooms(self) -> int:
        return len((await self._ask("RoomService", "ListRooms", {})).get("rooms", []))

    async def direct_rooms(self) -> Sequence[str] | None:
        try:
            listed = await self._ask("SIP", "ListSIPDispatchRule", {})
        except Refused as error:
            if _NO_SIP in error.message:
                return None
            if error.status in (401, 403):
                raise CheckFailed(Trouble.DISPATCH_RULES_REFUSED) from error
            raise
        rules = (item.get("rule") or {} for item in listed.get("items", []))
        direct = (rule.get("dispatch_rule_direct") or {} for rule in rules)
        return sorted({each["room_name"] for each in direct if each.get("room_name")})

    async def open_room(self, name: str, *, empty_for: int) -> None:
        await self._ask("RoomService", "CreateRoom", {"name": name, "empty_timeout": empty_for})

    async def close_room(self, name: str) -> None:
        try:
            await self._ask("RoomService", "DeleteRoom", {"room": name})
        except Refused as error:
            if error.reason != "not_found":
                raise

    async def start_egress(self, room_name: str) -> str:
        output = {"file_type": "OGG", "filepath": f"{room_name}.ogg", "disable_manifest": True}
        order = {"room_name": room_name, "audio_only": True, "file_outputs": [output]}
        try:
            # Without Redis a list is refused at once, a job after half a minute and without reason.
            await self._ask("Egress", "ListEgress", {"room_name": room_name})
            job = await self._ask("Egress", "StartRoomCompositeEgress", order, DISPATCH_TIMEOUT)
        except Refused as error:
            if _NO_EGRESS in error.message:
                raise CheckFailed(Trouble.EGRESS_WITHOUT_REDIS) from error
            nobody = error.reason in _NOBODY
            trouble = Trouble.EGRESS_ABSENT if nobody else Trouble.EGRESS_FAILED
            raise CheckFailed(trouble, why=error.message) from error
        return str(job["egress_id"])

    async def stop_egress(self, egress_id: str) -> None:
        try:
            await self._ask("Egress", "StopEgress", {"egress_id": egress_id})
        except Refused as error:
            if error.reason != "failed_precondition":  # it has ended
                raise

    async def aclose(self) -> None:
        """Close the HTTP session."""
        if self._session is not None:
            await self._session.close()

    async def _ask(
        self, service: str, method: str, question: Mapping[str, Any], timeout: float = TIMEOUT
    ) -> Mapping[str, Any]:
        """One question over Twirp, in JSON. Raises `CheckFailed`, which may be `Refused`."""
        token = api_token(self._key, self._secret, _RIGHTS[service], TOKEN_TTL)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        path = f"/twirp/livekit.{service}/{method}"
        body = json.dumps(question).encode()
        status, said, _ = await self._answer("POST", path, headers, body, timeout)
        told = _json(said)
        if status == 200 and told is not None:
            return told
        if told is not None and "code" in told:
            raise Refused(status, str(told["code"]), str(told.get("msg", "")))
        if status in (401, 403):
            raise _refused_token(said, self._key)
        raise CheckFailed(Trouble.LIVEKIT_IS_SOMETHING_ELSE, url=self._url, status=status)

    async def _answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> tuple[int, str, Mapping[str, str]]:
        """Status, body and headers. Raises `CheckFailed` where there is no answer."""
        if self._session is None:
            self._session = aiohttp.ClientSession()
        try:
            async with self._session.request(
                method,
                self._url + path,
                headers=headers,
                data=body,
                timeout=aiohttp.ClientTimeout(total=timeout),
            ) as answer:
                return answer.status, await answer.text(errors="replace"), answer.headers
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _on_the_way(error, self._url) from error


class Refused(CheckFailed):
    """livekit-server understood and said no."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(Trouble.LIVEKIT_FAILED, why=f"{reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


def _on_the_way(error: Exception, url: str) -> CheckFailed:
    trouble = next(trouble for kind, trouble in _ON_THE_WAY if isinstance(error, kind))
    cause = getattr(error, "os_error", error)
    if isinstance(cause, ConnectionRefusedError):
        trouble = Trouble.LIVEKIT_REFUSES_CONNECTIONS
    why = getattr(cause, "strerror", None) or type(cause).__name__
    return CheckFailed(trouble, url=url, host=urlsplit(url).hostname, why=why)


def _refused_token(said: str, key: str) -> CheckFailed:
    """What is wrong with the key. The body repeats the token, so it is not shown."""
    trouble = next((t for words, t in _OF_TOKENS if words in said), Trouble.KEY_REFUSED)
    return CheckFailed(trouble, key=key, why="it does not say why")


def _json(text: str) -> Mapping[str, Any] | None:
    try:
        told = json.loads(text)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _moment(header: str) -> datetime | None:
    try:
        return parsedate_to_datetime(header).astimezone(UTC)
    except ValueError:
        return None
