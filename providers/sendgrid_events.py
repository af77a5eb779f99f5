"""What does SendGrid tell about letters that were sent? Only what it signed, and not longer ago than five minutes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from sendgrid.helpers.eventwebhook import EventWebhook
from sendgrid.helpers.eventwebhook.eventwebhook_header import EventWebhookHeader

from journeys.words import AddressKind, Cause, Channel, ReceiptKind
from providers.base import Address, ProviderEvent, RawRequest
from providers.taxonomy import Says, classify_receipt
from recall.clock import MINUTE, SECOND, Instant
from recall.errors import WebhookRejected

MAX_AGE = 5 * MINUTE
MAX_EVENTS = 10_000

# `processed` and `deferred` are left out: they tell nothing final, and the letter may still arrive (2026-11).
_KINDS = {
    "delivered": ReceiptKind.DELIVERED,
    "open": ReceiptKind.OPENED,
    "click": ReceiptKind.CLICKED,
    "bounce": ReceiptKind.UNDELIVERED,
    "dropped": ReceiptKind.UNDELIVERED,
    "spamreport": ReceiptKind.COMPLAINED,
    "unsubscribe": ReceiptKind.OPTED_OUT,
    "group_unsubscribe": ReceiptKind.OPTED_OUT,
}
_BINDING = (ReceiptKind.OPTED_OUT, ReceiptKind.COMPLAINED)


def read_events(request: RawRequest, *, key: str, now: Instant) -> list[ProviderEvent]:
    """The events of one request; raises WebhookRejected unless SendGrid signed it just now."""
    return list(_events(verified(request, key=key, now=now), now))


def verified(request: RawRequest, *, key: str, now: Instant) -> list[Any]:
    """The signed JSON array.

    The SDK joins time and body without a mark between them, takes any age, and raises TypeError for what is
    missing (6.12.5). A time of ten digits before a `[` leaves nothing to shift.
    """
    if not key:
        raise WebhookRejected("no verification key is set (option webhook_key), so no event can be believed")
    headers = {name.lower(): value for name, value in request.headers.items()}
    signature = headers.get(EventWebhookHeader.SIGNATURE.lower(), "")
    stamp = headers.get(EventWebhookHeader.TIMESTAMP.lower(), "")
    if not signature or not re.fullmatch(r"\d{10}|\d{13}", stamp, re.ASCII):
        raise WebhookRejected("signature or time is missing")
    sent = int(stamp) * (SECOND if len(stamp) == 10 else SECOND // 1000)
    if abs(now - sent) > MAX_AGE:
        raise WebhookRejected("too old, or from the future")
    if not request.body.lstrip().startswith(b"["):
        raise WebhookRejected("not a list of events")
    _verify(request.body, signature, stamp, key)
    try:
        read = json.loads(request.body)
    except (ValueError, RecursionError):
        raise WebhookRejected("the body is not JSON") from None
    if not isinstance(read, list):
        raise WebhookRejected("not a list of events")
    return read[:MAX_EVENTS]


def _verify(body: bytes, signature: str, stamp: str, key: str) -> None:
    try:
        is_genuine = EventWebhook().verify_signature(body.decode(), signature, stamp, public_key(key))
    except Exception:  # whatever bad base64, bad UTF-8 or a bad key make of it: nobody signed this
        is_genuine = False
    if is_genuine is not True:
        raise WebhookRejected("not signed by SendGrid")


@lru_cache(maxsize=16)
def public_key(key: str) -> EllipticCurvePublicKey:
    """The key as SendGrid shows it; raises ValueError for anything else."""
    read = EventWebhook().convert_public_key_to_ecdsa(key)
    if not isinstance(read, EllipticCurvePublicKey):
        raise ValueError("not an elliptic curve key")
    return read


def _events(rows: list[Any], now: Instant) -> Iterator[ProviderEvent]:
    for row in rows:
        kind = _KINDS.get(str(row.get("event", ""))) if isinstance(row, dict) else None
        if kind is None or (kind is ReceiptKind.OPENED and row.get("sg_machine_open") in (True, "true")):
            continue  # a name that says nothing to us, or a machine that opened it
        if kind is ReceiptKind.UNDELIVERED:
            yield from _failure(row, now)
        else:
            yield from _event(row, kind, now)


def _event(
    row: Mapping[str, Any], kind: ReceiptKind, now: Instant, *, detail: str = "", suffix: str = ""
) -> Iterator[ProviderEvent]:
    """One event; none for letters of somebody else in the account, unless their reader stopped: that holds here too."""
    ref = row.get("ref")
    event_id, at = _event_id(row) + suffix, _time(row, now)
    if isinstance(ref, str) and ref:
        yield ProviderEvent(event_id, ref, kind, at, detail, Channel.EMAIL)
    elif kind in _BINDING and (address := _address(row.get("email"))) is not None:
        yield ProviderEvent(event_id, "", kind, at, detail, Channel.EMAIL, address)


def _failure(row: Mapping[str, Any], now: Instant) -> Iterator[ProviderEvent]:
    """`bounce` has a type (`bounce` for good, `blocked` for now), `dropped` a reason in words."""
    told = row.get("type") or "bounce" if row.get("event") == "bounce" else row.get("reason") or "dropped"
    verdict = classify_receipt("sendgrid", told)
    yield from _event(row, ReceiptKind.UNDELIVERED, now, detail=verdict.detail())
    if verdict.says is Says.REFUSED and verdict.cause is Cause.OPTED_OUT:
        stop = ReceiptKind.COMPLAINED if "Spam" in verdict.code else ReceiptKind.OPTED_OUT
        yield from _event(row, stop, now, suffix=f":{stop}")


def _address(value: object) -> Address | None:
    if not isinstance(value, str) or "@" not in value or len(value) > 254:
        return None
    return Address(AddressKind.EMAIL, value.strip().lower())


def _event_id(row: Mapping[str, Any]) -> str:
    given = row.get("sg_event_id")
    if isinstance(given, str) and given:
        return given[:200]
    told = [str(row.get(name, "")) for name in ("sg_message_id", "event", "timestamp", "ref", "email", "url")]
    return hashlib.sha256("\x1f".join(told).encode("utf-8", "replace")).hexdigest()


def _time(row: Mapping[str, Any], now: Instant) -> Instant:
    seconds = row.get("timestamp")
    return seconds * SECOND if isinstance(seconds, int) and 0 < seconds < 10**10 else now
