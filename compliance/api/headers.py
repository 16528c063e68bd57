"""Response headers: nothing but our own files may run in a browser, and unchanged answers are not sent twice."""

from __future__ import annotations

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
REVALIDATED = "/v1/"
"""Answers under this path carry an ETag."""


class SecurityHeaders:
    """Puts the security headers on every response, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class Etags:
    """Gives every answer of the API an ETag of its content, unless it has its own, and answers 304 to whom has it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and hold the answer back until its ETag is known."""
        if (
            scope["type"] != "http"
            or scope["method"] not in ("GET", "HEAD")
            or not scope["path"].startswith(REVALIDATED)
        ):
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        await self._app(scope, receive, hold)
        for message in _revalidated(held, Headers(scope=scope).get("if-none-match", "")):
            await send(message)


def matches(if_none_match: str, etag: str) -> bool:
    """Whether one of the client's ETags is this one; weak comparison."""
    given = {one.strip().removeprefix("W/") for one in if_none_match.split(",")}
    return bool(if_none_match) and ("*" in given or etag in given)


def _revalidated(messages: list[Message], if_none_match: str) -> list[Message]:
    start = messages[0]
    if start["status"] != 200:
        return messages
    body = b"".join(message.get("body", b"") for message in messages[1:])
    headers = MutableHeaders(scope=start)
    headers.setdefault("etag", f'"{hashlib.sha256(body).hexdigest()[:32]}"')
    headers.setdefault("cache-control", "no-cache")
    if not matches(if_none_match, headers["etag"]):
        return messages
    del headers["content-length"]
    del headers["content-type"]
    return [{**start, "status": 304}, {"type": "http.response.body", "body": b""}]
