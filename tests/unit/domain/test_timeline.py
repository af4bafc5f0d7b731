"""Where a stretch belongs, from packets that came late and clocks that are wrong."""

import random
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egress_manager.domain.captures import (
    TICKS,
    PageKept,
    SenderReport,
    Stretch,
    StretchBegan,
    StretchEnded,
)
from egress_manager.domain.timeline import Placement, place

AT = 1_790_000_000.0
HOUR = 3600.0


def made(
    length: float,
    *,
    ppm: float = 0.0,
    jitter: float = 0.2,
    first_late: float = 0.15,
    more: tuple[float, float, float] = (0, 0, 0),
    clock_error: float | None = 3600.0,
    clock_set: tuple[float, float] = (1e9, 0),
    stops: tuple[tuple[float, float], ...] = (),
    seed: int = 1,
) -> Stretch:
    """A stretch whose granule 0 belongs to `AT`, as it is journaled.

    `stops`: when its publisher sends nothing, and does not count either, and for how long.

    Each packet comes up to `jitter` late, and `more[2]` more between two moments; `clock_error`:
    how wrong its reports' clock is (None: no reports), which is set by `clock_set[1]` at a moment.
    """
    chance = random.Random(seed)
    pace = 1 + ppm * 1e-6

    def delay(x: float) -> float:
        return chance.random() * jitter + (more[2] if more[0] <= x < more[1] else 0.0)

    def stopped(x: float) -> float:
        return sum(length for at, length in stops if at <= x)

    stretch = Stretch(StretchBegan(AT + first_late, 1, "f", "TR_1", "PA_1", 1, 0))
    for n in range(int(length * 2)):
        late, x = min(
            (delay(n / 2 + k / 50) if n + k else first_late, n / 2 + k / 50) for k in range(25)
        )
        came = AT + x * pace + stopped(x) + late
        stretch.pages.append(
            PageKept(came, 1, round(x * TICKS), came, (n + 1) * TICKS // 2, 25, 2000)
        )
    if clock_error is not None:
        for x in range(1, int(length), 5):
            ntp = AT + x * pace + stopped(x) + clock_error + chance.uniform(-0.005, 0.005)
            ntp += clock_set[1] if x > clock_set[0] else 0.0
            at = AT + x * pace + stopped(x)
            stretch.reports.append(SenderReport(at, 1, x * TICKS, ntp, 0, 0))
    return stretch


def errors(stretch: Stretch, length: float, ppm: float) -> list[float]:
    """How far from the truth a placement is, at eleven points, in seconds."""
    placed = place(stretch)
    true = [length * part / 10 for part in range(11)]
    return [placed.at(x * TICKS) - (AT + x * (1 + ppm * 1e-6)) for x in true]


@pytest.mark.parametrize("ppm", [-100.0, 0.0, 100.0])
@pytest.mark.parametrize("length", [2.0, 30.0, 180.0, HOUR])
def test_every_word_is_at_its_place(length, ppm):
    """Jitter up to 200 ms, a clock that is an hour wrong, a first packet that is late."""
    assert max(map(abs, errors(made(length, ppm=ppm), length, ppm))) < 0.015


@pytest.mark.parametrize("ppm", [-100.0, 100.0])
def test_without_reports_the_arrivals_tell_the_pace(ppm):
    """An hour of nothing but arrivals is enough for some milliseconds."""
    stretch = made(HOUR, ppm=ppm, clock_error=None)

    assert place(stretch).basis == "arrivals"
    assert max(map(abs, errors(stretch, HOUR, ppm))) < 0.005


@pytest.mark.parametrize("length", [180.0, HOUR])
@pytest.mark.parametrize("clock_error", [3600.0, None])
@pytest.mark.parametrize("span", [(0.0, 0.3), (0.4, 0.7), (0.5, 1.0)])
def test_a_detour_moves_nothing(length, clock_error, span):
    """Packets that take 80 ms longer for a while belong where they would have been."""
    more = (span[0] * length, span[1] * length, 0.08)
    stretch = made(length, ppm=100, more=more, clock_error=clock_error)

    assert max(map(abs, errors(stretch, length, 100))) < 0.010


def test_a_publisher_that_sets_its_clock_moves_nothing():
    """Two hours back in the middle of a call."""
    stretch = made(600.0, ppm=-80, clock_set=(200.0, -7200.0))

    assert max(map(abs, errors(stretch, 600.0, -80))) < 0.010


@pytest.mark.parametrize("jitter", [0.01, 0.2])
@pytest.mark.parametrize("clock_error", [3600.0, None])
def test_a_publisher_that_stops_counting_while_it_is_silent(jitter, clock_error):
    """LiveKit's SDK sends nothing where an agent says nothing, and its timestamps stand still."""
    stops = tuple((10.0 + 7.5 * n, 0.15 + 0.1 * (n % 9)) for n in range(20))
    stretch = made(180.0, ppm=50, jitter=jitter, stops=stops, clock_error=clock_error)

    placed = place(stretch)

    for x in range(5, 180, 5):
        true = AT + x * (1 + 50e-6) + sum(length for at, length in stops if at <= x)
        assert placed.at(x * TICKS) == pytest.approx(true, abs=0.02)


@pytest.mark.parametrize("ppm", [-20_000.0, -5000.0, 1000.0, 5000.0, 20_300.0])
@pytest.mark.parametrize("jitter", [0.005, 0.04])
@pytest.mark.parametrize("clock_error", [3600.0, None])
def test_a_clock_that_is_far_off_is_followed(ppm, jitter, clock_error):
    """At 2 %, too: what is measured of it scatters around that."""
    stretch = made(120.0, ppm=ppm, jitter=jitter, clock_error=clock_error)

    assert max(map(abs, errors(stretch, 120.0, ppm))) < 0.01


@pytest.mark.parametrize("ppm", [-20_000.0, -5000.0, 1000.0, 5000.0, 20_300.0])
@pytest.mark.parametrize("jitter", [0.005, 0.04])
def test_a_clock_that_is_far_off_is_followed_on_another_route(ppm, jitter):
    """From the middle on, all takes 80 ms longer."""
    stretch = made(120.0, ppm=ppm, jitter=jitter, more=(60.0, inf, 0.08))

    assert max(map(abs, errors(stretch, 120.0, ppm))) < 0.01


@pytest.mark.parametrize("ppm", [-20_000.0, -5000.0, 1000.0, 5000.0, 20_300.0])
@pytest.mark.parametrize("stops", [((20.0, 5.0), (50.0, 8.0), (90.0, 3.0)), ((60.0, 0.3),)])
def test_a_clock_that_is_far_off_is_followed_beside_mutes(ppm, stops):
    """While it is muted the publisher does not count."""
    stretch = made(120.0, ppm=ppm, jitter=0.01, first_late=0.0, stops=stops)

    placed = place(stretch)

    for x in range(5, 120, 5):
        true = AT + x * (1 + ppm * 1e-6) + sum(length for at, length in stops if at <= x)
        assert placed.at(x * TICKS) == pytest.approx(true, abs=0.01)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("jitter", [0.01, 0.1, 0.2])
def test_a_clock_that_is_right_is_left_alone_beside_mutes(seed, jitter):
    """However the network delays packets, and however short the parts between them are."""
    chance = random.Random(seed)
    stops = tuple((10.0 + 9 * n, chance.uniform(0.3, 6.0)) for n in range(12))

    assert abs(place(made(125.0, jitter=jitter, stops=stops, seed=seed)).drift_ppm) < 500


def spoken(start: float, came: float, packets: int, late=(), *, tells: bool = True) -> PageKept:
    """A page whose first packet of 20 ms is due at a moment; `late` says by how much each came."""
    delays = [*late, *[0.0] * packets][:packets]
    arrived = [came + n / 50 + delay for n, delay in enumerate(delays)]
    least = min(range(packets), key=lambda n: (delays[n], n))
    first = round(start * TICKS)
    soonest = min(range(packets), key=arrived.__getitem__)
    return PageKept(
        at=arrived[-1],
        stretch=1,
        granule=first + least * 960,
        arrived=arrived[least],
        until=first + packets * 960,
        packets=packets,
        octets=2000,
        came=arrived[soonest] if tells else 0.0,
        start=first if tells else -1,
        first=first + soonest * 960 if tells else -1,
        jitter=max(delays) - delays[least] if tells else -1.0,
    )


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("counted", [0.0, 1.0])
@pytest.mark.parametrize("late", [(), (0.1, 0.02, 0.02), (0.4,), (0.05, 0.04) * 20])
@pytest.mark.parametrize("packets", [1, 5, 25])
def test_few_packets_after_a_long_stop_are_enough(packets, late, counted, tells):
    """A last word before the hang-up, whichever of its packets came late.

    Of the pause before it, all or a part was not counted; old journals do not tell what came first.
    """
    stretch = made(60.0, jitter=0.02)
    stretch.pages.append(spoken(60 + counted, AT + 63.0, packets, late, tells=tells))

    least = min(late[:packets], default=0.0) if packets <= len(late) else 0.0
    for ended in (None, StretchEnded(AT + 64, 1, stretch.until, "unpublished")):
        stretch.ended = ended
        placed = place(stretch)
        assert placed.at((60 + counted) * TICKS) == pytest.approx(AT + 63 + least, abs=0.03)


@pytest.mark.parametrize("freed", [63.0, 65.0])
@pytest.mark.parametrize("count", [1, 6])
def test_what_a_network_held_up_is_no_stop(freed, count):
    """All comes at once, the last of it in time; or late, for the caller hung up meanwhile.

    Who is still there will be in time again.
    """
    stretch = made(60.0, jitter=0.02)
    for n in range(count):
        waited = [freed - 60 - n / 2 - k / 50 for k in range(25)]
        stretch.pages.append(spoken(60 + n / 2, AT + 60 + n / 2, 25, waited))
        early = place(stretch, now=AT + freed + 0.1)
        assert early.at(60 * TICKS) == pytest.approx(AT + 60, abs=0.03)
    stretch.ended = StretchEnded(AT + freed, 1, stretch.until, "unpublished")

    assert place(stretch).at(60 * TICKS) == pytest.approx(AT + 60, abs=0.03)


def test_what_a_network_held_up_before_a_pause_has_its_place():
    """A second of words comes late, then the publisher stops, and speaks once more."""
    stretch = made(60.0, jitter=0.02)
    for n in range(2):
        waited = [3.0 - n / 2 - k / 50 for k in range(25)]
        stretch.pages.append(spoken(60 + n / 2, AT + 60 + n / 2, 25, waited))
    stretch.pages += [spoken(61 + n / 2, AT + 69 + n / 2, 25) for n in range(8)]
    stretch.ended = StretchEnded(AT + 73, 1, stretch.until, "unpublished")

    placed = place(stretch)

    assert placed.at(60 * TICKS) == pytest.approx(AT + 60, abs=0.03)
    assert placed.at(61 * TICKS) == pytest.approx(AT + 69, abs=0.03)


def test_what_is_only_late_has_its_place_when_that_is_known():
    """What comes after a pause may be late or not; some time later it is not."""
    stretch = made(60.0, jitter=0.02)
    stretch.pages.append(spoken(60, AT + 63, 25))

    assert place(stretch, now=AT + 63.5).open_from == 60 * TICKS
    known = place(stretch, now=AT + 64.5)
    assert known.open_from == inf
    assert known.at(60 * TICKS) == pytest.approx(AT + 63, abs=0.03)


def test_what_is_not_counted_for_long_and_then_comes_late_moves_only_that():
    """A gap that was counted, and after it a stop: the sound after it is where it came."""
    stretch = made(60.0, jitter=0.02)
    for n in range(60):
        stretch.pages.append(spoken(90 + n / 2, AT + 91.5 + n / 2, 25))

    assert place(stretch).at(59 * TICKS) == pytest.approx(AT + 59, abs=0.03)
    assert place(stretch).at(90 * TICKS) == pytest.approx(AT + 91.5, abs=0.03)


def silence_of_livekit(start: float, came: float) -> list[PageKept]:
    """A fifth of a second of what its server fills a pause with."""
    pages = [spoken(start + n / 25, came + n / 25, 2) for n in range(5)]
    return [replace(page, octets=160) for page in pages]


@pytest.mark.parametrize("filled", [True, False])
def test_silence_of_livekit_is_before_a_step_and_moves_none(filled):
    """Its server fills the beginning of a pause; the words after it are heard when they came."""
    stretch = made(60.0, jitter=0.005)
    again = 60.2 if filled else 60.0
    stretch.pages += silence_of_livekit(60.0, AT + 60) if filled else []
    stretch.pages += [spoken(again + n / 2, AT + 70 + n / 2, 25) for n in range(4)]
    stretch.pages += silence_of_livekit(again + 2, AT + 72)

    placed = place(stretch)

    assert placed.at(again * TICKS - 1) == pytest.approx(AT + again, abs=0.03)
    assert placed.at(again * TICKS) == pytest.approx(AT + 70, abs=0.03)


def test_reports_that_are_made_up_from_an_older_one_deny_no_stop():
    """The server reports thrice for each report of the publisher, also while that stands still."""
    stretch = made(180.0, jitter=0.02, stops=((61.5, 0.4), (102.0, 12.0)))
    told = stretch.reports[::2]
    stretch.reports = [later(one, seconds) for one in told for seconds in (0.0, 3.0, 6.0)]
    stretch.reports.sort(key=lambda report: report.at)

    placed = place(stretch)

    assert placed.at(90 * TICKS) == pytest.approx(AT + 90.4, abs=0.02)
    assert placed.at(170 * TICKS) == pytest.approx(AT + 182.4, abs=0.02)


def later(report: SenderReport, seconds: float) -> SenderReport:
    """What LiveKit makes of a report some time after."""
    return replace(
        report,
        at=report.at + seconds,
        granule=report.granule + round(seconds * TICKS),
        ntp=report.ntp + seconds,
    )


def test_small_stops_are_believed_where_reports_show_them():
    """Forty milliseconds, thrice: a change of the route would not be in the publisher's reports."""
    stops = ((40.0, 0.04), (90.0, 0.04), (130.0, 0.04))
    stretch = made(180.0, jitter=0.02, stops=stops)

    assert len(place(stretch).steps) == 3
    assert place(stretch).at(170 * TICKS) == pytest.approx(AT + 170.12, abs=0.01)


def test_reports_that_contradict_the_arrivals_are_not_believed():
    """A clock that runs 300 ppm fast beside a sound card that is right."""
    stretch = made(600.0, jitter=0.02)
    stretch.reports = [replace(r, ntp=r.ntp + 300e-6 * r.granule / TICKS) for r in stretch.reports]

    placed = place(stretch)

    assert placed.basis == "arrivals"
    assert max(map(abs, errors(stretch, 600.0, 0))) < 0.005


def test_silence_that_livekit_makes_itself_says_nothing_of_the_publisher():
    """Its server ends a track with frames that come 20 ms sooner than all that was published."""
    stretch = made(10.0, jitter=0.005, first_late=0.0)
    for n in range(500, 510):
        came = AT + n / 50 - 0.02
        end = (n + 1) * 960
        stretch.pages.append(PageKept(came, 1, n * 960, came, end, 1, 80))

    assert max(map(abs, errors(stretch, 10.0, 0))) < 0.003


def test_a_stretch_of_which_nothing_is_known_lies_where_it_began():
    """Its first packet has come, and no page is complete."""
    placed = place(Stretch(StretchBegan(AT, 1, "f", "TR_1", "PA_1", 1, 0)))

    assert placed == Placement(AT, 0.0, "nominal")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.randoms(use_true_random=False))
def test_the_order_of_the_journal_does_not_matter(seed, chance):
    """Pages and reports may be read in any order."""
    stretch = made(60.0, ppm=50, seed=seed)
    shuffled = Stretch(
        stretch.began,
        chance.sample(stretch.pages, len(stretch.pages)),
        chance.sample(stretch.reports, len(stretch.reports)),
    )

    assert place(shuffled).at(30 * TICKS) == pytest.approx(place(stretch).at(30 * TICKS), abs=1e-3)


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.floats(-1e6, 1e6)), max_size=30),
    st.lists(st.tuples(st.integers(-(10**9), 10**9), st.floats(0, 4e9)), max_size=30),
)
def test_no_journal_is_too_strange(pages, reports):
    """Whatever is claimed, an answer comes, and its pace is believable."""
    stretch = Stretch(StretchBegan(AT, 1, "f", "TR_1", "PA_1", 1, 0))
    stretch.pages = [PageKept(AT, 1, g, AT + late, g + 960, 1, 1) for g, late in pages]
    stretch.reports = [SenderReport(AT, 1, g, ntp, 0, 0) for g, ntp in reports]

    assert abs(place(stretch).drift_ppm) <= 500
