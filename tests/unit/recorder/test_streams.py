"""The streams of a connection: claimed by offers, forgotten when they are over."""

from egress_manager.audio import opus
from egress_manager.domain.captures import ParticipantChanged, TrackChanged, TrackGone
from egress_manager.recorder.capture import Capture
from egress_manager.recorder.reception import PATIENCE
from egress_manager.recorder.rtp import RtpPacket
from egress_manager.recorder.streams import FORGET, UNCLAIMED, UNCLAIMED_SSRCS, Streams

SOUND = opus.silent_packet(960)


def packet(number: int, ssrc: int = 1) -> RtpPacket:
    return RtpPacket(number, number * 960, ssrc, SOUND)


def capture(directory, *tracks: TrackChanged) -> tuple[Capture, list]:
    """A capture of a caller's tracks, and what it tells."""
    told: list = []
    made = Capture(directory / "cap_1", "room", "RM_1", told.append)
    made.tell(ParticipantChanged(1.0, "PA_1", "sip_1"))
    for track in tracks or (TrackChanged(1.0, "TR_1", "PA_1"),):
        made.tell(track)
    return made, told


def pages(told: list) -> int:
    """How many packets are in pages."""
    return sum(getattr(entry, "packets", 0) for entry in told)


def going_on(directory):
    """Streams of one track whose first packet came at 1.0 s; their capture, and what it told."""
    kept, told = capture(directory)
    streams = Streams(lambda track_sid: None)
    streams.offered({1: ("PA_1", "TR_1")}, kept)
    streams.take(packet(0), 1.0, kept)
    streams.tick(1.3, kept)
    return streams, kept, told


def test_packets_that_come_before_their_offer_are_kept(tmp_path):
    """The server may send a moment before it has said whose they are."""
    kept, told = capture(tmp_path)
    flowing: list[str] = []
    streams = Streams(flowing.append)
    for number in range(3):
        streams.take(packet(number), 1.0, kept)
    streams.offered({1: ("PA_1", "TR_1")}, kept)
    streams.drain(kept)
    kept.close("test")

    assert pages(told) == 3
    assert flowing == ["TR_1"]


def test_packets_that_nobody_claims_do_not_pile_up(tmp_path):
    """A hostile or broken server takes no more memory than this."""
    streams = Streams(lambda track_sid: None)
    for ssrc in range(10 * UNCLAIMED_SSRCS):
        for number in range(2 * UNCLAIMED):
            streams.take(packet(number, ssrc), 1.0, None)

    assert len(streams._unclaimed) == UNCLAIMED_SSRCS
    assert all(len(waiting) == UNCLAIMED for waiting in streams._unclaimed.values())


def test_a_stream_that_is_offered_no_more_is_forgotten_once_it_is_silent(tmp_path):
    """A standing attendance must not grow with the number of its callers."""
    streams = Streams(lambda track_sid: None)
    streams.offered({1: ("PA_1", "TR_1"), 2: ("PA_2", "TR_2")}, None)
    streams.take(packet(0, 1), 10.0, None)
    streams.take(packet(0, 2), 10.0, None)
    streams.offered({2: ("PA_2", "TR_2")}, None)

    assert streams.tick(10.0 + FORGET / 2, None) == []
    assert streams.tick(10.1 + FORGET, None) == [1]
    assert [stream.ssrc for stream in streams] == [2]


def test_what_is_held_back_is_let_go_when_patience_ends(tmp_path):
    """A hole is a hole; what came after it is kept."""
    streams, kept, told = going_on(tmp_path)
    is_missing = streams.take(packet(2), 1.3, kept)
    asked = list(streams.missing(1.3))
    streams.tick(1.3 + PATIENCE, kept)
    kept.close("test")

    assert (is_missing, asked) == (True, [(1, [1])])
    assert pages(told) == 2
    assert sum(getattr(entry, "lost", 0) for entry in told) == 1


def test_what_waits_to_be_read_is_not_given_up(tmp_path):
    """It is nine o'clock, but what came by a quarter past one is all that was read."""
    streams, kept, told = going_on(tmp_path)
    streams.take(packet(2), 1.3, kept)
    assert list(streams.missing(9.0)) == [(1, [1])]
    streams.offered({}, kept)
    forgotten = streams.tick(1.34, kept)
    streams.take(packet(1), 1.35, kept)
    kept.close("test")

    assert forgotten == []
    assert pages(told) == 3
    assert sum(getattr(entry, "lost", 0) for entry in told) == 0


def test_a_hole_in_what_was_read_late_is_asked_for_before_it_is_given_up(tmp_path):
    """The server could not hear of it before."""
    streams, kept, told = going_on(tmp_path)
    streams.take(packet(2), 1.3, kept)
    assert list(streams.missing(9.0)) == [(1, [1])]
    streams.tick(9.0 + PATIENCE / 2, kept)
    streams.take(packet(1), 9.0 + PATIENCE / 2, kept)
    kept.close("test")

    assert pages(told) == 3
    assert sum(getattr(entry, "recovered", 0) for entry in told) == 1


def test_a_track_that_is_handed_over_is_not_kept_here_any_more(tmp_path):
    """Another connection brings it; the others still come here."""
    kept, told = capture(
        tmp_path, TrackChanged(1.0, "TR_1", "PA_1"), TrackChanged(1.0, "TR_2", "PA_1")
    )
    streams = Streams(lambda track_sid: None)
    streams.offered({1: ("PA_1", "TR_1"), 2: ("PA_1", "TR_2")}, kept)
    streams.take(packet(0, 1), 1.0, kept)
    streams.take(packet(0, 2), 1.0, kept)
    streams.drain(kept)
    streams.hand_over("TR_1")
    before = streams.are_handed_over
    streams.take(packet(1, 1), 1.02, kept)
    streams.take(packet(1, 2), 1.02, kept)
    streams.hand_over("TR_2")
    kept.close("test")

    assert (before, streams.are_handed_over) == (False, True)
    assert pages(told) == 3


def test_packets_of_a_track_that_is_gone_begin_no_stretch(tmp_path):
    """LiveKit ends a track with some frames of silence, after the news that it is gone."""
    kept, told = capture(tmp_path)
    streams = Streams(lambda track_sid: None)
    streams.offered({1: ("PA_1", "TR_1")}, kept)
    for number in range(5):
        streams.take(packet(number), 1.0, kept)
    streams.drain(kept)
    kept.tell(TrackGone(1.1, "TR_1"))
    for number in range(5, 10):
        streams.take(packet(number), 1.2, kept)
    kept.close("test")

    assert pages(told) == 5
    assert len(list(kept.directory.glob("stretch-*.ogg"))) == 1


def test_packets_of_a_track_that_says_it_is_encrypted_are_kept(tmp_path):
    """Anybody can say so; that it says so is told once."""
    kept, told = capture(tmp_path, TrackChanged(1.0, "TR_1", "PA_1", is_encrypted=True))
    streams = Streams(lambda track_sid: None)
    streams.offered({1: ("PA_1", "TR_1")}, kept)
    for number in range(5):
        streams.take(packet(number), 1.0, kept)
    streams.drain(kept)
    kept.close("test")

    assert pages(told) == 5
    assert [entry.what for entry in told if hasattr(entry, "what")] == ["encrypted"]
