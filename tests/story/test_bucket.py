"""Recordings that LiveKit Egress puts into a bucket: found there, missed there, put together."""

from datetime import timedelta
from typing import Any

import pytest

from egress_manager.domain.policy import Engine, Policy
from egress_manager.domain.recordings import Verdict
from egress_manager.flows import reconcile
from egress_manager.flows.reconcile import Difference, Kind
from egress_manager.ports import Order
from tests.story.conftest import Tale
from tests.story.test_livekit_egress import begins, leaves, mix, says, tale_ends

BUCKET = "https://s3.example.com/calls"


@pytest.fixture
def policy() -> Policy:
    """LiveKit Egress records every call."""
    return Policy(engine=Engine.EGRESS)


@pytest.fixture
def tale(tale: Tale) -> Tale:
    """A house with a bucket."""
    tale.files.bucket = BUCKET
    return tale


def address(order: Order) -> str:
    """Where the object of an order is, as LiveKit says it."""
    return f"{BUCKET}/{order.path}"


async def uploads(tale: Tale, order: Order, status: str = "COMPLETE", **given: Any) -> None:
    """The job has ended, and its object is in the bucket."""
    now = tale.clock.now()
    tale.files.there.add(address(order))
    facts = {"filepath": address(order), "is_delivered": True}
    facts |= {"started_at": now - timedelta(seconds=29), "ended_at": now, "duration_sec": 29.0}
    await says(tale, order, status, **(facts | given))


async def found(tale: Tale) -> list[Difference]:
    """What differs now in where files are."""
    kinds = (Kind.FILE_FOUND, Kind.FILE_MISSING)
    return [each for each in await reconcile.differences(tale.doors) if each.kind in kinds]


async def test_an_object_is_a_file(tale: Tale) -> None:
    """The document has its address; all that is wrong is that the job began five seconds late."""
    await begins(tale)
    await leaves(tale)
    for order in list(tale.egress.ordered):
        await uploads(tale, order)
    await tale_ends(tale)

    recording = await tale.recording()
    assert (recording.status, recording.verdict) == ("completed", Verdict.FLAWED)
    assert [finding.name for finding in recording.findings] == ["late_start"]
    assert recording.filepath == address(mix(tale))
    assert all((track.filepath or "").startswith(BUCKET) for track in recording.tracks)
    assert await found(tale) == []


async def test_an_object_that_nobody_told_of_is_looked_for(tale: Tale) -> None:
    """COMPLETE without a location: what was asked for lies in the bucket."""
    await begins(tale)
    await leaves(tale)
    tale.files.there.add(address(mix(tale)))
    await says(tale, mix(tale), "COMPLETE")
    await tale_ends(tale)

    recording = await tale.recording()
    assert (recording.status, recording.filepath) == ("completed", address(mix(tale)))


async def test_an_upload_that_failed_is_a_failure_until_the_object_is_there(tale: Tale) -> None:
    """Somebody brings it there by hand, and reconciling takes it."""
    await begins(tale)
    await leaves(tale)
    error = "S3 upload failed: NoSuchBucket: The specified bucket does not exist."
    await says(tale, mix(tale), "FAILED", error=error, error_code=400)
    await tale_ends(tale)
    assert ((await tale.recording()).status, (await tale.recording()).reason) == ("failed", error)

    tale.files.there.add(address(mix(tale)))
    (difference,) = await found(tale)
    assert difference.kind is Kind.FILE_FOUND
    assert await reconcile.mend(difference, tale.doors)
    await tale_ends(tale)

    recording = await tale.recording()
    assert (recording.status, recording.filepath) == ("completed", address(mix(tale)))


async def test_an_object_that_is_gone_is_missed(tale: Tale) -> None:
    """The bucket has a rule of its own that removes things."""
    await begins(tale)
    await leaves(tale)
    await uploads(tale, mix(tale))
    await tale_ends(tale)
    tale.files.there.clear()

    (difference,) = await found(tale)
    assert (difference.kind, difference.about) == (Kind.FILE_MISSING, address(mix(tale)))
    assert await reconcile.mend(difference, tale.doors)

    assert (await tale.recording()).verdict is Verdict.MISSING
    assert await found(tale) == []


async def test_what_lies_where_nobody_here_can_look_is_not_missed(tale: Tale) -> None:
    """LiveKit says that it has delivered to the storage of somebody else."""
    await begins(tale)
    await leaves(tale)
    await uploads(tale, mix(tale), filepath="https://storage.googleapis.com/theirs/a.mp4")
    await tale_ends(tale)

    recording = await tale.recording()
    assert (recording.status, recording.verdict) == ("completed", Verdict.UNHEARD)
    assert await found(tale) == []


async def test_pieces_in_the_bucket_become_one_file_in_the_directory(tale: Tale) -> None:
    """They are brought here for as long as that takes; the document says where the whole is."""
    await begins(tale)
    first = mix(tale)
    await says(tale, first, "ACTIVE")
    tale.clock.pass_(seconds=10)
    await uploads(tale, first, "FAILED", error="connection lost", error_code=503)
    tale.clock.pass_(seconds=1)
    await tale.works()
    second = mix(tale)
    assert second != first
    await says(tale, second, "ACTIVE")
    await leaves(tale)
    await uploads(tale, second)
    await tale_ends(tale)

    recording = await tale.recording()
    assert recording.status == "completed"
    assert (recording.filepath or "").startswith("/recordings/")
    assert {address(first), address(second)} <= set(tale.files.fetched)
    pieces = tale.renderer.finished[-1].pieces
    assert all(piece.filepath.startswith(".fetched/") for piece in pieces)
    assert len(pieces) == 2
