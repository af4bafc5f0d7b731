"""A journal as news."""

from datetime import UTC, datetime

from egress_manager.domain.captures import Began, Ended, ParticipantChanged, StretchBegan
from egress_manager.domain.retelling import retell


def test_a_capture_sees_nobody_before_it_began() -> None:
    """Whoever the recorder knew from before is told of as there when the capture begins."""
    told = [
        Began(100.0, "cap_1", "palombia", "RM_1"),
        ParticipantChanged(40.0, "PA_1", "fantasio"),
        ParticipantChanged(130.0, "PA_2", "seccotine"),
        Ended(200.0, "left"),
    ]
    first = {news.participant.sid: news.at for news in reversed(list(retell("cap_1", told)))}

    assert first == {
        "PA_1": datetime.fromtimestamp(100, UTC),
        "PA_2": datetime.fromtimestamp(130, UTC),
    }


def test_sound_of_a_caller_who_is_said_to_ring_still_is_news() -> None:
    """Of one who is said to be answered it is none."""
    sound = StretchBegan(110.0, 1, "stretch-0001.ogg", "TR_1", "PA_1", 7, 0)
    heard = {
        status: [
            news.participant.is_heard
            for news in retell(
                "cap_1",
                [
                    Began(100.0, "cap_1", "palombia", "RM_1"),
                    ParticipantChanged(
                        105.0, "PA_1", "sip_fantasio", attributes={"sip.callStatus": status}
                    ),
                    sound,
                ],
            )
        ]
        for status in ("ringing", "active")
    }

    assert heard == {"ringing": [False, True], "active": [False]}
