"""What does the robot say, and what did the person answer? Asked by the voice vendor while the call goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, cast

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from providers.base import Provider, ProviderEvent, RawRequest
from recall.errors import WebhookRejected
from recall.store.calls import Script, read_script
from recall.web.context import Web, log, refuse
from recall.web.hooks import sort_events
from recall.web.inbox import Told

MARKUP = "application/xml"
T = TypeVar("T")


class Talker(Protocol):
    """What a voice provider can do besides being a Provider. Both raise WebhookRejected unless the vendor signed."""

    def greet(self, request: RawRequest, *, ref: str, text: str, locale: str, answer_url: str) -> str:
        """Markup that says the text and asks for an answer at `answer_url`."""
        ...

    def answer(self, request: RawRequest, *, ref: str, locale: str) -> tuple[str, Sequence[ProviderEvent]]:
        """Markup that ends or goes on with the call, and what the answer means."""
        ...


def routes(web: Web) -> APIRouter:
    router = APIRouter()

    @router.post("/voice/{token}")
    async def greeting(token: str, request: Request) -> Response:
        return await run_in_threadpool(_greet, web, token, web.raw(request, await request.body()))

    @router.post("/voice/{token}/answer")
    async def answer(token: str, request: Request) -> Response:
        said, told = await run_in_threadpool(_answer, web, token, web.raw(request, await request.body()))
        await web.inbox.keep(told)
        return Response(said, media_type=MARKUP)

    return router


def _greet(web: Web, token: str, raw: RawRequest) -> Response:
    provider, ref, script = _call_of(web, token)
    url = f"{web.doors.voice(provider.name, ref)}/answer"
    talker = cast(Talker, provider)
    said = _ask(lambda: talker.greet(raw, ref=ref, text=script.text, locale=script.locale, answer_url=url))
    return Response(said, media_type=MARKUP)


def _answer(web: Web, token: str, raw: RawRequest) -> tuple[str, Told]:
    """The markup, and what the person said, which is to be kept before they hear it."""
    provider, ref, script = _call_of(web, token)
    talker = cast(Talker, provider)

    def ask() -> tuple[str, Sequence[ProviderEvent]]:
        said, events = talker.answer(raw, ref=ref, locale=script.locale)
        return said, list(events)

    said, events = _ask(ask)
    return said, sort_events(web, provider, events, ref)


def _call_of(web: Web, token: str) -> tuple[Provider, str, Script]:
    named = web.doors.read_voice(token)
    if named is None:
        raise refuse(403, "this address was not made by us")
    provider = web.setup.providers.get(named[0])
    if provider is None or not (hasattr(provider, "greet") and hasattr(provider, "answer")):
        raise refuse(404, "no such voice provider is set up here")
    with web.setup.store.reading() as connection:
        script = read_script(connection, *named)
    if script is None:
        raise refuse(404, "there is no such call")
    return provider, named[1], script


def _ask(question: Callable[[], T]) -> T:
    try:
        return question()
    except WebhookRejected as error:
        log.warning("voice request rejected", extra={"error": str(error)[:80]})
        raise refuse(403, "the signature is missing, wrong or too old") from None
    except Exception as error:  # as in hooks: what an adapter stumbles over is the request's fault
        log.error("voice request cannot be read: %s", type(error).__name__)
        raise refuse(400, "the request cannot be read") from None
