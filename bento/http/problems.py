"""Problem documents (RFC 9457): every answer of 4xx or 5xx is one, with a stable ``type`` and a request id."""

import functools
import logging
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ParamSpec, TypeVar, cast

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bento.http.metrics import REJECTIONS

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "/problems/"
REQUEST_ID_HEADER = "x-request-id"
CLIENT_GONE = 499
"""Status in the log of a request whose client left before the answer, as nginx has it."""

logger = logging.getLogger(__name__)
# Not in the request's scope: every log line of a request bears it, and those who log have no scope.
request_id: ContextVar[str] = ContextVar("request_id", default="")
_SANE_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """One kind of problem: its status, its title, and what a client can do about it."""

    status: HTTPStatus
    title: str
    advice: str


KINDS: Mapping[str, Kind] = {
    "malformed-request": Kind(
        HTTPStatus.BAD_REQUEST, "Malformed request", "Send a body of multipart/form-data as RFC 7578 has it."
    ),
    "empty-file": Kind(HTTPStatus.BAD_REQUEST, "Empty file", "Send an image."),
    "damaged-image": Kind(HTTPStatus.BAD_REQUEST, "Damaged image", "The file is truncated or corrupt: send it whole."),
    "unauthorized": Kind(
        HTTPStatus.UNAUTHORIZED,
        "API key needed",
        "Send a known key as `Authorization: Bearer` or `X-API-Key`.",
    ),
    "not-found": Kind(HTTPStatus.NOT_FOUND, "Not found", "See /docs for the routes."),
    "method-not-allowed": Kind(HTTPStatus.METHOD_NOT_ALLOWED, "Method not allowed", "See the Allow header or /docs."),
    "upload-timeout": Kind(
        HTTPStatus.REQUEST_TIMEOUT, "Upload too slow", "Send the whole image within the service's deadline."
    ),
    "file-too-large": Kind(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "File too large", "Send a file below the service's limit."
    ),
    "too-many-pixels": Kind(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Too many pixels", "Scale the image down before sending it."
    ),
    "too-many-scans": Kind(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "Too many scans",
        "Save the JPEG anew, as a baseline one or with an ordinary progression.",
    ),
    "headers-too-large": Kind(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "Headers too large", "Send fewer or shorter headers."
    ),
    "unsupported-media-type": Kind(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "Unsupported media type",
        "Send multipart/form-data whose parts are images or DICOM files.",
    ),
    "not-an-image": Kind(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Not an image", "Send a JPEG, PNG or DICOM file."),
    "unsupported-dicom": Kind(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "Unsupported kind of DICOM",
        "Send grey pixels of 8 to 16 bits, uncompressed or as JPEG, JPEG-LS, JPEG 2000 or RLE.",
    ),
    "not-a-chest-image": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Not a chest image",
        "Send a frontal chest radiograph: modality CR or DX, body part CHEST.",
    ),
    "wrong-field": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Wrong form field",
        "Send files in the field that /docs names, and nothing else.",
    ),
    "wrong-parameter": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Wrong query parameter",
        "Give `explain` once, as true or false, and to /predict alone.",
    ),
    "outside-what-the-model-knows": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Outside what the model knows",
        "Send a frontal chest radiograph: grey, upright, with bright bones. This service answers for nothing else.",
    ),
    "request-error": Kind(HTTPStatus.BAD_REQUEST, "Bad request", "See /docs."),
    "internal-error": Kind(
        HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error", "Not your fault; report the request id."
    ),
    "overloaded": Kind(HTTPStatus.SERVICE_UNAVAILABLE, "Overloaded", "Try again after the seconds of Retry-After."),
    "deadline-exceeded": Kind(
        HTTPStatus.GATEWAY_TIMEOUT,
        "Deadline exceeded",
        "Try again; the service was too busy to answer in time.",
    ),
}
_BY_STATUS = {
    401: "unauthorized",
    404: "not-found",
    405: "method-not-allowed",
    408: "upload-timeout",
    413: "file-too-large",
    415: "unsupported-media-type",
    429: "overloaded",
    503: "overloaded",
    504: "deadline-exceeded",
}
_KEPT_HEADERS = ("allow", "retry-after", "www-authenticate")


def new_request_id() -> str:
    """Give 128 random bits in hexadecimal, which tell requests apart and are not meant to be unguessable.

    The system's own randomness would cost a turn of Python's lock, for which a busy worker thread makes it wait.
    """
    return f"{random.getrandbits(128):032x}"


class ProblemError(Exception):
    """A request that can't be answered as asked.

    Args:
        slug: a key of :data:`KINDS`.
        detail: one sentence about this very request; it never holds internals.
        headers: further headers of the answer.
    """

    def __init__(self, slug: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.slug = slug
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """Give the problem document as an ASGI application."""
        return problem_response(self.slug, self.detail, self.headers)


def problem_response(slug: str, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Give the current request's problem document of one of :data:`KINDS`, as an ASGI application."""
    return _document(slug, KINDS[slug].status, detail, headers)


def problem_content(slug: str, detail: str, request: str, status: int | None = None) -> dict[str, Any]:
    """Give a problem document as a JSON object, and count it; ``status`` only where it is not the kind's own."""
    REJECTIONS.labels(slug).inc()
    kind = KINDS[slug]
    return {
        "type": TYPE_PREFIX + slug,
        "title": kind.title,
        "status": int(status or kind.status),
        "detail": detail,
        "request_id": request,
    }


def _document(slug: str, status: int, detail: str, headers: Mapping[str, str] | None) -> JSONResponse:
    content = problem_content(slug, detail, request_id.get(), status)
    return JSONResponse(content, int(status), headers, MEDIA_TYPE)


def problems_answered(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Let a BentoML API answer a :class:`ProblemError` with its document: BentoML passes responses through."""

    @functools.wraps(function)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await function(*args, **kwargs)
        except ProblemError as error:
            return cast(T, error.response())

    return wrapper


class ProblemDocuments:
    """Middleware: gives each request an id, and turns every bare error answer into a problem document.

    Routers and BentoML itself answer errors as plain text or as JSON of their own shape, some with internals.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        token = request_id.set(given if _SANE_ID.fullmatch(given) else new_request_id())
        answer = _Answer(scope, receive, send)
        try:
            await self.app(scope, receive, answer.send)
        except Exception:
            # Once an answer has begun, there is no other way to say so than to break it off.
            if answer.started:
                raise
            logger.exception("request %s failed", request_id.get())
            await answer.send({"type": "http.response.start", "status": 500, "headers": []})
        else:
            if not answer.started:
                # The client went away. Nobody reads this, but BentoML and uvicorn wait for it before they stop.
                await send({"type": "http.response.start", "status": CLIENT_GONE, "headers": []})
                await send({"type": "http.response.body", "body": b""})
        finally:
            request_id.reset(token)


class _Answer:
    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._to_client = (scope, receive, send)
        self.started = False
        self._replaced = False

    async def send(self, message: Message) -> None:
        scope, receive, send = self._to_client
        if message["type"] != "http.response.start":
            if not self._replaced:
                await send(message)
            return
        self.started = True
        headers = MutableHeaders(raw=message.setdefault("headers", []))
        headers[REQUEST_ID_HEADER] = request_id.get()
        message["headers"] = headers.raw
        status = message["status"]
        if status < 400 or headers.get("content-type", "").startswith(MEDIA_TYPE):
            await send(message)
            return
        self._replaced = True
        kept = {name: headers[name] for name in (*_KEPT_HEADERS, REQUEST_ID_HEADER) if name in headers}
        slug = _BY_STATUS.get(status, "internal-error" if status >= 500 else "request-error")
        detail = f"{scope['method']} {scope['path'][:200]}: {KINDS[slug].title.lower()}"
        await _document(slug, status, detail, kept)(scope, receive, send)
