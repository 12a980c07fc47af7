"""The routes beside ``/predict``: the page, health, metadata, problems, and documentation that needs no internet."""

from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bento.http.documentation import add_documentation
from bento.http.metrics import exposition
from bento.http.multipart import Form
from bento.http.openapi import openapi_document
from bento.http.problems import KINDS, TYPE_PREFIX
from bento.http.schemas import Health, Metadata, ProblemKind

TITLE = "Chest X-ray classifier"
VERSION = "1"
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'"
)
PAGE = Path(__file__).parents[1] / "page"
"""The page's own files: nothing in them is made by a build."""
PAGE_PREFIX = "/page"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def create_app(metadata: Metadata, forms: Mapping[str, Form]) -> FastAPI:
    """Make the FastAPI application that BentoML mounts beside its own routes.

    Args:
        metadata: what ``/metadata`` answers.
        forms: BentoML's routes and what they take, for the documentation.
    """
    app = FastAPI(title=TITLE, version=VERSION, description=_description(metadata), docs_url=None, redoc_url=None)
    app.add_middleware(ContentSecurityPolicy)

    @app.get("/health", summary="Is the process alive?")
    async def health() -> Health:
        return Health()

    @app.get("/metadata", summary="The model being served, and what it was made from")
    async def describe() -> Metadata:
        return metadata

    @app.get(TYPE_PREFIX + "{slug}", include_in_schema=False)
    async def problem(slug: str) -> ProblemKind:
        if slug not in KINDS:
            raise HTTPException(404)
        kind = KINDS[slug]
        return ProblemKind(type=TYPE_PREFIX + slug, title=kind.title, status=kind.status, advice=kind.advice)

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        content, media_type = exposition()
        return Response(content, media_type=media_type)

    @app.get("/", include_in_schema=False)
    async def index() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.mount(PAGE_PREFIX, StaticFiles(directory=PAGE))
    add_documentation(app)

    document = openapi_document(app, forms)
    app.openapi = lambda: document  # type: ignore[method-assign]
    return app


def _description(metadata: Metadata) -> str:
    parts = (metadata.notice and f"**{metadata.notice}**", metadata.intended_use)
    return "\n\n".join(part for part in parts if part)


class ContentSecurityPolicy:
    """Middleware: pages of this application load nothing from other hosts."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        is_page = path == "/" or path.startswith(PAGE_PREFIX + "/")
        policy = PAGE_POLICY if is_page else CONTENT_SECURITY_POLICY

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = policy
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "no-referrer"
            await send(message)

        await self.app(scope, receive, with_policy)
