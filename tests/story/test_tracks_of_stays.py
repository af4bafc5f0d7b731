"""One fixed room, one caller after another: each call has what was in the room while it lasted."""

from dataclasses import replace
from datetime import datetime

from egress_manager.domain.calls import Call
from egress_manager.domain.incoming import (
    Kind,
    News,
    Participant,
    ParticipantLeft,
    ParticipantSeen,
    RoomListed,
    Source,
    Track,
    TrackSeen,
)
from egress_manager.flows import ingest
from egress_manager.flows.recover import Recovery
from tests.story.conftest import ROOM, Tale


def agent(name: str) -> Participant:
    """An agent of that name."""
    return Participant(f"PA_{name}", name, kind=Kind.AGENT)


def caller(tale: Tale, name: str) -> Participant:
    """A caller with a call of their own."""
    attributes = {"sip.callID": f"SCL_{name}", "sip.phoneNumber": f"+1555010{name}"}
    return tale.caller(f"PA_{name}", identity=f"sip_{name}", attributes=attributes)


def published(who: Participant, at: datetime, source: Source = Source.CAPTURE) -> TrackSeen:
    """The track of somebody."""
    return TrackSeen(at, ROOM, who, Track(f"TR_{who.identity}"), source)


def seen(who: Participant, at: datetime, capture: str = "cap_1") -> ParticipantSeen:
    """A capture sees somebody."""
    return ParticipantSeen(at, ROOM, who, Source.CAPTURE, capture)


async def call_of(tale: Tale, who: Participant) -> Call:
    """The call of that caller."""
    (call,) = await tale.calls.by_participant(ROOM.name, who.sid)
    return call


def tracks(call: Call) -> set[str]:
    """Whose tracks a call has."""
    return {track.participant_identity for track in call.tracks}


async def first_call(tale: Tale) -> list[News]:
    """The first caller and an agent of theirs have talked and left; what their capture tells."""
    one, robot = caller(tale, "1"), agent("robot-1")
    begin = tale.clock.now()
    story: list[News] = [
        seen(one, begin),
        seen(robot, begin),
        published(one, begin),
        published(robot, begin),
    ]
    end = tale.clock.pass_(seconds=8)
    story += [
        ParticipantLeft(end, ROOM, robot, Source.CAPTURE, "", "cap_1"),
        ParticipantLeft(end, ROOM, one, Source.CAPTURE, "", "cap_1"),
    ]
    return story


async def test_a_capture_that_is_told_again_gives_the_next_caller_nothing(tale: Tale) -> None:
    """Neither the first caller's track, nor their agent: the second one was not there."""
    story = await first_call(tale)
    for news in story:
        await ingest.take(news, tale.doors)
    tale.clock.pass_(seconds=5)
    two = caller(tale, "2")
    await tale.sees(two, Source.CAPTURE, capture="cap_2")
    await ingest.take(published(two, tale.clock.now()), tale.doors)
    tale.clock.pass_(seconds=10)
    tale.captures.told["cap_1"] = story
    await Recovery().recover(tale.doors)

    call = await call_of(tale, two)
    assert tracks(call) == {"sip_2"}
    assert call.agent_identity is None
    assert tracks(await call_of(tale, caller(tale, "1"))) == {"sip_1", "robot-1"}


async def test_a_capture_that_is_heard_of_late_gives_its_own_call_everything(tale: Tale) -> None:
    """Webhooks told that the first caller came and left; the store was away for the rest."""
    story = await first_call(tale)
    one = caller(tale, "1")
    came, left = story[0], story[-1]
    assert isinstance(came, ParticipantSeen)
    await ingest.take(replace(came, source=Source.WEBHOOK, capture_id=None), tale.doors)
    await ingest.take(ParticipantLeft(left.at, ROOM, one, Source.WEBHOOK), tale.doors)
    tale.clock.pass_(seconds=60)
    tale.captures.told["cap_1"] = story
    await Recovery().recover(tale.doors)

    assert tracks(await call_of(tale, one)) == {"sip_1", "robot-1"}


async def test_a_webhook_of_a_track_that_comes_late_is_of_its_publishers_stay(tale: Tale) -> None:
    """It comes when that caller is gone and another one is in the room."""
    one, two = caller(tale, "1"), caller(tale, "2")
    await tale.sees(one)
    tale.clock.pass_(seconds=8)
    await tale.loses(one, Source.WEBHOOK)
    tale.clock.pass_(seconds=1)
    await tale.sees(two)
    late = tale.clock.pass_(seconds=1)
    await ingest.take(published(one, late, Source.WEBHOOK), tale.doors)

    assert tracks(await call_of(tale, one)) == {"sip_1"}
    assert tracks(await call_of(tale, two)) == set()


async def test_callers_who_are_there_at_the_same_time_have_each_others_tracks(tale: Tale) -> None:
    """They can hear each other, and so can the agent who stays for both."""
    one, two, robot = caller(tale, "1"), caller(tale, "2"), agent("robot")
    for who in (one, two, robot):
        await tale.sees(who, Source.CAPTURE, capture="cap_1")
        await ingest.take(published(who, tale.clock.now()), tale.doors)
        tale.clock.pass_(seconds=1)
    now = tale.clock.now()
    everybody = tuple(
        replace(who, tracks=(Track(f"TR_{who.identity}"),)) for who in (one, two, robot)
    )
    await ingest.take(RoomListed(now, ROOM, everybody, now), tale.doors)

    assert tracks(await call_of(tale, one)) == {"sip_1", "sip_2", "robot"}
    assert tracks(await call_of(tale, two)) == {"sip_1", "sip_2", "robot"}
