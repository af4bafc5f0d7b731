"""The webhooks of many calls, as livekit-server sends them: real bodies, signed, in a real order.

Each call has a room of its own; a group of calls goes on at once, so that what comes of one room
is mixed with what comes of others.
"""

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt

#: So many calls go on at once.
AT_ONCE = 32
#: Every caller joined so long ago. LiveKit tells it late: a recorder does not go to a room of which
#: it is told late, so the rooms need not be there. No longer, lest a recording's time to begin be
#: over meanwhile. Seconds.
AGO = 30
_VALID_FOR = 3600
_CODECS = ("audio/PCMU", "audio/PCMA", "audio/opus", "audio/red", "video/VP8", "video/H264")
Json = dict[str, Any]


def signed_webhooks(run: str, count: int, key: str, secret: str) -> Iterator[tuple[bytes, str]]:
    """So many bodies with their signatures; another `run` has other rooms and events."""
    made = 0
    for group in range(count):
        calls = [list(webhooks_of_call(f"{run}-{group}-{n}")) for n in range(AT_ONCE)]
        for event in (event for events in zip(*calls, strict=True) for event in events):
            if made == count:
                return
            made += 1
            yield signed(event, key, secret)


def signed(event: Json, key: str, secret: str) -> tuple[bytes, str]:
    """A body with its signature."""
    body = json.dumps(event, separators=(",", ":")).encode()
    return body, _signature(body, key, secret)


def somebody_joins_now(name: str) -> Json:
    """No caller. It tells how far LiveKit's clock is from the manager's: not at all.

    Without it the first who joined `AGO` would be taken for one who joined now by a slow clock.
    """
    person = _person(f"PA_{name}", f"somebody-{name}", "STANDARD", ago=0)
    parts = {"room": _room(name), "participant": person}
    now = str(int(time.time()))
    return {"event": "participant_joined", **parts, "id": f"EV_{name}", "createdAt": now}


def webhooks_of_call(name: str, room_name: str = "") -> Iterator[Json]:
    """All that is told of one call, in order; without a room's name, in a room of its own."""
    room, phone, agent = _room(name, room_name), _phone(name), _agent(name)
    brief_room = {"sid": room["sid"], "name": room["name"]}
    stories: list[tuple[str, Json]] = [("room_started", {"room": room})]
    stories += [("participant_joined", {"room": room, "participant": phone})]
    stories += [("track_published", {"room": brief_room, **_track(phone)})]
    stories += [("participant_joined", {"room": room, "participant": agent})]
    stories += [("track_published", {"room": brief_room, **_track(agent)})]
    for who in (phone, agent):
        left = who | {"state": "DISCONNECTED", "disconnectReason": "CLIENT_INITIATED"}
        stories += [("track_unpublished", {"room": brief_room, **_track(who)})]
        stories += [("participant_left", {"room": room, "participant": left})]
    stories += [("room_finished", {"room": room})]
    for number, (event, parts) in enumerate(stories):
        created_at = str(int(time.time()))
        yield {"event": event, **parts, "id": f"EV_{name}-{number}", "createdAt": created_at}


def _room(name: str, room_name: str = "") -> Json:
    created = int(time.time()) - AGO
    return {
        "sid": f"RM_{name}",
        "name": room_name or f"call_{name}",
        "emptyTimeout": 300,
        "departureTimeout": 20,
        "creationTime": str(created),
        "creationTimeMs": str(created * 1000),
        "turnPassword": "DqBH4kqlqTN9dMgr4cpTElMA4Fbm44kBc7hOEtl0VzG",
        "enabledCodecs": [{"mime": mime} for mime in _CODECS],
    }


def _person(sid: str, identity: str, kind: str, ago: int = AGO) -> Json:
    joined = int(time.time()) - ago
    return {
        "sid": sid,
        "identity": identity,
        "state": "ACTIVE",
        "joinedAt": str(joined),
        "joinedAtMs": str(joined * 1000 + 1),
        "version": 2,
        "permission": {"canSubscribe": True, "canPublish": True, "canPublishData": True},
        "kind": kind,
    }


def _phone(name: str) -> Json:
    number = f"+1555{int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % 10**7:07}"
    attributes = {
        "sip.callID": f"SCL_{name}",
        "sip.callIDFull": "JNjWaO6uLaSHeGQ7gRgKQ-.hPVSHm6n8",
        "sip.callStatus": "active",
        "sip.callTag": "7zuzt6A5MI7t24ky5NmZq5pVuu5hJBEc",
        "sip.hostname": "127.0.0.1",
        "sip.phoneNumber": number,
        "sip.ruleID": "SDR_hbouFNiSDKUi",
        "sip.trunkID": "ST_NNaGfRehb8Fw",
        "sip.trunkPhoneNumber": "+15557650000",
    }
    return _person(f"PA_p{name}", f"sip_{number}", "SIP") | {
        "name": f"Phone {number}",
        "attributes": attributes,
    }


def _agent(name: str) -> Json:
    return _person(f"PA_a{name}", f"agent-{name}", "AGENT")


def _track(who: Json) -> Json:
    track = {
        "sid": f"TR_{who['sid']}",
        "name": who["identity"],
        "source": "MICROPHONE",
        "mimeType": "audio/opus",
        "mid": "0",
        "codecs": [{"mimeType": "audio/opus", "mid": "0", "cid": "audio"}],
        "stream": "camera",
        "backupCodecPolicy": "SIMULCAST",
    }
    return {"participant": {"sid": who["sid"], "identity": who["identity"]}, "track": track}


def _signature(body: bytes, key: str, secret: str) -> str:
    now = int(time.time())
    claims = {
        "iss": key,
        "nbf": now,
        "exp": now + _VALID_FOR,
        "sha256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
    }
    return jwt.encode(claims, secret, algorithm="HS256")
