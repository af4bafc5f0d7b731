"""`egress-manager replay | inbox`: webhooks, sent again to a running service, and recorded."""

import asyncio
import math
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

import httpx2
from cyclopts import App, Parameter

from egress_manager.cli.moments import Moment
from egress_manager.cli.plainly import line
from egress_manager.cli.service import HERE, TIMEOUT, AsJson, Failed
from egress_manager.cli.tables import print_json
from egress_manager.domain.replaying import Manner, Recorded, line_of, read_trace
from egress_manager.errors import BadRequest
from egress_manager.flows.replay import Answer, kept_webhooks
from egress_manager.flows.replay import replay as replay_trace
from egress_manager.settings import load_settings

_Flag = Annotated[bool, Parameter(negative="")]

inbox = App("inbox", help="Webhooks as they came.")

#: What LiveKit calls a webhook's content.
_CONTENT_TYPE: Final = "application/webhook+json"

#: How wide the columns are in which answers are told: our ids have one length.
_WIDTHS: Final = (9, 27, 26, 25, 18)
_COLUMNS: Final = ("t", "event", "call", "recording", "egress", "outcome")


@Parameter(name="*")
@dataclass(frozen=True)
class Again:
    """How webhooks are sent again.

    Parameters
    ----------
    speed
        So many times as fast.
    at_once
        One right after the other.
    room
        As if it had happened in this room.
    keep_times
        Leave the times in them; the service does not record callers who joined long ago.
    keep_ids
        Leave the ids in them; the service takes each event once, and each call.
    """

    speed: float = 1.0
    at_once: _Flag = False
    room: str = ""
    keep_times: _Flag = False
    keep_ids: _Flag = False

    def manner(self) -> Manner:
        """The same in the words of the domain. Raises `BadRequest`."""
        if not 0 < self.speed < math.inf:
            raise BadRequest("--speed can't be used: write it like 2 or 0.5, or say --at-once")
        return Manner(
            speed=math.inf if self.at_once else self.speed,
            salt="" if self.keep_ids else secrets.token_hex(8),
            keeps_times=self.keep_times,
            room_name=self.room,
        )


#: Once more, as it was.
AS_IT_WAS: Final = Again()


def replay(
    file: Path,
    /,
    *,
    url: str = HERE.url,
    again: Again = AS_IT_WAS,
    as_json: AsJson = False,
) -> None:
    """Send recorded webhooks to a running service, in the rhythm in which they came.

    FILE has JSON lines: webhooks' bodies, or objects with `body` and `t` (seconds), as
    `egress-manager inbox export` writes them. Each is signed anew with the key of the settings, so
    run it with the service's settings. Ends with 1 if any of them was refused.

    Parameters
    ----------
    url
        Where the service is.
    as_json
        For scripts.
    """
    manner = again.manner()
    with _told(file), file.open(encoding="utf-8") as lines:
        trace = read_trace(lines)
    answers = asyncio.run(_replay(trace, manner, url, as_json=as_json))
    if as_json:
        print_json({"items": answers})
    refused = sum(not each["ok"] for each in answers)
    if refused:
        raise Failed(f"{refused} of {len(answers)} webhooks were refused")


async def _replay(
    trace: Sequence[Recorded], manner: Manner, url: str, *, as_json: bool
) -> list[dict[str, Any]]:
    """Every answer; printed as it comes, unless it is for scripts."""
    from egress_manager.wiring.parts import webhook_signature

    sign = webhook_signature(load_settings())
    answers: list[dict[str, Any]] = []
    if not as_json:
        line(_row(_COLUMNS))
    async with httpx2.AsyncClient(timeout=TIMEOUT) as client:
        receiver = Running(client, url, sign)
        async for webhook, answer in replay_trace(trace, manner, receiver=receiver, clock=_Now()):
            answers.append(_facts(webhook, answer))
            if not as_json:
                line(_row(_cells(answers[-1])))
    return answers


class Running:
    """The running service, as webhooks reach it (`flows.replay.Receiver`)."""

    def __init__(self, client: httpx2.AsyncClient, url: str, sign: Callable[[bytes], str]) -> None:
        self._client = client
        self._url = url.rstrip("/")
        self._sign = sign

    async def post(self, body: bytes) -> Answer:
        """Send it a webhook, signed as LiveKit does. Raises `Failed`."""
        headers = {"Content-Type": _CONTENT_TYPE, "Authorization": self._sign(body)}
        try:
            answer = await self._client.post(f"{self._url}/webhook", content=body, headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Failed(f"nobody answers at {self._url}: is it running? (--url)") from error
        try:
            said = answer.json()
        except ValueError:
            said = None
        if answer.status_code == httpx2.codes.UNAUTHORIZED:
            raise Failed(
                "the service does not know the key that signs: run this with its settings "
                "(LIVEKIT_API_SECRET, or WEBHOOK_SECRET and WEBHOOK_KEY)"
            )
        if not isinstance(said, dict) or not said.keys() & {"outcome", "code"}:
            raise Failed(f"what answers at {self._url} is not Egress Manager (--url)")
        return Answer(answer.status_code, said)


def _facts(webhook: Recorded, answer: Answer) -> dict[str, Any]:
    ids = {name: answer.said.get(name) for name in ("call_id", "recording_id", "egress_id")}
    return {
        "t": webhook.at_sec,
        "event": webhook.event,
        "event_id": webhook.body.get("id"),
        "ok": answer.is_good,
        "status": answer.status,
        "outcome": answer.said.get("outcome") or answer.said.get("detail") or "",
        **ids,
    }


def _cells(facts: dict[str, Any]) -> Sequence[str]:
    ids = (facts[name] or "" for name in ("call_id", "recording_id", "egress_id"))
    outcome = facts["outcome"] if facts["ok"] else f"{facts['status']}: {facts['outcome']}"
    return [f"{facts['t']:.3f}", facts["event"], *ids, outcome]


def _row(cells: Sequence[str]) -> str:
    *cells, last = cells
    return "".join(f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)) + last


@inbox.command
def export(
    file: Path,
    /,
    *,
    room: str | None = None,
    since: Moment = None,
    until: Moment = None,
) -> None:
    """Write the webhooks that are kept into a file that `egress-manager replay` sends again.

    PHONE NUMBERS ARE IN IT, and names of rooms and people: the file can be read by you alone, and
    is yours to remove. Webhooks are kept for seven days after they were worked on.

    Parameters
    ----------
    room
        Only those about this room.
    since
        Only those that came from this moment on (2026-11-22, or 2026-11-22T08:00).
    until
        Only those that came before this moment.
    """
    count = asyncio.run(_export(file, room, since, until))
    line(f"{count} webhooks were written to {file}. Phone numbers are in it.")


async def _export(
    file: Path, room: str | None, since: datetime | None, until: datetime | None
) -> int:
    from egress_manager.wiring.beside import open_kept

    count = 0
    async with open_kept(load_settings()) as kept:
        with _told(file), _new(file) as lines:
            async for at, webhook in kept_webhooks(kept, room_name=room, since=since, until=until):
                lines.write(line_of(webhook, at) + "\n")
                count += 1
            if not count:
                raise Failed("no such webhooks are kept")
    return count


@contextmanager
def _new(file: Path) -> Iterator[TextIO]:
    """A file that was not there, for its owner alone; gone again where it can't be completed."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as lines:
            yield lines
    except BaseException:
        file.unlink()
        raise


@contextmanager
def _told(file: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise BadRequest(f"{file} is no text") from error
    except OSError as error:
        raise BadRequest(f"{file} can't be used: {error.strerror}") from error
    except BadRequest as error:
        raise BadRequest(f"{file}: {error}") from None


class _Now:
    """The clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)
