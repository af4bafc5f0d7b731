"""What a packet of Opus tells without being decoded."""

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.audio import opus


def decoded(packets: list[bytes]) -> np.ndarray:
    """Samples (channels, n) that libopus makes of packets."""
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout = 48_000, "stereo"
    frames = [f for packet in packets for f in decoder.decode(av.Packet(packet))]
    return np.concatenate([frame.to_ndarray() for frame in frames], axis=1)


@pytest.mark.parametrize("length", [120, 240, 480, 960])
@pytest.mark.parametrize("stereo", [False, True])
def test_a_silent_packet_decodes_to_nothing(length, stereo):
    """It plays as long as it says, and every sample is zero."""
    packet = opus.silent_packet(length, stereo=stereo)

    sound = decoded([packet] * 5)

    assert opus.duration(packet) == length
    assert sound.size == 2 * 5 * length
    assert not sound.any()


@pytest.mark.parametrize(
    ("packet", "silent"),
    [
        (b"\xf8\xff\xfe", True),
        (b"\xf8\xff\xfe" + bytes(77), True),  # as LiveKit's server makes it
        (b"\xf8\xff\xfe" + bytes(76) + b"\x01", False),
        (b"\x78\xff\xfe", False),  # hybrid
        (b"\x78", True),
        (b"\xf8\xff\xfd", False),
    ],
)
def test_silent_packets_are_told_from_sound(packet, silent):
    """Without decoding them."""
    assert opus.is_silent(packet) is silent


def test_the_silence_that_livekit_makes_decodes_to_nothing():
    """Three octets that matter, and zeros behind them."""
    assert not decoded([b"\xf8\xff\xfe" + bytes(77)] * 5).any()


@given(st.integers(0, 100_000), st.booleans())
def test_silence_is_measured_out_to_two_and_a_half_milliseconds(ticks, stereo):
    """Nothing is too long, and less than the shortest frame is left over."""
    packets = opus.silence(ticks, stereo=stereo)

    assert sum(map(opus.duration, packets)) == ticks - ticks % opus.SHORTEST
    assert all(map(opus.is_silent, packets))
    assert all(opus.is_stereo(packet) is stereo for packet in packets)


@pytest.mark.parametrize(
    ("packet", "ticks"),
    [
        (b"\x08", 960),  # SILK, narrow band, 20 ms
        (b"\x18ab", 2880),  # SILK, 60 ms
        (b"\x79abcd", 1920),  # hybrid, two frames of 20 ms
        (b"\x7aabcd", 1920),
        (b"\xfb\x03abc", 2880),  # CELT, three frames of 20 ms
        (b"\xfb\x3fabc", 0),  # longer than a packet may be
        (b"\xfb", 0),
        (b"", 0),
    ],
)
def test_the_first_byte_tells_how_long_a_packet_plays(packet, ticks):
    """Codes 0 to 3 of RFC 6716, section 3.1, and what is no packet."""
    assert opus.duration(packet) == ticks


@given(st.binary(max_size=4))
def test_no_packet_is_longer_than_an_eighth_of_a_second(packet):
    """Whatever bytes come, the length is believable."""
    assert 0 <= opus.duration(packet) <= opus.LONGEST
