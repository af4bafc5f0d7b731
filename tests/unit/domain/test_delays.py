"""At which delay talkspurts are played whose beginning nobody heard."""

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest

from egress_manager.domain.captures import TICKS, PageKept, Stretch, StretchBegan, StretchEnded
from egress_manager.domain.timeline import place

AT = 1_790_000_000.0
FRAME = 960
#: How far a word may lie from where it was said. Seconds.
PLACE = 0.04

#: The frame of a packet, and when it came.
Sent = tuple[int, float]


def words(chance: random.Random, count: int) -> list[range]:
    """The frames of so many utterances, with pauses of up to 2 s between them."""
    found, frame = [], 50
    for _ in range(count):
        found.append(range(frame, frame + chance.randint(40, 150)))
        frame = found[-1].stop + chance.randint(15, 100)
    return found


def sent(
    chance: random.Random, said: Sequence[range], lead: float = 0.0, jitter: float = 0.005
) -> list[Sent]:
    """The packets of utterances, so much of each at once, in the order in which they come."""
    packets: list[Sent] = []
    newest = 0.0
    for word in said:
        for frame in word:
            due = max(word.start / 50, frame / 50 - lead)
            newest = max(newest, due + chance.random() * jitter)
            packets.append((frame, AT + newest))
    return packets


def kept(packets: Sequence[Sent]) -> Stretch:
    """The stretch that a recorder makes of packets, its granules from the first one on."""
    stretch = Stretch(StretchBegan(packets[0][1], 1, "f", "TR_1", "PA_1", 1, 0))
    stretch.pages += [_kept(page, packets[0][0]) for page in _pages(packets)]
    stretch.ended = StretchEnded(packets[-1][1], 1, stretch.until, "left")
    return stretch


def _pages(packets: Sequence[Sent]) -> Iterator[Sequence[Sent]]:
    start = 0
    for n, ((frame, came), (following, comes)) in enumerate(pairwise(packets), 1):
        if following != frame + 1 or n - start == 25 or comes - came > 0.08:
            yield packets[start:n]
            start = n
    yield packets[start:]


def _kept(page: Sequence[Sent], first: int) -> PageKept:
    delays = [came - frame / 50 for frame, came in page]
    frame, came = page[delays.index(min(delays))]
    begins = (page[0][0] - first) * FRAME
    return PageKept(
        at=page[-1][1],
        stretch=1,
        granule=(frame - first) * FRAME,
        arrived=came,
        until=begins + len(page) * FRAME,
        packets=len(page),
        octets=100 * len(page),
        came=page[0][1],
        start=begins,
        first=begins,
        jitter=max(delays) - min(delays),
        is_silent=False,
    )


def off(packets: Sequence[Sent], said: Sequence[range]) -> list[float]:
    """How much later than it was to be heard each of some utterances is played."""
    at, first = place(kept(packets)).at, packets[0][0]
    heard = [max(word.start, first) for word in said if word.stop > first]
    return [at((frame - first) * FRAME) - (AT + frame * FRAME / TICKS) for frame in heard]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("jitter", [0.005, 0.03])
@pytest.mark.parametrize("lead", [0.2, 0.32, 0.5, 1.0])
def test_who_joins_in_the_middle_of_a_word_hears_it_with_the_others(lead, jitter, seed):
    """A voice bot had sent its beginning at once, and the rest of it comes as early."""
    chance = random.Random(seed)
    said = words(chance, 8)
    packets = sent(chance, said, lead, jitter)
    joined = packets[chance.randint(round(lead * 50) // 2, len(said[0]) - 5) :]

    assert max(map(abs, off(joined, said))) < PLACE


@pytest.mark.parametrize("lead", [0.32, 1.0])
def test_words_that_differ_in_how_early_they_come_are_in_their_place(lead):
    """Some are shorter than what is sent at once; of the first one only the end is heard."""
    chance = random.Random(1)
    said = [range(50, 150), *(range(200 * n, 200 * n + 10 + 30 * (n % 3)) for n in range(1, 13))]
    packets = sent(chance, said, lead)[70:]

    assert max(map(abs, off(packets, said))) < PLACE


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("held", [(0.3, 0.3), (0.1, 0.3, 0.2, 0.4), (0.25,) * 3])
def test_first_packets_that_a_network_held_up_move_no_word(held, seed):
    """Nobody sends ahead of time: twice, by other times, or less often than not."""
    chance = random.Random(seed)
    said = words(chance, 8)
    packets = sent(chance, said)[30:]
    late = dict(zip((said[n].start for n in (1, 4, 6, 7)), held, strict=False))
    until = 0.0
    for n, (frame, came) in enumerate(packets):
        until = max(until, came + late.get(frame, 0.0))
        packets[n] = frame, until

    assert max(map(abs, off(packets, said))) < PLACE


def test_two_words_do_not_show_that_their_publisher_sends_ahead_of_time():
    """The network may have held both up, so they lie by their least-delayed packets."""
    said = words(random.Random(1), 3)
    packets = sent(random.Random(1), said, 0.32)[30:]

    assert off(packets, said) == pytest.approx([-0.32] * 3, abs=PLACE)


def test_a_word_that_comes_earlier_still_leaves_the_first_one_where_it_came():
    """Of the second one only the end is heard, too, and it had been sent earlier than any other."""
    said = words(random.Random(1), 8)
    packets = sent(random.Random(1), said, 0.32)[30:]
    second = range(said[1].start + 20, said[1].stop)
    packets = [(frame, came - (frame in second)) for frame, came in packets]
    packets = [each for each in packets if each[0] not in said[1] or each[0] in second]

    assert off(packets, [said[0], second])[0] == pytest.approx(-0.32, abs=PLACE)


def test_what_a_counter_did_that_stood_still_says_nothing_of_the_words_before():
    """A publisher that sends nothing ahead stops counting, and then begins to send ahead."""
    said = words(random.Random(1), 8)
    first, *others = said
    packets = sent(random.Random(1), [first])
    packets += [(frame, came + 2) for frame, came in sent(random.Random(1), others, 0.32)]

    assert off(packets, said)[0] == pytest.approx(0.0, abs=PLACE)
    assert off(packets, said)[1:] == pytest.approx([2.0] * 7, abs=PLACE)
