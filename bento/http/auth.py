"""API keys: who has none is let in to probes, documentation and the page only."""

import hmac
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from bento.http.problems import TYPE_PREFIX, problem_response
from bento.keys import hash_key

OPEN = frozenset(
    {"/", "/livez", "/readyz", "/healthz", "/health", "/docs", "/redoc", "/openapi.json", "/docs.json", "/favicon.ico"}
)
"""Paths that never ask for a key: probes, the documentation, and the page, which asks for one by itself."""
OPEN_PREFIXES = (TYPE_PREFIX, "/static-offline-docs/", "/page/")


class ApiKeys:
    """Middleware: asks for a key in ``Authorization: Bearer`` or ``X-API-Key``, but for probes and documentation.

    Args:
        hashes: SHA-256 of the accepted keys, in hexadecimal; none: everybody may ask.
    """

    def __init__(self, app: ASGIApp, hashes: Collection[str]) -> None:
        self.app = app
        self.hashes = [value.encode() for value in hashes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_open = scope["type"] != "http" or scope["path"] in OPEN or scope["path"].startswith(OPEN_PREFIXES)
        if self.hashes and not is_open:
            key = _given(Headers(scope=scope))
            if key is None or not self._is_known(key):
                detail = "no API key was given" if key is None else "the API key is not known"
                headers = {"WWW-Authenticate": "Bearer"}
                await problem_response("unauthorized", detail, headers)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _is_known(self, key: str) -> bool:
        digest = hash_key(key).encode()
        # Every hash is compared, and each in constant time: how long it takes says nothing.
        return sum(hmac.compare_digest(digest, known) for known in self.hashes) > 0


def _given(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key")
