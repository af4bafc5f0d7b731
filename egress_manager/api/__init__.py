"""The HTTP API: one thin router for each noun."""

from typing import Final

from fastapi import FastAPI

from egress_manager.api import calls, errors, health, reconciliation, recordings, reports, webhook
from egress_manager.api.bodies import BoundedBodies

TITLE: Final = "Egress Manager"

DESCRIPTION: Final = """
The call recorder for self-hosted LiveKit.

Point `webhook.urls` of livekit-server at `POST /webhook`.
Everything but the webhook and `/health` wants the API key: `Authorization: Bearer <key>`, or
`X-API-Key: <key>`.
What goes wrong is answered as a problem document (RFC 9457) with a stable `code`.
"""


def install(app: FastAPI) -> None:
    """Give the app its routes; they need an `ApiServices` as `app.state.services`."""
    app.title, app.description = TITLE, DESCRIPTION
    errors.answer_problems(app)
    errors.describe_problems(app)
    app.add_middleware(BoundedBodies)
    for noun in (webhook, calls, recordings, reports, reconciliation, health):
        app.include_router(noun.router)
