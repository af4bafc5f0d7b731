"""The API described, for people (`GET /docs`, without the Internet) and for programs."""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from egress_manager.api.filters import no_others
from egress_manager.errors import NotFound

router = APIRouter(include_in_schema=False, dependencies=[Depends(no_others)])

#: Where Swagger UI's files are served, which a package brings along.
ASSETS: Final = "/swagger"

#: Where the description for programs is served.
DESCRIPTION: Final = "/openapi.json"

#: People type the key on that page: it loads nothing from elsewhere, and nobody frames it.
_POLICY: Final = "default-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"


#: Those files, and what they are.
TYPES: Final[Mapping[str, str]] = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}


@router.get(ASSETS + "/{name}")
async def asset(name: str) -> Response:
    """One of Swagger UI's files, from memory: anybody may ask for it, as often as they like."""
    if name not in TYPES:
        raise NotFound("there is no such file")
    headers = {"Cache-Control": "max-age=86400"}
    return Response(_content(name), media_type=TYPES[name], headers=headers)


@cache
def _content(name: str) -> bytes:
    return (resources.files("fastapi_swagger") / "resources" / name).read_bytes()


@router.get(DESCRIPTION)
async def description(request: Request) -> Response:
    """The API as OpenAPI has it; encoded once, since anybody may ask as often as they like."""
    root = request.scope.get("root_path", "").rstrip("/")
    known: dict[str, bytes] = request.app.state.descriptions
    if root not in known:
        servers = {"servers": [{"url": root}]} if root else {}
        known[root] = json.dumps(request.app.openapi() | servers, ensure_ascii=False).encode()
    return Response(known[root], media_type="application/json")


@router.get("/docs")
async def page(request: Request) -> HTMLResponse:
    """The page, with the paths that a proxy may have put before ours."""
    root = request.scope.get("root_path", "").rstrip("/")
    html = get_swagger_ui_html(
        openapi_url=f"{root}{DESCRIPTION}",
        title=request.app.title,
        swagger_js_url=f"{root}{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{root}{ASSETS}/favicon-32x32.png",
    )
    html.headers["Content-Security-Policy"] = _POLICY
    return html
