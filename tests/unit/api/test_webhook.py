"""`POST /webhook` over ASGI."""

import httpx2
import pytest

from egress_manager.api.bodies import BODY_AT_MOST
from egress_manager.errors import (
    BadRequest,
    EgressManagerError,
    SignatureRefused,
    StoreUnavailable,
)
from tests.unit.api.house import House


class TestWebhook:
    """`POST /webhook`."""

    async def test_it_says_what_it_led_to(self, house: House, anybody: httpx2.AsyncClient) -> None:
        """Step 4 of the user's checklist; the body and its signature arrive as they were sent."""
        answer = await anybody.post(
            "/webhook",
            content=b'{"event" :  "x"}',
            headers={"Authorization": "a.b.c", "Content-Type": "application/webhook+json"},
        )

        assert answer.status_code == 200
        assert answer.json() == {
            "outcome": "recorded",
            "call_id": "call_1",
            "recording_id": "rec_1",
            "egress_id": "EG_1",
        }
        assert house.received == [(b'{"event" :  "x"}', "a.b.c")]

    @pytest.mark.parametrize(
        ("trouble", "status", "code"),
        [
            (SignatureRefused("not signed"), 401, "signature_refused"),
            (BadRequest("lacks event"), 400, "bad_request"),
            (StoreUnavailable("AutoReconnect"), 503, "store_unavailable"),
        ],
    )
    async def test_what_is_wrong_has_the_status_that_livekit_understands(
        self,
        house: House,
        anybody: httpx2.AsyncClient,
        trouble: EgressManagerError,
        status: int,
        code: str,
    ) -> None:
        """503 is sent again, 4xx is not."""
        house.trouble = trouble

        answer = await anybody.post("/webhook", content=b"{}")

        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == code
        assert answer.json()["detail"] == str(trouble)
        assert answer.json()["retryable"] is (status == 503)
        assert ("retry-after" in answer.headers) is (status == 503)

    async def test_what_came_of_webhooks_is_counted(
        self, house: House, anybody: httpx2.AsyncClient
    ) -> None:
        """`/health` tells how many were refused, when the last was, and why."""
        await anybody.post("/webhook", content=b"{}")
        house.trouble = SignatureRefused("signed by nobody")
        await anybody.post("/webhook", content=b"{}")
        house.trouble = StoreUnavailable("AutoReconnect")
        await anybody.post("/webhook", content=b"{}")

        assert (await anybody.get("/health")).json()["webhooks"] == {
            "taken": 1,
            "refused": 1,
            "last_refused_at": "2026-11-22T12:00:00Z",
            "refused_because": "signed by nobody",
        }

    async def test_a_body_that_is_too_large_is_not_even_read(
        self, house: House, anybody: httpx2.AsyncClient
    ) -> None:
        """1 MiB is far more than any event has."""
        answer = await anybody.post("/webhook", content=b"x" * (BODY_AT_MOST + 1))

        assert answer.status_code == 413
        assert answer.json()["code"] == "too_large"
        assert house.received == []
