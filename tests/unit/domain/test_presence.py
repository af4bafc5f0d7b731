"""A list and a capture together: a list adds participants, and takes none away."""

from datetime import UTC, datetime, timedelta

from egress_manager.domain.incoming import Participant, Room, RoomListed
from egress_manager.domain.presence import RoomView, lacking, with_view

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CALLER, AGENT = Participant("PA_1", "sip_1"), Participant("PA_2", "agent")
ROOM = Room("room", "RM_1")


def listed(*people: Participant, room: Room = ROOM) -> RoomListed:
    """What was asked for at noon and answered a second later."""
    return RoomListed(NOON + SECOND, room, people, NOON)


def seen(*people: Participant, since: datetime = NOON - SECOND, **view: bool) -> RoomView:
    """What a capture sees."""
    return RoomView(ROOM, people, {person.sid: since for person in people}, **view)


def test_without_a_capture_the_list_is_all_there_is() -> None:
    """It is complete."""
    assert with_view(listed(CALLER), None) == listed(CALLER)
    assert lacking(listed(CALLER), None) == frozenset()


def test_who_is_seen_is_there_and_nobody_is_there_twice() -> None:
    """LiveKit lists the caller only, the capture sees both."""
    both = with_view(listed(CALLER), seen(CALLER, AGENT))

    assert both.participants == (CALLER, AGENT)
    assert both.is_complete


def test_a_room_that_is_not_listed_is_the_one_that_the_capture_is_in() -> None:
    """Its sid is part of what identifies a call."""
    assert with_view(listed(room=Room("room")), seen(CALLER)).room == ROOM
    assert with_view(listed(), RoomView(Room("room"))).room == ROOM


def test_while_a_capture_cannot_tell_neither_can_the_list() -> None:
    """Somebody may be there who is on neither."""
    assert not with_view(listed(CALLER), seen(is_complete=False)).is_complete


def test_a_list_lacks_who_was_seen_before_it_was_asked_for() -> None:
    """Who came later can't be on it."""
    assert lacking(listed(AGENT), seen(CALLER, AGENT)) == {"PA_1"}
    assert lacking(listed(), seen(CALLER, since=NOON + SECOND)) == frozenset()
