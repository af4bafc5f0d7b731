"""The delay at which a patient receiver plays each talkspurt of a stretch.

It changes between talkspurts only, and only if it has to: talkspurts whose intervals of delays meet
are one group, with the largest delay that all of them allow.

What came before a stretch began was not heard, and that may be the beginning of a word. If its
publisher sends ahead of time, all that is left of the word comes early, and nothing of it tells by
how much. The talkspurts that follow do: it is played at their delay, as those heard it who were
there before.

Pure. Granules are ticks of 1/48000 s, moments and delays are seconds since the stretch began.
"""

from collections.abc import Iterator, Sequence
from itertools import takewhile
from math import inf
from statistics import median
from typing import Final

from egress_manager.domain.captures import TICKS
from egress_manager.domain.drift import USUAL_DRIFT
from egress_manager.domain.talkspurts import LONG_LINE, MARGIN, Talkspurt, in_time_from

#: When a publisher sends ahead of time, its first packets tell to this when it does. Seconds.
LEAD_MARGIN: Final = 0.005

#: So many talkspurts that were sent ahead of time prove that their publisher always does so: a
#: network may hold up the first packets of one or two.
SEVERAL: Final = 3

#: Leads are alike if they differ by this part of themselves at most: packets have jitter.
ALIKE: Final = 0.25


def grouped(spurts: Sequence[Talkspurt]) -> Iterator[list[Talkspurt]]:
    """Talkspurts that a receiver plays at one delay, which each of them is given."""
    if _is_half_heard(spurts):
        spurts[0].leads, spurts[0].high = True, inf
    yield from _groups(spurts)


def _is_half_heard(spurts: Sequence[Talkspurt]) -> bool:
    """Whether the stretch began within a talkspurt whose publisher had sent it ahead of time.

    Most of those after it that came as early as this one were sent ahead of time, by as much each
    time. A network holds the first packets of a word up now and then, for longer or shorter.
    """
    first = spurts[0]
    others = list(takewhile(lambda spurt: not spurt.is_cut, spurts[1:]))
    as_early = [spurt for spurt in others if spurt.low <= first.low + MARGIN + _wear(first, spurt)]
    leads = [spurt.high - spurt.low for spurt in as_early if spurt.leads]
    usual = median(leads) if leads else 0.0
    alike = sum(abs(lead - usual) <= max(MARGIN, ALIKE * usual) for lead in leads)
    is_usual = alike >= SEVERAL and alike > len(as_early) / 2
    return is_usual and first.high - first.low < usual - MARGIN


def _wear(before: Talkspurt, spurt: Talkspurt) -> float:
    """How much a delay may have changed between two beginnings, for clocks drift. Seconds."""
    return USUAL_DRIFT * (spurt.pages[0].x - before.pages[0].x)


def _groups(spurts: Sequence[Talkspurt]) -> Iterator[list[Talkspurt]]:
    """The groups, each as large as it can be, from the first one on.

    The clock of a publisher drifts, so what was learnt of the delay wears out.
    """
    group: list[Talkspurt] = []
    low, high, at = -inf, inf, 0.0
    for spurt in spurts:
        wear = USUAL_DRIFT * max(0.0, spurt.pages[0].x - at)
        low, high = low - wear, high + wear
        # Packets that come earlier than they are played were sent ahead of time for certain: then
        # the first one was not held up, and the talkspurt begins where that came.
        is_ahead = spurt.leads and spurt.low < high - MARGIN < inf
        least = spurt.high if is_ahead else spurt.low
        is_late = least - spurt.jitter > high + (LEAD_MARGIN if is_ahead else MARGIN)
        is_excused = is_late and not is_ahead and least - spurt.slack <= high + MARGIN
        is_early = spurt.high < low - MARGIN
        if group and (spurt.is_cut or is_early or (is_late and not is_excused)):
            yield _played(group, _certain(group, high, is_first=group[0] is spurts[0]))
            group, low, high = [], -inf, inf
        if not (group and is_excused):
            low = max(low, least - spurt.jitter)
        high = min(high, spurt.high)
        group.append(spurt)
        low, high, at = low + spurt.drifts, high + spurt.drifts, spurt.pages[-1].x
    if group:
        yield _played(group, _certain(group, high, is_first=group[0] is spurts[0]))


def _certain(group: Sequence[Talkspurt], high: float, *, is_first: bool) -> float:
    """The delay at a group's end, `high` at most.

    A line that begins with much at once, and then goes on and on without ever coming so late again,
    was held up when it began: what is said in it later lies where it came. So does what nothing
    bounds: half a word, if what follows it is played at another delay.
    """
    only = group[0]
    if high == inf:
        return only.low + only.drifts
    lasts = (only.ends - only.begins) / TICKS
    if not is_first or len(group) > 1 or lasts < LONG_LINE:
        return high
    later = only.pages[in_time_from(only.pages) + 1 :]
    is_late_again = any(page.least > only.high - MARGIN for page in later)
    return high if is_late_again else only.low + only.drifts


def _played(group: list[Talkspurt], high: float) -> list[Talkspurt]:
    """The group, each talkspurt with its delay; `high` is the largest one allowed at the end."""
    for spurt in reversed(group):
        high -= spurt.drifts
        spurt.delay = high
    return group
