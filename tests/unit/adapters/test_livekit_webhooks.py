"""What LiveKit posts: signed or refused, and read whatever it looks like.

`webhooks.json` has bodies that livekit-server 1.13.5 sent (less what does not matter here), and the
two that the user wrote down.
"""

import base64
import copy
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.adapters.livekit_webhooks import LiveKitWebhooks, read_body
from egress_manager.domain.calls import is_caller
from egress_manager.domain.incoming import (
    EgressReported,
    Kind,
    ParticipantLeft,
    ParticipantSeen,
    Room,
    RoomFinished,
    Source,
    Track,
    TrackSeen,
    Unrecognised,
)
from egress_manager.errors import BadRequest, SignatureRefused

BODIES: dict[str, Any] = json.loads((Path(__file__).parent / "webhooks.json").read_text())
NOW = datetime(2026, 11, 22, 18, 0, 0, tzinfo=UTC)
SECRET = "a-secret-of-more-than-thirty-two-letters"


def bytes_of(name: str) -> bytes:
    """A body as it was posted."""
    return json.dumps(BODIES[name]).encode()


def read(name: str) -> Any:
    """The news in a body."""
    return read_body(bytes_of(name), NOW).news


def sign(body: bytes, secret: str = SECRET, **claims: Any) -> str:
    """The JWT that livekit-server would send with it."""
    usual = {
        "iss": "devkey",
        "nbf": NOW.timestamp(),
        "exp": (NOW + timedelta(minutes=5)).timestamp(),
        "sha256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
    }
    given = {name: value for name, value in (usual | claims).items() if value is not None}
    return jwt.encode(given, secret, algorithm="HS256")


class TestSignature:
    """Who may tell us things."""

    @pytest.mark.parametrize("scheme", ["", "Bearer ", "bearer "])
    def test_livekits_signature_is_accepted(self, scheme: str) -> None:
        """LiveKit sends the bare token; others are used to a scheme."""
        body = b'{"event":\n "room_started"  }'

        webhook = LiveKitWebhooks(SECRET).read(body, scheme + sign(body), NOW)

        assert webhook.name == "room_started"
        assert webhook.body == body

    @pytest.mark.parametrize(
        "authorization",
        [
            None,
            "",
            "houba",
            "a.b.c",
            sign(b"{}", secret="another-secret-of-more-than-32-letters"),
            sign(b"{ }"),
            sign(b"{}", sha256=None),
            sign(b"{}", sha256="é"),
            sign(b"{}", sha256=["x"]),
            sign(b"{}", exp=None),
            sign(b"{}", exp="never"),
            sign(b"{}", exp=10**400),
            sign(b"{}", exp=(NOW - timedelta(seconds=61)).timestamp()),
            sign(b"{}", nbf=(NOW + timedelta(seconds=61)).timestamp()),
            f"Basic {sign(b'{}')}",
            jwt.encode({"exp": 9e9}, "", algorithm="none"),
        ],
    )
    @pytest.mark.parametrize("allow_unsigned", [False, True])
    def test_anything_else_is_refused(
        self, authorization: str | None, allow_unsigned: bool
    ) -> None:
        """A signature that is wrong is refused even where none is needed."""
        webhooks = LiveKitWebhooks(SECRET, allow_unsigned=allow_unsigned and bool(authorization))

        with pytest.raises(SignatureRefused):
            webhooks.read(b"{}", authorization, NOW)

    @pytest.mark.parametrize("seconds", [-59, 5 * 60 + 59])
    def test_clocks_may_be_a_minute_apart(self, seconds: int) -> None:
        """Either way."""
        body = bytes_of("room_started")

        webhook = LiveKitWebhooks(SECRET).read(body, sign(body), NOW + timedelta(seconds=seconds))

        assert webhook.name == "room_started"

    def test_the_keys_name_matters_only_where_it_is_given(self) -> None:
        """Then another key's signature is refused though the secret is the same."""
        body = bytes_of("room_started")

        LiveKitWebhooks(SECRET).read(body, sign(body, iss="whoever"), NOW)
        LiveKitWebhooks(SECRET, key_name="devkey").read(body, sign(body), NOW)
        with pytest.raises(SignatureRefused, match="WEBHOOK_KEY"):
            LiveKitWebhooks(SECRET, key_name="other").read(body, sign(body), NOW)

    def test_unsigned_webhooks_are_read_where_the_owner_wants_them(self) -> None:
        """For trying things out by hand."""
        webhooks = LiveKitWebhooks(SECRET, allow_unsigned=True)

        assert webhooks.read(bytes_of("room_started"), None, NOW).name == "room_started"

    @given(st.binary(), st.text())
    def test_whatever_comes_is_refused_or_bad(self, body: bytes, authorization: str) -> None:
        """Nothing else is ever raised."""
        for webhooks in (LiveKitWebhooks(SECRET), LiveKitWebhooks(SECRET, allow_unsigned=True)):
            with pytest.raises((SignatureRefused, BadRequest)):
                webhooks.read(body, authorization, NOW)


class TestLiveKit:
    """What livekit-server sends."""

    def test_a_phone_joins(self) -> None:
        """With everything that the SIP bridge says about the call."""
        news = read("participant_joined_sip")

        assert isinstance(news, ParticipantSeen)
        assert news.at == NOW
        assert news.source is Source.WEBHOOK
        assert news.room == Room("call_u5070_KTP4CbHYMm98", "RM_cZKPkLYapbZC")
        assert news.participant.identity == "sip_u5070"
        assert news.participant.kind is Kind.SIP
        assert news.participant.attributes["sip.callStatus"] == "ringing"
        assert news.participant.joined_at == datetime(2026, 11, 22, 17, 33, 24, 401_000, tzinfo=UTC)
        assert is_caller(news.participant)

    @pytest.mark.parametrize(
        ("name", "kind"),
        [("participant_joined_agent", Kind.AGENT), ("participant_joined_egress", Kind.EGRESS)],
    )
    def test_agents_and_recorders_are_told_from_callers(self, name: str, kind: Kind) -> None:
        """They join as webhooks, too."""
        news = read(name)

        assert news.participant.kind is kind
        assert news.participant.is_recorder is (kind is Kind.EGRESS)
        assert not is_caller(news.participant)

    def test_the_kind_that_livekit_leaves_out_is_standard(self) -> None:
        """In a full participant; elsewhere nothing is said about it."""
        body = copy.deepcopy(BODIES["participant_joined_sip"])
        del body["participant"]["kind"]

        assert read_body(json.dumps(body).encode(), NOW).news.participant.kind is Kind.STANDARD  # type: ignore[union-attr]
        assert read("track_published").participant.kind is None

    def test_a_kind_that_is_newer_than_we_are_is_another(self) -> None:
        """Not STANDARD, as the protocol's own reader would have it."""
        body = copy.deepcopy(BODIES["participant_joined_sip"])
        body["participant"]["kind"] = "HOLOGRAM"

        assert read_body(json.dumps(body).encode(), NOW).news.participant.kind is Kind.OTHER  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("participant_left_hangup", "client_initiated"),
            ("participant_left_room_deleted", "room_deleted"),
        ],
    )
    def test_a_phone_leaves(self, name: str, reason: str) -> None:
        """With LiveKit's reason."""
        news = read(name)

        assert isinstance(news, ParticipantLeft)
        assert news.reason == reason

    @pytest.mark.parametrize("at", ["-1", "1", "253402300799", "99999999999999999"])
    def test_a_time_of_joining_that_cannot_be_is_none(self, at: str) -> None:
        """A call is worth more than its odd clock."""
        body = copy.deepcopy(BODIES["participant_joined_sip"])
        body["participant"] |= {"joinedAt": at, "joinedAtMs": "0"}

        news = read_body(json.dumps(body).encode(), NOW).news

        assert isinstance(news, ParticipantSeen)
        assert news.participant.joined_at is None
        assert news.participant.kind is Kind.SIP

    def test_a_participant_that_never_got_through_has_left(self) -> None:
        """LiveKit has another event for it."""
        body = BODIES["participant_left_hangup"] | {"event": "participant_connection_aborted"}

        assert isinstance(read_body(json.dumps(body).encode(), NOW).news, ParticipantLeft)

    @pytest.mark.parametrize(
        ("name", "track"),
        [
            ("track_published", Track("TR_AM94qJbqtkxenJ", "sip_u5070", "audio/opus")),
            ("track_published_red", Track("TR_AMdWiiiPj58pgK", "sip_100", "audio/red")),
        ],
    )
    def test_audio_is_published(self, name: str, track: Track) -> None:
        """By whom, only identity and sid are said."""
        news = read(name)

        assert isinstance(news, TrackSeen)
        assert news.track == track

    def test_an_encrypted_or_muted_track_says_so(self) -> None:
        """What can't be understood later is known at once."""
        body = copy.deepcopy(BODIES["track_published"])
        body["track"] |= {"encryption": "GCM", "muted": True}
        news = read_body(json.dumps(body).encode(), NOW).news

        assert isinstance(news, TrackSeen)
        assert news.track.is_encrypted
        assert news.track.is_muted

    def test_video_means_nothing_to_us(self) -> None:
        """We record what is said."""
        body = copy.deepcopy(BODIES["track_published"])
        body["track"]["type"] = "VIDEO"

        assert isinstance(read_body(json.dumps(body).encode(), NOW).news, Unrecognised)

    @pytest.mark.parametrize("name", ["room_started", "track_unpublished"])
    def test_what_means_nothing_to_us_is_kept_under_its_name(self, name: str) -> None:
        """Events that we may understand later."""
        assert read(name) == Unrecognised(NOW, name)

    def test_a_room_closes(self) -> None:
        """Whoever was in it is gone."""
        assert isinstance(read("room_finished"), RoomFinished)

    def test_an_egress_completes(self) -> None:
        """With its file, and its times in nanoseconds."""
        news = read("egress_ended_complete")

        assert isinstance(news, EgressReported)
        assert (news.egress_id, news.status) == ("EG_wy4meZsSVdyQ", "COMPLETE")
        assert news.room == Room("call_ok", "RM_yqJEEfuC3PL3")
        assert news.filepath == "/recordings/call_ok-mix.ogg"
        assert news.duration_sec == pytest.approx(6.009546865)
        assert news.started_at is not None
        assert news.ended_at is not None
        assert (news.ended_at - news.started_at).total_seconds() == pytest.approx(6.0095, abs=1e-3)

    @pytest.mark.parametrize(
        ("name", "status", "error"),
        [
            ("egress_started", "STARTING", ""),
            ("egress_updated_active", "ACTIVE", ""),
            ("egress_ended_killed", "FAILED", "signal: killed"),
            ("egress_ended_aborted", "ABORTED", "Start signal not received"),
        ],
    )
    def test_an_egress_reports(self, name: str, status: str, error: str) -> None:
        """A status that is left out is STARTING; ended is not completed."""
        news = read(name)

        assert (news.status, news.error) == (status, error)

    def test_the_same_report_has_the_same_moment(self) -> None:
        """Though it is sent again later, as LiveKit does after a time-out."""
        body = bytes_of("egress_ended_complete")

        assert read_body(body, NOW).news == read_body(body, NOW + timedelta(minutes=1)).news

    def test_a_status_that_is_newer_than_we_are_keeps_its_name(self) -> None:
        """Not STARTING, as the protocol's own reader would have it."""
        body = copy.deepcopy(BODIES["egress_started"])
        body["egressInfo"]["status"] = "EGRESS_HIBERNATING"

        assert read_body(json.dumps(body).encode(), NOW).news.status == "HIBERNATING"  # type: ignore[union-attr]

    @pytest.mark.parametrize("name", [name for name in BODIES if "by_hand" not in name])
    def test_fields_that_are_newer_than_we_are_are_passed_over(self, name: str) -> None:
        """In every part of every event; and the event's id is LiveKit's."""
        body = copy.deepcopy(BODIES[name])
        for part in (body, *(value for value in body.values() if isinstance(value, dict))):
            part["fieldOfTheFuture"] = {"x": [1]}

        webhook = read_body(json.dumps(body).encode(), NOW)

        assert webhook.news == read(name)
        assert webhook.event_id == BODIES[name]["id"]


class TestByHand:
    """What people write."""

    def test_the_users_participant_joined(self) -> None:
        """Without a kind, and with an object for metadata."""
        news = read("by_hand_participant_joined")

        assert news.participant.kind is None
        assert news.participant.joined_at is None
        assert json.loads(news.participant.metadata) == {"phone": "+911234567890"}
        assert is_caller(news.participant)

    def test_the_users_egress_completed(self) -> None:
        """An event that no LiveKit sends."""
        assert read("by_hand_egress_completed") == EgressReported(
            NOW,
            Room("friday-assistant-room"),
            "EG_xxx",
            "COMPLETE",
            filepath="/recordings/friday-assistant-room-sip_1001-2025-10-17T06-15-13.mp4",
            is_delivered=True,
            duration_sec=32.0,
        )

    def test_snake_case_and_dots_are_understood(self) -> None:
        """As older documents and diagrams write them."""
        info = {"egress_id": "EG_1", "room_name": "r", "status": "EGRESS_FAILED", "error": "disk"}

        by_hand = {"event": "egress.ended", "egress_info": info}
        shorter = {"event": "egress_completed", "info": info}

        for body in (by_hand, shorter):
            news = read_body(json.dumps(body).encode(), NOW).news
            assert isinstance(news, EgressReported)
            assert (news.egress_id, news.status, news.error) == ("EG_1", "FAILED", "disk")

    def test_an_event_without_an_id_is_known_by_its_body(self) -> None:
        """So that the same one is still told from another."""
        one, two = bytes_of("by_hand_participant_joined"), bytes_of("by_hand_egress_completed")

        assert read_body(one, NOW).event_id == read_body(one, NOW).event_id
        assert read_body(one, NOW).event_id != read_body(two, NOW).event_id
        assert (
            read_body(b'{"event": "x", "id": "%s"}' % (b"i" * 999), NOW).event_id[:7] == "sha256:"
        )

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            (b"", "not an event"),
            (b"[]", "not an event"),
            (b"\xff", "not an event"),
            (b"{}", "lacks event"),
            (b'{"event": 1}', "not an event"),
            (b'{"event": "room_finished"}', "lacks room"),
            (b'{"event": "room_finished", "room": "r"}', "not an event"),
            (b'{"event": "room_finished", "room": {}}', "lacks room.name"),
            (b'{"event": "room_finished", "room": {"name": 1}}', "not an event"),
            (b'{"event": "room_finished", "room": {"name": "\\ud800"}}', "not an event"),
            (b'{"event": "participant_joined", "room": {"name": "r"}}', "lacks participant"),
            (
                b'{"event": "participant_left", "room": {"name": "r"},'
                b' "participant": {"sid": "P"}}',
                "lacks participant.identity",
            ),
            (b'{"event": "egress_ended"}', "lacks egressInfo"),
            (b'{"event": "egress_completed", "info": {}}', "lacks egress_id"),
            (b'{"event": "egress_completed", "info": []}', "not an event"),
            (
                b'{"event": "egress_completed",'
                b' "info": {"egress_id": "E", "duration_seconds": NaN}}',
                "not an event",
            ),
            (b"[" * 100_000, "too large"),
        ],
    )
    def test_what_cannot_be_read_says_why(self, body: bytes, why: str) -> None:
        """A bad request, whatever it is."""
        with pytest.raises(BadRequest, match=why):
            read_body(body, NOW)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(BODIES)), st.data())
def test_whatever_stands_in_an_event_it_is_read_or_bad(name: str, data: st.DataObject) -> None:
    """Any value of any event may be anything: it is news of ours or a bad request."""
    body = copy.deepcopy(BODIES[name])
    part = body
    while True:
        key = data.draw(st.sampled_from(sorted(part)))
        if not (isinstance(part[key], dict) and part[key] and data.draw(st.booleans())):
            break
        part = part[key]
    part[key] = data.draw(anything)

    try:
        webhook = read_body(json.dumps(body).encode(), NOW)
    except BadRequest:
        return
    assert webhook.news.at.tzinfo is not None
