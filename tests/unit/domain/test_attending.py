"""Rooms with somebody to record, and when the recorder should have been in them."""

from egress_manager.domain.attending import ATTENDED_WITHIN, NAMED_WITHIN, named

AT = 100.0


def test_a_room_is_overdue_when_nothing_of_it_could_be_heard_in_time() -> None:
    """Counted from when it was named first, however often it is named again."""
    room = named(named(None, AT), AT + ATTENDED_WITHIN)

    assert not room.is_overdue(AT + ATTENDED_WITHIN)
    assert room.is_overdue(AT + ATTENDED_WITHIN + 0.1)


def test_a_room_that_is_attended_has_all_its_time_again() -> None:
    """A connection that is lost may be replaced before anybody is alarmed."""
    heard_until = AT + 60
    room = named(None, AT).seen(heard_until, is_attended=True)

    assert not room.is_overdue(heard_until + ATTENDED_WITHIN)
    assert room.seen(heard_until + 10, is_attended=False).is_overdue(heard_until + 10)


def test_a_room_that_nobody_names_any_more_has_nobody_waiting() -> None:
    """Who is named there later is another caller, with all the time there is."""
    room = named(None, AT)
    later = AT + NAMED_WITHIN + 1

    assert room.is_current(AT + NAMED_WITHIN)
    assert not room.is_current(later)
    assert not named(room, later).is_overdue(later)
