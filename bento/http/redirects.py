"""Redirects that lead to the right place behind a proxy, whose scheme, host and path prefix are not known here."""

from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class RelativeRedirects:
    """Middleware: a redirect names its target relative to the request's path; every one here leads to this service."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_relative_location(message: Message) -> None:
            if message["type"] == "http.response.start" and "location" in (headers := MutableHeaders(scope=message)):
                target = urlsplit(headers["location"])._replace(scheme="", netloc="").geturl()
                headers["location"] = "../" * (scope["path"].count("/") - 1) + target.lstrip("/")
            await send(message)

        await self.app(scope, receive, with_relative_location)
