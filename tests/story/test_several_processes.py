"""Several processes and one room: who captures it, who takes over, who waits for whom."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from egress_manager.domain.calls import new_call
from egress_manager.domain.claims import LAPSE, Presence
from egress_manager.domain.incoming import Kind, Participant, ParticipantSeen, Room, Source
from egress_manager.domain.presence import RoomView
from egress_manager.errors import StoreUnavailable
from egress_manager.flows.sharing.membership import ALONE_FOR, Membership
from egress_manager.flows.sharing.recorder import SharedRecorder
from egress_manager.testing import (
    MemoryCalls,
    MemoryClaims,
    MemoryRecorder,
    MemoryRooms,
    MemorySigns,
)

ROOM = "reception"


@dataclass
class Here(MemoryRecorder):
    """A recorder of one process that is in the rooms it was asked to attend until it leaves."""

    deaf: bool = False
    late: int = 0

    def unattended(self) -> int:
        return self.late

    @property
    def rooms(self) -> Collection[str]:
        return set(self.attended)

    def hears_all(self, room_name: str) -> bool:
        return room_name in self.attended and not self.deaf

    def leave(self, room_name: str, reason: str) -> None:
        self.attended = [name for name in self.attended if name != room_name]


@dataclass
class Host:
    """The store and the watch that all processes of a story share."""

    claims: MemoryClaims = field(default_factory=MemoryClaims)
    moment: float = 100.0
    rooms: MemoryRooms = field(default_factory=MemoryRooms)
    calls: MemoryCalls = field(default_factory=MemoryCalls)

    def __post_init__(self) -> None:
        self.rooms.people = {name: [Participant("PA_1", "sip_1")] for name in (ROOM, "another")}

    def process(self, name: str, *, records: bool = True) -> tuple[SharedRecorder, Here]:
        """A process of ours, and its own recorder."""
        me = Presence(name, "place", records=records)
        membership = Membership(me, self.claims, MemorySigns(), lambda: self.moment)
        local = Here()
        recorder = SharedRecorder(membership, local if records else None, self.rooms, self.calls)
        return recorder, local

    async def pass_time(self, seconds: float, *living: SharedRecorder) -> None:
        """Time passes; these look around again and again."""
        for _ in range(round(seconds / 0.1)):
            self.moment += 0.1
            for recorder in living:
                await recorder.mind()


async def attend(recorder: SharedRecorder, room: str = ROOM) -> None:
    """Ask for it, and let what that begins come to its end."""
    await recorder.attend(room)
    await recorder.settle()


async def test_one_of_two_who_hear_of_a_caller_captures_the_room() -> None:
    """The other one knows, and stays where it is."""
    host = Host()
    (one, in_one), (two, in_two) = host.process("P1"), host.process("P2")
    await host.pass_time(0.2, one, two)

    await attend(one)
    await attend(two)
    await host.pass_time(0.2, one, two)
    await attend(two)

    assert (in_one.attended, in_two.attended) == ([ROOM], [])
    assert two.attends(ROOM)


async def test_a_process_that_dies_is_followed_by_the_other() -> None:
    """As soon as its beat has stood still for long enough, and not before."""
    host = Host()
    (one, _), (two, in_two) = host.process("P1"), host.process("P2")
    await host.pass_time(0.2, one, two)
    await attend(one)
    await host.pass_time(0.2, one, two)

    await host.pass_time(LAPSE - 0.2, two)
    assert in_two.attended == []
    await host.pass_time(0.3, two)
    assert in_two.attended == [ROOM]


async def test_a_room_that_was_closed_meanwhile_is_not_opened_again() -> None:
    """Whoever held it is dead, and so is the call: the claim is let go."""
    host = Host()
    (one, _), (two, in_two) = host.process("P1"), host.process("P2")
    await host.pass_time(0.2, one, two)
    await attend(one)
    del host.rooms.people[ROOM]

    await host.pass_time(LAPSE + 1, two)

    assert in_two.attended == []
    assert host.claims.claims == {}


@pytest.mark.parametrize(("carried", "attended"), [({"sip_1"}, [ROOM]), (set(), [])])
async def test_an_empty_list_does_not_keep_the_other_from_a_call_that_goes_on(
    carried: set[str], attended: list[str]
) -> None:
    """LiveKit's Redis lost its keys: the server knows whether the caller is there."""
    host = Host()
    (one, _), (two, in_two) = host.process("P1"), host.process("P2")
    await host.pass_time(0.2, one, two)
    await attend(one)
    caller = Participant("PA_1", "sip_1", kind=Kind.SIP)
    seen = ParticipantSeen(datetime(2026, 11, 22, tzinfo=UTC), Room(ROOM), caller, Source.POLL)
    await host.calls.add(new_call(seen))
    del host.rooms.people[ROOM]
    host.rooms.unlisted[ROOM] = carried

    await host.pass_time(LAPSE + 1, two)
    await two.settle()

    assert in_two.attended == attended


async def test_who_leaves_stays_until_the_other_hears_all() -> None:
    """The successor is in the room, but deaf yet: so the first one stays."""
    host = Host()
    (one, in_one), (two, in_two) = host.process("P1"), host.process("P2")
    await host.pass_time(0.2, one, two)
    await attend(one)
    in_two.deaf = True
    one.membership.begin_leaving()

    await host.pass_time(0.5, one, two)
    assert (in_one.attended, in_two.attended) == ([ROOM], [ROOM])

    in_two.deaf = False
    await host.pass_time(0.3, one, two)
    assert (in_one.attended, in_two.attended) == ([], [ROOM])


async def test_who_is_alone_leaves_at_once() -> None:
    """There is nobody to wait for."""
    host = Host()
    one, in_one = host.process("P1")
    await host.pass_time(0.2, one)
    await attend(one)

    await one.hand_over()

    assert in_one.attended == [ROOM]  # what comes next ends it
    assert not one.membership.me.is_leaving


async def test_a_process_of_the_api_alone_asks_and_a_recorder_goes() -> None:
    """With its next look."""
    host = Host()
    api, _ = host.process("API", records=False)
    recorder, in_it = host.process("P1")
    await host.pass_time(0.2, api, recorder)

    await attend(api)
    await host.pass_time(0.2, api, recorder)

    assert in_it.attended == [ROOM]
    assert api.attends(ROOM)


async def test_a_holder_that_is_asked_again_looks_again() -> None:
    """Its caller had left; now somebody has heard of another one."""
    host = Host()
    api, _ = host.process("API", records=False)
    recorder, in_it = host.process("P1")
    await host.pass_time(0.2, api, recorder)
    await attend(recorder)
    await host.pass_time(0.1, api, recorder)

    await api.membership.ask(f"room:{ROOM}")
    await host.pass_time(0.1, recorder)

    assert in_it.attended == [ROOM, ROOM]


async def test_who_is_full_leaves_it_to_the_other() -> None:
    """Until both are: then it takes it all the same."""
    host = Host()
    (one, in_one), (two, in_two) = host.process("P1"), host.process("P2")
    one.membership.feel(100.0)
    await host.pass_time(0.2, one, two)

    await attend(one)
    await host.pass_time(0.1, one, two)
    assert (in_one.attended, in_two.attended) == ([], [ROOM])

    two.membership.feel(100.0)
    await host.pass_time(0.2, one, two)
    await attend(one, "another")
    assert in_one.attended == ["another"]
    assert one.membership.is_pressed


async def test_a_store_that_is_away_keeps_nobody_from_capturing() -> None:
    """When in doubt two capture; nobody is taken for dead because of that time."""
    host = Host()
    (one, in_one), (two, in_two) = host.process("P1"), host.process("P2")
    await host.pass_time(0.2, one, two)
    await attend(one)
    await host.pass_time(0.1, one, two)
    host.claims.away = True
    for recorder in (one, two):
        try:
            await recorder.mind()
        except StoreUnavailable:
            continue
    host.moment += 10 * LAPSE

    await attend(two, "another")
    assert in_two.attended == ["another"]

    host.claims.away = False
    await host.pass_time(0.5, one, two)
    assert in_two.attended == ["another"]
    assert in_one.attended == [ROOM]


async def test_a_room_that_is_empty_is_let_go() -> None:
    """So the next caller's claim is anybody's."""
    host = Host()
    one, in_one = host.process("P1")
    await host.pass_time(0.1, one)
    await attend(one)
    await host.pass_time(0.1, one)
    in_one.leave(ROOM, "left")

    await host.pass_time(0.2, one)

    assert host.claims.claims == {}


async def test_two_do_not_work_on_one_recording_and_a_dead_ones_work_is_found() -> None:
    """The second is told that somebody is at it; of one that died, that its work waits."""
    host = Host()
    (one, _), (two, _) = host.process("P1"), host.process("P2")
    await host.pass_time(0.2, one, two)
    async with (
        one.membership.working_on("rec_1") as ours,
        two.membership.working_on("rec_1") as too,
    ):
        assert (ours, too) == (True, False)
        async with one.membership.working_on("rec_1") as again:
            assert not again
        await host.pass_time(LAPSE + 0.3, two)
        assert list(two.membership.abandoned) == ["rec_1"]

    await host.pass_time(0.1, one, two)
    assert list(two.membership.abandoned) == []


async def test_who_is_alone_goes_at_once_and_claims_with_the_next_look() -> None:
    """A caller need not wait for the store where nobody else could be meant."""
    host = Host()
    one, in_one = host.process("P1")
    await host.pass_time(ALONE_FOR + 0.2, one)

    await one.attend(ROOM)
    assert (in_one.attended, host.claims.claims) == ([ROOM], {})

    await host.pass_time(0.1, one)
    assert host.claims.claims[f"room:{ROOM}"].holder == "P1"


async def test_rooms_that_one_cannot_attend_are_known_to_all() -> None:
    """Whichever process is asked for its health knows of them, also one that captures nothing."""
    host = Host()
    (one, in_one), (api, _) = host.process("P1"), host.process("API", records=False)
    in_one.late = 3
    await host.pass_time(0.2, one, api)

    assert [other.unattended for other in api.membership.others] == [3]

    in_one.late = 0
    await host.pass_time(0.2, one, api)

    assert [other.unattended for other in api.membership.others] == [0]


def seen(*people: str) -> RoomView:
    """A capture that sees these, for as long as anybody remembers."""
    since = datetime(2026, 11, 22, 12, tzinfo=UTC)
    there = tuple(Participant(sid, f"sip_{sid}") for sid in people)
    return RoomView(Room(ROOM, "RM_1"), there, dict.fromkeys(people, since))


async def test_a_process_knows_only_what_its_own_capture_sees() -> None:
    """Of a room that another one captures it can't tell who is not there."""
    host = Host()
    (one, in_one), (two, _) = host.process("P1"), host.process("P2")
    jobs, _ = host.process("J", records=False)
    await host.pass_time(0.2, one, two, jobs)
    assert one.view(ROOM) is None
    await attend(one)
    in_one.views[ROOM] = seen("PA_1")
    await host.pass_time(0.2, one, two, jobs)

    assert one.view(ROOM) == seen("PA_1")
    assert two.view(ROOM) == jobs.view(ROOM) == RoomView(Room(ROOM), is_complete=False)

    await host.pass_time(LAPSE + 0.1, jobs)
    assert jobs.view(ROOM) is None, "whoever captured it is dead"


async def test_while_two_capture_a_room_neither_says_that_somebody_is_not_there() -> None:
    """Each adds whom it sees."""
    host = Host()
    (one, _), (two, in_two) = host.process("P1"), host.process("P2")
    await host.pass_time(0.2, one, two)
    await attend(one)
    await host.pass_time(0.2, one, two)
    in_two.views[ROOM] = seen("PA_1")

    assert two.view(ROOM) == replace(seen("PA_1"), is_complete=False)
