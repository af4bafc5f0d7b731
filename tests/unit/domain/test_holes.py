"""Why a track has no audio: every hole has a cause."""

from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.captures import (
    Began,
    ConnectionChanged,
    Ended,
    PageKept,
    Story,
    StretchBegan,
    TrackChanged,
    TrackGone,
    Trouble,
)
from egress_manager.domain.holes import Covered, Obstacle, captured, holes, obstacles, patched
from egress_manager.domain.recordings import Hole

AT = 1000.0
END = 1060.0


def story(*entries) -> Story:
    """A story of those entries."""
    told = Story()
    told.tell(entries)
    return told


def causes(covered, *stories) -> list[tuple[float, float, str]]:
    """The holes of track TR_1 between `AT` and `END`, as plain tuples."""
    known = obstacles(stories, "TR_1", AT, END)
    found = holes([Covered(*span) for span in covered], known, AT, END)
    return [(hole.start_sec, hole.end_sec, hole.cause) for hole in found]


def track(at: float = AT, *, muted: bool = False) -> TrackChanged:
    return TrackChanged(at, "TR_1", "PA_1", is_muted=muted)


def test_nothing_is_missing_where_everything_is_covered():
    """No hole, no line."""
    assert (
        causes([(AT - 1, END + 1)], story(Began(AT, "c", "r"), track(), Ended(END, "left"))) == []
    )


def test_a_publisher_that_pauses_is_no_fault():
    """With DTX nothing is sent while nothing is said; short pauses are not told."""
    told = story(Began(AT, "c", "r"), track(), Ended(END, "left"))

    assert causes([(AT, AT + 10), (AT + 10.5, AT + 20), (AT + 25, END)], told) == [
        (20.0, 25.0, "pause")
    ]


def test_packets_that_were_lost_leave_a_loss():
    """The page behind the hole says so."""
    told = story(Began(AT, "c", "r"), track(), Ended(END, "left"))

    assert causes([(AT, AT + 10), (AT + 10.5, END, True)], told) == [(10.0, 10.5, "loss")]


def test_a_hole_is_cut_where_its_cause_changes():
    """Muted for a while, then silent, then gone."""
    told = story(
        Began(AT, "c", "r"),
        track(AT),
        track(AT + 20, muted=True),
        track(AT + 30),
        TrackGone(AT + 50, "TR_1"),
        Ended(END, "left"),
    )

    assert causes([(AT, AT + 20)], told) == [
        (20.0, 30.0, "mute"),
        (30.0, 50.0, "pause"),
        (50.0, 60.0, "unpublished"),
    ]


def test_a_track_that_is_published_late_is_unpublished_before():
    """The agent answers after ten seconds."""
    told = story(Began(AT, "c", "r"), track(AT + 10), Ended(END, "left"))

    assert causes([(AT + 10, END)], told) == [(0.0, 10.0, "unpublished")]


def test_a_recorder_that_died_is_named():
    """The first journal has no end, the second begins later."""
    first = story(
        Began(AT, "c1", "r"),
        track(),
        StretchBegan(AT, 1, "f", "TR_1", "PA_1", 1, 0),
        PageKept(AT + 20, 1, 0, AT + 20, 960, 1, 1),
    )
    second = story(
        Began(AT + 26, "c2", "r"),
        ConnectionChanged(AT + 27, "media", "b"),
        track(AT + 26),
        Ended(END, "left"),
    )

    assert causes([(AT, AT + 20), (AT + 27, END)], first, second) == [(20.0, 27.0, "recorder down")]


def test_a_recorder_that_came_late_was_joining():
    """It begins a moment after the caller, and its media a moment after that."""
    told = story(
        Began(AT + 1, "c", "r"),
        ConnectionChanged(AT + 1.5, "media", "recorder"),
        track(AT + 1),
        Ended(END, "left"),
    )

    assert causes([(AT + 1.5, END)], told) == [(0.0, 1.5, "joining")]


def test_a_connection_that_broke_is_named():
    """Unless another connection carried on meanwhile."""
    told = story(
        Began(AT, "c", "r"),
        track(),
        ConnectionChanged(AT, "media", "a"),
        ConnectionChanged(AT + 10, "lost", "a"),
        ConnectionChanged(AT + 13, "media", "b"),
        ConnectionChanged(AT + 30, "media", "c"),
        ConnectionChanged(AT + 31, "left", "b"),
        Ended(END, "left"),
    )

    assert causes([(AT, AT + 10), (AT + 13, AT + 31), (AT + 33, END)], told) == [
        (10.0, 13.0, "connection"),
        (31.0, 33.0, "pause"),
    ]


def test_a_process_that_stood_still_was_down():
    """The journal says for how long it had done nothing."""
    told = story(
        Began(AT, "c", "r"),
        track(),
        Trouble(AT + 15, "stalled", detail="6.000"),
        Ended(END, "left"),
    )

    assert causes([(AT, AT + 9), (AT + 15, END)], told) == [(9.0, 15.0, "recorder down")]


def test_a_disk_that_was_full_is_named():
    """From the trouble to the next page that could be kept."""
    told = story(
        Began(AT, "c", "r"),
        track(),
        StretchBegan(AT, 1, "f", "TR_1", "PA_1", 1, 0),
        Trouble(AT + 10, "disk"),
        PageKept(AT + 15, 1, 0, AT + 15, 960, 1, 1),
        Ended(END, "left"),
    )

    assert causes([(AT, AT + 10), (AT + 15, END)], told) == [(10.0, 15.0, "disk")]


spans = st.tuples(st.floats(AT - 5, END + 5), st.floats(0, 20)).map(lambda s: (s[0], s[0] + s[1]))


@given(st.lists(spans, max_size=8), st.lists(spans, max_size=5))
def test_holes_and_audio_never_overlap(covered, muted):
    """Holes lie within the recording, in order, apart from each other and from audio."""
    known = [Obstacle(*span, "mute") for span in muted]

    found = holes([Covered(*span) for span in covered], known, AT, END)

    edges = [edge for hole in found for edge in (hole.start_sec, hole.end_sec)]
    assert edges == sorted(edges)
    assert all(0 <= edge <= END - AT for edge in edges)
    for hole in found:
        for start, end in covered:
            assert end - AT <= hole.start_sec + 0.001 or start - AT >= hole.end_sec - 0.001


def page(stretch: int, at: float) -> PageKept:
    return PageKept(at, stretch, 0, at, 960, 1, 1)


def began(stretch: int, at: float, track_sid: str = "TR_1") -> StretchBegan:
    return StretchBegan(at, stretch, "f", track_sid, "PA_1", 1, 0)


def test_the_room_is_captured_while_a_connection_carries_its_packets():
    """From the first packet on; a connection that was lost takes nothing with it but its time."""
    told = story(
        Began(AT, "c", "r"),
        ConnectionChanged(AT + 1, "media", "a"),
        *(began(1, AT + 2), page(1, AT + 3), page(1, AT + 10)),
        ConnectionChanged(AT + 15, "lost", "a"),
        ConnectionChanged(AT + 20, "media", "a"),
        *(began(2, AT + 21), page(2, AT + 40)),
        Ended(AT + 50, "left"),
    )

    assert captured([told], ["TR_1"], END) == [
        Covered(AT + 2, AT + 15),
        Covered(AT + 21, AT + 50),
    ]


def test_nothing_is_captured_where_nothing_of_use_was_kept():
    """A stretch without a page, or of a track that can't be decoded, is none."""
    told = story(Began(AT, "c", "r"), began(1, AT + 2), began(2, AT, "TR_2"), page(2, AT + 30))

    assert captured([told], ["TR_1"], END) == []


def test_a_capture_that_died_ends_with_its_last_line():
    """Though it never said so, nor that it was connected."""
    told = story(Began(AT, "c", "r"), began(1, AT + 2), page(1, AT + 30))

    assert captured([told], ["TR_1"], END) == [Covered(AT + 2, AT + 30)]


def test_what_is_heard_in_a_hole_makes_it_smaller():
    """What is left of it has the cause it had, or that of a file that can't be read."""
    missing = [Hole(0.0, 20.0, "joining"), Hole(40.0, 45.0, "connection")]
    heard = [Covered(AT - 5, AT + 8), Covered(AT + 10, AT + 12), Covered(AT + 39, AT + 46)]
    unreadable = [Obstacle(AT + 12, AT + 15, "piece_unreadable")]

    found = patched(missing, heard, unreadable, AT, END)

    assert [(hole.start_sec, hole.end_sec, hole.cause) for hole in found] == [
        (8.0, 10.0, "joining"),
        (12.0, 15.0, "piece_unreadable"),
        (15.0, 20.0, "joining"),
    ]


def test_what_lasts_no_time_has_no_holes():
    """A recording that was stopped as it began."""
    assert holes([], [], AT, AT) == ()
