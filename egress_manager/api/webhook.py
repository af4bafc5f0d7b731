"""`POST /webhook`: where livekit-server sends its events."""

import logging
from typing import Annotated, Final

from fastapi import APIRouter, Header, Request

from egress_manager.api import visitors
from egress_manager.api.errors import described
from egress_manager.api.filters import no_others
from egress_manager.api.schemas import WebhookOut
from egress_manager.api.services import Services
from egress_manager.errors import SignatureRefused

log = logging.getLogger(__name__)

router = APIRouter(tags=["webhook"])

_BODY: Final = {
    "requestBody": {
        "required": True,
        "description": "The event, as livekit-server sends it.",
        "content": {"application/webhook+json": {"schema": {"type": "object"}}},
    }
}


@router.post(
    "/webhook",
    operation_id="receive_webhook",
    summary="Take in an event of LiveKit's",
    responses=described("bad_request", "signature_refused", "too_large", "store_unavailable"),
    openapi_extra=_BODY,
)
async def receive(
    request: Request,
    services: Services,
    authorization: Annotated[
        str | None, Header(description="The JWT with which livekit-server signs the body.")
    ] = None,
) -> WebhookOut:
    """Take in one of LiveKit's events.

    Answers 200 when the event is stored durably, and says what it led to. 503 asks LiveKit to send
    it again. The same event may come any number of times, and events in any order.
    """
    try:
        services.admit(authorization)
        visitors.know(request.scope)
        no_others(request)
        outcome = await services.receive(await request.body(), authorization)
    except SignatureRefused as error:
        why, address = str(error), visitors.address_of(request.scope.get("client"))
        services.webhooks.refuse(why, services.clock.now())
        if await services.visitors.is_news(f"webhook refused: {why}", address):
            log.warning("webhook_refused", extra={"why": why, "address": address})
        raise
    services.webhooks.take()
    return WebhookOut.model_validate(outcome)
