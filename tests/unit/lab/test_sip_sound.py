"""What two telephones say of their sound, and how it travels."""

import numpy as np
import pytest

from lab import sounds
from lab.sip import g711, rtp, sdp

OFFER = """v=0
o=fantasio 2890844526 2890844526 IN IP4 moustic.example
s=-
c=IN IP4 192.0.2.7
t=0 0
m=audio 49170 RTP/AVP 8 0 97
a=rtpmap:8 PCMA/8000
a=rtpmap:97 telephone-event/8000
m=video 51372 RTP/AVP 31
c=IN IP4 192.0.2.99
"""


def test_an_offer_is_read() -> None:
    """Where to send, and what a key is called there; the picture is none of our business."""
    assert sdp.parse(OFFER.encode()) == sdp.Sound("192.0.2.7", 49170, 97)


def test_an_address_of_the_sound_itself_comes_first() -> None:
    """Before that of the whole session."""
    line = "m=audio 49170 RTP/AVP 0"
    own = f"v=0\nc=IN IP4 192.0.2.7\n{line}\nc=IN IP4 192.0.2.8\n"

    assert sdp.parse(own.encode()) == sdp.Sound("192.0.2.8", 49170, None)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ((" 8 0 97", " 8 97"), "no PCMU"),
        (("m=audio", "m=text"), "no audio"),
        (("49170", "0"), "nowhere"),
        (("c=IN IP4 192.0.2.7\n", ""), "nowhere"),
    ],
)
def test_an_offer_that_we_cannot_take_says_why(change: tuple[str, str], why: str) -> None:
    """Another codec, another medium, a sound that was taken back."""
    only = OFFER.partition("m=video")[0]
    with pytest.raises(sdp.NoSound, match=why):
        sdp.parse(only.replace(*change).encode())


def test_our_own_offer_is_understood() -> None:
    """With keys and without."""
    for events in (101, None):
        ours = sdp.Sound("127.0.0.1", 12000, events)

        assert sdp.parse(ours.to_bytes()) == ours


def test_mu_law_has_the_values_of_its_table() -> None:
    """The ends of the segments as G.711 lists them, in 16 bit."""
    coded = bytes([0xFF, 0xFE, 0xF0, 0xEF, 0xDF, 0x80, 0x7F, 0x7E, 0x00])
    values = [0, 8, 120, 132, 396, 32124, 0, -8, -32124]

    assert g711.decode(coded).tolist() == values
    assert g711.encode(np.array(values[:6], np.int16)) == coded[:6]


def test_mu_law_keeps_every_sample_to_half_a_step() -> None:
    """A step is a sixteenth of the segment, and these begin at 132; coded again it stays."""
    samples = np.arange(-32768, 32768).astype(np.int16)

    once = g711.decode(g711.encode(samples))

    off = np.abs(once.astype(int) - samples)
    assert (off <= (np.abs(samples.astype(int)) + 132) / 32).all()
    assert np.array_equal(g711.decode(g711.encode(once)), once)


def test_a_chirp_on_the_line_is_where_it_was_and_sounds_alike() -> None:
    """To 8 kHz, mu-law and back: nothing is moved by as much as a sample."""
    said = np.concatenate([sounds.silence(0.1235), sounds.chirp(2)])

    heard = g711.widen(g711.decode(g711.encode(g711.narrow(said))))
    found = sounds.locate(heard, sounds.chirp(2))

    assert found.at == pytest.approx(0.1235, abs=1 / sounds.RATE)
    assert found.score > 0.99
    assert len(heard) == len(said)


def test_packets_are_written_and_read() -> None:
    """Fields, extensions and padding; noise is none."""
    packet = rtp.Packet(0, 65535, 2**32 - 1, 7, b"\x01\x02", is_marked=True)
    plain = packet.to_bytes()
    extended = (
        bytes([plain[0] | 0x30]) + plain[1:12] + b"\xbe\xde\x00\x01abcd" + b"\x01\x02\x00\x02"
    )

    assert rtp.parse(plain) == packet
    assert rtp.parse(extended) == packet
    assert rtp.parse(b"\x00\x01\x00\x00") is None
    assert rtp.parse(bytes([0x8F]) + plain[1:]) is None


def test_sound_is_placed_by_its_timestamps() -> None:
    """Out of order, with a packet missing, across the end of the count; strangers don't count."""
    begin = 2**32 - rtp.SAMPLES

    def packet(number: int, level: int, ssrc: int = 7) -> rtp.Packet:
        pcm = np.full(rtp.SAMPLES, level, np.int16)
        at = (begin + number * rtp.SAMPLES) % 2**32
        return rtp.Packet(0, number, at, ssrc, g711.encode(pcm))

    sound = rtp.placed([packet(0, 8), packet(3, 396), packet(1, 120), packet(2, 132, ssrc=8)])

    assert sound[:: rtp.SAMPLES].tolist() == [8, 120, 0, 396]
    assert len(rtp.placed([])) == 0


def test_a_key_is_told_by_packets_of_one_timestamp() -> None:
    """Marked at its beginning; its end is told three times, and the sound goes on after it."""
    stream = rtp.Stream()
    before = stream.next(0, b"")
    packets = [stream.key(101, *part) for part in rtp.pressed("#")]
    after = stream.next(0, b"")

    assert {packet.timestamp for packet in packets} == {(before.timestamp + 160) % 2**32}
    assert [packet.is_marked for packet in packets].count(True) == packets[0].is_marked == 1
    assert [rtp.released(packet.payload) for packet in packets][-4:] == ["", "#", "#", "#"]
    assert (after.timestamp - before.timestamp) % 2**32 == 160 * (len(packets) + 1)
    assert (after.number - before.number) % 2**16 == len(packets) + 1
    assert rtp.released(b"\x01") == ""
