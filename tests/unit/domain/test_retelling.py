"""A journal as news."""

from datetime import UTC, datetime

from egress_manager.domain.captures import Began, Ended, ParticipantChanged
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
