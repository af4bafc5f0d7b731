"""LiveKit's offers, and our answers to them."""

from egress_manager.recorder.sdp import Local, read_offer, write_answer

#: What livekit-server 1.13.5 offered to a recorder in a room with an agent and a phone, after a
#: caller had left; one section was added by hand: a camera's.
OFFER = """\
v=0
o=- 250455798858154687 1795374631 IN IP4 0.0.0.0
s=-
t=0 0
a=msid-semantic:WMS *
a=fingerprint:sha-256 4E:9A:15:AE:5D:EC:4C:F7:BE:49:D7:9F:4D:8E:80:2C:C8:32:77:32:47:03:39:CA
a=group:BUNDLE 0 1 2 3 4
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=setup:actpass
a=mid:0
a=sendrecv
a=sctp-port:5000
a=max-message-size:65535
a=ice-ufrag:jKsQcSocFDPfyDUG
a=ice-pwd:uOMeztGwvkVakjmYFOESpFhyfocVjLoQ
a=candidate:2878742611 1 udp 2130706431 127.0.0.1 13943 typ host ufrag jKsQcSocFDPfyDUG
a=end-of-candidates
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=setup:actpass
a=mid:1
a=ice-ufrag:jKsQcSocFDPfyDUG
a=ice-pwd:uOMeztGwvkVakjmYFOESpFhyfocVjLoQ
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtcp-fb:111 nack
a=ssrc:133308759 cname:PA_fECsfpv6ksBh|TR_AMXTMjuNG67MEo
a=ssrc:133308759 msid:PA_fECsfpv6ksBh|TR_AMXTMjuNG67MEo TR_AMXTMjuNG67MEo
a=ssrc:133308759 mslabel:PA_fECsfpv6ksBh|TR_AMXTMjuNG67MEo
a=ssrc:133308759 label:TR_AMXTMjuNG67MEo
a=msid:PA_fECsfpv6ksBh|TR_AMXTMjuNG67MEo TR_AMXTMjuNG67MEo
a=sendrecv
m=audio 9 UDP/TLS/RTP/SAVPF 63 111
c=IN IP4 0.0.0.0
a=setup:actpass
a=mid:2
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtcp-fb:111 transport-cc
a=rtcp-fb:111 nack
a=ssrc:541285551 msid:PA_GHDD6WgsKt8J|TR_AMm8KE4xjroXXD TR_AMm8KE4xjroXXD
a=sendonly
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=setup:actpass
a=mid:3
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 nack
a=recvonly
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=setup:actpass
a=mid:4
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack pli
a=ssrc:99 msid:PA_fECsfpv6ksBh|TR_VCamera TR_VCamera
a=sendonly
"""

LOCAL = Local("ufrag", "password", "sha-256 AA:BB", ["1 1 udp 1 192.0.2.1 5000 typ host"])


def sections(sdp: str) -> list[str]:
    """The media sections of an answer."""
    return ["m=" + section for section in sdp.split("\r\nm=")[1:]]


def test_an_offer_says_whose_each_stream_is():
    """SSRC by SSRC: the participant and the track."""
    owners = read_offer(OFFER).owners()

    assert owners[133308759] == ("PA_fECsfpv6ksBh", "TR_AMXTMjuNG67MEo")
    assert owners[541285551] == ("PA_GHDD6WgsKt8J", "TR_AMm8KE4xjroXXD")


def test_line_ends_do_not_matter():
    """Servers write CRLF, and some just LF."""
    assert read_offer(OFFER.replace("\n", "\r\n")) == read_offer(OFFER)


def test_what_holds_for_all_sections_is_found_wherever_it_stands():
    """The fingerprint may stand at the session, the credentials in a section."""
    offer = read_offer(OFFER)

    assert offer.value("fingerprint").startswith("sha-256 4E:9A")
    assert offer.value("ice-ufrag") == "jKsQcSocFDPfyDUG"
    assert offer.value("nothing") == ""


def test_an_answer_mirrors_every_section_in_order():
    """Sound and data are taken, a camera is refused with port 0 and left out of the bundle."""
    answer = write_answer(read_offer(OFFER), LOCAL)

    assert [section.split(" ")[:2] for section in sections(answer)] == [
        ["m=application", "9"],
        ["m=audio", "9"],
        ["m=audio", "9"],
        ["m=audio", "9"],
        ["m=video", "0"],
    ]
    assert "a=group:BUNDLE 0 1 2 3\r\n" in answer
    assert answer.endswith("\r\n")


def test_an_answer_takes_opus_only_and_asks_for_retransmissions():
    """Redundant coding is unwrapped by the server where the answer does not name it."""
    red = sections(write_answer(read_offer(OFFER), LOCAL))[2].split("\r\n")

    assert red[0] == "m=audio 9 UDP/TLS/RTP/SAVPF 111"
    assert "a=rtcp-fb:111 nack" in red
    assert "a=fmtp:111 minptime=10;useinbandfec=1" in red
    assert not any("63" in line or "transport-cc" in line for line in red)


def test_an_answer_receives_what_is_sent_and_nothing_else():
    """A section that waits for its next track is inactive."""
    answer = sections(write_answer(read_offer(OFFER), LOCAL))

    assert "a=recvonly" in answer[1]
    assert "a=recvonly" in answer[2]
    assert "a=inactive" in answer[3]


def test_an_answer_says_how_to_reach_us_in_every_section_that_is_taken():
    """Credentials, fingerprint, addresses; and that we begin the handshake."""
    for section in sections(write_answer(read_offer(OFFER), LOCAL))[:4]:
        lines = section.split("\r\n")
        assert "a=ice-ufrag:ufrag" in lines
        assert "a=fingerprint:sha-256 AA:BB" in lines
        assert "a=setup:active" in lines
        assert "a=candidate:1 1 udp 1 192.0.2.1 5000 typ host" in lines
