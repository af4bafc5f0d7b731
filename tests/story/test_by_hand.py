"""What somebody begins and stops by hand, whatever the policy says."""

from datetime import timedelta

import pytest

from egress_manager.domain.incoming import (
    EgressReported,
    Kind,
    Participant,
    ParticipantLeft,
    ParticipantSeen,
    Room,
    RoomFinished,
    RoomListed,
    Source,
    Track,
)
from egress_manager.domain.manual import GONE_FOR, Wish
from egress_manager.domain.policy import Engine, Policy, Scope
from egress_manager.domain.recordings import Recording
from egress_manager.errors import Conflict, NotFound
from egress_manager.flows import accompany, ingest, manual, poll
from egress_manager.flows.recover import Recovery
from tests.story.conftest import ROOM, Tale

#: What LiveKit calls the room in these stories when it is asked.
SID = f"RM_{ROOM.name}"
HERE = Room(ROOM.name, SID)

UNWANTED = pytest.mark.parametrize("policy", [Policy(Scope.NONE)])
BY_EGRESS = pytest.mark.parametrize("policy", [Policy(engine=Engine.EGRESS)])


def browser(identity: str = "seccotine", **fields: object) -> Participant:
    """Somebody in a browser."""
    given = {"kind": Kind.STANDARD, "tracks": (Track(f"TR_{identity}"),)}
    return Participant(f"PA_{identity}", identity, **(given | fields))  # type: ignore[arg-type]


def into(tale: Tale, *people: Participant) -> None:
    """Only these are in the room, as LiveKit sees it."""
    tale.rooms.people[ROOM.name] = list(people)


async def start(tale: Tale, identity: str = "", **wish: object) -> Recording:
    """Somebody has it recorded; it was not recorded before."""
    begun = await manual.start(Wish(ROOM.name, identity, **wish), tale.doors)  # type: ignore[arg-type]
    assert begun.is_new
    return begun.recording


async def again(tale: Tale, identity: str = "", **wish: object) -> Recording:
    """Somebody has it recorded that is being recorded already."""
    begun = await manual.start(Wish(ROOM.name, identity, **wish), tale.doors)  # type: ignore[arg-type]
    assert not begun.is_new
    return begun.recording


async def captures(tale: Tale, person: Participant, capture: str = "cap_1") -> None:
    """A capture sees somebody."""
    await tale.sees(person, Source.CAPTURE, capture=capture, room=HERE)
    tale.recorder.captures[ROOM.name] = capture


class TestRooms:
    """Rooms without callers."""

    async def test_a_room_of_browsers_is_recorded_until_it_is_stopped(self, tale: Tale) -> None:
        """Without a call; the recorder is there as long as the recording goes on."""
        into(tale, browser(), browser("fantasio"))
        begun = await start(tale)
        kept = tale.recorder.kept_for(ROOM.name)
        await captures(tale, browser())
        tale.clock.pass_(seconds=30)
        stopped = await manual.stop(begun.id, tale.doors)
        tale.clock.pass_(seconds=10)
        await tale.works()

        recording = await tale.recording()
        (plan,) = tale.renderer.finished
        assert (begun.status, begun.source, begun.call_id) == ("starting", "manual", None)
        assert kept == {begun.id}
        assert stopped.status == "processing"
        assert recording.status == "completed"
        assert recording.duration_sec == 30
        assert recording.egress_id is not None
        assert plan.captures == (".captures/cap_1",)
        assert plan.of_room
        assert plan.mix_filepath.startswith("friday-assistant-room/everybody-")
        assert not tale.recorder.kept_for(ROOM.name)
        assert [event.name for event in recording.history] == [
            "recording.starting",
            "recording.active",
            "recording.ending",
            "recording.captured",
            "recording.rendered",
            "recording.verified",
        ]
        assert recording.history[2].reason == "stopped"

    async def test_one_participant_is_recorded_against_all_others(self, tale: Tale) -> None:
        """Whoever has the identity is left, in whatever stay."""
        into(tale, browser(), browser("fantasio"))
        begun = await start(tale, "fantasio")
        await captures(tale, browser())
        tale.clock.pass_(seconds=30)
        await manual.stop(begun.id, tale.doors)
        tale.clock.pass_(seconds=10)
        await tale.works()

        (plan,) = tale.renderer.finished
        assert (plan.left_identity, plan.of_room) == ("fantasio", False)
        assert "fantasio" in plan.mix_filepath

    async def test_a_room_that_is_captured_already_gives_its_capture_at_once(
        self, tale: Tale
    ) -> None:
        """Nobody there will be seen for the first time."""
        into(tale, tale.caller(), browser())
        await captures(tale, tale.caller())
        begun = await start(tale, "seccotine")

        assert begun.captures == ("cap_1",)
        assert begun.status == "recording"
        assert tale.renderer.followed_plans[-1].recording_id == begun.id

    async def test_who_reads_it_while_it_goes_on_sees_whose_tracks_there_are(
        self, tale: Tale
    ) -> None:
        """And the agent, whoever came when."""
        into(tale, browser())
        begun = await start(tale)
        into(tale, browser(), browser("agent-houba", kind=Kind.AGENT))
        tale.clock.pass_(seconds=2)
        await poll.poll(tale.doors)

        recording = await tale.recording()
        assert [track.participant_identity for track in begun.tracks] == ["seccotine"]
        assert [t.participant_identity for t in recording.tracks] == ["seccotine", "agent-houba"]
        assert recording.agent_identity == "agent-houba"

    @pytest.mark.parametrize(
        ("identity", "sentence"), [("", "room palombia is not open"), ("zorglub", "is not open")]
    )
    async def test_a_room_that_is_not_open_is_not_found(
        self, tale: Tale, identity: str, sentence: str
    ) -> None:
        """And is not opened by asking for it."""
        with pytest.raises(NotFound, match=sentence):
            await manual.start(Wish("palombia", identity), tale.doors)

        assert not tale.recorder.kept

    async def test_who_is_not_there_is_not_found(self, tale: Tale) -> None:
        """Nor are recorders somebody, nor is a room somebody in which only they are."""
        egress = Participant("PA_egress", "EG_1", kind=Kind.EGRESS, is_recorder=True)
        into(tale, browser(), egress)
        for nobody in ("zorglub", "EG_1"):
            with pytest.raises(NotFound, match=f"has the identity {nobody}"):
                await start(tale, nobody)
        into(tale, egress)
        with pytest.raises(NotFound, match="nobody is in room"):
            await start(tale)

        assert not tale.recordings.kept


class TestTwice:
    """Started again, or at once."""

    async def test_what_is_being_recorded_is_answered_with(self, tale: Tale) -> None:
        """A room is one thing, a participant of it another."""
        into(tale, browser(), browser("fantasio"))
        room, one = await start(tale), await start(tale, "fantasio")

        assert (await again(tale)).id == room.id
        assert (await again(tale, "fantasio")).id == one.id
        assert len(tale.recordings.kept) == 2

    async def test_after_a_stop_it_can_be_started_anew(self, tale: Tale) -> None:
        """As another recording."""
        into(tale, browser())
        first = await start(tale)
        await manual.stop(first.id, tale.doors)
        second = await start(tale)

        assert second.id != first.id
        assert tale.recorder.kept_for(ROOM.name) == {second.id}

    async def test_a_key_always_means_the_recording_that_it_began(self, tale: Tale) -> None:
        """Also when that is over, and another one goes on."""
        into(tale, browser())
        first = await start(tale, key="houba")
        await manual.stop(first.id, tale.doors)
        second = await start(tale, key="hop")
        tale.rooms.people.clear()

        assert (await again(tale, key="houba")).id == first.id
        assert (await again(tale, key="hop")).id == second.id

    async def test_a_key_of_another_wish_is_refused(self, tale: Tale) -> None:
        """Nobody gets a recording that they did not ask for."""
        into(tale, browser(), browser("fantasio"))
        await start(tale, "fantasio", key="houba")

        with pytest.raises(Conflict, match="this key has begun"):
            await again(tale, "seccotine", key="houba")
        with pytest.raises(Conflict, match="this key has begun"):
            await manual.start(Wish("palombia", key="houba"), tale.doors)

    @pytest.mark.parametrize("key", ["", "houba"])
    async def test_of_two_at_once_one_begins_it(self, tale: Tale, key: str) -> None:
        """The store has an id once; both get the same recording."""
        into(tale, browser())
        other: list[manual.Begun] = []
        add = tale.recordings.add

        async def late(recording: Recording) -> Recording:
            tale.recordings.add = add  # type: ignore[method-assign]
            other.append(await manual.start(Wish(ROOM.name, key=key), tale.doors))
            return await add(recording)

        tale.recordings.add = late  # type: ignore[method-assign]
        begun = await manual.start(Wish(ROOM.name, key=key), tale.doors)

        assert [begun.is_new, other[0].is_new] == [False, True]
        assert begun.recording.id == other[0].recording.id
        assert len(tale.recordings.kept) == 1

    async def test_a_stop_may_come_twice(self, tale: Tale) -> None:
        """And after all is over; nothing changes."""
        into(tale, browser())
        begun = await start(tale)
        await captures(tale, browser())
        tale.clock.pass_(seconds=30)
        first = await manual.stop(begun.id, tale.doors)
        tale.clock.pass_(seconds=3)
        second = await manual.stop(begun.id, tale.doors)
        tale.clock.pass_(seconds=10)
        await tale.works()
        third = await manual.stop(begun.id, tale.doors)

        assert first == second
        assert (third.status, third.duration_sec) == ("completed", 30)
        with pytest.raises(NotFound):
            await manual.stop("rec_9", tale.doors)


class TestCalls:
    """Calls that the policy leaves out, and calls that it does not."""

    @UNWANTED
    async def test_a_call_that_was_left_out_gets_its_recording_from_now_on(
        self, tale: Tale
    ) -> None:
        """From the start by hand to the caller's leaving; the call says that it is recorded."""
        into(tale, tale.caller())
        await tale.sees(tale.caller(), room=HERE)
        tale.clock.pass_(seconds=20)
        begun = await start(tale)
        await captures(tale, tale.caller())
        tale.clock.pass_(seconds=30)
        into(tale)
        await tale.loses(tale.caller(), room=HERE)
        await tale.works()

        recording = await tale.recording()
        call = await tale.calls.get(recording.call_id)
        assert begun.identity == "sip_+15550100"
        assert (call.reason, call.recording_id) == ("", begun.id)
        assert (recording.status, recording.source) == ("completed", "manual")
        assert recording.duration_sec == 30
        assert recording.started_at == call.joined_at + timedelta(seconds=20)
        assert recording.caller_number == "+15550100"
        assert not tale.recorder.attended, "it was never to go there by itself"

    @UNWANTED
    async def test_a_call_of_which_nobody_told_is_found_by_asking(self, tale: Tale) -> None:
        """All webhooks were lost: whoever starts it by hand has LiveKit asked."""
        into(tale, tale.caller())
        begun = await start(tale, "sip_+15550100")

        assert begun.call_id in tale.calls.kept

    @UNWANTED
    async def test_a_caller_who_comes_back_goes_on_being_recorded(self, tale: Tale) -> None:
        """The same call, the same recording: the room is kept again at once."""
        into(tale, tale.caller("PA_1"))
        begun = await start(tale)
        await captures(tale, tale.caller("PA_1"))
        tale.clock.pass_(seconds=10)
        await tale.loses(tale.caller("PA_1"), room=HERE)
        await tale.works()
        assert not tale.recorder.kept_for(ROOM.name)

        tale.clock.pass_(seconds=5)
        await tale.sees(tale.caller("PA_2"), room=HERE)
        assert tale.recorder.kept_for(ROOM.name) == {begun.id}

        await captures(tale, tale.caller("PA_2"), "cap_2")
        tale.clock.pass_(seconds=10)
        await tale.loses(tale.caller("PA_2"), room=HERE)
        await tale.works()
        assert (await tale.recording()).duration_sec == 25

    async def test_a_call_that_is_recorded_is_answered_with(self, tale: Tale) -> None:
        """By the room, by the caller; nothing else begins."""
        into(tale, tale.caller())
        await tale.sees(tale.caller(), room=HERE)
        by_policy = await tale.recording()

        assert (await again(tale)).id == by_policy.id
        assert (await again(tale, "sip_+15550100", key="houba")).id == by_policy.id
        assert not tale.recorder.kept

    async def test_a_recording_is_stopped_in_the_middle_of_its_call(self, tale: Tale) -> None:
        """It ends there; the call goes on, and nothing that is seen of it begins it again."""
        into(tale, tale.caller())
        await captures(tale, tale.caller())
        tale.clock.pass_(seconds=30)
        await manual.stop((await tale.recording()).id, tale.doors)
        for _ in range(3):
            tale.clock.pass_(seconds=10)
            await poll.poll(tale.doors)
            await captures(tale, tale.caller())
            await tale.works()
        over = await tale.recording()
        goes_on = await tale.calls.going_on()
        await captures(tale, tale.caller(), "cap_2")
        await tale.loses(tale.caller(), room=HERE)
        await tale.works()

        assert goes_on
        assert (over.status, over.duration_sec) == ("completed", 30)
        assert await tale.recording() == over
        assert tale.recorder.left_alone == {ROOM.name: {"PA_caller"}}

    async def test_a_caller_who_comes_back_after_a_stop_is_not_recorded_again(
        self, tale: Tale
    ) -> None:
        """It was stopped, whatever stay of the caller it was."""
        into(tale, tale.caller("PA_1"))
        await captures(tale, tale.caller("PA_1"))
        tale.clock.pass_(seconds=30)
        await manual.stop((await tale.recording()).id, tale.doors)
        await tale.loses(tale.caller("PA_1"), room=HERE)
        await tale.works()
        tale.clock.pass_(seconds=10)
        await captures(tale, tale.caller("PA_2"), "cap_2")
        await tale.works()

        recording = await tale.recording()
        assert (recording.status, recording.duration_sec) == ("completed", 30)
        assert recording.captures == ("cap_1",)
        assert "PA_2" in tale.recorder.left_alone[ROOM.name]

    async def test_a_call_whose_recording_was_stopped_can_have_another_one(
        self, tale: Tale
    ) -> None:
        """From then on; the call's own is the first one."""
        into(tale, tale.caller())
        await captures(tale, tale.caller())
        tale.clock.pass_(seconds=30)
        first = await tale.recording()
        await manual.stop(first.id, tale.doors)
        tale.clock.pass_(seconds=30)
        await tale.works()
        second = await start(tale)
        assert (await again(tale)).id == second.id
        tale.clock.pass_(seconds=7)
        await tale.loses(tale.caller(), room=HERE)
        await poll.poll(tale.doors)
        await tale.works()

        call = await tale.calls.get(first.call_id)
        both = [await tale.recordings.get(r.id) for r in (first, second)]
        assert call.recording_id == first.id
        assert second.call_id == call.id
        assert [(r.status, r.duration_sec) for r in both] == [("completed", 30), ("completed", 7)]

    async def test_two_calls_in_a_room_are_recorded_together_only_without_a_call(
        self, tale: Tale
    ) -> None:
        """Which of them would it be? Both callers are on the left of it."""
        one = tale.caller("PA_1", identity="sip_1", attributes={"sip.callID": "SCL_1"})
        two = tale.caller("PA_2", identity="sip_2", attributes={"sip.callID": "SCL_2"})
        into(tale, one, two)
        begun = await start(tale)

        assert begun.call_id is None
        assert begun.identity == ""
        assert len(tale.recordings.kept) == 3

    @UNWANTED
    async def test_a_call_that_ended_as_it_was_started_has_nothing_in_it(self, tale: Tale) -> None:
        """LiveKit's answer was older than the caller's leaving, and others are in the room."""
        into(tale, tale.caller(), browser())
        await captures(tale, browser())
        left_at = tale.clock.now()
        tale.clock.pass_(seconds=0.2)
        await start(tale, "sip_+15550100")
        news = ParticipantLeft(left_at, HERE, tale.caller(), Source.WEBHOOK)
        await ingest.take(news, tale.doors)
        tale.clock.pass_(seconds=10)
        await tale.works()

        recording = await tale.recording()
        assert recording.captures
        assert (recording.status, recording.reason) == ("aborted", "left_before_capture")

    @pytest.mark.parametrize("seconds", [0.5, 3])
    async def test_stopped_before_anything_was_kept(self, tale: Tale, seconds: float) -> None:
        """An end with a reason."""
        into(tale, browser())
        begun = await start(tale)
        tale.clock.pass_(seconds=seconds)
        await manual.stop(begun.id, tale.doors)
        tale.clock.pass_(seconds=10)
        await tale.works()

        ends = {0.5: ("aborted", "stopped_before_capture"), 3: ("failed", "never_captured")}
        recording = await tale.recording()
        assert (recording.status, recording.reason) == ends[seconds]

    async def test_a_call_that_is_stopped_while_it_rings_is_not_made_up_for_later(
        self, tale: Tale
    ) -> None:
        """The answer came after the end of the recording."""
        ringing = tale.caller(attributes={"sip.callStatus": "ringing"})
        await captures(tale, ringing)
        tale.clock.pass_(seconds=5)
        await manual.stop((await tale.recording()).id, tale.doors)
        tale.clock.pass_(seconds=10)
        await tale.works()
        await captures(tale, tale.caller())
        await tale.works()

        recording = await tale.recording()
        assert (recording.status, recording.reason) == ("aborted", "not_answered")


class TestEnds:
    """Ends that nobody asked for."""

    async def test_it_ends_with_the_last_participant(self, tale: Tale) -> None:
        """Whoever loads the page again is back in time; the file ends when nobody was there."""
        into(tale, browser())
        await start(tale)
        await captures(tale, browser())
        tale.clock.pass_(seconds=30)
        into(tale)
        await poll.poll(tale.doors)
        tale.clock.pass_(seconds=5)
        into(tale, browser())
        await poll.poll(tale.doors)
        assert (await tale.recording()).missing_since is None

        tale.clock.pass_(seconds=5)
        tale.rooms.people.clear()
        await poll.poll(tale.doors)
        tale.clock.at += GONE_FOR
        await poll.poll(tale.doors)
        tale.clock.pass_(seconds=10)
        await tale.works()

        recording = await tale.recording()
        assert (recording.status, recording.duration_sec) == ("completed", 40)
        assert recording.history[2].reason == "room_empty"
        assert not tale.recorder.kept_for(ROOM.name)

    async def test_it_ends_when_the_one_that_it_is_of_is_gone(self, tale: Tale) -> None:
        """Others may stay."""
        into(tale, browser(), browser("fantasio"))
        await start(tale, "fantasio")
        await captures(tale, browser())
        tale.clock.pass_(seconds=30)
        into(tale, browser())
        await poll.poll(tale.doors)
        tale.clock.at += GONE_FOR
        await poll.poll(tale.doors)

        assert (await tale.recording()).history[2].reason == "participant_left"

    async def test_it_ends_with_its_room(self, tale: Tale) -> None:
        """At once; an earlier room of that name is not its room."""
        into(tale, browser())
        await start(tale)
        tale.clock.pass_(seconds=30)
        for sid in ("RM_before", SID):
            assert (await tale.recording()).is_going_on
            news = RoomFinished(tale.clock.now(), Room(ROOM.name, sid), Source.WEBHOOK)
            await ingest.take(news, tale.doors)

        assert (await tale.recording()).status == "processing"

    async def test_who_was_there_before_it_was_asked_is_not_gone(self, tale: Tale) -> None:
        """LiveKit's answer is older than the recording."""
        asked_at = tale.clock.now()
        tale.clock.pass_(seconds=0.1)
        into(tale, browser())
        await start(tale)

        nobody = RoomListed(tale.clock.now(), ROOM, (), asked_at)
        going_on = await tale.recordings.by_hand()
        await accompany.look_round(going_on, {ROOM.name: nobody}, asked_at, tale.doors)
        assert (await tale.recording()).missing_since is None

    async def test_livekit_that_never_comes_back_ends_it(self, tale: Tale) -> None:
        """No state without a deadline, also where nobody can be asked."""
        into(tale, browser())
        await start(tale)
        await captures(tale, browser())
        tale.recorder.capturing.clear()
        tale.rooms.away = True
        for _ in range(30):
            tale.clock.pass_(minutes=5)
            await tale.works()

        recording = await tale.recording()
        assert recording.status == "completed"
        assert "livekit_unreachable" in [event.reason for event in recording.history]


class TestRestarts:
    """Killed, and started again."""

    async def test_what_goes_on_is_kept_again(self, tale: Tale) -> None:
        """With the first look around; its captures before and after are its own."""
        into(tale, browser())
        begun = await start(tale)
        await captures(tale, browser())
        tale.recorder.kept.clear()
        tale.recorder.captures.clear()
        tale.captures.told["cap_1"] = [
            ParticipantSeen(tale.clock.now(), HERE, browser(), Source.CAPTURE, "cap_1")
        ]
        recovery = Recovery()
        tale.clock.pass_(seconds=5)
        await recovery.recover(tale.doors)
        await poll.poll(tale.doors)
        assert tale.recorder.kept_for(ROOM.name) == {begun.id}
        assert tale.captures.settled == set()

        await captures(tale, browser(), "cap_2")
        tale.clock.pass_(seconds=5)
        await manual.stop(begun.id, tale.doors)
        tale.clock.pass_(seconds=10)
        await tale.works()
        await recovery.recover(tale.doors)
        assert tale.renderer.finished[-1].captures == (".captures/cap_1", ".captures/cap_2")
        assert tale.captures.settled == {"cap_1"}

    async def test_a_capture_of_which_nothing_was_told_is_heard_out(self, tale: Tale) -> None:
        """Killed before it could be noted; captures of other times are of other recordings."""
        into(tale, browser())
        begun = await start(tale)
        now = tale.clock.now()
        for name, at in (("cap_0", now - timedelta(hours=1)), ("cap_1", now)):
            tale.captures.told[name] = [
                ParticipantSeen(at, HERE, browser(), Source.CAPTURE, name),
                ParticipantSeen(at + timedelta(seconds=9), HERE, browser(), Source.CAPTURE, name),
            ]
        tale.recorder.kept.clear()
        await Recovery().recover(tale.doors)

        assert (await tale.recordings.get(begun.id)).captures == ("cap_1",)
        assert tale.captures.settled == {"cap_0"}


@BY_EGRESS
class TestEgress:
    """By LiveKit Egress."""

    async def test_a_room_is_recorded_by_a_job(self, tale: Tale) -> None:
        """Ordered, stopped, and its file taken."""
        into(tale, browser(), browser("fantasio"))
        begun = await start(tale, "fantasio")
        await tale.works()
        order = next(order for order in tale.egress.ordered if not order.track_sid)
        await self.tells(tale, order.path, "ACTIVE")
        tale.clock.pass_(seconds=30)
        await manual.stop(begun.id, tale.doors)
        tale.clock.pass_(seconds=4)
        await tale.works()
        assert tale.egress.stopped == ["EG_1"]
        await self.tells(tale, order.path, "COMPLETE", filepath=order.path, is_delivered=True)
        tale.clock.pass_(minutes=1)
        await tale.works()

        recording = await tale.recordings.get(begun.id)
        assert (order.identity, order.room_name) == ("fantasio", ROOM.name)
        assert {o.track_sid for o in tale.egress.ordered} == {"", "TR_seccotine", "TR_fantasio"}
        assert (recording.status, recording.egress_id) == ("completed", "EG_1")
        assert not tale.recorder.kept

    async def test_the_engine_can_be_chosen(self, tale: Tale) -> None:
        """Against the policy's."""
        into(tale, browser())
        begun = await start(tale, engine=Engine.BUILTIN)

        assert begun.engine == "builtin"
        assert tale.recorder.kept_for(ROOM.name) == {begun.id}

    async def test_a_job_that_fails_is_not_the_end(self, tale: Tale) -> None:
        """The built-in recorder takes over, and keeps the room."""
        into(tale, browser())
        begun = await start(tale)
        await tale.works()
        await self.tells(tale, tale.egress.ordered[0].path, "FAILED", error="no recorder")
        for _ in range(5):
            tale.clock.pass_(seconds=2)
            await tale.works()
        await poll.poll(tale.doors)

        recording = await tale.recordings.get(begun.id)
        assert recording.is_going_on
        assert recording.engine == "builtin"
        assert tale.recorder.kept_for(ROOM.name) == {begun.id}

    async def tells(self, tale: Tale, path: str, status: str, **fields: object) -> None:
        """LiveKit Egress says something of the job."""
        report = EgressReported(
            tale.clock.now(),
            HERE,
            "EG_1",
            status,
            asked_path=path,
            **fields,  # type: ignore[arg-type]
        )
        await ingest.take(report, tale.doors)
