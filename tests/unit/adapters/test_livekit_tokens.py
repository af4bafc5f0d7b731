"""Tokens for LiveKit: exactly the rights that are needed."""

import time

import jwt
import pytest
from livekit.api import TokenVerifier, WebhookReceiver

from egress_manager.adapters.livekit_tokens import capture_token, recorder_token, webhook_token
from egress_manager.errors import BadRequest

SECRET = "a-secret-of-more-than-thirty-two-letters"


def claims(token: str) -> dict[str, object]:
    """What a token says."""
    said: dict[str, object] = jwt.decode(token, SECRET, algorithms=["HS256"])
    return said


def test_the_recorder_token_has_the_users_grants_and_no_others() -> None:
    """As the user's document has them; an hour by default."""
    said = claims(recorder_token("devkey", SECRET, "friday-assistant-room"))

    assert said["iss"] == "devkey"
    assert said["video"] == {"room": "friday-assistant-room", "roomRecord": True}
    assert isinstance(said["exp"], int)
    assert 3590 < said["exp"] - time.time() <= 3600


def test_the_capture_token_lets_a_hidden_recorder_hear_and_nothing_else() -> None:
    """Kind egress: it does not hold the room open."""
    said = claims(capture_token("devkey", SECRET, "r", "rec_1", ttl_seconds=60))

    assert said["sub"] == "rec_1"
    assert said["kind"] == "egress"
    assert said["video"] == {
        "roomJoin": True,
        "room": "r",
        "canSubscribe": True,
        "canPublish": False,
        "canPublishData": False,
        "hidden": True,
        "recorder": True,
    }
    assert said.keys() == {"iss", "sub", "kind", "video", "nbf", "exp"}
    assert isinstance(said["exp"], int)
    assert 50 < said["exp"] - time.time() <= 60


def test_livekits_own_reader_understands_them() -> None:
    """The names of the grants are LiveKit's."""
    read = TokenVerifier("devkey", SECRET).verify(capture_token("devkey", SECRET, "r", "rec_1"))

    assert read.video is not None
    assert read.video.room_join
    assert read.video.hidden
    assert not read.video.can_publish


def test_a_webhook_is_signed_as_livekit_signs_it() -> None:
    """LiveKit's own receiver takes it, and no other body with it."""
    receiver = WebhookReceiver(TokenVerifier("devkey", SECRET))
    body = '{"event": "room_started", "id": "EV_1"}'
    token = webhook_token("devkey", SECRET, body.encode())

    assert receiver.receive(body, token).id == "EV_1"
    with pytest.raises(Exception, match="hash mismatch"):
        receiver.receive(body.replace("1", "2"), token)


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_token_that_never_was_good_is_not_made(seconds: int) -> None:
    """A mistake of the caller's."""
    with pytest.raises(BadRequest, match="ttl_seconds"):
        recorder_token("devkey", SECRET, "r", ttl_seconds=seconds)
