"""SIP messages as telephones and servers send them, and those that nobody should."""

import pytest

from lab.sip.messages import (
    Malformed,
    Request,
    Response,
    answer,
    host_of,
    parameter,
    parse,
    split_list,
    uri_in,
    user_of,
)

INVITE = """INVITE sip:seccotine@champignac.example SIP/2.0
Via: SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bK-houba-1;rport
Max-Forwards: 70
From: "Fantasio" <sip:+15550100@moustic.example>;tag=f4nt
To: <sip:seccotine@champignac.example>
Call-ID: 4711@192.0.2.7
CSeq: 7 INVITE
Contact: <sip:+15550100@192.0.2.7:5062>
Content-Type: application/sdp
Content-Length: 5

v=0
"""

#: The same in short: short names, odd cases and blanks, folded lines, two Vias in one line.
SHORT = """INVITE sip:seccotine@champignac.example SIP/2.0
v:SIP/2.0/UDP proxy.example;branch=z9hG4bK-p , SIP/2.0/UDP 192.0.2.7:5062
  ;branch=z9hG4bK-houba-1;rport
f : "Fantasio, of the Moustic" <sip:+15550100@moustic.example>
 ;tag=f4nt
t: <sip:seccotine@champignac.example>
i:4711@192.0.2.7
CSEQ: 7   INVITE
m: <sip:+15550100@192.0.2.7:5062>
l: 0

"""

RINGING = """SIP/2.0 180 Ringing
Via: SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bK-houba-1;received=198.51.100.1;rport=40112
From: "Fantasio" <sip:+15550100@moustic.example>;tag=f4nt
To: <sip:seccotine@champignac.example>;tag=53cc
Call-ID: 4711@192.0.2.7
CSeq: 7 INVITE
Record-Route: <sip:a.example;lr>, <sip:b.example;lr>
Content-Length: 0

"""


def wire(text: str) -> bytes:
    """As it is on the wire."""
    return text.replace("\n", "\r\n").encode()


def test_a_request_is_read() -> None:
    """Method, address, headers whatever their case, and the body."""
    message = parse(wire(INVITE))

    assert isinstance(message, Request)
    assert (message.method, message.uri) == ("INVITE", "sip:seccotine@champignac.example")
    assert (message.get("call-id"), message.cseq) == ("4711@192.0.2.7", (7, "INVITE"))
    assert message.branch == "z9hG4bK-houba-1"
    assert parameter(message.get("From"), "tag") == "f4nt"
    assert message.body == b"v=0\r\n"


def test_short_names_folded_lines_and_lists_are_the_same() -> None:
    """What a header means does not depend on how it is laid out."""
    message = parse(wire(SHORT))

    assert message.get("Call-ID") == "4711@192.0.2.7"
    assert message.cseq == (7, "INVITE")
    assert [parameter(via, "branch") for via in message.all("Via")] == [
        "z9hG4bK-p",
        "z9hG4bK-houba-1",
    ]
    assert parameter(message.get("From"), "tag") == "f4nt"
    assert uri_in(message.get("From")) == "sip:+15550100@moustic.example"


def test_a_response_is_read() -> None:
    """Status and reason; a provisional one is not final."""
    message = parse(wire(RINGING))

    assert isinstance(message, Response)
    assert (message.status, message.reason, message.is_final) == (180, "Ringing", False)
    assert message.all("Record-Route") == ["<sip:a.example;lr>", "<sip:b.example;lr>"]


def test_what_was_read_can_be_written_and_read_again() -> None:
    """Nothing is lost but the layout."""
    for text in (INVITE, SHORT, RINGING):
        message = parse(wire(text))

        assert parse(message.to_bytes()) == message


def test_an_answer_takes_from_the_request_what_it_must() -> None:
    """All Vias in order, From, Call-ID, CSeq; To with our tag, unless it has one."""
    request = parse(wire(SHORT))
    assert isinstance(request, Request)

    busy = answer(request, 486, "Busy Here", tag="53cc")

    assert busy.all("Via") == request.all("Via")
    assert (busy.get("From"), busy.cseq) == (request.get("From"), request.cseq)
    assert busy.get("To") == "<sip:seccotine@champignac.example>;tag=53cc"
    assert (
        answer(
            Request((*request.headers[:2], ("To", "<sip:a@b>;tag=1")), b"", "BYE", "sip:a@b"),
            200,
            "OK",
            tag="2",
        ).get("To")
        == "<sip:a@b>;tag=1"
    )


def test_what_follows_the_length_is_no_part_of_the_message() -> None:
    """Over UDP a datagram may be longer than its message, and begin with empty lines."""
    message = parse(b"\r\n\r\n" + wire(INVITE) + b"noise")

    assert message.body == b"v=0\r\n"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("INVITE sip", "INVITE  sip"), "first line"),
        (("SIP/2.0\nVia", "SIP/3.0\nVia"), "first line"),
        (("CSeq: 7 INVITE", "CSeq: seven INVITE"), "CSeq"),
        (("CSeq: 7 INVITE", "CSeq: 7 BYE"), "INVITE whose CSeq says BYE"),
        (("Call-ID", "Caller"), "without Call-ID"),
        (("Max-Forwards: 70", "Max-Forwards 70"), "not a header"),
        (("Content-Length: 5", "Content-Length: 50"), "5 bytes of a body of 50"),
        (("Content-Length: 5", "Content-Length: -5"), "Content-Length"),
        (("v=0", ""), "bytes of a body"),
    ],
)
def test_what_is_no_message_is_said_so(change: tuple[str, str], why: str) -> None:
    """With the reason."""
    with pytest.raises(Malformed, match=why):
        parse(wire(INVITE.replace(*change)))


@pytest.mark.parametrize(
    "noise", [b"", b"\r\n\r\n", b"\x80\x00\x12\x34", b"INVITE\r\n", b"\xff\r\n\r\n"]
)
def test_noise_is_no_message(noise: bytes) -> None:
    """An empty keep-alive, a packet of sound, half a message."""
    with pytest.raises(Malformed):
        parse(noise)


def test_addresses_are_taken_apart() -> None:
    """User, host and port, with and without what else may be there."""
    assert user_of("sip:+15550100@192.0.2.7:5062;transport=udp") == "+15550100"
    assert user_of("sip:192.0.2.7") == ""
    assert host_of("sip:+15550100@192.0.2.7:5062;transport=udp") == ("192.0.2.7", 5062)
    assert host_of("sip:192.0.2.7") == ("192.0.2.7", 5060)
    assert uri_in("sip:a@b;tag=1") == "sip:a@b"
    assert parameter("<sip:b;lr>;tag=1", "lr") == ""
    with pytest.raises(Malformed):
        host_of("sip:a@b:port")


def test_commas_within_quotes_and_brackets_part_nothing() -> None:
    """Only those between the entries of a list do."""
    assert split_list('"A, B" <sip:a,b@c>, <sip:d@e>') == ['"A, B" <sip:a,b@c>', "<sip:d@e>"]
