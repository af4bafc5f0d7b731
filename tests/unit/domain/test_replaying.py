"""Recorded webhooks, made anew: when they happen, and whose ids they have."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.replaying import (
    Manner,
    Recorded,
    anew,
    latest,
    line_of,
    read_trace,
    sent,
)
from egress_manager.errors import BadRequest

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
#: When the made-up call was recorded. Seconds since 1970.
THEN = 1_795_000_000


def joined(seconds: float = 0.0) -> dict[str, Any]:
    """A caller joins, so long after the recording began; as LiveKit tells it."""
    at = THEN + seconds
    return {
        "event": "participant_joined",
        "room": {"sid": "RM_1", "name": "palombia", "creationTimeMs": str(int(at * 1000))},
        "participant": {
            "sid": "PA_1",
            "identity": "sip_EG_1",
            "name": "EG_1",
            "joinedAt": str(int(at)),
            "joinedAtMs": str(int(at * 1000)),
            "attributes": {"sip.callID": "0815@bridge", "sip.trunkID": "ST_1"},
        },
        "id": "EV_1",
        "createdAt": str(int(at)),
    }


def ended(seconds: float) -> dict[str, Any]:
    """LiveKit Egress is done."""
    at = THEN + seconds
    file = {"filename": "TR_1.ogg", "startedAt": str(THEN * 10**9), "endedAt": str(int(at * 1e9))}
    info = {
        "egressId": "EG_1",
        "roomName": "palombia",
        "startedAt": str(THEN * 10**9),
        "endedAt": "0",
        "fileResults": [file],
    }
    return {"event": "egress_ended", "egressInfo": info, "id": "EV_2", "createdAt": str(int(at))}


def lines(*facts: Any) -> list[str]:
    """A file's lines."""
    return [json.dumps(each) for each in facts]


def again(*webhooks: Recorded, **manner: Any) -> list[dict[str, Any]]:
    """The bodies as they are sent."""
    return [webhook.body for webhook in anew(webhooks, Manner(**manner), NOW)]


class TestTraces:
    """What a file may look like."""

    def test_webhooks_are_found_among_what_else_was_recorded(self) -> None:
        """The first one is at second 0."""
        trace = read_trace(
            lines(
                {"t": 0.5, "kind": "phone", "said": "RINGING"},
                {"t": 1.0, "kind": "webhook", "headers": {}, "body": joined()},
                {"t": 3.5, "kind": "webhook", "body": json.dumps(ended(2.5))},
            )
        )

        assert [(each.at_sec, each.event) for each in trace] == [
            (0.0, "participant_joined"),
            (2.5, "egress_ended"),
        ]
        assert [each.room_name for each in trace] == ["palombia", "palombia"]

    def test_bodies_alone_are_a_trace(self) -> None:
        """Their own times give the rhythm; empty lines mean nothing."""
        trace = read_trace([*lines(joined(), ended(7)), "\n"])

        assert [each.at_sec for each in trace] == [0.0, 7.0]

    def test_time_never_runs_backwards(self) -> None:
        """Two files, one behind the other, are played one after the other."""
        trace = read_trace(
            lines(
                {"t": 5, "body": joined()}, {"t": 9, "body": joined()}, {"t": 5, "body": ended(1)}
            )
        )

        assert [each.at_sec for each in trace] == [0.0, 4.0, 4.0]

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            ("{", "line 2 is no webhook"),
            ("[]", "line 2 is no webhook"),
            ('{"room": {}}', "line 2 is no webhook"),
            ('{"kind": "webhook", "body": []}', "line 2 is no webhook"),
            ('{"t": "soon", "body": {"event": "x"}}', "line 2 is no webhook"),
            ('{"t": NaN, "body": {"event": "x"}}', "line 2 has no time"),
        ],
    )
    def test_a_line_that_is_none_is_named(self, line: str, why: str) -> None:
        """With its number."""
        with pytest.raises(BadRequest, match=why):
            read_trace([*lines(joined()), line])

    def test_a_file_without_webhooks_says_so(self) -> None:
        """There is nothing to do."""
        with pytest.raises(BadRequest, match="no webhook in it"):
            read_trace(lines({"kind": "phone"}))

    def test_what_is_written_is_read_again(self) -> None:
        """But for the password of the room's TURN server."""
        body = joined()
        body["room"]["turnPassword"] = "hunter2"

        (first,) = read_trace([line_of(Recorded(0.0, body), NOW)])

        assert first == Recorded(0.0, joined())


class TestTimes:
    """When what happened then happens again."""

    def test_all_of_them_move_to_now(self) -> None:
        """In their units, as text where they were text; nothing stays nothing."""
        body = ended(8)
        body["createdAt"] = THEN + 8
        first, last = again(Recorded(0, joined()), Recorded(8, body))

        now = int(NOW.timestamp())
        assert first["createdAt"] == first["participant"]["joinedAt"] == str(now)
        assert first["participant"]["joinedAtMs"] == str(now * 1000)
        assert last["createdAt"] == now + 8
        assert last["egressInfo"]["endedAt"] == "0"
        assert last["egressInfo"]["fileResults"][0]["endedAt"] == str((now + 8) * 10**9)

    def test_faster_means_shorter(self) -> None:
        """A call of eight seconds takes two, also by what LiveKit says of it."""
        _, last = again(Recorded(0, joined()), Recorded(8, ended(8)), speed=4)

        file = last["egressInfo"]["fileResults"][0]
        assert int(file["endedAt"]) - int(file["startedAt"]) == 2 * 10**9

    def test_all_at_once_happens_now(self) -> None:
        """Nothing before, nothing after."""
        bodies = again(Recorded(0, joined()), Recorded(8, ended(8)), speed=math.inf)

        assert [latest(body) for body in bodies] == [NOW.timestamp()] * 2

    @given(
        st.lists(st.tuples(st.floats(0, 1000), st.floats(-100, 100)), min_size=1, max_size=6),
        st.floats(0.1, 100) | st.just(math.inf),
    )
    def test_nothing_is_told_before_it_happens(
        self, told: list[tuple[float, float]], speed: float
    ) -> None:
        """Whatever the clocks were: the service would take the news after it for old."""
        trace = read_trace(lines(*({"t": t, "body": joined(t + late)} for t, late in sorted(told))))
        manner = Manner(speed=speed)

        for webhook in anew(trace, manner, NOW):
            sent_at = NOW + timedelta(seconds=manner.delay(webhook))
            assert (latest(webhook.body) or 0) <= sent_at.timestamp() + 0.001

    def test_they_can_be_kept(self) -> None:
        """For those who want to see what old news does."""
        assert again(Recorded(0, joined()), keeps_times=True) == [joined()]


class TestIds:
    """Who it happens to."""

    def test_each_replay_is_of_other_events_rooms_people_and_calls(self) -> None:
        """The same throughout one; what people chose, and what is set up, stays."""
        first, last = again(Recorded(0, joined()), Recorded(8, ended(8)), salt="a")
        (other,) = again(Recorded(0, joined()), salt="b")

        person = first["participant"]
        assert first["id"] not in ("EV_1", last["id"], other["id"])
        assert first["id"].startswith("EV_")
        assert person["sid"] not in ("PA_1", other["participant"]["sid"])
        assert person["attributes"]["sip.callID"].startswith("SCL_")
        assert person["attributes"]["sip.trunkID"] == "ST_1"
        assert (person["identity"], person["name"]) == ("sip_EG_1", "EG_1")
        assert last["egressInfo"]["egressId"] != "EG_1"

    def test_an_event_that_came_twice_comes_twice(self) -> None:
        """Repetition is part of what was recorded."""
        first, second = again(Recorded(0, joined()), Recorded(1, joined()), salt="a")

        assert first["id"] == second["id"]

    def test_an_event_made_by_hand_gets_an_id(self) -> None:
        """Else the service would know it again by what is in it."""
        by_hand = {"event": "participant_joined", "room": {"name": "r"}, "participant": {}}

        (first,), (second,) = (again(Recorded(0, by_hand), salt=salt) for salt in "ab")

        assert first["id"] != second["id"]

    def test_they_can_be_kept(self) -> None:
        """Without salt."""
        (body,) = again(Recorded(0, joined()))

        assert (body["id"], body["participant"]["sid"]) == ("EV_1", "PA_1")


def test_it_can_happen_in_another_room() -> None:
    """Calls and egresses alike."""
    first, last = again(Recorded(0, joined()), Recorded(8, ended(8)), room_name="lab")

    assert (first["room"]["name"], last["egressInfo"]["roomName"]) == ("lab", "lab")


def test_a_body_is_sent_as_json() -> None:
    """With all letters as they are."""
    assert sent({"event": "é"}) == '{"event":"é"}'.encode()
