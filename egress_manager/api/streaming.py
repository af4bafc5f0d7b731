"""An object of the bucket as an answer: handed on part by part, all of it or what is asked for.

One range can be asked for; who asks for several is given all, which is allowed (RFC 9110, 14.2).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from egress_manager.api.errors import NoSuchRange
from egress_manager.api.services import Objects
from egress_manager.domain.buckets import Stored

#: One range: from here to there, from here on, or so many at the end.
_RANGE: Final = re.compile(r"\s*bytes\s*=\s*(\d{,99})\s*-\s*(\d{,99})\s*", re.IGNORECASE | re.ASCII)


def streamed(stored: Stored, name: str, kind: str, request: Request, objects: Objects) -> Response:
    """The object under that name and with that content type, or the part that is asked for."""
    size = stored.size_bytes
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"inline; filename*=utf-8''{quote(name)}",
        "ETag": stored.etag,
        "Last-Modified": format_datetime(stored.written_at, usegmt=True),
    }
    if early := answered_early(request, headers, size):
        return early
    part = _asked_for(request, headers, size)
    if part is not None:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    status, wanted = (200, range(size)) if part is None else (206, part)
    headers["Content-Length"] = str(len(wanted))
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=kind)
    content = objects.read(stored, wanted.start, wanted.stop)
    return StreamingResponse(content, status_code=status, headers=headers, media_type=kind)


def answered_early(request: Request, now: Mapping[str, str], size: int) -> Response | None:
    """304 where the client has the file as it is `now`, by its `ETag` or `Last-Modified`.

    Raises `NoSuchRange` where it asks for a part behind the end.
    """
    if _has_it(request.headers, now):
        kept = {name: now[name] for name in ("ETag", "Last-Modified")}
        return Response(status_code=304, headers=kept)
    part = _asked_for(request, now, size)
    if part is not None and not part:
        raise NoSuchRange(size)
    return None


def _has_it(asked: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether the client's copy is current (RFC 9110, 13.1.2 and 13.1.3)."""
    if (tags := asked.get("if-none-match")) is not None:
        given = {tag.strip().removeprefix("W/") for tag in tags.split(",")}
        return bool({"*", now["ETag"].removeprefix("W/")} & given)
    since = _moment(asked.get("if-modified-since", ""))
    written = _moment(now["Last-Modified"])
    return since is not None and written is not None and written <= since


def _moment(text: str) -> datetime | None:
    """A date of HTTP; None for what is none."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def pass_over_ranges(request: Request) -> None:
    """Take away a `Range` that is not one range: then the whole file is wanted.

    The framework would refuse what it can't read, in a form of its own; a range that is not valid
    is to be passed over (RFC 9110, 14.1.1).
    """
    if part_of(1, request.headers.get("range", "")) is None:
        headers = request.scope["headers"]
        request.scope["headers"] = [each for each in headers if each[0] != b"range"]


def part_of(size: int, header: str) -> range | None:
    """The bytes that `Range` asks for, none where they are behind the end.

    None where it does not ask for one range of bytes: then all of them are wanted.
    """
    found = _RANGE.fullmatch(header)
    if found is None or found[1] == found[2] == "":
        return None
    if not found[1]:
        return range(max(0, size - int(found[2])), size)
    first, last = int(found[1]), int(found[2] or size - 1)
    if found[2] and last < first:
        return None
    return range(first, min(last + 1, size))


def _asked_for(request: Request, now: Mapping[str, str], size: int) -> range | None:
    """The part that is asked for, unless it is one of what the object is no more."""
    unless = request.headers.get("if-range")
    is_other = unless is not None and unless not in (now["ETag"], now["Last-Modified"])
    return None if is_other else part_of(size, request.headers.get("range", ""))
