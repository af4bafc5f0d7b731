"""Calls that LiveKit Egress records: whatever it says, in whatever order, or does not say."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from egress_manager.domain.incoming import (
    EgressKind,
    EgressReported,
    Kind,
    Participant,
    RoomFinished,
    RoomListed,
    Sides,
    Source,
    Track,
)
from egress_manager.domain.policy import Engine, Policy
from egress_manager.domain.recordings import Recording, State, Verdict
from egress_manager.errors import NotYet, StoreUnavailable
from egress_manager.flows import ingest, reconcile
from egress_manager.ports import Order
from tests.story.conftest import ROOM, Tale


@pytest.fixture
def policy() -> Policy:
    """LiveKit Egress records every call."""
    return Policy(engine=Engine.EGRESS)


AGENT_TRACK, CALLER_TRACK = Track("TR_agent"), Track("TR_caller")


def agent() -> Participant:
    """Who answers."""
    return Participant("PA_agent", "agent-1", kind=Kind.AGENT, tracks=(AGENT_TRACK,))


async def begins(tale: Tale) -> Recording:
    """A call is there, and its recorder has been ordered to."""
    caller = tale.caller(tracks=(CALLER_TRACK,))
    tale.rooms.people[ROOM.name] = [caller, agent()]
    await tale.sees(caller, Source.POLL)
    await tale.sees(agent(), Source.POLL)
    await tale.works()
    return await tale.recording()


def report(tale: Tale, order: Order, status: str, **given: Any) -> EgressReported:
    """What LiveKit says of the job of an order."""
    number = tale.egress.ordered.index(order)
    facts: dict[str, Any] = {
        "kind": EgressKind.TRACK if order.track_sid else EgressKind.MIX,
        "sides": Sides.ONE_VOICE if order.track_sid else Sides.CALLER_LEFT,
        "track_sid": order.track_sid,
        "asked_path": order.path,
        "filepath": order.path,
    }
    return EgressReported(tale.clock.now(), ROOM, f"EG_{number}", status, **(facts | given))


async def says(tale: Tale, order: Order, status: str, **given: Any) -> None:
    """LiveKit says it, and what follows is done."""
    await ingest.take(report(tale, order, status, **given), tale.doors)
    await tale.works()


async def delivers(tale: Tale, order: Order, status: str = "COMPLETE", **given: Any) -> None:
    """The job has ended and left its file."""
    now = tale.clock.now()
    path = tale.doors.files.path(order.path)
    tale.files.there.add(path)
    facts = {"is_delivered": True, "started_at": now - timedelta(seconds=29), "ended_at": now}
    await says(tale, order, status, **(facts | {"duration_sec": 29.0, "size_bytes": 9} | given))


async def leaves(tale: Tale, seconds: float = 30) -> None:
    """The caller hangs up, and time passes until its recorder is told to stop."""
    tale.clock.pass_(seconds=seconds)
    tale.rooms.people[ROOM.name] = [agent()]
    await tale.loses(tale.caller(), Source.WEBHOOK)
    await tale.works()
    tale.clock.pass_(seconds=4)
    await tale.works()


def mix(tale: Tale) -> Order:
    """The latest order for the whole call."""
    return [order for order in tale.egress.ordered if not order.track_sid][-1]


async def test_a_call_is_ordered_heard_of_and_finished(tale: Tale) -> None:
    """The mix and every track, agents' too; the document has what LiveKit says of the files."""
    recording = await begins(tale)
    orders = tale.egress.ordered

    assert recording.engine == "egress"
    assert {order.track_sid for order in orders} == {"", "TR_agent", "TR_caller"}
    assert mix(tale).identity == "sip_+15550100"
    assert recording.id in mix(tale).path
    for order in orders:
        await says(tale, order, "ACTIVE")
    assert (await tale.recording()).status == "recording"
    assert (await tale.recording()).egress_id == "EG_0"

    await leaves(tale)
    assert sorted(tale.egress.stopped) == ["EG_0", "EG_1", "EG_2"]
    for order in orders:
        await delivers(tale, order)

    recording = await tale.recording()
    assert recording.status == "completed"
    assert recording.filepath == tale.doors.files.path(mix(tale).path)
    assert recording.duration_sec == 29.0
    assert {track.track_sid for track in recording.tracks} == {"TR_agent", "TR_caller"}
    assert all(track.filepath for track in recording.tracks)
    assert [channel.participants for channel in recording.channels] == [
        ("sip_+15550100",),
        ("agent-1",),
    ]
    assert tale.renderer.finished == []


async def test_what_is_asked_for_is_asked_for_once(tale: Tale) -> None:
    """However often the caller is seen, and whoever looks."""
    await begins(tale)
    before = list(tale.egress.ordered)

    await begins(tale)
    await tale.sees(tale.caller(), Source.WEBHOOK)
    await tale.works()

    assert tale.egress.ordered == before


async def test_a_track_that_is_published_later_gets_its_own_job(tale: Tale) -> None:
    """Next step A of the user's document: tracks are recorded as they are published."""
    caller = tale.caller()
    tale.rooms.people[ROOM.name] = [caller]
    await tale.sees(caller, Source.POLL)
    await tale.works()
    assert [order.track_sid for order in tale.egress.ordered] == [""]

    news = ingest.TrackSeen(tale.clock.now(), ROOM, agent(), AGENT_TRACK, Source.WEBHOOK)
    await ingest.take(news, tale.doors)
    await tale.works()

    assert [order.track_sid for order in tale.egress.ordered] == ["", "TR_agent"]


async def test_the_track_of_a_phone_that_rings_is_tried_until_it_speaks(tale: Tale) -> None:
    """LiveKit gives a silent track up after 30 s; real failures are tried three times."""
    await begins(tale)
    await says(tale, mix(tale), "ACTIVE")
    for _ in range(5):
        tale.clock.pass_(seconds=30)
        order = [o for o in tale.egress.ordered if o.track_sid == "TR_caller"][-1]
        await says(tale, order, "FAILED", error="track TR_caller not found", error_code=404)
    assert len([o for o in tale.egress.ordered if o.track_sid == "TR_caller"]) == 6

    for _ in range(5):
        order = [o for o in tale.egress.ordered if o.track_sid == "TR_agent"][-1]
        await says(tale, order, "FAILED", error="signal: killed", error_code=500)
    assert len([o for o in tale.egress.ordered if o.track_sid == "TR_agent"]) == 3


async def test_the_builtin_recorder_takes_over_after_two_seconds(tale: Tale) -> None:
    """No egress is there: LiveKit takes 22 s to say so, the caller does not wait."""
    await begins(tale)
    tale.clock.pass_(seconds=2)
    await tale.works()

    recording = await tale.recording()
    assert tale.recorder.attended == [ROOM.name]
    assert (recording.engine, recording.fell_back) == ("builtin", "egress_did_not_start")
    assert "recording.fell_back" in [event.name for event in recording.history]

    await tale.sees(tale.caller(), Source.CAPTURE, capture="cap_1")
    tale.clock.pass_(seconds=20)
    await says(tale, mix(tale), "FAILED", error="no response from servers", error_code=503)
    await leaves(tale)
    await tale.works()

    recording = await tale.recording()
    assert recording.status == "completed"
    assert tale.renderer.finished[-1].captures == (".captures/cap_1",)


async def test_an_egress_that_starts_after_all_is_stopped(tale: Tale) -> None:
    """The built-in recorder is at work by then: one mix is enough."""
    await begins(tale)
    tale.clock.pass_(seconds=2)
    await tale.works()
    await tale.sees(tale.caller(), Source.CAPTURE, capture="cap_1")

    await says(tale, mix(tale), "STARTING")

    assert tale.egress.stopped == ["EG_0"]


async def test_without_a_fallback_it_is_tried_again_while_the_call_goes_on(tale: Tale) -> None:
    """Each try has a file of its own, and says what went wrong."""
    tale.doors = replace(tale.doors, house=replace(tale.doors.house, falls_back=False))
    await begins(tale)
    for _ in range(3):
        await says(tale, mix(tale), "FAILED", error="no response from servers", error_code=503)
        tale.clock.pass_(seconds=10)
        await tale.works()

    tries = [order.path for order in tale.egress.ordered if not order.track_sid]
    assert len(set(tries)) == 4
    assert tale.recorder.attended == []

    await says(tale, mix(tale), "ACTIVE", started_at=tale.clock.now())
    await leaves(tale)
    await delivers(tale, mix(tale))
    await tale_ends(tale)
    recording = await tale.recording()
    assert recording.status == "completed"
    assert recording.holes[0].cause == "no response from servers"


async def test_a_handler_that_is_killed_leaves_nothing_and_the_builtin_goes_on(tale: Tale) -> None:
    """LiveKit deletes the file of a killed handler: what comes after is kept, and it says so."""
    await begins(tale)
    await says(tale, mix(tale), "ACTIVE", started_at=tale.clock.now())
    tale.clock.pass_(seconds=60)
    await says(tale, mix(tale), "FAILED", error="signal: killed", error_code=500)
    for _ in range(8):
        tale.clock.pass_(seconds=0.5)
        await tale.works()

    assert mix(tale).path.endswith(".2.mp4")
    assert (await tale.recording()).fell_back == "egress_did_not_start"
    assert tale.recorder.attended == [ROOM.name]

    await tale.sees(tale.caller(), Source.CAPTURE, capture="cap_1")
    await leaves(tale)
    await tale_ends(tale)
    recording = await tale.recording()
    assert (recording.status, recording.engine) == ("completed", "builtin")


async def test_a_file_of_a_failed_job_is_kept(tale: Tale) -> None:
    """Connection lost: FAILED 503, and a file that is good up to then."""
    await begins(tale)
    await leaves(tale)
    await delivers(tale, mix(tale), "FAILED", error="recording ended early", error_code=503)
    await tale_ends(tale)

    assert (await tale.recording()).status == "completed"


async def test_a_job_that_breaks_off_before_anybody_was_asked_is_followed_by_another(
    tale: Tale,
) -> None:
    """Only a webhook told of the caller yet; that does not make the first piece the whole call."""
    await tale.sees(tale.caller(tracks=(CALLER_TRACK,)), Source.WEBHOOK)
    await tale.works()
    first = mix(tale)
    await delivers(tale, first, "FAILED", error="recording ended early", error_code=503)
    tale.clock.pass_(seconds=3)
    await tale.works()

    assert (await tale.recording()).is_going_on
    assert mix(tale) != first or tale.recorder.attended == [ROOM.name]


async def test_a_job_that_reached_its_limit_has_its_file(tale: Tale) -> None:
    """LIMIT_REACHED is told before the upload and after it."""
    await begins(tale)
    await leaves(tale)
    await says(tale, mix(tale), "LIMIT_REACHED", error="Session limit reached", error_code=413)
    await delivers(tale, mix(tale), "LIMIT_REACHED")
    await tale_ends(tale)

    assert (await tale.recording()).status == "completed"


async def test_nobody_speaks(tale: Tale) -> None:
    """ABORTED 412 is a normal end: there was nothing to record."""
    await begins(tale)
    await leaves(tale)
    await says(tale, mix(tale), "ABORTED", error="Start signal not received", error_code=412)
    await tale_ends(tale)

    recording = await tale.recording()
    assert (recording.status, recording.reason) == ("aborted", "no_audio")


async def test_a_directory_that_cannot_be_written_fails_at_the_end(tale: Tale) -> None:
    """ACTIVE all along, FAILED 400 when the file should be there: the reason is LiveKit's."""
    await begins(tale)
    await says(tale, mix(tale), "ACTIVE")
    await leaves(tale)
    error = "Local upload failed: mkdir /proc/nope/: no such file or directory"
    await says(tale, mix(tale), "FAILED", error=error, error_code=400)
    await tale_ends(tale)

    recording = await tale.recording()
    assert (recording.status, recording.reason) == ("failed", error)


async def test_complete_without_a_location_is_looked_for(tale: Tale) -> None:
    """The file counts, not the word."""
    await begins(tale)
    await leaves(tale)
    tale.files.there.add(tale.doors.files.path(mix(tale).path))
    await says(tale, mix(tale), "COMPLETE")
    await tale_ends(tale)

    assert (await tale.recording()).status == "completed"


async def test_complete_without_a_location_and_without_a_file_failed(tale: Tale) -> None:
    """Nothing is called completed that has no file."""
    await begins(tale)
    await leaves(tale)
    await says(tale, mix(tale), "COMPLETE")
    await tale_ends(tale)

    assert (await tale.recording()).status == "failed"


async def test_a_service_that_was_killed_says_nothing_ever(tale: Tale) -> None:
    """ListEgress shows ACTIVE for ever: it is given up soon, and the file is looked for."""
    await begins(tale)
    active = report(tale, mix(tale), "ACTIVE")
    tale.egress.doing.append(active)
    await ingest.take(active, tale.doors)
    await leaves(tale)
    for _ in range(5):
        tale.clock.pass_(seconds=20)
        await tale.works()

    recording = await tale.recording()
    assert recording.status == "failed"
    assert "egress_never_ended" in {job.error for job in recording.egresses}


async def test_a_job_that_is_ending_may_take_minutes_for_its_upload(tale: Tale) -> None:
    """It was told and said so; after a quarter of an hour nothing more is expected."""
    await begins(tale)
    ending = report(tale, mix(tale), "ENDING")
    tale.egress.doing.append(ending)
    await ingest.take(ending, tale.doors)
    await leaves(tale)
    seen = []
    for _ in range(60):
        tale.clock.pass_(seconds=20)
        await tale.works()
        seen.append((await tale.recording()).status)

    assert seen[:40] == ["processing"] * 40
    assert seen[-1] == "failed"


async def test_a_job_that_livekit_has_forgotten_is_lost(tale: Tale) -> None:
    """Ended entries go after 24 h, all of them with Redis: then the file decides."""
    await begins(tale)
    await says(tale, mix(tale), "ACTIVE")
    tale.files.there.add(tale.doors.files.path(mix(tale).path))
    await leaves(tale)
    await tale_ends(tale)

    recording = await tale.recording()
    assert recording.status == "completed"
    assert {job.status for job in recording.egresses} == {"lost"}


async def test_while_redis_is_gone_nothing_is_taken_for_lost(tale: Tale) -> None:
    """Who can't be asked has not said no: what goes on is asked after again later."""
    await begins(tale)
    await says(tale, mix(tale), "ACTIVE")
    tale.egress.away = True
    await leaves(tale)
    for _ in range(6):
        tale.clock.pass_(seconds=30)
        await tale.works()
    assert (await tale.recording()).status == "processing"

    tale.egress.away = False
    await delivers(tale, mix(tale))
    await tale_ends(tale)

    assert (await tale.recording()).status == "completed"


async def test_a_caller_who_comes_back_is_recorded_again(tale: Tale) -> None:
    """livekit-server restarted: the room and its egress are others, the call is the same."""
    await begins(tale)
    await says(tale, mix(tale), "ACTIVE", started_at=tale.clock.now())
    await leaves(tale)
    await delivers(tale, mix(tale), "FAILED", error="connection lost", error_code=503)
    await tale_ends(tale)
    assert (await tale.recording()).status == "completed"

    again = tale.caller("PA_again", tracks=(CALLER_TRACK,))
    tale.rooms.people[ROOM.name] = [again]
    await tale.sees(again, Source.POLL)
    await tale.works()
    assert mix(tale).path.endswith(".2.mp4")
    await says(tale, mix(tale), "ACTIVE", started_at=tale.clock.now())
    tale.clock.pass_(seconds=20)
    await tale.loses(again, Source.WEBHOOK)
    await delivers(tale, mix(tale))
    await tale_ends(tale)

    assert (await tale.recording()).status == "completed"
    assert len(tale.renderer.finished[-1].pieces) == 2


async def test_a_file_that_turns_up_late_beats_a_failure(tale: Tale) -> None:
    """Backup storage, a slow upload: told when all seemed over."""
    await begins(tale)
    await leaves(tale)
    await says(tale, mix(tale), "FAILED", error="S3 upload failed", error_code=400)
    await tale_ends(tale)
    assert (await tale.recording()).status == "failed"

    await delivers(tale, mix(tale))
    await tale_ends(tale)

    assert (await tale.recording()).status == "completed"


async def test_an_unknown_status_says_nothing(tale: Tale) -> None:
    """A newer LiveKit: what is not understood changes nothing."""
    before = await begins(tale)

    await ingest.take(report(tale, mix(tale), "PAUSED"), tale.doors)

    assert await tale.recording() == before


async def test_a_failure_without_an_id_is_known_by_its_path(tale: Tale) -> None:
    """LiveKit tells of automatic egresses that could not start without an egress id."""
    await begins(tale)
    news = replace(report(tale, mix(tale), "FAILED", error="no egress"), egress_id="")
    await ingest.take(news, tale.doors)

    assert (await tale.recording()).egresses[0].status == "failed"


async def test_a_foreign_egress_is_adopted_rather_than_doubled(tale: Tale) -> None:
    """The room's own configuration has begun one before the caller was let in."""
    foreign = EgressReported(
        tale.clock.now(), ROOM, "EG_auto", "ACTIVE", asked_path="/rec/auto.ogg"
    )
    tale.egress.doing.append(foreign)

    recording = await begins(tale)

    assert {order.track_sid for order in tale.egress.ordered} == {"TR_caller", "TR_agent"}
    assert recording.egress_id == "EG_auto"


async def test_what_somebody_else_recorded_without_a_call_is_a_recording(tale: Tale) -> None:
    """Ended for an unknown id: it waits for its call, and then is one of its own."""
    ended = EgressReported(
        tale.clock.now(),
        ROOM,
        "EG_theirs",
        "COMPLETE",
        filepath="/elsewhere/theirs.ogg",
        is_delivered=True,
        started_at=tale.clock.now() - timedelta(seconds=10),
        duration_sec=10.0,
    )
    with pytest.raises(NotYet):
        await ingest.take(ended, tale.doors)
    tale.clock.pass_(seconds=60)
    await ingest.take(ended, tale.doors)
    await tale.works()

    recording = await tale.recording()
    assert (recording.call_id, recording.source) == (None, "egress")
    assert (recording.status, recording.filepath) == ("completed", "/elsewhere/theirs.ogg")
    assert recording.verdict is Verdict.MISSING


async def test_a_room_that_is_finished_before_its_egress_has_ended(tale: Tale) -> None:
    """And the other way round: no order is promised between the two."""
    await begins(tale)
    tale.clock.pass_(seconds=30)
    tale.rooms.people.clear()
    await ingest.take(RoomFinished(tale.clock.now(), ROOM, Source.WEBHOOK), tale.doors)
    await tale.works()
    await delivers(tale, mix(tale))
    await tale_ends(tale)

    assert (await tale.recording()).status == "completed"


async def test_an_egress_that_ends_before_its_caller_is_seen_to_leave(tale: Tale) -> None:
    """Five seconds are allowed: nothing is begun again for a caller who is gone."""
    await begins(tale)
    await says(tale, mix(tale), "ACTIVE")
    tale.clock.pass_(seconds=30)
    await delivers(tale, mix(tale))
    tale.clock.pass_(seconds=3)
    await tale.works()
    await leaves(tale, seconds=1)
    await tale_ends(tale)

    assert len([o for o in tale.egress.ordered if not o.track_sid]) == 1
    assert (await tale.recording()).status == "completed"


async def test_a_caller_whom_livekit_lists_no_more_is_not_recorded_again(tale: Tale) -> None:
    """Only polling tells that the caller left, and that takes twelve seconds."""
    await begins(tale)
    await says(tale, mix(tale), "ACTIVE")
    tale.clock.pass_(seconds=30)
    tale.rooms.people[ROOM.name] = [agent()]
    await delivers(tale, mix(tale))
    for _ in range(12):
        tale.clock.pass_(seconds=1)
        await tale.works()
    await leaves(tale, seconds=1)
    await tale_ends(tale)

    recording = await tale.recording()
    assert len([o for o in tale.egress.ordered if not o.track_sid]) == 1
    assert (recording.status, recording.engine) == ("completed", "egress")


async def test_a_list_that_lacks_the_caller_does_not_end_the_recording(tale: Tale) -> None:
    """The caller goes on speaking; after 20 s the recorder believes the list no longer."""
    await begins(tale)
    await says(tale, mix(tale), "ACTIVE")
    tale.clock.pass_(seconds=30)
    tale.rooms.people[ROOM.name] = []
    await delivers(tale, mix(tale))
    for _ in range(25):
        tale.clock.pass_(seconds=1)
        await tale.works()

    assert (await tale.recording()).fell_back


async def test_what_webhooks_lost_is_found_by_asking(tale: Tale) -> None:
    """ListEgress says the same as the webhooks that never came."""
    await begins(tale)
    await leaves(tale)
    now = tale.clock.now()
    tale.files.there.add(tale.doors.files.path(mix(tale).path))
    facts = {"is_delivered": True, "started_at": now - timedelta(seconds=30), "ended_at": now}
    tale.egress.doing.append(report(tale, mix(tale), "COMPLETE", **facts))

    found = await reconcile.differences(tale.doors)
    assert "report" in {difference.kind for difference in found}
    assert await reconcile.Listing().hear(tale.doors) == 0
    await tale_ends(tale)

    assert (await tale.recording()).status == "completed"


async def test_a_job_that_does_not_heed_its_stop_is_told_again(tale: Tale) -> None:
    """LiveKit could not reach it: else it would record an empty room until somebody wonders."""
    await begins(tale)
    await says(tale, mix(tale), "ACTIVE")
    await leaves(tale)
    asked_once = tale.egress.stopped.count("EG_0")
    for _ in range(3):
        tale.clock.pass_(seconds=5)
        await tale.works()
    asked_again = tale.egress.stopped.count("EG_0")
    await says(tale, mix(tale), "ENDING")
    tale.clock.pass_(seconds=20)
    await tale.works()

    assert (asked_once, asked_again) == (1, 2)
    assert tale.egress.stopped.count("EG_0") == asked_again


async def test_a_caller_who_is_found_gone_by_a_poll_ends_the_jobs(tale: Tale) -> None:
    """No webhook of the leaving ever came."""
    await begins(tale)
    await says(tale, mix(tale), "ACTIVE")
    now = tale.clock.pass_(seconds=30)
    tale.rooms.people[ROOM.name] = [agent()]
    await ingest.take(RoomListed(now, ROOM, (agent(),), now), tale.doors)
    tale.clock.pass_(seconds=5)
    await tale.works()

    assert "EG_0" in tale.egress.stopped


async def test_a_store_that_is_away_lets_the_builtin_recorder_begin(tale: Tale) -> None:
    """An order has to be written down before it is given; who is in the room needs no paper."""
    tale.calls.away = True
    with pytest.raises(StoreUnavailable):
        await tale.sees(tale.caller(), Source.POLL)
    assert tale.recorder.attended == [ROOM.name]

    tale.calls.away = False
    await tale.sees(tale.caller(), Source.CAPTURE, capture="cap_1")
    await tale.works()
    await leaves(tale)
    await tale_ends(tale)

    recording = await tale.recording()
    assert (recording.status, recording.fell_back) == ("completed", "store_unavailable")
    assert tale.renderer.finished[-1].captures == (".captures/cap_1",)


async def test_files_are_missed_and_found_again_by_themselves(tale: Tale) -> None:
    """A disk that was not mounted: the verdict says so, and takes it back."""
    await begins(tale)
    await leaves(tale)
    for order in list(tale.egress.ordered):
        await delivers(tale, order)
    before = (await tale.recording()).verdict
    there = set(tale.files.there)

    tale.files.there.clear()
    await reconcile.sweep(tale.doors)
    assert (await tale.recording()).verdict is Verdict.MISSING
    await tale.works()
    assert (await tale.recording()).state is State.REJECTED

    tale.files.there |= there
    await reconcile.sweep(tale.doors)
    await tale.works()
    assert (await tale.recording()).verdict is before
    assert await reconcile.sweep(tale.doors) == 0


async def test_a_server_without_egress_is_not_asked_for_jobs(tale: Tale) -> None:
    """Where the built-in recorder records everything, nobody needs Redis to reconcile."""
    house = replace(tale.doors.house, policy=Policy())
    tale.doors = replace(tale.doors, house=house)
    tale.egress.away = True

    assert await reconcile.differences(tale.doors) == []


async def tale_ends(tale: Tale) -> None:
    """Time passes until nothing more happens by itself."""
    for _ in range(12):
        tale.clock.pass_(seconds=10)
        await tale.works()


async def ends_with_tracks(tale: Tale, *tracks: Track) -> Recording:
    """The caller, the agent and a guest have published these; the mix is delivered."""
    caller = tale.caller(tracks=tracks[:1])
    answers = replace(agent(), tracks=tracks[1:2])
    guest = Participant("PA_guest", "mallory", kind=Kind.STANDARD, tracks=tracks[2:])
    tale.rooms.people[ROOM.name] = [caller, answers, guest]
    for person in tale.rooms.people[ROOM.name]:
        await tale.sees(person, Source.POLL)
    await tale.works()
    for order in tale.egress.ordered:
        await says(tale, order, "ACTIVE")
    await leaves(tale)
    for order in list(tale.egress.ordered):
        await delivers(tale, order)
    return await tale.recording()


async def test_who_claims_encryption_costs_nobody_the_file(tale: Tale) -> None:
    """Anybody can say so of a track: the mix is kept, and a finding names the track."""
    lie = Track("TR_guest", is_encrypted=True)
    recording = await ends_with_tracks(tale, CALLER_TRACK, AGENT_TRACK, lie)

    assert recording.status == "completed"
    assert recording.filepath == tale.doors.files.path(mix(tale).path)
    assert [f.track_sid for f in recording.findings if f.name == "encrypted"] == ["TR_guest"]
    assert recording.verdict is Verdict.FLAWED


async def test_a_room_that_is_encrypted_is_never_called_completed(tale: Tale) -> None:
    """Where all tracks say so, what LiveKit Egress delivers is not the call."""
    tracks = [Track(f"TR_{number}", is_encrypted=True) for number in range(2)]
    recording = await ends_with_tracks(tale, *tracks)

    assert (recording.status, recording.reason) == ("failed", "encrypted")
