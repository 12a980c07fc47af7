"""Optional API keys. ``python -m bento.keys [NOTE]`` makes one: the key for the client, its hash for the service.

Only hashes are kept. A key is 256 random bits, so that one round of SHA-256 is enough: there is nothing to guess.
"""

import hashlib
import hmac
import secrets
import sys
from collections.abc import Collection
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from bento.http.problems import TYPE_PREFIX, problem_response

OPEN = frozenset({"/", "/livez", "/readyz", "/healthz", "/health", "/docs", "/redoc", "/openapi.json", "/favicon.ico"})
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
        if scope["type"] == "http" and self.hashes and not self._is_open(scope["path"]):
            key = _given(Headers(scope=scope))
            if key is None or not self._is_known(key):
                detail = "no API key was given" if key is None else "the API key is not known"
                headers = {"WWW-Authenticate": "Bearer"}
                await problem_response("unauthorized", detail, headers)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        return path in OPEN or path.startswith(OPEN_PREFIXES)

    def _is_known(self, key: str) -> bool:
        digest = hash_key(key).encode()
        # Every hash is compared, and each in constant time: how long it takes says nothing.
        return sum(hmac.compare_digest(digest, known) for known in self.hashes) > 0


def hash_key(key: str) -> str:
    """SHA-256 of a key as 64 hexadecimal digits."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def read_hashes(text: str, file: Path | None) -> list[str]:
    """The hashes of a setting (commas between) and of a file (one a line, then a comment).

    Raises:
        ValueError: the file can't be read, or something is not a hash; one line that says where.
    """
    entries = [("CHEST_XRAY_API_KEY_HASHES", entry) for entry in text.replace(",", " ").split()]
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{file}: can't be read ({error})") from error
        filled = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
        entries += [(str(file), line.split()[0]) for line in filled]
        if not filled:
            raise ValueError(f"{file}: holds no key; every request would be let in")
    hashes = []
    for where, entry in entries:
        if len(entry) != 64 or not set(entry.lower()) <= set("0123456789abcdef"):
            raise ValueError(f"{where}: not a SHA-256 in hexadecimal; make one with `python -m bento.keys`")
        hashes.append(entry.lower())
    return hashes


def _given(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key")


def main(arguments: list[str]) -> None:
    """Print a new key, and the line for the service's file."""
    key = secrets.token_urlsafe(32)
    print(f"key, for the client (shown once):  {key}", file=sys.stderr)
    print(" ".join((hash_key(key), *arguments)))


if __name__ == "__main__":
    main(sys.argv[1:])
