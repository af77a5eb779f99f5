"""What does a vendor tell us? Verified by the vendor's own file, kept, then answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from providers.base import Provider, ProviderEvent, RawRequest
from recall.clock import DAY, Instant
from recall.errors import WebhookRejected
from recall.store.receipts import Receipt
from recall.web.armour import ROUTE
from recall.web.context import Web, log, refuse
from recall.web.inbox import Told

ACCOUNT_HOOK, SEND_HOOK = "/hooks/{provider}", "/hooks/{provider}/{token:path}"
MAX_EVENTS = 10_000  # of one request
QUICKLY_READ = 32_768  # bytes; what is longer is read in a thread, so that nobody waits for it
_LONGEST = 500  # characters of an id, ref or detail
_TEXTS_LONGEST = 2_000  # of a reply


def routes(web: Web) -> APIRouter:
    """Plain routes: what FastAPI does for a described one costs a seventh of a vendor's request."""
    router = APIRouter()

    async def account_hook(request: Request) -> Response:
        """Everything of one vendor account: receipts with our refs in them, and replies."""
        request.scope[ROUTE] = ACCOUNT_HOOK
        raw = web.raw(request, await request.body())
        return await take_hook(web, request.path_params["provider"], raw, None)

    async def send_hook(request: Request) -> Response:
        """What became of the one send the token was made for."""
        request.scope[ROUTE] = SEND_HOOK
        raw = web.raw(request, await request.body())
        provider, token = request.path_params["provider"], request.path_params["token"]
        ref = web.doors.read_hook(provider, token)
        if ref is None:
            raise refuse(403, "this address was not made by us for this provider")
        return await take_hook(web, provider, raw, ref)

    router.add_route(ACCOUNT_HOOK, account_hook, methods=["POST"])
    router.add_route(SEND_HOOK, send_hook, methods=["POST"])
    return router


async def take_hook(web: Web, name: str, raw: RawRequest, ref: str | None) -> Response:
    """Read, keep and act; answers only after the commit. A vendor may have a text it wants to hear (`hook_answer`)."""
    provider = web.setup.providers.get(name)
    if provider is None:
        raise refuse(404, "no such provider is set up here")
    if len(raw.body) > QUICKLY_READ:
        told = await run_in_threadpool(read_told, web, provider, raw, ref)
    else:  # a hop to a thread and back costs more than reading it here
        told = read_told(web, provider, raw, ref)
    if told.receipts or told.replies:
        await web.inbox.keep(told)
    answer = str(getattr(provider, "hook_answer", ""))
    media = "application/xml" if answer.startswith("<") else "application/json" if answer else None
    return Response(answer, 200, media_type=media)


def read_told(web: Web, provider: Provider, raw: RawRequest, ref: str | None) -> Told:
    """The events a vendor signed; raises HTTPException 403 or 400 for anything else."""
    try:
        events = provider.read_events(raw)
    except WebhookRejected as error:
        log.warning(
            "webhook of %s rejected", provider.name, extra={"provider": provider.name, "error": str(error)[:80]}
        )
        raise refuse(403, "the signature is missing, wrong or too old") from None
    except Exception as error:  # whatever an adapter stumbles over in a signed body is the body's fault
        log.error("webhook of %s cannot be read: %s", provider.name, type(error).__name__)
        raise refuse(400, "the body cannot be read") from None
    return sort_events(web, provider, events, ref)


def sort_events(web: Web, provider: Provider, events: Sequence[ProviderEvent], ref: str | None) -> Told:
    """Receipts and replies; events of another send than the token's are dropped."""
    if len(events) > MAX_EVENTS:
        raise refuse(413, f"at most {MAX_EVENTS} events are taken at once")
    told, dropped = Told(provider.name), 0
    now = web.setup.clock.now()
    for event in events:
        if not _is_storable(event):
            dropped += 1
        elif not event.ref and event.address is not None:
            told.replies.append(replace(event, at=_believable(event.at, now)))
        elif ref is not None and event.ref not in (ref, ""):  # "": the vendor names no ref, the address does
            dropped += 1
        elif event.ref or ref:
            of = event.ref or str(ref)
            at = _believable(event.at, now)
            told.receipts.append(Receipt(provider.name, event.event_id, of, event.kind, at, event.detail))
        else:
            dropped += 1
    if dropped:
        log.warning(
            "%s events of %s dropped: not of this send, or unreadable", dropped, provider.name, extra={"ref": ref}
        )
    return told


def _believable(at: Instant, now: Instant) -> Instant:
    """A vendor's time; one that lies ahead, or before there were such vendors, is replaced by ours."""
    return at if now - 3650 * DAY < at <= now else now


def _is_storable(event: ProviderEvent) -> bool:
    address = event.address.value if event.address else ""
    short = (event.event_id, event.ref, address)
    longest = _TEXTS_LONGEST if not event.ref else _LONGEST
    return (
        bool(event.event_id)
        and all(len(text) <= _LONGEST for text in short)
        and len(event.detail) <= longest
        and all(_is_text(text) for text in (*short, event.detail))
    )


def _is_text(text: str) -> bool:
    """May both stores keep it? No NUL, no half of a surrogate pair."""
    try:
        return b"\x00" not in text.encode()
    except UnicodeEncodeError:
        return False
