"""A connection and messages that it does not understand."""

import logging
from functools import partial

from livekit.protocol import models, rtc

from egress_manager.domain.captures import ParticipantChanged, TrackChanged
from egress_manager.domain.quotas import DEAF, Shelf
from egress_manager.recorder.connection import Connection
from egress_manager.recorder.connections import Connections
from egress_manager.recorder.roster import Roster
from egress_manager.recorder.rtp import RtpPacket


class Listener:
    """An audience that puts down what it is told."""

    capture = None

    def __init__(self) -> None:
        self.told: list[str] = []

    def joined(self, connection, join) -> None:
        self.told.append("joined")

    def room_known(self, room_sid) -> None:
        self.told.append(room_sid)

    def updated(self, participants) -> None:
        self.told += [info.sid for info in participants]

    def media_up(self, connection) -> None:
        self.told.append("media")

    def flowing(self, connection, track_sid) -> None:
        self.told.append(track_sid)

    def digit(self, identity, digit) -> None:
        self.told.append(f"{identity}:{digit}")


class Signals:
    """A signal connection that the server has filled with messages before it hung up."""

    def __init__(self, *messages: rtc.SignalResponse) -> None:
        self._messages = messages

    async def messages(self):
        for message in self._messages:
            yield message


def trickled(init: str) -> rtc.SignalResponse:
    request = rtc.TrickleRequest(candidateInit=init, target=rtc.SignalTarget.SUBSCRIBER)
    return rtc.SignalResponse(trickle=request)


def offered(sdp: str) -> rtc.SignalResponse:
    return rtc.SignalResponse(offer=rtc.SessionDescription(type="offer", sdp=sdp, id=1))


async def test_what_can_not_be_understood_is_passed_over_and_the_rest_is_heard(caplog):
    """Broken JSON, addresses that are none, an offer without sense: the connection goes on."""
    listener = Listener()
    connection = Connection(listener, "recorder-1", use_turn=False)
    caplog.set_level(logging.WARNING)

    await connection._listen(
        Signals(
            rtc.SignalResponse(join=rtc.JoinResponse()),
            trickled("{"),
            trickled("[]"),
            trickled('{"candidate": "candidate:nonsense"}'),
            trickled('{"candidate": ""}'),
            offered("m=\n"),
            offered("m=audio 9 UDP/TLS/RTP/SAVPF 111\na=ssrc:x msid:a b"),
            rtc.SignalResponse(),
            rtc.SignalResponse(
                update=rtc.ParticipantUpdate(participants=[models.ParticipantInfo(sid="PA_1")])
            ),
        )
    )
    over = connection._over.result()
    await connection.close()

    assert listener.told == ["joined", "PA_1"]
    assert over == "signal_lost"
    assert {record.message for record in caplog.records} == {"message_passed_over"}


async def test_a_server_that_says_leave_ends_the_connection_with_its_reason():
    """Also with a reason that has no name yet."""
    reasons = []
    for reason in (models.ROOM_DELETED, 99):
        connection = Connection(Listener(), "recorder-1", use_turn=False)
        await connection._listen(Signals(rtc.SignalResponse(leave=rtc.LeaveRequest(reason=reason))))
        reasons.append(connection._over.result())
        await connection.close()

    assert reasons == ["server_said_room_deleted", "server_said_99"]


async def test_data_that_is_no_key_press_is_of_no_interest():
    """Text, nonsense, and other packets; a key is told with who pressed it."""
    listener = Listener()
    connection = Connection(listener, "recorder-1", use_turn=False)
    digit = models.DataPacket(
        participant_identity="sip_1", sip_dtmf=models.SipDTMF(code=5, digit="5")
    )
    chat = models.DataPacket(chat_message=models.ChatMessage(message="hello"))
    for data in ("text", b"\xff\xff\xff", chat.SerializeToString(), digit.SerializeToString()):
        connection._data(data)
    await connection.close()

    assert listener.told == ["sip_1:5"]


async def test_packets_and_reports_that_make_no_sense_are_passed_over():
    """Whatever a server sends under the right key."""
    connection = Connection(Listener(), "recorder-1", use_turn=False)
    for data in (b"", b"\x80", bytes(12), b"\x9f" + bytes(30), b"\x80\xc8" + bytes(40)):
        connection._packet(data, 1.0)
        connection._report(data, 1.0)
    await connection.close()

    assert len(connection.streams) == 0


def heard(*sids: str) -> Connection:
    """A connection with media, on which each of these participants was heard at 1.0 s."""
    connection = Connection(Listener(), "recorder-1", use_turn=False)
    connection.has_media = True
    owners = {n: (f"PA_{sid}", f"TR_{sid}") for n, sid in enumerate(sids)}
    connection.streams.offered(owners, None)
    for ssrc in owners:
        connection.streams.take(RtpPacket(1, 960, ssrc, b"\x78"), 1.0, None)
    return connection


async def test_who_falls_silent_again_and_again_uses_up_nobody_elses_new_connections():
    """A connection that is ending is not ended again and again, and each has a quota of its own."""
    roster, shelf, connections = Roster(), Shelf(), Connections()
    for sid in ("agent", "caller"):
        roster.people[f"PA_{sid}"] = ParticipantChanged(1.0, f"PA_{sid}", sid)
        roster.tracks[f"TR_{sid}"] = TrackChanged(1.0, f"TR_{sid}", f"PA_{sid}")
    ended = []
    for sids in [("agent",)] * (DEAF + 1) + [("agent", "caller")]:
        connections.current = heard(*sids)
        for tick in range(100):
            connections.end_if_deaf(roster, partial(shelf.of, "room"), 10.0 + tick / 100)
        ended.append(connections.current._over.done())

    assert ended == [*[True] * DEAF, False, True]
