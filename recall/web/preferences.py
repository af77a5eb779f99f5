"""What does a person want from now on? The page behind every message, and the one click mail programs offer (RFC 8058).

Looking never changes anything: scanners open every address in a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse
from starlette.datastructures import FormData

from journeys.words import Channel
from recall.clock import DAY, to_datetime
from recall.store.preferences import choose_channels, pause, read_preferences, resume, stop_all, unsubscribe
from recall.store.tokens import Preferred
from recall.web.context import Web, log, refuse
from recall.web.pages import TEXTS, gone, language_of, page

PAUSE = 30 * DAY
_FIELDS = 50


@dataclass(frozen=True)
class Wish:
    """What a form says."""

    action: str  # save | stop | pause | resume | one-click
    channels: frozenset[Channel] = frozenset()


def routes(web: Web) -> APIRouter:
    router = APIRouter()

    @router.get("/u/{token}")
    async def show(token: str, request: Request) -> Response:
        return await run_in_threadpool(_show, web, token, request)

    @router.post("/u/{token}")
    async def change(token: str, request: Request) -> Response:
        whose = web.doors.read_preferences(token)
        if whose is None:
            return gone(language_of(request.headers.get("accept-language", "")))
        async with request.form(max_files=0, max_fields=_FIELDS) as form:
            wish = read_wish(form)
        if wish is None:
            raise refuse(400, "the form says nothing that can be done")
        await run_in_threadpool(_do, web, whose, wish)
        if wish.action == "one-click":
            return PlainTextResponse(TEXTS["en"]["done"])
        return Response(status_code=303, headers={"location": "?saved=1"})

    return router


def _show(web: Web, token: str, request: Request) -> Response:
    accepted = request.headers.get("accept-language", "")
    whose = web.doors.read_preferences(token)
    known = None
    if whose is not None:
        with web.setup.store.reading() as connection:
            known = read_preferences(connection, web.setup.store, whose.user_id)
    if known is None:
        return gone(language_of(accepted))
    language = language_of(accepted, known.locale)
    until = known.paused_until if known.paused_until and known.paused_until > web.setup.clock.now() else None
    return page(
        "preferences",
        language,
        title=TEXTS[language]["title"],
        channels=[(channel.value, TEXTS[language][channel.value], is_on) for channel, is_on in known.allowed.items()],
        paused_until=to_datetime(until).date().isoformat() if until else "",
        saved="saved" in request.query_params,
    )


def read_wish(form: FormData) -> Wish | None:
    """None for a form that is neither ours nor a mail program's."""
    if form.get("List-Unsubscribe") == "One-Click":
        return Wish("one-click")
    channels = _channels(form.getlist("channel"))
    action = form.get("action")
    if channels is None or action not in ("save", "stop", "pause", "resume"):
        return None
    return Wish(str(action), channels if action == "save" else frozenset())


def _channels(values: Sequence[object]) -> frozenset[Channel] | None:
    known = {channel.value for channel in Channel}
    return frozenset(Channel(str(v)) for v in values) if all(v in known for v in values) else None


def _do(web: Web, whose: Preferred, wish: Wish) -> None:
    now, store = web.setup.clock.now(), web.setup.store
    with store.writing() as connection:
        match wish.action:
            case "one-click":
                changed = unsubscribe(connection, store, whose, now=now)
            case "stop":
                changed = stop_all(connection, store, whose, now=now)
            case "pause":
                changed = pause(connection, store, whose, until=now + PAUSE, now=now)
            case "resume":
                changed = resume(connection, store, whose, now=now)
            case _:
                changed = choose_channels(connection, store, whose, wish.channels, now=now)
    log.info("preferences: %s, %s", wish.action, "changed" if changed else "as before")
