"""What a service does on bad days: the stand-in does it on command."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from livekit import api

from lab.egress import NoStandIn, real_egress
from tests.e2e import egress_sequences as sequences
from tests.e2e.egress_studio import (
    CALLER,
    Studio,
    caller,
    egress_of,
    only_stand_in,
    opened,
    place,
    place_said,
    says,
    size,
    until,
)
from tests.e2e.listening import listen


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    async with opened(tmp_path) as studio:
        yield studio


async def gone(studio: Studio) -> None:
    await studio.egress.kill()


async def frozen(studio: Studio) -> None:
    studio.egress.pause()


async def broken(studio: Studio) -> None:
    """A recording failed for want of an encoder, and all of the service with it."""
    await studio.egress.misbehave("no_aac_encoder", times=1)
    egress = await studio.mix("mix.mp4")
    await studio.ended(egress)
    assert studio.sequence(egress) == sequences.NO_AAC_ENCODER


async def busy(studio: Studio) -> None:
    await studio.egress.misbehave("refuse")


NO_RESPONSE = "no response from servers"
ABSENCES: dict[Callable[[Studio], Awaitable[None]], str] = {
    gone: NO_RESPONSE,
    frozen: NO_RESPONSE,
    broken: NO_RESPONSE,
    busy: "not enough CPU",
}


async def test_nobody_takes_the_request(tmp_path):
    """503 after some 20 s, for which livekit-server asks again and again; nothing starts later."""

    async def refused(absence: Callable[[Studio], Awaitable[None]]) -> None:
        async with opened(tmp_path) as studio, caller(studio):
            await absence(studio)
            with pytest.raises(api.ServerError, match=ABSENCES[absence]) as refusal:
                await studio.mix()
            assert refusal.value.status == 503
            before = {event["id"] for event in studio.webhooks.events if egress_of(event)}
            await (_resume(studio) if absence is frozen else studio.egress.restart())
            egress = await studio.mix()
            await studio.active(egress)
            after = (event for event in studio.webhooks.events if event["id"] not in before)
            assert {egress_of(event) for event in after} - {None} == {egress}

    absences = [gone, frozen] if real_egress() else ABSENCES
    await asyncio.gather(*map(refused, absences))


async def _resume(studio: Studio) -> None:
    studio.egress.resume()


@only_stand_in
@pytest.mark.parametrize(
    ("fault", "sequence"),
    [
        ("handler_killed", sequences.HANDLER_KILLED),
        ("connection_lost", sequences.CONNECTION_LOST),
        ("limit_reached", sequences.LIMIT_REACHED),
        ("pipeline_error", sequences.PIPELINE_ERROR),
    ],
)
async def test_a_recording_ends_by_itself(studio, fault, sequence):
    """In the middle of a call, and the file is there when the last word says so."""
    async with caller(studio) as phone:
        egress = await studio.mix()
        await studio.active(egress)
        asked = await says(phone, CALLER)
        await studio.egress.misbehave(fault, times=1)
        recorded = await studio.ended(egress)

    assert studio.sequence(egress) == sequence
    assert bool(size(recorded["filename"])) == ("location" in recorded)
    if "location" in recorded:
        assert place(listen(recorded["location"]).right, CALLER) == place_said(recorded, asked)


@only_stand_in
@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        ("skip_active", ["", "ENDING", "COMPLETE"]),
        ("never_active", ["", "ABORTED"]),
        ("upload_failed", ["", "ACTIVE", "ENDING", "FAILED"]),
        ("no_location", ["", "ACTIVE", "ENDING", "COMPLETE"]),
        ("ended_twice", ["", "ACTIVE", "ENDING", "COMPLETE", "FAILED"]),
    ],
)
async def test_a_recording_does_not_end_as_it_should(studio, fault, statuses):
    """The next one is well again: the fault was for one."""
    await studio.egress.misbehave(fault, times=1)
    async with caller(studio):
        egress = await studio.mix()
        await studio.hears(egress, 1)
        if "ACTIVE" in statuses:
            await studio.active(egress)
        await studio.stop(egress)
        ended = await studio.ended(egress)
        await studio.reached("egress_ended", egress, f"EGRESS_{statuses[-1]}")
        well = await studio.mix("well.ogg")
        await studio.active(well)
        await studio.stop(well)
        await studio.ended(well)

    assert [heard.status for heard in studio.sequence(egress)] == statuses
    assert ("location" in ended) == (fault in ("skip_active", "ended_twice"))
    assert studio.sequence(well) == sequences.MIX_STOPPED


@only_stand_in
async def test_some_ends_are_told_to_nobody(studio):
    """A status that is not known, and a service that dies: both stay in LiveKit's books."""
    async with caller(studio):
        egress = await studio.mix()
        await studio.active(egress)
        await studio.egress.misbehave("unknown_status", times=1)
        await studio.stop(egress)
        await until(lambda: _is_over(studio, egress))
        orphan = await studio.mix("orphan.ogg")
        await studio.active(orphan)
        await studio.egress.kill()

    assert (await studio.listed(egress)).status == 17
    assert (await studio.listed(orphan)).status == api.EgressStatus.EGRESS_ACTIVE
    assert studio.sequence(egress) == sequences.MIX_STOPPED[:3]


async def _is_over(studio: Studio, egress: str) -> bool:
    return bool((await studio.listed(egress)).status > api.EgressStatus.EGRESS_ENDING)


@only_stand_in
async def test_a_service_falls_silent(studio):
    """Its recorder is out of the room, and LiveKit believes it active."""
    async with caller(studio):
        egress = await studio.mix()
        await studio.active(egress)
        await studio.egress.misbehave("silent")
        await studio.webhooks.reached(
            "participant_left", where=lambda event: event["participant"]["identity"] == egress
        )

    assert (await studio.listed(egress)).status == api.EgressStatus.EGRESS_ACTIVE
    assert studio.sequence(egress) == sequences.MIX_STOPPED[:2]


@only_stand_in
async def test_a_start_that_nobody_answered_comes_all_the_same(studio):
    """The caller has given up long before."""
    await studio.egress.misbehave("no_answer", times=1, seconds=1)
    async with caller(studio):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(studio.mix(), 0.8)
        event = await studio.webhooks.reached("egress_started")
        await studio.active(event["egressInfo"]["egressId"])


@only_stand_in
async def test_a_slow_service_answers_in_the_end(studio):
    """And is ACTIVE later still."""
    await studio.egress.misbehave("slow_start", times=1, seconds=0.3)
    await studio.egress.misbehave("slow_active", times=1, seconds=0.3)
    async with caller(studio):
        await studio.active(await studio.mix())


@only_stand_in
async def test_a_fault_that_there_is_not(studio):
    """The answer names those that there are."""
    with pytest.raises(ValueError, match="handler_killed"):
        await studio.egress.misbehave("hiccups")


async def test_the_real_one_does_not_misbehave(studio, monkeypatch, tmp_path):
    """So that a test can skip what only a stand-in does."""
    real = tmp_path / "egress"
    real.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert not studio.egress.is_stand_in
    with pytest.raises(NoStandIn, match=str(real)):
        await studio.egress.misbehave("absent")
