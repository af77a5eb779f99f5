"""What does a vendor of `http_gateway` tell? Verified as its profile says, then read by the profile's paths."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

from journeys.words import AddressKind, Channel, ReceiptKind
from providers.base import Address, ProviderEvent, RawRequest
from providers.gateway_profile import Hook, Moment, Receipts, Replies, Signed
from providers.gateway_words import Part, Written, all_at, sign, sorted_fields, text_at
from providers.masking import code_of
from recall.clock import SECOND, Instant, to_instant
from recall.errors import Misconfigured, WebhookRejected

MAX_EVENTS = 10_000
_KINDS = {
    "delivered": ReceiptKind.DELIVERED,
    "opened": ReceiptKind.OPENED,
    "clicked": ReceiptKind.CLICKED,
    "opted_out": ReceiptKind.OPTED_OUT,
    "complained": ReceiptKind.COMPLAINED,
}


def read_hook(hook: Hook, request: RawRequest, account: Part, channel: Channel, *, now: Instant) -> list[ProviderEvent]:
    """The events of a request; raises WebhookRejected unless it is verified."""
    places = _Places(request, hook)
    _verify(hook, places, account, now)
    tree = places.tree()
    events = [*_receipts(hook.receipts, tree, channel, now), *_replies(hook.replies, tree, channel, now)]
    return events[:MAX_EVENTS]


class _Places:
    """Header, query and form fields of a request, each name once."""

    def __init__(self, request: RawRequest, hook: Hook) -> None:
        self.body = request.body
        self.hook = hook
        self.header = {name.lower(): value for name, value in request.headers.items()}
        try:
            self.query = _once(urlsplit(request.url).query)
            self.field = _once(request.body.decode()) if hook.body == "form" else {}
        except ValueError:
            raise WebhookRejected("the request cannot be read") from None

    def get(self, place: str, name: str) -> str:
        given: Mapping[str, str] = {"header": self.header, "query": self.query, "field": self.field}[place]
        return given.get(name.lower() if place == "header" else name, "")

    def tree(self) -> Any:
        """What the paths walk over; raises WebhookRejected for what is not JSON."""
        if self.hook.body == "form" and not self.hook.field:
            return self.field
        text = self.field.get(self.hook.field, "") if self.hook.field else self.body
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise WebhookRejected("the body is not JSON") from None


def _once(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=1000, errors="strict")
    if len({name for name, _ in pairs}) < len(pairs):
        raise WebhookRejected("a name stands twice")  # which one was signed?
    return dict(pairs)


# --- is it the vendor? ---------------------------------------------------------------------------------------


def _verify(hook: Hook, places: _Places, account: Part, now: Instant) -> None:
    """Everything the profile asks for; a secret of ours that is empty verifies nothing."""
    if hook.secret is not None:
        wanted = _fill(hook.secret.value, {"account": account})
        if not _equal(wanted, places.get(hook.secret.in_, hook.secret.name)):
            raise WebhookRejected("the secret is missing or wrong")
    if hook.signed is not None:
        _verify_signature(hook.signed, places, account, now)


def _verify_signature(signed: Signed, places: _Places, account: Part, now: Instant) -> None:
    stamp = places.get(signed.in_, signed.timestamp) if signed.timestamp else ""
    if signed.timestamp:
        if not re.fullmatch(r"\d{10}|\d{13}", stamp, re.ASCII):
            raise WebhookRejected("the time is missing")
        sent = int(stamp) * (SECOND if len(stamp) == 10 else SECOND // 1000)
        if abs(now - sent) > signed.max_age.micros:
            raise WebhookRejected("too old, or from the future")
    how = signed.signature
    values: dict[str, object] = {"account": account, "field": Part(places.field), "timestamp": stamp}
    key = _fill(how.key, values).encode()
    if how.recipe.startswith("hmac-") and not key:
        raise WebhookRejected("the key is empty")
    parts = [_fill(text, values).encode() for text in how.join]
    if how.over == "body":
        parts.insert(0, places.body)
    elif how.over == "fields":
        others = {name: value for name, value in places.field.items() if name != signed.name}
        parts.insert(0, sorted_fields(others).encode())
    made = sign(how.recipe, how.with_.encode().join(parts), key, how.write)
    given = places.get(signed.in_, signed.name)
    if not given.startswith(signed.prefix) or not _equal(made, given.removeprefix(signed.prefix)):
        raise WebhookRejected("the signature is missing or wrong")


def _fill(source: str, values: Mapping[str, object]) -> str:
    try:
        return _written(source).render(values)
    except Misconfigured:  # a field the signature needs is not there
        raise WebhookRejected("a signed field is missing") from None


@lru_cache(maxsize=256)
def _written(source: str) -> Written:
    """Compiled once: compiling takes longer than all the rest of a request."""
    return Written(source)


def _equal(wanted: str, given: str) -> bool:
    return bool(wanted) and hmac.compare_digest(wanted.encode(), given.encode("utf-8", "replace"))


# --- what does it tell? --------------------------------------------------------------------------------------


def _listed(tree: Any, path: str) -> list[Any]:
    found = all_at(tree, path) if path else tree
    return found if isinstance(found, list) else [found]


def _receipts(how: Receipts | None, tree: Any, channel: Channel, now: Instant) -> Iterator[ProviderEvent]:
    for row in _listed(tree, how.items) if how is not None else []:
        status = text_at(row, how.status) if how is not None else ""
        if how is None or not status:
            continue
        meaning = how.statuses.get(status, how.other)
        ref = text_at(row, how.ref)
        if meaning == "ignore" or (how.ref and not ref):
            continue
        code = code_of(text_at(row, how.code) or status)
        meaning = how.codes.get(code, meaning) if meaning not in _KINDS else meaning
        kind = _KINDS.get(meaning, ReceiptKind.UNDELIVERED)
        detail = f"{meaning}:{code}" if kind is ReceiptKind.UNDELIVERED else ""
        event_id = _event_id(text_at(row, how.id) or ref, status, row)
        yield ProviderEvent(event_id, ref, kind, _time(row, how.at, now), detail, channel)


def _replies(how: Replies | None, tree: Any, channel: Channel, now: Instant) -> Iterator[ProviderEvent]:
    for row in _listed(tree, how.items) if how is not None else []:
        phone = _phone(text_at(row, how.phone)) if how is not None else ""
        if how is None or not phone:
            continue
        yield ProviderEvent(
            _event_id(text_at(row, how.id), "reply", row),
            "",
            ReceiptKind.ANSWERED,
            _time(row, how.at, now),
            text_at(row, how.text),
            channel,
            Address(AddressKind.PHONE, phone),
        )


def _event_id(given: str, what: str, row: Any) -> str:
    if given:
        return f"{given[:200]}:{what[:60]}"
    return hashlib.sha256(json.dumps(row, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


_CHINESE = re.compile(r"(?:\+?86|0086)?(1[3-9]\d{9})", re.ASCII)


def _phone(text: str) -> str:
    """E.164; a Chinese mobile number may come without its country."""
    digits = re.sub(r"[\s()-]", "", text)
    if chinese := _CHINESE.fullmatch(digits):
        return f"+86{chinese[1]}"
    digits = digits.removeprefix("+").removeprefix("00")
    return f"+{digits}" if re.fullmatch(r"[1-9]\d{6,14}", digits, re.ASCII) else ""


def _time(row: Any, how: Moment | None, now: Instant) -> Instant:
    """When it happened; now, if that cannot be read."""
    text = text_at(row, how.path) if how is not None else ""
    if how is None or not text:
        return now
    try:
        if how.format in ("seconds", "milliseconds"):
            return int(float(text)) * SECOND if how.format == "seconds" else int(float(text)) * 1000
        is_iso = how.format == "iso"
        moment = datetime.fromisoformat(text) if is_iso else datetime.strptime(text, how.format)  # noqa: DTZ007  # zone below
        return to_instant(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(how.zone)))
    except (ValueError, OverflowError):
        return now
