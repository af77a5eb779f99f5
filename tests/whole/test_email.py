"""Does a letter go the whole way: one request, SendGrid's signed events, one click to stop, a bounce, a return?"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from recall.clock import DAY, HOUR, MINUTE, SECOND
from recall.store import schema
from recall.store.connect import Store
from recall.store.people import NewAddress
from tests.providers.test_sendgrid_email import KEY, Far
from tests.whole.conftest import Begin, Whole
from tests.whole.project import LINK

STEPS = f"""
  - {{email: words, link: "{LINK}"}}
  - {{wait: 3d}}
  - {{email: words, link: "{LINK}"}}
"""
ROUTES = {"email": {"providers": ["sendgrid_email"], "per_second": 100}}
PEOPLE = ("mei", "lan", "wei")


class Sendgrid(Far):
    """The far end that also posts events, signed with a key of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._told = 0

    @property
    def options(self) -> dict[str, str]:
        public = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        verify = base64.b64encode(public).decode()
        sender = "Example <hello@example.com>"
        return {"api_key": KEY, "sender": sender, "base_url": self.vendor.url, "webhook_key": verify}

    def entry(self, email: str) -> dict[str, Any]:
        """What it was asked to write to one person."""
        entries = [entry for seen in self.vendor.posts for entry in seen.json()["personalizations"]]
        (mine,) = [entry for entry in entries if entry["to"] == [{"email": email}]]
        return mine

    def event(self, email: str, name: str, at: int, **more: Any) -> dict[str, Any]:
        self._told += 1
        ref = self.entry(email)["custom_args"]["ref"]
        about = {"email": email, "event": name, "timestamp": at // SECOND, "ref": ref, "sg_message_id": "msg-1.x"}
        return {**about, "sg_event_id": f"event-{self._told}", **more}

    def post(self, whole: Whole, *events: dict[str, Any], shift: bytes = b"") -> int:
        """The event webhook; `shift` is what somebody adds on the way."""
        body, stamp = json.dumps(events).encode() + b"\r\n", str(whole.now // SECOND)
        signature = self._key.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        headers = {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
        }
        answer = whole.people.post(f"{whole.url}/hooks/sendgrid_email", content=body + shift, headers=headers)
        return answer.status_code


@pytest.fixture
def sendgrid() -> Iterator[Sendgrid]:
    far = Sendgrid()
    yield far
    far.vendor.close()


@pytest.fixture
def whole(begin: Begin, sqlite_store: Store, sendgrid: Sendgrid) -> Whole:
    """Three people who got their first letter a minute ago."""
    whole = begin(sqlite_store, STEPS, routes=ROUTES, options={"sendgrid_email": sendgrid.options})
    for user in PEOPLE:
        whole.settle(user, email=NewAddress(f"{user}@example.com"))
    whole.enter()
    assert whole.go() == {"email-1": {"accepted": 3}}
    whole.later(MINUTE)
    return whole


def test_three_people_share_a_request_and_each_reads_their_own(whole: Whole, sendgrid: Sendgrid) -> None:
    assert len(sendgrid.vendor.posts) == sendgrid.requests == 1
    sends = {send.ref: send for send in whole.sends()}
    assert set(sendgrid.refs) == set(sends)
    for ref, (subject, text, html) in sendgrid.read.items():
        assert subject == "欢迎回来"
        assert text in sends[ref].body
        assert "{{" not in text + html
    links = {row.ref: f"{whole.url}/l/{row.token}" for row in whole.rows(schema.links)}
    assert all(links[ref] in text and links[ref] in html for ref, (_, text, html) in sendgrid.read.items())
    assert len(set(links.values())) == 3


def test_events_move_only_what_sendgrid_signed(whole: Whole, sendgrid: Sendgrid) -> None:
    told = [sendgrid.event("mei@example.com", name, whole.now) for name in ("processed", "delivered", "open", "click")]
    assert sendgrid.post(whole, *told, shift=b" ") == 403
    assert whole.rows(schema.receipts) == []
    assert sendgrid.post(whole, *told) == 200
    assert sendgrid.post(whole, *told) == 200
    whole.reconcile()
    (send,) = whole.sends_of("mei")
    assert whole.receipts_of(send.ref) == [("delivered", ""), ("opened", ""), ("clicked", "")]
    assert (send.delivered_at, send.opened_at, send.clicked_at) == (whole.now,) * 3


def test_one_comes_back_one_says_stop_and_one_cannot_be_reached(whole: Whole, sendgrid: Sendgrid) -> None:
    header = sendgrid.entry("lan@example.com")["headers"]
    assert header["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    address = header["List-Unsubscribe"].strip("<>")
    assert whole.people.get(address).status_code == 200  # a scanner looks, which changes nothing
    assert [row.opted_out for row in whole.rows(schema.addresses) if row.value == "lan@example.com"] == [0]
    done = whole.people.post(address, data={"List-Unsubscribe": "One-Click"})
    assert (done.status_code, done.cookies) == (200, {})

    bounce = sendgrid.event("wei@example.com", "bounce", whole.now, type="bounce", status="5.1.1", reason="no mailbox")
    assert sendgrid.post(whole, bounce) == 200
    whole.later(HOUR)
    whole.converts("mei")
    drawn_at = whole.now

    for _ in range(5):
        whole.go(DAY)
    assert len(sendgrid.vendor.posts) == 1
    assert len(whole.sends()) == 3
    assert [whole.passage(user).end_reason for user in PEOPLE] == ["goal_reached", "opted_out", "finished"]
    assert [whole.passage(user).goal_at for user in PEOPLE] == [drawn_at, None, None]
    unreachable = {row.value: row.unreachable for row in whole.rows(schema.addresses) if row.unreachable}
    assert list(unreachable) == ["wei@example.com"]


def test_who_does_neither_gets_the_second_letter(whole: Whole, sendgrid: Sendgrid) -> None:
    assert whole.go(3 * DAY) == {"email-2": {"accepted": 3}}
    assert len(sendgrid.vendor.posts) == 2
