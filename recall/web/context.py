"""With what does the web door work? The engine's setup, our signed addresses, and who may post."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from fastapi import HTTPException, Request

from providers.base import RawRequest
from recall.clock import Clock, SystemClock
from recall.engine.setup import Setup
from recall.settings import Settings
from recall.store.tokens import Doors
from recall.web.inbox import Inbox
from recall.web.loop import Beat

log = logging.getLogger("recall.web")


@dataclass(frozen=True)
class Web:
    """Handed to every group of routes."""

    setup: Setup
    settings: Settings
    doors: Doors
    inbox: Inbox
    beat: Beat | None = None  # of the reconciler in this process; None: it runs elsewhere
    wall: Clock = field(
        default_factory=SystemClock
    )  # for the age of signatures, also where the store's time is virtual

    def raw(self, request: Request, body: bytes) -> RawRequest:
        """The request as the vendor sent it, at its public address: never at the Host it claims."""
        path = request.scope.get("raw_path", request.url.path.encode()).decode("latin-1").partition("?")[0]
        query = request.scope.get("query_string", b"").decode("latin-1")
        url = f"{self.doors.public_url}{path}{'?' + query if query else ''}"
        return RawRequest(request.method, url, request.headers, body)


def refuse(status: int, error: str) -> HTTPException:
    """An answer of `{"error": …}`; the text says what to do and holds nothing personal."""
    return HTTPException(status, error)
