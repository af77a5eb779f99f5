"""Whatever a stranger sends, does the door stand, say nothing of itself, and change nothing?

The same examples in every run. Every route there is, with the real vendors behind the hooks.
"""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as fuzzing
from hypothesis import strategies as st
from sqlalchemy import func, select

from providers.http_gateway import make as make_gateway
from providers.sendgrid_email import make as make_sendgrid
from providers.twilio_sms import make as make_sms
from providers.twilio_voice import make as make_voice
from recall.clock import SECOND
from recall.store import schema
from tests.providers.test_sendgrid_email import KEY, OUR_KEY
from tests.providers.test_sendgrid_email import hook as signed_letter
from tests.providers.twilio_far import ACCOUNT, SENDER, TOKEN, payload, signed
from tests.web.conftest import PUBLIC, Door, routes_of

REF = "0123456789abcdef01234567"
HOOK_TOKEN = "a-word-of-the-tests"
_BOUNDED = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW"]


@pytest.fixture
def vendors(small_door: Door) -> Door:
    """The door with every kind of vendor that posts to it."""
    twilio = {"account_sid": ACCOUNT, "auth_token": TOKEN, "sender": SENDER}
    gateway = {"profile": "cn-106", "base_url": "http://127.0.0.1:9", "user": "u", "password": "p-word"}
    made: dict[str, tuple[Any, dict[str, str]]] = {
        "twilio_sms": (make_sms, twilio),
        "twilio_voice": (make_voice, twilio),
        "sendgrid_email": (make_sendgrid, {"api_key": KEY, "webhook_key": OUR_KEY}),
        "cn_106": (make_gateway, {**gateway, "hook_token": HOOK_TOKEN}),
    }
    setup = small_door.scene.setup
    for name, (make, options) in made.items():
        setup.providers[name] = make(name, small_door.web.settings, setup.clock, options)  # type: ignore[index]
    return small_door


def counts(door: Door) -> dict[str, int]:
    """Rows of every table there is."""
    tables = schema.metadata.sorted_tables
    with door.scene.store.reading() as connection:
        row = connection.execute(select(*[select(func.count()).select_from(t).scalar_subquery() for t in tables])).one()
    return {table.name: count for table, count in zip(tables, row, strict=True)}


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_words = st.sampled_from(["u1", "sms", "visited", "2026-03-01T10:00:00Z", "outbox", True, REF, "delivered", ACCOUNT])
_names = (
    "id", "user", "name", "at", "properties", "channel", "purpose", "granted", "kind", "ref", "from", "detail", "did",
    "type", "source", "event", "timestamp", "email", "sg_event_id", "reason", "reports", "uid", "status",
)  # fmt: skip
_item = st.fixed_dictionaries({}, optional={name: _json | _words for name in _names})
_big = st.sampled_from(
    [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"[" + b"{}," * 9_999 + b"{}]",
        json.dumps({"events": [{"id": str(n)} for n in range(10_000)]}).encode(),
        b"\xff\xfe\x00" * 1000,
        b"\xed\xa0\x80",
        b" " * 1_000_000,
        b"a" * 1_000_001,
        b"a=1&" * 20_000,
        b"\x00" * 4096,
        b'"' + b"\\ud800" * 1000 + b'"',
        b"1" * 50_000,
    ]
)
_bodies = (
    st.binary(max_size=200)
    | st.builds(lambda value: json.dumps(value).encode(), _json | _item | st.lists(_item, max_size=4))
    | st.builds(lambda items: json.dumps({"events": items}).encode(), _json | st.lists(_item, max_size=3))
    | st.dictionaries(st.text(max_size=12), st.text(max_size=20), max_size=6).map(
        lambda d: urlencode(d, errors="replace").encode()
    )
    | _big
)
_segment = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40) | st.sampled_from(
    ["twilio_sms", "twilio_voice", "sendgrid_email", "cn_106", "outbox", "..", "%2e%2e", "x" * 4000]
)
_header = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30).map(lambda t: t.encode("latin-1"))
_headers = st.dictionaries(
    st.sampled_from(
        ["content-type", "content-encoding", "x-recall-key", "x-recall-timestamp", "x-recall-signature", "cookie",
         "authorization", "accept-language", "user-agent", "x-vendor-signature", "purpose", "x-twilio-signature",
         "x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp", "x-forwarded-for",
         "x-http-method-override", "range", "expect", "if-none-match", "referer"]
    ),
    _header | st.sampled_from([b"application/json", b"application/x-www-form-urlencoded", b"multipart/form-data",
                               b"multipart/form-data; boundary=x", b"gzip", b"Bearer a.1772416800.b", b"1772416800"]),
    max_size=5,
)  # fmt: skip


@fuzzing(max_examples=200, **_BOUNDED)
@given(data=st.data())
def test_no_stranger_makes_the_door_fail_or_changes_anything(
    vendors: Door, caplog: pytest.LogCaptureFixture, data: st.DataObject
) -> None:
    template, usual = data.draw(st.sampled_from(routes_of(vendors)))
    method = data.draw(st.just(usual) | st.sampled_from(METHODS))
    segments = [data.draw(_segment) if part.startswith("{") else part for part in template.split("/")]
    path = "/".join(_escaped(part) for part in segments)
    params = {data.draw(_segment): data.draw(_segment)}
    before = counts(vendors)
    with caplog.at_level(logging.ERROR):
        answer = vendors.client.request(
            method, path, content=data.draw(_bodies), headers=data.draw(_headers), params=params
        )
    assert answer.status_code < 500
    assert "Traceback" not in answer.text
    assert "unforeseen" not in caplog.text
    assert counts(vendors) == before


@pytest.mark.parametrize("path", ["/events", "/consents?create=1"])
@fuzzing(max_examples=60, **_BOUNDED)
@given(body=_bodies)
def test_no_body_our_own_host_signed_makes_the_door_fail(small_door: Door, path: str, body: bytes) -> None:
    answer = small_door.post(path, body)
    assert answer.status_code in (200, 400, 413)
    if answer.status_code == 200:
        told = answer.json()
        assert told["received"] == told["added"] + told["unchanged"] + len(told["refused"])


@fuzzing(max_examples=60, **_BOUNDED)
@given(body=_bodies)
def test_no_letter_sendgrid_signed_makes_the_door_fail(vendors: Door, body: bytes) -> None:
    genuine = signed_letter(body, at=vendors.scene.now // SECOND)
    answer = vendors.client.post("/hooks/sendgrid_email", content=body, headers=dict(genuine.headers))
    assert answer.status_code in (200, 400, 403, 413)


_fields = st.lists(
    st.tuples(
        st.sampled_from(["MessageSid", "MessageStatus", "AccountSid", "From", "To", "Body", "ErrorCode", "OptOutType"])
        | st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,12}", fullmatch=True),
        st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(["delivered", "failed", "STOP", ACCOUNT]),
    ),
    max_size=4,
)


@fuzzing(max_examples=60, **_BOUNDED)
@given(more=_fields, base=st.sampled_from(["sms_delivered", "sms_undelivered", "sms_reply"]), whole=st.booleans())
def test_no_form_twilio_signed_makes_the_door_fail(
    vendors: Door, more: list[tuple[str, str]], base: str, whole: bool
) -> None:
    pairs = [*payload(base), *more] if whole else more
    path = vendors.path(vendors.doors.hook("twilio_sms", REF))
    genuine = signed(pairs, url=PUBLIC + path, token=TOKEN)
    answer = vendors.client.post(path, content=urlencode(pairs), headers=dict(genuine.headers))
    assert answer.status_code in (200, 400, 403)


@fuzzing(max_examples=60, **_BOUNDED)
@given(
    body=_bodies | st.lists(_item, max_size=4).map(lambda rows: json.dumps({"reports": rows, "replies": rows}).encode())
)
def test_no_report_of_a_gateway_makes_the_door_fail(vendors: Door, body: bytes) -> None:
    answer = vendors.client.post(f"/hooks/cn_106?token={HOOK_TOKEN}", content=body)
    assert answer.status_code in (200, 400, 403, 413)


def _escaped(text: str) -> str:
    return "".join(f"%{byte:02X}" if not chr(byte).isalnum() or byte > 127 else chr(byte) for byte in text.encode())
