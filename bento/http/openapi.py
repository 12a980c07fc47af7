"""The OpenAPI document of the whole service: one for the routes of FastAPI and of BentoML together."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from bento.http.multipart import Form
from bento.http.problems import KINDS, MEDIA_TYPE, TYPE_PREFIX
from bento.http.schemas import BatchResponse, Problem
from bento.inference.answer import ExplainedResponse, PredictResponse

_REFS = "#/components/schemas/{model}"
_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": "boolean", "default": False}, "description": description}
    for name, description in (
        ("explain", "add a heat map for each class, and the image that they belong on"),
        ("again", "the image was asked about before: it does not count twice where drift is watched"),
    )
]
_NOT_OF_PREDICT = ("not-found", "request-error")


def openapi_document(app: FastAPI, forms: Mapping[str, Form]) -> dict[str, Any]:
    """Describe FastAPI's routes, and with them BentoML's routes, which take the given forms by their paths."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    models: list[type[BaseModel]] = [PredictResponse, ExplainedResponse, BatchResponse, Problem]
    schemas = models_json_schema([(model, "serialization") for model in models], ref_template=_REFS)[1]
    # Relative to the document itself: behind a proxy's path prefix, too.
    document["servers"] = [{"url": "."}]
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
        **({"parameters": _PARAMETERS} if form.explains else {}),
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
