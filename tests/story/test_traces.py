"""What real servers sent, replayed: shuffled and doubled, it always ends in the same documents."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from egress_manager.adapters.livekit_webhooks import read_body
from egress_manager.adapters.mongo_documents import document_of
from egress_manager.domain.incoming import EgressKind, EgressReported, News, ParticipantSeen, Source
from egress_manager.domain.policy import Engine, Policy
from egress_manager.domain.recordings import STATUS, State
from egress_manager.errors import NotYet
from egress_manager.flows import ingest
from egress_manager.ports import Order
from tests.story.conftest import Tale
from tests.story.conftest import tale as make

Told = TypeVar("Told", bound=News)

TRACES: Final = sorted((Path(__file__).parents[1] / "traces").glob("*.jsonl"))

#: So many shuffled replays of each trace: with 18 of them more than a thousand.
REPLAYS: Final = 60

#: What may differ: when we looked, and how often.
OURS: Final = {"version", "history", "since", "due_at", "attempts"}

#: What each trace ends in: status and reason of its recordings, by the caller's identity.
ENDS: Final[dict[str, set[tuple[str, str]]]] = {
    "egress_deleted_room": {("completed", "")},
    "egress_handler_killed": {("failed", "signal: killed")},
    "egress_mix_and_track": {("completed", "")},
    "egress_mix_mp4_no_aac_encoder": {("failed", "egress_lost")},
    "egress_mp4_mix": {("completed", "")},
    "egress_no_service_running": {("failed", "egress_lost")},
    "egress_nobody_speaks": {("aborted", "no_audio")},
    "egress_participant_mp4": {("completed", "")},
    "egress_participant_mp4_no_aac_encoder": {("failed", "could not create element: faac")},
    "egress_service_stopped": {("failed", "egress_lost")},
    "egress_stop_at_once": {("aborted", "no_audio")},
    "egress_track_missing": {("failed", "egress_lost")},
    "egress_unwritable": {
        ("failed", "Local upload failed: mkdir /proc/nope/: no such file or directory")
    },
    "sip_fixed_room_two_callers": {("failed", "egress_lost"), ("aborted", "not_answered")},
    "sip_nobody_answers": {("aborted", "not_answered")},
    "sip_own_room": {("failed", "egress_lost")},
    "sip_removed_by_api": {("failed", "egress_lost")},
    "sip_room_deleted": {("failed", "egress_lost")},
}


def news_of(trace: Path) -> list[News]:
    """What the webhooks of a trace tell, each at the time it came."""
    lines = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    began = min(int(line["body"]["createdAt"]) - line["t"] for line in lines)
    return [
        read_body(
            json.dumps(line["body"]).encode(), datetime.fromtimestamp(began + line["t"], UTC)
        ).news
        for line in lines
    ]


async def ends(trace: Path, seed: int | None) -> list[dict[str, Any]]:
    """Tell the trace, in its order or shuffled and doubled; the documents at the end."""
    told = news_of(trace)
    tale: Tale = make.__wrapped__(Policy(engine=Engine.EGRESS))  # type: ignore[attr-defined]
    tale.doors = replace(tale.doors, house=replace(tale.doors.house, falls_back=False))
    over_at = max(news.at for news in told) + timedelta(seconds=1)
    first = next((i for i, n in enumerate(told) if isinstance(n, EgressReported)), len(told))
    tale.clock.at = told[first - 1].at
    for news in told[:first]:  # nobody reports on jobs that were not ordered yet
        await _take(tale, [news])
        if isinstance(news, ParticipantSeen):
            await _take(tale, [replace(news, source=Source.POLL)])
    tale.egress.doing = list(
        {
            news.egress_id: _as_ours(news, tale.egress.ordered)
            for news in told
            if isinstance(news, EgressReported)
        }.values()
    )
    if seed is not None:
        told *= 2
        random.Random(seed).shuffle(told)
    await _take(tale, told)
    tale.clock.at = over_at
    for _ in range(12):
        tale.clock.pass_(seconds=10)
        await tale.works()
    return [document_of(recording) for recording in tale.recordings.kept.values()]


async def _take(tale: Tale, told: list[News]) -> None:
    """Take them one after the other; those that came too early once more."""
    early = []
    for news in told:
        try:
            await ingest.take(_as_ours(news, tale.egress.ordered), tale.doors)
        except NotYet:
            early.append(news)
        await tale.works()
    for news in early:
        await ingest.take(_as_ours(news, tale.egress.ordered), tale.doors)


def _as_ours(news: Told, ordered: list[Order]) -> Told:
    """A report about the job that we ordered, in the place of the one of the trace."""
    if not isinstance(news, EgressReported):
        return news
    for order in ordered:
        if order.room_name != news.room.name:
            continue
        wanted = news.track_sid if news.kind is EgressKind.TRACK else ""
        if order.track_sid == wanted:
            path = order.path if news.filepath else None
            return replace(news, asked_path=order.path, filepath=path)
    return news


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.stem)
async def test_a_trace_ends_as_it_should(trace: Path) -> None:
    """In the order in which it was sent."""
    documents = await ends(trace, None)

    assert {_end(document) for document in documents} == ENDS[trace.stem]


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.stem)
async def test_order_and_repetition_never_matter(trace: Path) -> None:
    """Shuffled and doubled, again and again."""
    expected = [_lasting(document) for document in await ends(trace, None)]

    for seed in range(REPLAYS):
        assert [_lasting(document) for document in await ends(trace, seed)] == expected, seed


def _end(document: dict[str, Any]) -> tuple[str, str]:
    """The status, and the reason why there is no recording; files are not in a trace."""
    status = STATUS[State(document["state"])]
    return status, "" if status == "completed" else str(document["reason"])


def _lasting(document: dict[str, Any]) -> dict[str, Any]:
    """What of a document lasts; its jobs in one order."""
    lasting = {name: value for name, value in document.items() if name not in OURS}
    jobs = [{n: v for n, v in job.items() if n != "at"} for job in document["egresses"]]
    return lasting | {"egresses": sorted(jobs, key=lambda job: str(job["asked_path"]))}
