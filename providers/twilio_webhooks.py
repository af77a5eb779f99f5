"""Did Twilio send this, and what does it say? Signature first, then the form, with the traps of both closed.

The signature (HMAC-SHA1 over the public URL and the sorted fields, by the account's auth token) has no time in it,
so a request may come again: the id of an event is unique, and telling it twice changes nothing. It also joins names
and values without separators, so that the same characters, cut elsewhere, carry the same signature: `read_form`
refuses whatever could be such a cut. Checked against twilio-python 9.13.0 (2026-11).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import parse_qs, parse_qsl, urlparse

from multidict import MultiDict
from twilio.request_validator import RequestValidator, add_port, remove_port

from providers.base import RawRequest
from recall.errors import WebhookRejected

MAX_BYTES = 1_000_000
MAX_FIELDS = 200
SIGNATURE = "X-Twilio-Signature"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,39}", re.ASCII)
# Names Twilio really sends that hold one of the names we read.
_HARMLESS = frozenset(
    {
        "SmsMessageSid",
        "OriginalRepliedMessageSid",
        "ParentCallSid",
        "DialCallSid",
        "DialCallStatus",
        "UnstableSpeechResult",
        "StableSpeechResult",
        "FinishedOnKey",
    }
)


def verified(request: RawRequest, token: str) -> MultiDict[str]:
    """The form of a request that was signed with this auth token; raises WebhookRejected for everything else."""
    signature = header(request.headers, SIGNATURE)
    if request.method.upper() != "POST" or not signature or not token:
        raise WebhookRejected("not signed")
    if len(request.body) > MAX_BYTES:
        raise WebhookRejected("too big")
    try:
        form = _fields(request)
        url = urlparse(request.url)
        # Twilio signs the URL with or without its port, depending on which of its machines asks.
        ways = {remove_port(url), add_port(url)}
        validator = RequestValidator(token)
        made = [validator.compute_signature(way, form).encode() for way in ways]
    except (ValueError, UnicodeError):
        raise WebhookRejected("unreadable") from None
    if not any([hmac.compare_digest(each, signature.encode("utf-8", "replace")) for each in made]):
        raise WebhookRejected("wrong signature")
    return form


def _fields(request: RawRequest) -> MultiDict[str]:
    """The signed fields: of a form all, blank ones too; of any other body none, but its hash is in the signed URL."""
    kind = header(request.headers, "Content-Type").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded" or (not kind and b"=" in request.body):
        text = request.body.decode("utf-8")
        return MultiDict(
            parse_qsl(
                text, keep_blank_values=True, strict_parsing=bool(text), errors="strict", max_num_fields=MAX_FIELDS
            )
        )
    hashes = parse_qs(urlparse(request.url).query).get("bodySHA256", [])
    if request.body and hashes != [hashlib.sha256(request.body).hexdigest()]:
        raise WebhookRejected("the body is not signed")
    return MultiDict()


def read_form(form: MultiDict[str], patterns: Mapping[str, re.Pattern[str] | None]) -> dict[str, str]:
    """The fields we use, "" where absent, each of its shape; raises WebhookRejected for a form that could be cut anew.

    `patterns` has every name we read, with the shape of its value; None for what a person wrote or said. A name
    twice, one of our names inside a name or value we do not use, or a value of another shape: none of these come
    from Twilio.
    """
    telling = [name for name in patterns if len(name) > 4]  # "From", "To", "Body" are words like any other
    read = dict.fromkeys(patterns, "")
    for name, value in form.items():
        if name in patterns:
            pattern = patterns[name]
            if len(form.getall(name)) > 1 or (pattern is not None and value and not pattern.fullmatch(value)):
                raise WebhookRejected(f"{name} is not as it should be")
            read[name] = value
        elif name not in _HARMLESS and (
            not _NAME.fullmatch(name) or any(each in name or each in value for each in telling)
        ):
            raise WebhookRejected("the fields do not look as they were sent")
    return read


def header(headers: Mapping[str, str], name: str) -> str:
    """A header whatever its case; "" if it is not there."""
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), "")
