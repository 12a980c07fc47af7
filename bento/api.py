"""The routes beside ``/predict``: health, metadata, problems, and documentation that needs no internet."""

from collections import defaultdict
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.openapi.utils import get_openapi
from fastapi.responses import RedirectResponse
from fastapi_offline import FastAPIOffline
from pydantic.json_schema import models_json_schema
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bento.problems import KINDS, MEDIA_TYPE, TYPE_PREFIX
from bento.schemas import Health, Metadata, PredictResponse, Problem, ProblemKind

TITLE = "Chest X-ray classifier"
VERSION = "1"
# ReDoc's page would load its maker's logo from elsewhere; the browser is told not to.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'"
)
_REFS = "#/components/schemas/{model}"
_NOT_OF_PREDICT = ("not-found", "request-error")


def create_app(metadata: Metadata, *, predict: str, field: str) -> FastAPI:
    """The FastAPI application that BentoML mounts beside its own route.

    Args:
        metadata: what ``/metadata`` answers.
        predict: path of BentoML's route, for the documentation.
        field: form field of the upload, for the documentation.
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

    @app.get("/", include_in_schema=False)
    async def index() -> RedirectResponse:
        return RedirectResponse("docs")

    document = _openapi(app, predict, field)
    app.openapi = lambda: document  # type: ignore[method-assign]
    return app


def _description(metadata: Metadata) -> str:
    parts = (metadata.notice and f"**{metadata.notice}**", metadata.intended_use)
    return "\n\n".join(part for part in parts if part)


def _openapi(app: FastAPI, predict: str, field: str) -> dict[str, Any]:
    """FastAPI's document of its routes, and BentoML's route added."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    models = models_json_schema(
        [(PredictResponse, "serialization"), (Problem, "serialization")], ref_template=_REFS
    )[1]
    document["components"]["schemas"].update(models["$defs"])
    document["paths"][predict] = {"post": _predict_operation(field)}
    return document


def _predict_operation(field: str) -> dict[str, Any]:
    form = {
        "type": "object",
        "properties": {field: {"type": "string", "format": "binary", "description": "a JPEG or PNG image"}},
        "required": [field],
        "additionalProperties": False,
    }
    answer = {"$ref": _REFS.format(model="PredictResponse")}
    return {
        "summary": "Classify one image",
        "operationId": "predict",
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}},
        "responses": {
            "200": {
                "description": "The most probable classes, the first one first",
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
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["content-security-policy"] = CONTENT_SECURITY_POLICY
            await send(message)

        await self.app(scope, receive, with_policy)
