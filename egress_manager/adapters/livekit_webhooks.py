"""What LiveKit posts: checked, and put in our words (port `Webhooks`).

LiveKit signs a webhook with a JWT whose claim `sha256` is the hash of the body; the hash is taken
over the bytes as they came, because LiveKit's JSON has no stable form. Bodies are protojson, where
defaults are left out; by hand people write snake_case, objects for texts, and the older event
`egress_completed`. Both are read.
"""

import base64
import hashlib
import hmac
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import jwt
from google.protobuf.json_format import ParseDict, ParseError
from livekit.protocol import egress, models
from livekit.protocol.webhook import WebhookEvent

from egress_manager.adapters.livekit_egress import report_of
from egress_manager.adapters.livekit_rooms import participant_of
from egress_manager.domain.incoming import (
    EgressReported,
    Kind,
    News,
    Participant,
    ParticipantLeft,
    ParticipantSeen,
    Room,
    RoomFinished,
    Source,
    Track,
    TrackSeen,
    Unrecognised,
    Webhook,
)
from egress_manager.errors import BadRequest, SignatureRefused

#: How far LiveKit's clock and ours may be apart.
LEEWAY: Final = timedelta(seconds=60)

#: Longer ids than this are not LiveKit's: the body's hash stands in. Characters.
ID_AT_MOST: Final = 128

Json = dict[str, Any]

#: PyJWT's own checks of time look at its own clock; ours looks at when the webhook came.
_CHECKS: Final[Mapping[str, Any]] = {
    "require": ["exp", "sha256"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_sub": False,
    "verify_jti": False,
}

#: What is read of a room; the rest of it is long and takes its time.
_OF_ROOM: Final = ("name", "sid")

#: What an event made by hand means for an egress, where it does not say so itself.
_STATUS_BY_EVENT: Final[Mapping[str, str]] = {
    "egress_started": "STARTING",
    "egress_updated": "ACTIVE",
    "egress_ended": "COMPLETE",
    "egress_completed": "COMPLETE",
}


class LiveKitWebhooks:
    """Reads webhooks that are signed with the secret.

    `key_name` is checked only where it is given. With `allow_unsigned` a webhook may come without
    a signature; one that has a signature needs a good one all the same.
    """

    def __init__(self, secret: str, *, key_name: str = "", allow_unsigned: bool = False) -> None:
        self._secret = secret
        self._key_name = key_name
        self._allow_unsigned = allow_unsigned

    def admit(self, authorization: str | None, at: datetime) -> None:
        """Raise `SignatureRefused` where no body could make that signature good."""
        self._signed(authorization, at)

    def read(self, body: bytes, authorization: str | None, at: datetime) -> Webhook:
        """The webhook, in our words. Raises `SignatureRefused` or `BadRequest`."""
        signed = self._signed(authorization, at)
        digest = base64.b64encode(hashlib.sha256(body).digest())
        if signed is not None and not hmac.compare_digest(signed, digest):
            raise SignatureRefused("the webhook's body is not the one that was signed")
        return read_body(body, at)

    def read_again(self, body: bytes, at: datetime) -> Webhook:
        """A body that was checked when it came. Raises `BadRequest`."""
        return read_body(body, at)

    def _signed(self, authorization: str | None, at: datetime) -> bytes | None:
        """The hash of the body that was signed, as base64; None where it need not be signed.

        Raises `SignatureRefused` where it is not signed by a key that we know.
        """
        if not authorization and self._allow_unsigned:
            return None
        scheme, _, token = (authorization or "").strip().rpartition(" ")  # LiveKit sends no scheme
        if not token or scheme.lower() not in ("", "bearer"):
            raise SignatureRefused("the webhook is not signed")
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                options=dict(_CHECKS),  # type: ignore[arg-type]
            )
            expires, begins = float(claims["exp"]), float(claims.get("nbf", 0))
            signed = str(claims["sha256"]).encode("utf-8", "replace")
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise SignatureRefused(
                "the webhook is not signed by a key that we know: WEBHOOK_SECRET, or "
                "LIVEKIT_API_SECRET where that is not set, has to be the secret of the key that "
                "livekit-server's webhook.api_key names"
            ) from error
        if (
            not begins - LEEWAY.total_seconds()
            <= at.timestamp()
            <= expires + LEEWAY.total_seconds()
        ):
            raise SignatureRefused("the webhook's signature is too old, or a clock is wrong")
        if self._key_name and claims.get("iss") != self._key_name:
            raise SignatureRefused("the webhook is signed by another key than WEBHOOK_KEY")
        return signed


def read_body(body: bytes, at: datetime) -> Webhook:
    """The webhook that came `at`, whoever sent it. Raises `BadRequest`."""
    try:
        event = _json_of(body)
        name = event["event"].replace(".", "_")
        news = _READERS.get(name, _unrecognised)(name, event, at)
    except KeyError as error:
        raise BadRequest(f"the webhook lacks {error.args[0]}") from error
    except (ParseError, ValueError, TypeError, AttributeError) as error:
        raise BadRequest("the webhook can't be read: it is not an event of LiveKit") from error
    except (OverflowError, OSError, RecursionError) as error:
        raise BadRequest("the webhook can't be read: something in it is too large") from error
    return Webhook(_id_of(event, body), name, news, body)


def _json_of(body: bytes) -> Json:
    """The JSON object. Text that no store could keep (half a character) is refused."""
    event = json.loads(body.decode())
    if b"\\u" in body:
        json.dumps(event, ensure_ascii=False).encode()
    if not isinstance(event, dict):
        raise TypeError("not an object")
    return event


def _id_of(event: Json, body: bytes) -> str:
    """LiveKit's id of the event: the same when it is sent again. Else the hash of the body."""
    given = event.get("id")
    if isinstance(given, str) and 0 < len(given) <= ID_AT_MOST:
        return given
    return "sha256:" + hashlib.sha256(body).hexdigest()


def _joined(_: str, event: Json, at: datetime) -> News:
    parsed = _parsed(event, "room", "participant")
    return ParticipantSeen(at, _room(parsed), _participant(parsed, event), Source.WEBHOOK)


def _left(_: str, event: Json, at: datetime) -> News:
    parsed = _parsed(event, "room", "participant")
    reason = models.DisconnectReason.Name(parsed.participant.disconnect_reason).lower()
    return ParticipantLeft(
        at,
        _room(parsed),
        _participant(parsed, event),
        Source.WEBHOOK,
        "" if reason == "unknown_reason" else reason,
    )


def _published(name: str, event: Json, at: datetime) -> News:
    parsed = _parsed(event, "room", "participant", "track")
    if parsed.track.type != models.TrackType.AUDIO:
        return _unrecognised(name, event, at)
    track = Track(
        parsed.track.sid,
        parsed.track.name,
        parsed.track.mime_type.lower() or "audio/opus",
        is_muted=parsed.track.muted,
        is_encrypted=parsed.track.encryption != models.Encryption.NONE,
    )
    return TrackSeen(at, _room(parsed), _participant(parsed, event), track, Source.WEBHOOK)


def _finished(_: str, event: Json, at: datetime) -> News:
    return RoomFinished(at, _room(_parsed(event, "room")), Source.WEBHOOK)


def _egress(name: str, event: Json, at: datetime) -> News:
    """A report of LiveKit Egress, as LiveKit tells it or as it is written by hand."""
    if "info" in event:
        return _egress_by_hand(name, event["info"], at)
    info = _parsed(event, ("egressInfo", "egress_info")).egress_info
    status = _egress_status(_given(event, "egressInfo", "egress_info"), info)
    return report_of(info, at, status)


def _egress_by_hand(name: str, info: Json, at: datetime) -> News:
    """`info` with `outputs[].filepath` and `duration_seconds`: no version of LiveKit sends it."""
    outputs = info.get("outputs") or [{}]
    filepath = outputs[0].get("filepath")
    status = str(info.get("status") or _STATUS_BY_EVENT[name])
    return EgressReported(
        at,
        Room(str(info.get("room_name", ""))),
        str(_given(info, "egress_id", "egressId")),
        status.upper().removeprefix("EGRESS_"),
        filepath=str(filepath) if filepath else None,
        is_delivered=bool(filepath),
        duration_sec=_seconds(info.get("duration_seconds")),
        error=str(info.get("error") or ""),
    )


def _seconds(given: float | str | None) -> float | None:
    """A length in seconds. Raises `ValueError` for one that can't be."""
    if given is None:
        return None
    seconds = float(given)
    if not 0 <= seconds < math.inf:
        raise ValueError("no length")
    return seconds


def _egress_status(given: Json, info: egress.EgressInfo) -> str:
    """LiveKit's name for it without the prefix, also where it is newer than our protocol."""
    raw = given.get("status")
    name = raw if isinstance(raw, str) else egress.EgressStatus.Name(info.status)
    return name.upper().removeprefix("EGRESS_")


def _unrecognised(name: str, event: Json, at: datetime) -> News:
    return Unrecognised(at, name)


def _parsed(event: Json, *needed: str | tuple[str, ...]) -> WebhookEvent:
    """The event as LiveKit's message; `needed` names the parts that have to be there.

    Only these are parsed: what else an event made by hand contains does not matter.
    """
    parts = {
        names if isinstance(names, str) else names[0]: _needed(event, names) for names in needed
    }
    if "participant" in parts:
        parts["participant"] = _with_text(parts["participant"])
    if "room" in parts:
        parts["room"] = {name: parts["room"][name] for name in _OF_ROOM if name in parts["room"]}
    parsed: WebhookEvent = ParseDict(parts, WebhookEvent(), ignore_unknown_fields=True)
    return parsed


def _needed(event: Json, names: str | tuple[str, ...]) -> Json:
    part = _given(event, *((names,) if isinstance(names, str) else names))
    if not isinstance(part, dict):
        raise TypeError("not an object")
    return part


def _given(part: Json, *names: str) -> Any:
    """What stands under one of these names. Raises `KeyError` naming the first."""
    for name in names:
        if part.get(name) not in (None, ""):
            return part[name]
    raise KeyError(names[0])


def _with_text(participant: Json) -> Json:
    """By hand, metadata is written as an object; LiveKit carries text."""
    metadata = participant.get("metadata")
    if metadata is None or isinstance(metadata, str):
        return participant
    return participant | {"metadata": json.dumps(metadata)}


def _room(parsed: WebhookEvent) -> Room:
    if not parsed.room.name:
        raise KeyError("room.name")
    return Room(parsed.room.name, parsed.room.sid)


def _participant(parsed: WebhookEvent, event: Json) -> Participant:
    """The participant, with the kind that was said: see `_kind`."""
    participant = participant_of(parsed.participant)
    if not participant.identity:
        raise KeyError("participant.identity")
    return replace(participant, kind=_kind(participant, event["participant"].get("kind")))


def _kind(participant: Participant, given: object) -> Kind | None:
    """The kind of a participant.

    LiveKit leaves out STANDARD, and leaves out everything but sid and identity in track events; a
    participant that it shows in full has the time of joining.
    """
    if given is None:
        return Kind.STANDARD if participant.joined_at else None
    if isinstance(given, str):
        return Kind(given) if given in Kind.__members__ else Kind.OTHER
    return participant.kind


#: How each event is read. What is not here means nothing to us.
_READERS: Final[Mapping[str, Callable[[str, Json, datetime], News]]] = {
    "participant_joined": _joined,
    "participant_left": _left,
    "participant_connection_aborted": _left,
    "track_published": _published,
    "room_finished": _finished,
    "egress_started": _egress,
    "egress_updated": _egress,
    "egress_ended": _egress,
    "egress_completed": _egress,
}
