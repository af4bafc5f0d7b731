"""`GET /docs`: the API described for people, without the Internet."""

from typing import Final

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)

#: Where Swagger UI's files are served, which a package brings along.
ASSETS: Final = "/swagger"

#: People type the key on that page: it loads nothing from elsewhere, and nobody frames it.
_POLICY: Final = "default-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"


def assets() -> StaticFiles:
    """Swagger UI's files."""
    return StaticFiles(packages=[("fastapi_swagger", "resources")])


@router.get("/docs")
async def page(request: Request) -> HTMLResponse:
    """The page, with the paths that a proxy may have put before ours."""
    root = request.scope.get("root_path", "").rstrip("/")
    html = get_swagger_ui_html(
        openapi_url=f"{root}{request.app.openapi_url}",
        title=request.app.title,
        swagger_js_url=f"{root}{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{root}{ASSETS}/favicon-32x32.png",
    )
    html.headers["Content-Security-Policy"] = _POLICY
    return html
