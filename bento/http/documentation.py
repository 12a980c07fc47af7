"""Swagger UI and ReDoc: pages that need no other host, and work behind any path prefix as their URLs are relative."""

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response

# Private: the folder and the names of the files that this package carries.
ASSETS = Path(fastapi_offline.__file__).parent / "static"
PREFIX = "static-offline-docs"
ICON = f"{PREFIX}/favicon.png"
LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg"
"""ReDoc would load its maker's logo from there; it hides a logo that is no image."""


def add_documentation(app: FastAPI) -> None:
    """Add ``/docs``, ``/redoc`` and the files that they load to an application that was made without them."""
    redoc = (ASSETS / "redoc.standalone.js").read_text(encoding="utf-8").replace(LOGO, "data:,")

    @app.get("/docs", include_in_schema=False)
    async def swagger_ui() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=app.title,
            swagger_js_url=f"{PREFIX}/swagger-ui-bundle.js",
            swagger_css_url=f"{PREFIX}/swagger-ui.css",
            swagger_favicon_url=ICON,
            swagger_ui_parameters={"validatorUrl": None},
        )

    @app.get("/redoc", include_in_schema=False)
    async def redoc_page() -> HTMLResponse:
        return get_redoc_html(
            openapi_url="openapi.json",
            title=app.title,
            redoc_js_url=f"{PREFIX}/redoc.standalone.js",
            redoc_favicon_url=ICON,
            with_google_fonts=False,
        )

    @app.get(f"/{PREFIX}/redoc.standalone.js", include_in_schema=False)
    async def redoc_script() -> Response:
        return Response(redoc, media_type="text/javascript")

    # BentoML would answer with a document of its own, which is invalid.
    @app.get("/docs.json", include_in_schema=False)
    async def openapi_document() -> dict[str, object]:
        return app.openapi()

    app.mount(f"/{PREFIX}", StaticFiles(directory=ASSETS))
