"""What is open to vendors, people and the host's systems? Every route, behind one armour."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as AnyHTTPException

from recall.engine.setup import Setup
from recall.errors import Misconfigured, StoreBusy
from recall.settings import Settings
from recall.store.tokens import SHORTEST_KEY, open_doors
from recall.web import cards, clicks, feed, health, hooks, preferences, voice
from recall.web.armour import Armour
from recall.web.context import Web
from recall.web.inbox import Inbox
from recall.web.loop import Beat


def create_app(setup: Setup, settings: Settings, *, beat: Beat | None = None) -> FastAPI:
    """The whole web door; raises Misconfigured when its addresses cannot be signed or nobody could reach them.

    `beat` is that of the reconciler in this process; None when it runs elsewhere.
    """
    _refuse_short_keys(settings)
    web = Web(setup, settings, open_doors(settings), Inbox(setup), beat)
    metrics = health.Metrics()
    metrics.watch(web)
    app = FastAPI(title="recall", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.web = web
    for room in (hooks, voice, clicks, preferences, feed, cards):
        app.include_router(room.routes(web))
    app.include_router(health.routes(web, metrics))
    app.add_exception_handler(AnyHTTPException, _refused)
    app.add_exception_handler(StoreBusy, _busy)
    app.add_middleware(Armour, https=web.doors.public_url.startswith("https://"), meter=metrics)
    return app


def _refuse_short_keys(settings: Settings) -> None:
    for name, secret in settings.web_api_keys.items():
        if len(secret.get_secret_value()) < SHORTEST_KEY or "." in name:
            raise Misconfigured(
                f"RECALL_WEB_API_KEYS: the secret of {name!r} must have at least {SHORTEST_KEY} characters, "
                "and an id holds no point"
            )


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AnyHTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _busy(_: Request, __: Exception) -> JSONResponse:
    """The store is locked: nothing was kept, and the sender tries again."""
    return JSONResponse({"error": "busy, try again"}, 503, {"retry-after": "5"})
