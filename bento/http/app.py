"""The routes beside ``/predict``: the page, health, metadata, problems, and documentation that needs no internet."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bento.http.metrics import exposition
from bento.http.problems import KINDS, MEDIA_TYPE, TYPE_PREFIX
from bento.http.schemas import BatchResponse, Health, Metadata, Problem, ProblemKind
from bento.http.uploads import Form
from bento.inference.answer import ExplainedResponse, PredictResponse

TITLE = "Chest X-ray classifier"
VERSION = "1"
# ReDoc's page would load its maker's logo from elsewhere; the browser is told not to.
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
_REFS = "#/components/schemas/{model}"
_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_EXPLAIN = {
    "name": "explain",
    "in": "query",
    "schema": {"type": "boolean", "default": False},
    "description": "add a heat map for each class, and the image that they belong on",
}
_NOT_OF_PREDICT = ("not-found", "request-error")


def create_app(metadata: Metadata, forms: Mapping[str, Form]) -> FastAPI:
    """The FastAPI application that BentoML mounts beside its own routes.

    Args:
        metadata: what ``/metadata`` answers.
        forms: BentoML's routes and what they take, for the documentation.
    """
    app = FastAPIOffline(
        title=TITLE,
        version=VERSION,
        description=_description(metadata),
        swagger_ui_parameters={"validatorUrl": None},
    )
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

    document = _openapi(app, forms)
    app.openapi = lambda: document  # type: ignore[method-assign]
    return app


def _description(metadata: Metadata) -> str:
    parts = (metadata.notice and f"**{metadata.notice}**", metadata.intended_use)
    return "\n\n".join(part for part in parts if part)


def _openapi(app: FastAPI, forms: Mapping[str, Form]) -> dict[str, Any]:
    """FastAPI's document of its routes, and BentoML's routes added."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    models: list[type[BaseModel]] = [PredictResponse, ExplainedResponse, BatchResponse, Problem]
    schemas = models_json_schema([(model, "serialization") for model in models], ref_template=_REFS)[1]
    document["components"]["schemas"].update(schemas["$defs"])
    document["components"]["securitySchemes"] = _KEYS
    for path, form in forms.items():
        document["paths"][path] = {"post": _predict_operation(path, form)}
    return document


def _predict_operation(path: str, form: Form) -> dict[str, Any]:
    file = {"type": "string", "format": "binary", "description": "a JPEG, PNG or DICOM image"}
    one = form.max_files == 1
    fields = file if one else {"type": "array", "items": file, "minItems": 1, "maxItems": form.max_files}
    schema = {
        "type": "object",
        "properties": {form.field: fields},
        "required": [form.field],
        "additionalProperties": False,
    }
    answers = ["BatchResponse"] if not one else ["PredictResponse", "ExplainedResponse"][: 1 + form.explains]
    references = [{"$ref": _REFS.format(model=model)} for model in answers]
    answer = references[0] if len(references) == 1 else {"anyOf": references}
    return {
        "summary": "Classify one image" if one else f"Classify up to {form.max_files} images",
        "operationId": path.strip("/").replace("/", "_"),
        "security": [{}, *({name: []} for name in _KEYS)],
        **({"parameters": [_EXPLAIN]} if form.explains else {}),
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}},
        "responses": {
            "200": {
                "description": "The most probable classes, the first one first"
                + ("" if one else "; or a problem, for each file in order"),
                "content": {"application/json": {"schema": answer}},
            },
            **_problem_responses(),
        },
    }


def _problem_responses() -> dict[str, Any]:
    titles: dict[int, list[str]] = defaultdict(list)
    for slug, kind in KINDS.items():
        if slug not in _NOT_OF_PREDICT:
            titles[kind.status].append(f"{kind.title} (`{TYPE_PREFIX}{slug}`)")
    schema = {"$ref": _REFS.format(model="Problem")}
    return {
        str(int(status)): {"description": "; ".join(lines), "content": {MEDIA_TYPE: {"schema": schema}}}
        for status, lines in sorted(titles.items())
    }


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
