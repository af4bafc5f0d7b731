"""Tokens for LiveKit: as few rights as the purpose needs, for as short as it lasts.

Written out by hand: the SDK's grants begin with rights that a recorder must not have.
"""

import base64
import calendar
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt

from egress_manager.errors import BadRequest

#: The year 2100, in seconds since 1970.
FOR_EVER: Final = 4_102_444_800


def recorder_token(api_key: str, api_secret: str, room_name: str, ttl_seconds: int = 3600) -> str:
    """A token for LiveKit's Egress API: `{"room": room_name, "roomRecord": true}`.

    It can't join a room. The Egress API does not look at `room`: who holds the token can record
    any room until it expires, so make it just before the call. Raises `BadRequest` where
    `ttl_seconds` is not positive.
    """
    grants = {"room": room_name, "roomRecord": True}
    return _signed(api_key, api_secret, {"video": grants}, ttl_seconds)


def capture_token(
    api_key: str, api_secret: str, room_name: str, identity: str, ttl_seconds: int = 600
) -> str:
    """A token that lets a hidden recorder join one room and hear, and nothing else.

    Kind egress: it does not hold the room open, nor count as one of its participants. Raises
    `BadRequest` where `ttl_seconds` is not positive.
    """
    grants = {
        "roomJoin": True,
        "room": room_name,
        "canSubscribe": True,
        "canPublish": False,
        "canPublishData": False,
        "hidden": True,
        "recorder": True,
    }
    claims = {"sub": identity, "kind": "egress", "video": grants}
    return _signed(api_key, api_secret, claims, ttl_seconds)


def api_token(api_key: str, api_secret: str, grants: Mapping[str, Any], ttl_seconds: int) -> str:
    """A token for questions to LiveKit's API, with these grants (`{"video": {…}}`)."""
    return _signed(api_key, api_secret, grants, ttl_seconds)


def credential_token(api_key: str, api_secret: str) -> str:
    """A token without any right, always the same for one key: it shows that somebody has the key.

    It opens nothing, so it may be kept. It is never too old: a server refuses it only if it does
    not know the key, or knows it with another secret.
    """
    return jwt.encode({"iss": api_key, "exp": FOR_EVER}, api_secret, algorithm="HS256")


def webhook_token(api_key: str, api_secret: str, body: bytes, ttl_seconds: int = 300) -> str:
    """The signature of a webhook, as LiveKit makes it: it holds the hash of the body."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return _signed(api_key, api_secret, {"sha256": digest}, ttl_seconds)


def caller_token(
    api_key: str,
    api_secret: str,
    room_name: str,
    identity: str,
    attributes: Mapping[str, str],
    ttl_seconds: int = 60,
) -> str:
    """A token that lets somebody join one room as livekit-sip's callers do, and be heard.

    Hears nobody: the connection that sends is then the one that counts for LiveKit.
    """
    grants = {
        "roomJoin": True,
        "room": room_name,
        "canPublish": True,
        "canSubscribe": False,
        "canPublishData": False,
        "canUpdateOwnMetadata": True,
    }
    who = {"sub": identity, "name": identity, "kind": "sip", "attributes": dict(attributes)}
    return _signed(api_key, api_secret, {**who, "video": grants}, ttl_seconds)


def _signed(api_key: str, api_secret: str, claims: Mapping[str, Any], ttl_seconds: int) -> str:
    if ttl_seconds <= 0:
        raise BadRequest("ttl_seconds: a token has to last for at least a second")
    now = datetime.now(UTC)
    expires = now + timedelta(seconds=ttl_seconds)
    times = {"nbf": _seconds(now), "exp": _seconds(expires)}
    return jwt.encode({"iss": api_key, **claims, **times}, api_secret, algorithm="HS256")


def _seconds(moment: datetime) -> int:
    return calendar.timegm(moment.utctimetuple())
