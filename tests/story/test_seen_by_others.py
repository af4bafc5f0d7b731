"""Two LiveKits that nothing tells apart, on one database: neither ends the other's calls."""

from dataclasses import replace

from egress_manager.domain.calls import SEEN_EVERY, Call
from egress_manager.flows import poll
from egress_manager.flows.doors import Doors
from egress_manager.flows.listed import SEEN_BY_NOBODY, Listed
from egress_manager.testing import MemoryRooms
from tests.story.conftest import ROOM, Tale


def another(tale: Tale) -> Doors:
    """A process with the same database and a LiveKit of its own, in which nobody is."""
    return replace(tale.doors, rooms=MemoryRooms(), listed=Listed())


async def talks(tale: Tale, other: Doors, seconds: int) -> None:
    """Time passes; both processes ask their LiveKits every other second."""
    for _ in range(seconds // 2):
        tale.clock.pass_(seconds=2)
        await poll.poll(tale.doors)
        await poll.poll(other)


async def the_call(tale: Tale) -> Call:
    """The only one."""
    (call,) = tale.calls.kept.values()
    return call


async def test_a_list_does_not_end_a_call_that_only_others_see(tale: Tale) -> None:
    """It goes on for as long as its own process sees it, and the other one can say so."""
    other = another(tale)
    tale.rooms.people[ROOM.name] = [tale.caller()]
    await talks(tale, other, seconds=60)

    now = tale.clock.now()
    assert (await the_call(tale)).left_at is None
    assert (tale.doors.listed.strange(now), other.listed.strange(now)) == (0, 1)


async def test_a_room_of_the_same_name_in_the_other_livekit_ends_nothing_either(
    tale: Tale,
) -> None:
    """A fixed room is there in staging, too, with somebody else in it."""
    other = another(tale)
    assert isinstance(other.rooms, MemoryRooms)
    attributes = {"sip.callID": "SCL_2"}
    other.rooms.people[ROOM.name] = [tale.caller("PA_other", attributes=attributes)]
    tale.rooms.people[ROOM.name] = [tale.caller()]
    await talks(tale, other, seconds=60)

    assert [call.left_at for call in tale.calls.kept.values()] == [None, None]


async def test_its_own_process_ends_it_at_once(tale: Tale) -> None:
    """The next list without the caller is enough; then nothing is strange any more."""
    other = another(tale)
    tale.rooms.people[ROOM.name] = [tale.caller()]
    await talks(tale, other, seconds=30)
    tale.rooms.people.clear()
    await talks(tale, other, seconds=2)
    ended = (await the_call(tale)).left_at
    await talks(tale, other, seconds=20)

    assert ended is not None
    assert other.listed.strange(tale.clock.now()) == 0


async def test_a_call_that_ended_while_its_process_was_away_ends_when_it_was_last_seen(
    tale: Tale,
) -> None:
    """After a restart nobody has been seen yet: time tells."""
    tale.rooms.people[ROOM.name] = [tale.caller()]
    await talks(tale, another(tale), seconds=10)
    seen_at = (await the_call(tale)).seen_at
    tale.rooms.people.clear()
    started_again = replace(tale.doors, listed=Listed())
    tale.clock.pass_(seconds=SEEN_BY_NOBODY.total_seconds() - 5)
    await poll.poll(started_again)
    too_soon = (await the_call(tale)).left_at
    tale.clock.pass_(seconds=10)
    await poll.poll(started_again)

    assert too_soon is None
    assert (await the_call(tale)).left_at == seen_at + SEEN_EVERY
