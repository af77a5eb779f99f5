"""What does a vendor tell us? Verified by the vendor's own file, kept in one transaction, then answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from journeys.words import ADDRESS_OF, AddressKind, ReceiptKind
from providers.base import Provider, ProviderEvent, RawRequest
from providers.masking import excerpt
from recall.clock import DAY, Instant
from recall.errors import WebhookRejected
from recall.store.inbound import Inbound, Meaning, bind_at_once, take_inbound
from recall.store.policies import live_policies
from recall.store.receipts import Receipt, record_receipts
from recall.web.context import Web, log, refuse
from recall.web.words import Words, meaning_of, words_of

MAX_EVENTS = 10_000  # of one request
_LONGEST = 500  # characters of an id, ref or detail
_TEXTS_LONGEST = 2_000  # of a reply


@dataclass(frozen=True)
class Told:
    """What one request said."""

    receipts: list[Receipt] = field(default_factory=list)
    replies: list[ProviderEvent] = field(default_factory=list)
    dropped: int = 0


def routes(web: Web) -> APIRouter:
    router = APIRouter()

    @router.post("/hooks/{provider}")
    async def account_hook(provider: str, request: Request) -> Response:
        """Everything of one vendor account: receipts with our refs in them, and replies."""
        body = await request.body()
        return await run_in_threadpool(take_hook, web, provider, web.raw(request, body), None)

    @router.post("/hooks/{provider}/{token:path}")
    async def send_hook(provider: str, token: str, request: Request) -> Response:
        """What became of the one send the token was made for."""
        body = await request.body()
        ref = web.doors.read_hook(provider, token)
        if ref is None:
            raise refuse(403, "this address was not made by us for this provider")
        return await run_in_threadpool(take_hook, web, provider, web.raw(request, body), ref)

    return router


def take_hook(web: Web, name: str, raw: RawRequest, ref: str | None) -> Response:
    """Read, keep and act; answers only after the commit. A vendor may have a text it wants to hear (`hook_answer`)."""
    provider = web.setup.providers.get(name)
    if provider is None:
        raise refuse(404, "no such provider is set up here")
    keep_told(web, provider, read_told(web, provider, raw, ref))
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
    told, dropped = Told(), 0
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
    return replace(told, dropped=dropped)


def keep_told(web: Web, provider: Provider, told: Told) -> None:
    """One transaction: the inbox, and what binds at once."""
    now = web.setup.clock.now()
    store = web.setup.store
    with store.writing() as connection:
        record_receipts(connection, told.receipts, now=now)
        bound = bind_at_once(connection, told.receipts)
        meant: dict[Meaning, int] = {}
        if told.replies:
            words = words_of(live.policy.opt_out for live in live_policies(connection).values())
            replies = [reply for event in told.replies if (reply := read_reply(provider.name, event, words))]
            meant = take_inbound(connection, store, replies, now=now)
    log.info(
        "%s told %s receipts and %s replies; %s bound at once, %s stop, %s start, %s to read",
        provider.name, len(told.receipts), len(told.replies), bound,
        meant.get(Meaning.STOP, 0), meant.get(Meaning.START, 0), meant.get(Meaning.REVIEW, 0),
    )  # fmt: skip


def read_reply(provider: str, event: ProviderEvent, words: Words) -> Inbound | None:
    """What a reply means: the vendor's word for an opt-out, else ours; `detail` is what the person wrote."""
    assert event.address is not None
    if event.address.kind is AddressKind.NONE or not event.address.value:
        return None
    said_stop = event.kind in (ReceiptKind.OPTED_OUT, ReceiptKind.COMPLAINED)
    meaning = Meaning.STOP if said_stop else meaning_of(event.detail, words)
    if meaning is None:
        return None
    fits = event.channel is not None and ADDRESS_OF[event.channel] is event.address.kind
    complained = event.kind is ReceiptKind.COMPLAINED
    return Inbound(
        provider,
        event.event_id,
        event.at,
        event.channel if fits and not complained else None,
        event.address.kind,
        event.address.value,
        meaning,
        excerpt(event.detail) if meaning is Meaning.REVIEW else "",
        "complained" if complained else "opted_out",
    )


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
