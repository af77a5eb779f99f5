"""What did users do and say, as the host's own systems tell it? Signed, in batches, each item taken once or refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from recall.clock import Instant
from recall.intake.reasons import Rejected
from recall.intake.texts import read_channel, read_event_name, read_flag, read_id, read_text, read_word
from recall.intake.times import Times
from recall.store.connect import Connection
from recall.store.consents import NewConsent, record_consents
from recall.store.events import NewEvent, record_events, source_key
from recall.store.imports import note_source
from recall.store.people import NewUser, ids_of, upsert_users_in
from recall.web.bodies import NotTaken, as_text, field_of, items_of, read_json
from recall.web.context import Web, log, refuse
from recall.web.signatures import confirm_sender

MAX_PROPERTIES = 100
_TIMES = Times()  # every time carries its zone
Item = TypeVar("Item")


@dataclass
class Batch(Generic[Item]):
    """Items of one request, apart from those refused; places are those in the request."""

    items: list[tuple[int, Item]] = field(default_factory=list)
    refused: dict[int, dict[str, str]] = field(default_factory=dict)

    def refuse_later(self, refused: Mapping[int, str]) -> None:
        """What the store did not take, by place among the items."""
        for n, reason in refused.items():
            self.refused[self.items[n][0]] = {"reason": reason}


def routes(web: Web) -> APIRouter:
    router = APIRouter()

    @router.post("/events")
    async def events(request: Request) -> JSONResponse:
        """`{"events": [{"id", "user", "name", "at", "properties"}]}`, or Segment's `track` calls."""
        body = await request.body()
        confirm_sender(web, request, body)
        return await run_in_threadpool(_take_events, web, body, _wants_create(request))

    @router.post("/consents")
    async def consents(request: Request) -> JSONResponse:
        """`{"consents": [{"user", "channel", "purpose", "granted", "at", …}]}`."""
        body = await request.body()
        confirm_sender(web, request, body)
        return await run_in_threadpool(_take_consents, web, body, _wants_create(request))

    return router


def _wants_create(request: Request) -> bool:
    return request.query_params.get("create", "").lower() in ("true", "1", "yes")


def _take_events(web: Web, body: bytes, create: bool) -> JSONResponse:
    now = web.setup.clock.now()
    told = read_json(body)
    source = _source_of(told)
    batch = read_batch(items_of(told, "events", "batch"), lambda item: read_event(item, source, now))
    new = [event for _, event in batch.items]
    with web.setup.store.writing() as connection:
        created = _create(connection, web, [event.user for event in new], now) if create else 0
        done = record_events(connection, new, now)
        if new:
            note_source(connection, source, loaded_at=now, as_of=max(event.at for event in new))
    batch.refuse_later(done.refused)
    return _answer("events", batch, done.added, done.unchanged, created)


def _take_consents(web: Web, body: bytes, create: bool) -> JSONResponse:
    now = web.setup.clock.now()
    batch = read_batch(items_of(read_json(body), "consents"), lambda item: read_consent(item, now))
    new = [consent for _, consent in batch.items]
    with web.setup.store.writing() as connection:
        created = _create(connection, web, [consent.user for consent in new], now) if create else 0
        done = record_consents(connection, new)
    batch.refuse_later(done.refused)
    return _answer("consents", batch, done.added, done.unchanged, created)


def _answer(what: str, batch: Batch[Any], added: int, unchanged: int, created: int) -> JSONResponse:
    """received = added + unchanged + refused."""
    received = len(batch.items) + len([n for n in batch.refused if n not in {place for place, _ in batch.items}])
    log.info("%s: %s received, %s added, %s known, %s refused", what, received, added, unchanged, len(batch.refused))
    refused = [{"index": n, **why} for n, why in sorted(batch.refused.items())]
    counts = {"received": received, "added": added, "unchanged": unchanged, "users_created": created}
    return JSONResponse({**counts, "refused": refused})


def _create(connection: Connection, web: Web, users: Sequence[str], now: Instant) -> int:
    """Users nobody told us about; without address, zone and consent they get nothing until somebody does."""
    unknown = sorted(set(users) - ids_of(connection, users).keys())
    return upsert_users_in(connection, web.setup.store, [NewUser(user) for user in unknown], now).added


def read_batch(items: Sequence[Any], read: Callable[[Mapping[str, Any]], Item]) -> Batch[Item]:
    """Read every item; what is wrong with one does not touch the others."""
    batch: Batch[Item] = Batch()
    for n, item in enumerate(items):
        try:
            if not isinstance(item, dict):
                raise NotTaken("not_an_object")
            batch.items.append((n, read(item)))
        except NotTaken as error:
            batch.refused[n] = _why(error.reason, error.field)
        except Rejected as error:
            batch.refused[n] = _why(error.reason.value, error.column)
    return batch


def _why(reason: str, field_name: str) -> dict[str, str]:
    return {"reason": reason, "field": field_name} if field_name else {"reason": reason}


def _source_of(told: Any) -> str:
    """The name under which ids are unique: the same for a file and for this door unless the sender says otherwise."""
    try:
        named = field_of(told, "source") if isinstance(told, dict) else ""
        return read_word(named, "source", default="events")
    except (NotTaken, Rejected):
        raise refuse(400, "`source` is a short name of where the events come from") from None


def read_event(item: Mapping[str, Any], source: str, now: Instant) -> NewEvent:
    """Our own shape, or a `track` call of Segment."""
    if item.get("type", "track") != "track":
        raise NotTaken("not_a_track", "type")
    event_id = read_id(field_of(item, "id", "messageId"), "id")
    user = read_id(field_of(item, "user", "userId"), "user")
    name = read_event_name(field_of(item, "name", "event"), "name")
    at = _TIMES.read_past(field_of(item, "at", "timestamp"), "at", now=now)
    if at is None:
        raise NotTaken("missing", "at")
    return NewEvent(source_key(source, event_id), user, name, at, read_properties(item.get("properties")) or None)


def read_properties(given: Any) -> dict[str, str]:
    """Properties are flat: text, numbers as written, true and false; null says nothing."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise NotTaken("not_an_object", "properties")
    if len(given) > MAX_PROPERTIES:
        raise NotTaken("too_many", "properties")
    found = {}
    for name, value in given.items():
        if value is None:
            continue
        key = read_id(as_text(name, "properties"), "properties")
        text = read_text(as_text(value, "properties"), "properties", breaks=True)
        if text:
            found[key] = text
    return found


def read_consent(item: Mapping[str, Any], now: Instant) -> NewConsent:
    at = _TIMES.read_past(field_of(item, "at", "timestamp"), "at", now=now)
    purpose = read_word(field_of(item, "purpose"), "purpose")
    expires_at = _TIMES.read(field_of(item, "expires_at"), "expires_at")
    if at is None or not purpose:
        raise NotTaken("missing", "purpose" if at else "at")
    if expires_at is not None and expires_at < at:
        raise NotTaken("time_order", "expires_at")
    return NewConsent(
        user=read_id(field_of(item, "user", "userId"), "user"),
        channel=read_channel(field_of(item, "channel"), "channel").value,
        purpose=purpose,
        granted=read_flag(field_of(item, "granted"), "granted"),
        at=at,
        expires_at=expires_at,
        source=read_word(field_of(item, "source"), "source"),
        wording=read_word(field_of(item, "wording"), "wording"),
        brand=read_word(field_of(item, "brand"), "brand", default="default"),
    )
