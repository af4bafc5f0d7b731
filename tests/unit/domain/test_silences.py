"""A hole is as long as nothing was heard, and a pause only if the publisher sent nothing."""

import pytest

from egress_manager.domain.captures import (
    TICKS,
    Began,
    ConnectionChanged,
    Ended,
    PageKept,
    SenderReport,
    Story,
    StretchBegan,
    TrackChanged,
    Trouble,
)
from egress_manager.domain.holes import Covered, holes, obstacles
from egress_manager.domain.silences import REPORTS, silences

AT, END = 1000.0, 1060.0
OCTETS = 80


class Journal:
    """What a recorder writes of one track, whose packets come 20 ms apart in pages of 0.5 s."""

    def __init__(
        self, began: float, media: float, ended: float | None = None, published: float | None = None
    ) -> None:
        self.story = Story()
        self.story.tell([Began(AT + began, "c", "r")])
        self.story.tell([ConnectionChanged(AT + media, "media", "a")])
        at = AT + (began if published is None else published)
        self.story.tell([TrackChanged(at, "TR_1", "PA_1")])
        self.covered: list[Covered] = []
        self.stretch = self.packets = 0
        self.ended = ended

    def hear(self, start: float, end: float, *, ssrc: int = 7, lost: int = 0) -> "Journal":
        """All packets of a span, in a stretch of their own."""
        self.stretch += 1
        before = self.packets if ssrc == 7 else 0
        began = StretchBegan(AT + start, self.stretch, "f", "TR_1", "PA_1", ssrc, 0, before)
        self.story.tell([began])
        pages = max(1, round((end - start) / 0.5))
        each = (end - start) / pages
        for n in range(pages):
            at, until = AT + start + n * each, round((n + 1) * each * TICKS)
            count = round(each * 50)
            missing = lost if n == 0 else 0
            self.packets += count
            page = PageKept(at, self.stretch, until, at, until, count, count * OCTETS, missing)
            self.story.tell([page])
        self.covered.append(Covered(AT + start, AT + end, lost > 0))
        return self

    def report(self, at: float, more: int = 0) -> "Journal":
        """A report of the server, which has sent so many packets more than were kept."""
        sent = self.packets + more
        report = SenderReport(AT + at, self.stretch, 0, 0.0, sent, sent * (OCTETS + 12), 0, 0)
        self.story.tell([report])
        return self

    def end(self, at: float = END - AT) -> "Journal":
        self.story.tell([Ended(AT + at, "left")])
        return self


def told(*journals: Journal, ends: float = END - AT) -> list[tuple[float, float, str]]:
    """The holes of the track, as plain tuples."""
    stories = [journal.story for journal in journals]
    covered = sorted(span for journal in journals for span in journal.covered)
    known = obstacles(stories, "TR_1", AT, AT + ends)
    known += silences(stories, "TR_1", known, AT + ends)
    found = holes(covered, known, AT, AT + ends)
    return [(hole.start_sec, hole.end_sec, hole.cause) for hole in found]


def test_what_livekit_does_not_send_at_once_belongs_to_joining():
    """Measured: the media is up after 46 ms, the first packet comes after 175."""
    journal = Journal(0.02, 0.046).hear(0.175, 60.0).end()

    assert told(journal) == [(0.0, 0.175, "joining")]


def test_an_outbound_call_says_all_that_is_missing_at_its_head():
    """Measured: 109 ms until the media was up, 54 more until something came."""
    journal = Journal(0.1, 0.109).hear(0.163, 60.0).end()

    assert told(journal) == [(0.0, 0.163, "joining")]


def test_a_track_that_is_published_in_mid_call_says_all_that_is_missing_at_its_head():
    """Its publisher spoke at once, and the server took a moment to send it."""
    journal = Journal(-1.0, -1.0, published=20.0).hear(20.18, 60.0).end()

    assert told(journal) == [(0.0, 20.0, "unpublished"), (20.0, 20.18, "joining")]


def test_an_agent_who_publishes_in_mid_call_and_waits_is_not_late():
    """The server would have sent it within a moment."""
    journal = Journal(-1.0, -1.0, published=20.0).hear(21.5, 60.0).end()

    assert told(journal) == [(0.0, 20.0, "unpublished"), (20.0, 21.5, "pause")]


def test_what_is_heard_later_than_it_came_is_no_pause():
    """The first packet came after 175 ms; it is heard a patient jitter buffer's time later."""
    journal = Journal(0.02, 0.046).hear(0.175, 60.0).end()
    journal.covered = [Covered(AT + 0.325, AT + 60.0)]

    assert told(journal) == [(0.0, 0.325, "joining")]


def test_what_a_killed_manager_had_not_written_is_lost_with_it():
    """Measured: the last page that was written ends at 6.59, the journal a little later."""
    first = Journal(-1.0, -1.0).hear(-0.5, 6.59)
    first.story.last_at = AT + 6.883
    second = Journal(11.3, 11.538).hear(11.64, 60.0, ssrc=8).end()

    assert told(first, second) == [(6.59, 11.64, "recorder down")]


@pytest.mark.parametrize("silence", [2.0, 20.0])
def test_who_sent_nothing_before_a_kill_paused_until_the_last_report(silence):
    """By then the server had sent nothing that was not kept; of what came after nobody knows."""
    first = Journal(-1.0, -1.0).hear(-0.5, 10.0).report(9.5)
    first.report(10.0 + silence - 0.8)
    first.story.last_at = AT + 10.0 + silence
    second = Journal(15.0 + silence, 15.1 + silence).hear(15.2 + silence, 60.0, ssrc=8).end()

    assert told(first, second) == [
        (10.0, 9.2 + silence, "pause"),
        (9.2 + silence, 15.2 + silence, "recorder down"),
    ]


def test_who_says_nothing_when_the_recorder_is_back_is_not_missed():
    """The server would have sent it within a moment."""
    first = Journal(-1.0, -1.0).hear(-0.5, 10.0)
    first.story.last_at = AT + 10.1
    second = Journal(14.0, 14.1).hear(19.0, 60.0, ssrc=8).end()

    assert told(first, second) == [(10.0, 14.1, "recorder down"), (14.1, 19.0, "pause")]


def test_an_agent_who_waits_before_it_greets_is_not_late():
    """Joining took a tenth of a second, and then nobody said anything for almost one."""
    journal = Journal(0.05, 0.1).hear(1.05, 60.0).end()

    assert told(journal) == [(0.0, 0.1, "joining"), (0.1, 1.05, "pause")]


def test_an_agent_who_was_heard_before_is_not_late():
    """The capture begins on a running subscription, between two packets of a quiet agent."""
    journal = Journal(0.6, 0.6)
    journal.packets = 1000
    journal.hear(1.05, 60.5).end()

    assert told(journal) == [(0.0, 0.6, "joining"), (0.6, 1.05, "pause")]


def test_a_pause_is_one_by_the_numbers_of_its_packets():
    """None is missing between, with reports and without."""
    journal = Journal(-1.0, -1.0).hear(-0.5, 10.0).hear(14.0, 60.5).end()

    assert told(journal) == [(10.0, 14.0, "pause")]


def test_packets_that_are_missing_by_their_numbers_are_lost():
    """The page behind the hole counts them."""
    journal = Journal(-1.0, -1.0).hear(-0.5, 10.0).hear(14.0, 60.5, lost=200).end()

    assert told(journal) == [(10.0, 14.0, "loss")]


def test_packets_that_are_missing_by_their_numbers_are_lost_whatever_the_server_counts():
    """It sends on what it got, and counts no more: a publisher whose network failed did speak.

    On the wire that is the same as numbers that leapt while nothing was said.
    """
    journal = Journal(-1.0, -1.0).hear(-0.5, 10.0).report(9.9)
    for at in (12.5, 15.5, 18.5):
        journal.report(at)
    journal.hear(22.0, 60.5, lost=560).report(24.0)

    assert told(journal.end()) == [(10.0, 22.0, "loss")]


@pytest.mark.parametrize(("lost", "cause"), [(0, "pause"), (75, "recorder down")])
def test_a_recorder_that_stood_still_is_to_blame_for_what_is_missing_by_its_number(lost, cause):
    """What waited for it in the kernel came after all: then the publisher stood still, too."""
    journal = Journal(-1.0, -1.0).hear(-0.5, 10.0)
    journal.story.tell([Trouble(AT + 11.5, "stalled", detail="1.500")])
    journal.hear(11.5, 60.5, lost=lost).end()

    assert told(journal) == [(10.0, 11.5, cause)]


def test_what_the_server_counts_and_we_do_not_have_is_no_pause():
    """Though no number is missing: the page was lost after it had come."""
    journal = Journal(-1.0, -1.0).hear(-0.5, 10.0).report(9.9)
    journal.hear(14.0, 60.5).report(15.0, more=200).end()

    assert told(journal) == [(10.0, 14.0, "loss")]


def test_a_last_silence_is_a_pause_while_the_server_reports():
    """And a loss where it reports no more, although it did."""
    silent = Journal(-1.0, -1.0).hear(-0.5, 30.0).report(29.5)
    for at in range(32, 60, 3):
        silent.report(at)
    dead = Journal(-1.0, -1.0).hear(-0.5, 30.0).report(29.5)

    assert told(silent.end()) == [(30.0, 60.0, "pause")]
    assert told(dead.end()) == [(30.0, 60.0, "loss")]
    assert REPORTS < 30.0


def test_a_short_last_silence_is_a_pause():
    """A report is not due yet."""
    journal = Journal(-1.0, -1.0).hear(-0.5, 56.0).report(55.0).end()

    assert told(journal) == [(56.0, 60.0, "pause")]


def test_between_two_connections_nobody_counts():
    """The second one began to bring the track a second after the first had stopped."""
    journal = Journal(-1.0, -1.0).hear(-0.5, 10.0).hear(11.0, 60.5, ssrc=8).end()

    assert told(journal) == [(10.0, 11.0, "loss")]


def test_captures_that_follow_each_other_keep_one_count():
    """Of the same subscription, whose publisher said nothing when the capture was changed."""
    first = Journal(-1.0, -1.0).hear(-0.5, 10.0).end(12.0)
    second = Journal(12.0, 12.0)
    second.packets = first.packets
    second.hear(15.0, 60.5).end()

    assert told(first, second) == [(10.0, 15.0, "pause")]


def test_an_end_that_comes_a_moment_early_is_no_hole_of_ours():
    """The capture ended 50 ms before the call, and the last packet came 0.2 s before that."""
    journal = Journal(-1.0, -1.0).hear(-0.5, 59.75).end(59.95)

    assert told(journal) == []
