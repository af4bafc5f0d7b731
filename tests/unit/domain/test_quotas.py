"""The quotas of a participant, and what a recording says of what was over them."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.captures import (
    TICKS,
    Began,
    LeftOut,
    ParticipantChanged,
    Story,
    TrackChanged,
    from_json,
    to_json,
)
from egress_manager.domain.evidence import Claim, Evidence, Heard, TrackClaim
from egress_manager.domain.findings import KINDS, Weight
from egress_manager.domain.holes import Covered, holes, obstacles
from egress_manager.domain.proof import judge
from egress_manager.domain.quotas import DIGITS, TEXT, Bucket, Quotas, Shelf, clipped
from egress_manager.domain.witness import excesses

TOO_MUCH = LeftOut(1050.0, "packets", "bad", "TR_1", 1040.0, 700)


def story(*entries: LeftOut) -> Story:
    """What a journal says of a call of a minute."""
    told = Story()
    told.tell([Began(1000.0, "cap_1", "room"), TrackChanged(1000.0, "TR_1", "PA_1"), *entries])
    return told


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 10)), max_size=100),
    st.floats(0.1, 10),
    st.floats(1, 20),
)
def test_a_bucket_gives_no_more_than_its_burst_and_what_came_in_since(asked, rate, burst):
    """Whenever it is asked, and however much for; more than the burst leaves a debt."""
    bucket, at, given_out, largest = Bucket(rate, burst), 100.0, 0.0, 0.0
    for wait, amount in asked:
        at += wait
        given_out += amount if bucket.take(amount, at) else 0.0
        largest = max(largest, amount)

    assert given_out <= burst + (at - 100.0) * rate + max(0.0, largest - burst) + 1e-6


def test_more_than_the_burst_is_given_once_the_bucket_is_full():
    """Else it would never be."""
    bucket = Bucket(1.0, 10.0)

    assert bucket.take(15.0, 100.0)
    assert not bucket.take(1.0, 105.0)
    assert bucket.take(1.0, 106.0)


def test_a_time_before_the_last_one_fills_nothing():
    """Packets are read in another order than they came in."""
    bucket = Bucket(1.0, 10.0)
    bucket.take(10.0, 100.0)

    assert not bucket.has(1.0, 50.0)
    assert bucket.has(1.0, 101.0)


def test_many_tracks_that_never_pause_are_kept_to_the_last_packet():
    """Thirty-two for an hour, of which four have as many octets as Opus can have."""
    quotas = Quotas()

    for second in range(3600):
        for track in range(32):
            octets = 510_000 // 8 if track < 4 else 64_000 // 8
            assert quotas.may_keep(TICKS, octets, 1000.0 + second), (second, track)


@given(st.text(max_size=40), st.dictionaries(st.text(max_size=9), st.text(max_size=9)))
def test_usual_texts_are_not_cut(name, attributes):
    """Nor is anything copied."""
    person = ParticipantChanged(1.0, "PA_1", "one", name, metadata=name, attributes=attributes)

    assert clipped(person) is person


def test_metadata_and_attributes_have_room_of_their_own():
    """As much of each as there may be is not cut."""
    person = ParticipantChanged(1.0, "PA_1", "one", metadata="x" * TEXT)
    both = replace(person, attributes={"a": "x" * (TEXT - 1)})

    assert clipped(both) is both


def test_attributes_are_kept_as_far_as_there_is_room():
    """Whole ones, from the first on."""
    many = {f"{n:04}": "x" * 1000 for n in range(100)}
    cut = clipped(ParticipantChanged(1.0, "PA_1", "one", attributes=many))

    assert cut.attributes == dict(list(many.items())[: TEXT // 1004])


def test_what_was_left_out_is_read_as_it_was_written():
    """The newest line of a kind counts."""
    later = replace(TOO_MUCH, at=1055.0, count=900)
    told = story(from_json(to_json(TOO_MUCH)), later)

    assert list(told.left_out.values()) == [later]


def test_a_recording_says_what_was_left_out_of_whom():
    """What was not kept is a fault with a name; what was only not written down is a note."""
    told = story(
        TOO_MUCH,
        LeftOut(1050.0, "timestamps", "bad", "TR_1", 1040.0, 5),
        LeftOut(1050.0, "digits", "bad", "", 1040.0, 9),
    )
    claim = Claim("a.mp4", tracks=(TrackClaim("TR_1", "left", reason="no_audio"),))
    evidence = Evidence(claim, Heard(), excesses=excesses([told], 1030.0, 1060.0))

    found = {f.name: f for f in judge(evidence).findings}
    assert found["over_quota"].is_fault
    assert (found["over_quota"].side, found["over_quota"].amount) == ("left", 700)
    assert (found["over_quota"].start_sec, found["over_quota"].cause) == (10.0, "packets")
    assert KINDS["timestamps"].weight is KINDS["not_noted"].weight is Weight.NOTES
    assert (found["not_noted"].cause, found["not_noted"].amount) == ("digits", 9)


def test_what_was_left_out_before_a_call_is_not_its_own():
    """A capture may hold several calls."""
    assert excesses([story(TOO_MUCH)], 1051.0, 1060.0) == ()


def test_a_hole_of_what_was_not_kept_says_so():
    """It is no pause."""
    known = obstacles([story(TOO_MUCH)], "TR_1", 1000.0, 1060.0)
    covered = [Covered(1000.0, 1042.0), Covered(1048.0, 1060.0)]

    assert [hole.cause for hole in holes(covered, known, 1000.0, 1060.0)] == ["over_quota"]


def test_quotas_that_are_not_whole_are_kept_and_the_number_of_all_is_bounded():
    """What is whole again is as good as new; of too many, those asked for last are kept."""
    shelf = Shelf(most=4)
    spent = shelf.of("room", "bad", 100.0)
    spent.digits.take(DIGITS, 100.0)
    for n in range(100):
        shelf.of("room", f"{n}", 100.0)

    assert len(shelf) <= 4
    assert shelf.of("room", "bad", 101.0) is spent
    assert shelf.of("other room", "bad", 101.0) is not spent
    for n in range(100):
        shelf.of("room", f"{n}", 101.0).digits.take(1, 101.0)
        assert len(shelf) <= 4
    assert shelf.of("room", "99", 101.0).are_whole(102.0)
