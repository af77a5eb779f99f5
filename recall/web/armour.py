"""What holds for every request? A number of its own, a limit of size, headers that protect, one line in the log."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import MutableMapping
from typing import Any, Protocol

from fastapi import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recall.clock import elapsed_seconds
from recall.web.logs import request_id

ROUTE = "recall.route"  # where a plain route says how it is called; described ones are known to FastAPI
MAX_BODY_BYTES = 1_000_000
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",  # our addresses carry tokens
    "cache-control": "no-store",
    "x-robots-tag": "noindex, nofollow",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
NO_CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

log = logging.getLogger("recall.web.access")


class Meter(Protocol):
    """Counts requests by route template and status."""

    def __call__(self, route: str, status: int, seconds: float) -> None: ...


class Armour:
    """Pure ASGI; nothing unforeseen gets past it to the caller."""

    def __init__(self, app: ASGIApp, *, https: bool, meter: Meter) -> None:
        self._app = app
        told = {**_HEADERS, "content-security-policy": NO_CONTENT_POLICY}
        if https:
            told["strict-transport-security"] = "max-age=31536000"
        self._headers = [(name.encode(), value.encode()) for name, value in told.items()]
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        number = secrets.token_hex(8)
        named = request_id.set(number)
        begun = elapsed_seconds()
        status = 0

        async def guarded_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._protect(message, number)
            await send(message)

        try:
            await self._app(scope, _capped(scope, receive), guarded_send)
        except ClientDisconnect:
            status = status or 499
        except Exception as error:  # the outermost door: its text may hold personal data, so only its type is told
            log.error("unforeseen: %s", type(error).__name__, extra={"error": type(error).__name__}, exc_info=error)
            if not status:
                await _fail(guarded_send, number)
        finally:
            seconds = elapsed_seconds() - begun
            route = str(scope.get(ROUTE) or getattr(scope.get("route"), "path", "unmatched"))
            self._meter(route, status, seconds)
            said = {"route": route, "status": status, "milliseconds": round(seconds * 1000, 1)}
            log.info("%s %s", scope["method"], route, extra=said)
            request_id.reset(named)

    def _protect(self, message: MutableMapping[str, Any], number: str) -> None:
        """Ours beside the answer's own, which win."""
        own = list(message.get("headers", ()))
        named = {name.lower() for name, _ in own}
        message["headers"] = [
            *(header for header in self._headers if header[0] not in named),
            *(header for header in own if header[0].lower() != b"x-request-id"),
            (b"x-request-id", number.encode()),
        ]


def _capped(scope: Scope, receive: Receive) -> Receive:
    """Refuse more than 1 MB, whatever the request says about its length."""
    read = 0

    async def capped() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MAX_BODY_BYTES or _announced(scope) > MAX_BODY_BYTES:
            raise HTTPException(413, f"at most {MAX_BODY_BYTES} bytes are taken; send less at once")
        return message

    return capped


def _announced(scope: Scope) -> int:
    value = dict(scope["headers"]).get(b"content-length", b"0")
    return int(value) if value.isdigit() and len(value) < 20 else 0


async def _fail(send: Send, number: str) -> None:
    body = json.dumps({"error": "something unforeseen went wrong; it was logged", "request_id": number}).encode()
    await send(
        {"type": "http.response.start", "status": 500, "headers": [(b"content-type", b"application/json")]},
    )
    await send({"type": "http.response.body", "body": body})
