"""What is said of a track whose file plays words before they came, or long after."""

from dataclasses import replace

import pytest

from egress_manager.domain.captures import TICKS
from egress_manager.domain.evidence import Claim, Evidence, Heard, Playout, TrackClaim
from egress_manager.domain.playout import PlayedPage, playout, utterances
from egress_manager.domain.proof import judge

AT = 1_790_000_000.0


def page(at: float, first: float | None, least: float | None, **more: float) -> PlayedPage:
    """Half a second of sound that comes as it is spoken."""
    plain = PlayedPage(AT + at, AT + at + 0.5, 0.5, 0.002, first, least, 3, 0)
    return plain._replace(**more)


def said(*words: tuple[float, float], **more: float) -> list[PlayedPage]:
    """Words of a second, three seconds apart: how long after they came their packets are played."""
    return [
        page(3.0 * n + 0.5 * half, *word, **more) for n, word in enumerate(words) for half in (0, 1)
    ]


def misplaced(pages: list[PlayedPage]) -> float:
    """By how much a word is out of its place."""
    return playout("TR_1", list(utterances(pages)), AT).misplaced_sec


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ([(0.0, 0.0), (0.001, 0.002)], 0.0),
        ([(0.0, 0.0), (-0.32, -0.32)], -0.32),
        ([(0.0, 0.0), (0.5, 0.9)], 0.5),
        ([(-0.2, 0.0), (0.0, 0.0), (0.0, 0.0)], 0.0),
        ([(-0.3, 0.0), (-0.3, 0.0)], 0.0),
        ([(-0.3, 0.0), (-0.3, 0.0), (-0.3, 0.0)], -0.3),
        ([(0.0, 0.3), (0.0, 1.5)], 0.0),
        ([(None, None), (None, -0.05)], 0.0),
    ],
    ids=[
        "in its place",
        "all of it before it came",
        "long after it came",
        "its first packets were held up",
        "twice before its first packet came",
        "always before its first packet came",
        "its publisher sent ahead of time",
        "silence",
    ],
)
def test_a_word_belongs_where_its_first_packet_came(words, seconds):
    """The network may hold a first packet up, and a publisher send ahead; neither is a fault."""
    assert misplaced(said(*words)) == seconds


def test_what_a_network_held_up_is_not_too_early():
    """Two seconds of sound that came within half a second."""
    held = [page(0.1 * n, -1.5, -1.5 + 0.4 * n, ends_at=AT + 0.1 * n + 0.1) for n in range(4)]

    assert misplaced(held) == 0.0


def test_what_a_starved_publisher_goes_on_with_is_no_new_utterance():
    """Three times it stands still for 2 s, and what it owes comes in a burst: the first 2 s late.

    Who does not count in pauses goes on likewise, but its first packets are not as late as that.
    """
    owed = [each._replace(goes_on=True) for each in said((-2.0, 0.0), (-2.0, 0.0), (-2.0, 0.0))]
    ahead = [each._replace(goes_on=True) for each in said((-0.4, 0.0), (-0.4, 0.0), (-0.4, 0.0))]

    assert misplaced(owed) == 0.0
    assert misplaced(ahead) == -0.4


def answers(*late: float) -> list[PlayedPage]:
    """Short answers of a voice bot that is ahead by a third of a second, each in a page.

    Most of each came at once; they are played so much after their first packets came.
    """
    return [
        page(3.0 * n, first, first + 0.32, ends_at=AT + 3.0 * n + 0.18, jitter=0.32)
        for n, first in enumerate(late)
    ]


def test_short_answers_that_come_ahead_of_time_excuse_nothing():
    """All are played before they came, by as much: no network held each up by the same.

    A starved publisher sends at once what it owes, and owes more or less each time.
    """
    assert misplaced(answers(0.0, 0.0, 0.0)) == 0.0
    assert misplaced(answers(-0.32, -0.32, -0.31, -0.32)) == -0.32
    assert misplaced(answers(-0.32, -0.9, -0.6, -1.4)) == 0.0


@pytest.mark.parametrize("count", [1, 3])
def test_what_comes_ahead_of_time_is_no_jitter(count):
    """Its first page has the lead in its jitter: the network is told by those that follow."""
    pages = [
        part
        for n in range(count)
        for part in (
            page(3.0 * n, -0.7, -0.38, jitter=0.32, ends_at=AT + 3.0 * n + 0.36),
            page(3.0 * n + 0.36, -0.38, -0.38),
        )
    ]

    assert misplaced(pages) == -0.38


def owed(at: float, *least: float, waits: bool = True) -> list[PlayedPage]:
    """Half seconds of a line that never pauses, from a moment on, played before they came."""
    return [
        page(at + 0.5 * n, early, early, goes_on=True, waits=waits) for n, early in enumerate(least)
    ]


def test_what_is_held_up_whole_was_said_in_its_place_if_it_is_made_up_for():
    """A publisher gets no CPU time, is a second behind, stalls once more, and catches up.

    Where the counter itself had stood still, nothing comes in time again, but for a gap in it.
    """
    before, behind = owed(0, 0, 0, 0), owed(2.5, -1, -1, -1, -1)
    caught_up = owed(6.5, -2, -1, 0, 0)
    set_right = [caught_up[0], caught_up[1]._replace(goes_on=False), *caught_up[2:]]
    moved = [caught_up[0], caught_up[1]._replace(waits=False, first_sec=0), *caught_up[2:]]

    assert misplaced(before + behind + caught_up) == 0.0
    for file in (before + behind, before + behind + set_right, before + behind + moved):
        assert misplaced(file) == -1.0


def test_who_catches_up_has_no_clock_that_runs_away():
    """Two seconds that are made up for evenly, at 1.2 times the pace; a clock gains less."""
    made_up_for = [page(0.42 * n, -2 + 0.08 * n, -2 + 0.08 * n) for n in range(25)]
    clock = [page(0.49 * n, -0.5 + 0.01 * n, -0.5 + 0.01 * n) for n in range(50)]

    assert misplaced(made_up_for) == 0.0
    assert misplaced(clock) == pytest.approx(0.32)


def test_what_has_to_wait_for_the_words_before_it_is_not_too_late():
    """Those were sent ahead of time, and are still being heard."""
    words = said((0.0, 0.0), (0.8, 0.8))

    assert misplaced(words) == 0.8
    assert misplaced([*words[:2], *(each._replace(waits=True) for each in words[2:])]) == 0.0


def test_a_word_of_which_only_the_end_was_kept_may_wait_its_turn():
    """Packets of it came before the first that is known, as long as others come ahead of time.

    That is known of three others, and of no word but the first; nor may it wait for longer.
    """
    ahead = [(0.0, 0.5)] * 3

    assert misplaced(said((0.5, 0.5), *ahead)) == 0.0
    assert misplaced(said((0.5, 0.5), *ahead[:2])) == 0.5
    assert misplaced(said((0.5, 0.5), (0.0, 0.01), *ahead[:2])) == 0.5
    assert misplaced(said((0.8, 0.8), *ahead)) == 0.8
    assert misplaced(said((0.0, 0.5), (0.5, 0.5), *ahead)) == 0.5
    assert misplaced(said((0.5, 0.5), *[(0.5, 1.0)] * 3)) == 0.5


def test_jitter_excuses_what_it_explains():
    """A network whose packets take up to a fifth of a second longer."""
    assert misplaced(said((-0.3, -0.3), jitter=0.2)) == 0.0
    assert misplaced(said((-0.9, -0.9), jitter=0.2)) == -0.9


def test_a_clock_that_runs_away_is_no_detour():
    """Both without a pause: half a minute that is played earlier and earlier, or elsewhere."""
    drifting = [page(0.5 * n, -0.01 * n, -0.01 * n) for n in range(60)]
    elsewhere = [page(0.5 * n, late, late) for n in range(60) for late in [-0.3 * (20 < n < 40)]]

    assert misplaced(drifting) == pytest.approx(-0.4)
    assert misplaced(elsewhere) == 0.0


def test_a_pause_parts_utterances():
    """Pages that follow one another are one."""
    found = list(utterances(said((0.0, 0.0), (0.0, 0.0))))

    assert [len(utterance.pages) for utterance in found] == [2, 2]
    assert not list(utterances([]))


@pytest.mark.parametrize(
    ("played", "name"),
    [
        (Playout("TR_1", 3.0, -0.5, 200, 0), "misplaced"),
        (Playout("TR_1", 0.0, 0.0, 200, 30), "not_played"),
        (Playout("TR_1", 0.0, 0.0, 200, 3), ""),
    ],
)
def test_the_verdict_names_it(played, name):
    """The mix and the tracks agree, for the same rule placed both."""
    heard = Heard(format="ogg", sample_rate=TICKS, said_sec=5, decoded_sec=5)
    claim = Claim("mix.ogg", tracks=(TrackClaim("TR_1", "left"),), has_two_sides=False)
    evidence = replace(Evidence(claim, heard), playouts=(played,))

    faults = {fault.name for fault in judge(evidence).faults} - {"track_missing"}
    assert faults == ({name} if name else set())
