"""Recorded webhooks, made anew: their times pass again now, and their ids are nobody's yet.

A trace is a file of JSON lines, each a webhook's body, or an object with the `body` and with `t`,
the seconds since the recording began. Times are moved as a whole, so that none of them lies after
the moment at which its webhook is sent: LiveKit does not tell of what is to come.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from egress_manager.errors import BadRequest

Json = dict[str, Any]

#: The fields that hold moments: LiveKit's, in both spellings (protojson and by hand).
_MOMENTS: Final = frozenset(
    {
        *("createdAt", "creationTime", "creationTimeMs", "endedAt"),
        *("joinedAt", "joinedAtMs", "startedAt", "updatedAt"),
        *("created_at", "creation_time", "creation_time_ms", "ended_at"),
        *("joined_at", "joined_at_ms", "started_at", "updated_at"),
    }
)

#: LiveKit counts in seconds, milliseconds and nanoseconds; which, a number's size tells.
_UNITS: Final = (1, 10**3, 10**6, 10**9)
#: No moment is later, in seconds: the year 5138.
_SECONDS_AT_MOST: Final = 10**11

#: What LiveKit gives an id to that is new with each call: events, rooms, participants, tracks,
#: egresses, calls. Trunks and dispatch rules stay what they are.
_ID: Final = re.compile(r"(EV|RM|PA|TR|EG|SCL)_[A-Za-z0-9_]+")
_ID_LENGTH: Final = 12
#: What people chose, though it may look like an id; and what is an id though it need not look so.
_CHOSEN: Final = frozenset({"identity", "name", "metadata", "room_name", "roomName"})
_CALL_IDS: Final = frozenset({"sip.callID", "sip.callIDFull"})

_SECRETS: Final = frozenset({"turnPassword", "turn_password"})

_ROOM_NAMES: Final = frozenset({"room_name", "roomName"})


@dataclass(frozen=True, slots=True)
class Recorded:
    """A webhook that was recorded: when, in seconds since the recording began, and its body."""

    at_sec: float
    body: Json

    @property
    def event(self) -> str:
        """What LiveKit calls what happened."""
        return str(self.body["event"])

    @property
    def room_name(self) -> str:
        """The room that it is about; empty where it names none."""
        parts = (self.body.get(part) for part in ("room", "egressInfo", "egress_info", "info"))
        names = ("name", "roomName", "room_name")
        told = (part.get(name) for part in parts if isinstance(part, dict) for name in names)
        return next((str(name) for name in told if name), "")


@dataclass(frozen=True, slots=True)
class Manner:
    """How webhooks are made anew.

    `speed` says how much faster time passes (infinite: all at once). `salt` makes the new ids: with
    the same one they are the same again; empty keeps the old ids. `room_name` moves everything to
    that room.
    """

    speed: float = 1.0
    salt: str = ""
    keeps_times: bool = False
    room_name: str = ""

    def delay(self, webhook: Recorded) -> float:
        """How long after the beginning it is sent. Seconds."""
        return webhook.at_sec / self.speed


def read_trace(lines: Iterable[str]) -> Sequence[Recorded]:
    """The webhooks of a trace, from second 0 on; what else was recorded is passed over.

    Without `t`, the times in the bodies give the rhythm. Raises `BadRequest`, which names the line
    that can't be read.
    """
    found = [each for number, line in enumerate(lines, 1) if (each := _line(number, line))]
    if not found:
        raise BadRequest("there is no webhook in it")
    if all(at is None for at, _ in found):
        found = [(latest(body), body) for _, body in found]
    begins = min((at for at, _ in found if at is not None), default=0.0)
    webhooks: list[Recorded] = []
    now = 0.0
    for at, body in found:
        now = max(now, (at if at is not None else begins) - begins)  # never back
        webhooks.append(Recorded(now, body))
    return webhooks


def line_of(webhook: Recorded, at: datetime) -> str:
    """A line of a trace; `at` is when it came."""
    facts = {"t": round(webhook.at_sec, 3), "kind": "webhook", "at": at.isoformat()}
    return json.dumps({**facts, "body": _without_secrets(webhook.body)}, ensure_ascii=False)


def _without_secrets(body: Json) -> Json:
    """LiveKit tells the room's password for TURN; nobody who replays needs it."""
    room = body.get("room")
    if not isinstance(room, dict):
        return body
    return {**body, "room": {name: room[name] for name in room if name not in _SECRETS}}


def latest(body: Json) -> float | None:
    """The latest moment that a webhook tells of, in seconds since 1970."""
    return max(_moments(body), default=None)


def anew(webhooks: Sequence[Recorded], manner: Manner, now: datetime) -> Iterator[Recorded]:
    """The webhooks as they are to be sent, the first of them `now`."""
    told = [(latest(webhook.body), webhook.at_sec) for webhook in webhooks]
    begins = max((at - seconds for at, seconds in told if at is not None), default=0.0)
    again = _Again(manner, begins, now.timestamp())
    for webhook in webhooks:
        body = again.value("", webhook.body)
        if manner.salt and not body.get("id"):
            body["id"] = again.id_of("EV", json.dumps(webhook.body, sort_keys=True))
        yield replace(webhook, body=_in_room(body, manner.room_name))


@dataclass(frozen=True, slots=True)
class _Again:
    """Values made anew: what happened at `begins` happens `now`."""

    manner: Manner
    begins: float
    now: float

    def value(self, name: str, value: Any) -> Any:
        """The value of that name."""
        if isinstance(value, dict):
            return {key: self.value(key, each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.value(name, each) for each in value]
        if name in _MOMENTS and not self.manner.keeps_times:
            return self._moment(value)
        if name in _ROOM_NAMES and value and self.manner.room_name:
            return self.manner.room_name
        if isinstance(value, str) and self.manner.salt and name not in _CHOSEN:
            return self._id(name, value)
        return value

    def id_of(self, prefix: str, what: str) -> str:
        """An id that nobody has; the same for the same thing."""
        digest = hashlib.sha256(f"{self.manner.salt} {what}".encode()).hexdigest()
        return f"{prefix}_{digest[:_ID_LENGTH]}"

    def _id(self, name: str, value: str) -> str:
        match = _ID.fullmatch(value)
        if match is None and not (name in _CALL_IDS and value):
            return value
        return self.id_of(match[1] if match else "SCL", value)

    def _moment(self, value: Any) -> Any:
        """The moment, moved, in the same unit and form; nothing stays nothing."""
        seconds, unit = _seconds(value)
        if not seconds:
            return value
        moved = self.now + (seconds - self.begins) / self.manner.speed
        told = math.floor(moved * unit)
        return str(told) if isinstance(value, str) else told


def _in_room(body: Json, room_name: str) -> Json:
    room = body.get("room")
    if not room_name or not isinstance(room, dict):
        return body
    return {**body, "room": {**room, "name": room_name}}


def _moments(value: Any, name: str = "") -> Iterator[float]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _moments(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from _moments(each, name)
    elif name in _MOMENTS:
        seconds, _ = _seconds(value)
        if seconds:
            yield seconds


def _seconds(value: Any) -> tuple[float, int]:
    """A moment in seconds, and the unit it is written in; 0 for what is none."""
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        return 0.0, 1
    for unit in _UNITS:
        if 0 < number < _SECONDS_AT_MOST * unit:
            return number / unit, unit
    return 0.0, 1


def _line(number: int, line: str) -> tuple[float | None, Json] | None:
    """The time and the body of a line; None for one that is no webhook. Raises `BadRequest`."""
    if not line.strip():
        return None
    try:
        told = json.loads(line)
        if told.get("kind", "webhook") != "webhook":
            return None
        body = told.get("body", told)
        body = json.loads(body) if isinstance(body, str) else body
        if not isinstance(body["event"], str):
            raise TypeError("no event")
        at = None if told.get("t") is None else float(told["t"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise BadRequest(f"line {number} is no webhook") from None
    if at is not None and not math.isfinite(at):
        raise BadRequest(f"line {number} has no time in `t`")
    return at, body


def sent(body: Mapping[str, Any]) -> bytes:
    """A body as it is sent."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
