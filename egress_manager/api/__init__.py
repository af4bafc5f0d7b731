"""The HTTP API: one thin router for each noun."""

from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from egress_manager.api import (
    calls,
    docs,
    errors,
    health,
    reconciliation,
    recordings,
    reports,
    webhook,
)
from egress_manager.api.bodies import BoundedBodies
from egress_manager.api.turns import InTurn

TITLE: Final = "Egress Manager"

DESCRIPTION: Final = """
The call recorder for self-hosted LiveKit.

Point `webhook.urls` of livekit-server at `POST /webhook`.
Everything but the webhook and `/health` wants the API key: `Authorization: Bearer <key>`, or
`X-API-Key: <key>`.
What goes wrong is answered as a problem document (RFC 9457) with a stable `code`.
"""

ROUTERS: Final = tuple(
    noun.router for noun in (webhook, calls, recordings, reports, reconciliation, health)
)

#: What the app is made with: the framework's own pages load scripts from elsewhere, and it encodes
#: the description anew each time.
WITHOUT_PAGES: Final[dict[str, Any]] = {
    "openapi_url": None,
    "docs_url": None,
    "redoc_url": None,
    "swagger_ui_oauth2_redirect_url": None,
}


def install(app: FastAPI) -> None:
    """Give the app its routes; they need an `ApiServices` as `app.state.services`."""
    app.title, app.description = TITLE, DESCRIPTION
    errors.answer_problems(app)
    errors.describe_problems(app)
    app.add_middleware(BoundedBodies)
    app.add_middleware(InTurn)
    app.state.routes, app.state.descriptions = [], {}
    for router in (*ROUTERS, docs.router):
        _answer_heads(router)
        app.include_router(router)
        app.state.routes += router.routes


def _answer_heads(router: APIRouter) -> None:
    """Have HEAD answered wherever GET is; the server sends no body then."""
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    heads = {route.path for route in routes if "HEAD" in (route.methods or ())}
    for route in routes:
        if "GET" in (route.methods or ()) and route.path not in heads:
            router.add_api_route(
                route.path.removeprefix(router.prefix),
                route.endpoint,
                methods=["HEAD"],
                response_model=route.response_model,
                response_class=route.response_class,
                include_in_schema=False,
            )
