"""Every way in which webhooks go wrong (or come oddly), with each vendor's own signature: what is kept, what refused?

Forged ones are never kept; bad input is never a 5xx; the end is the same in any order and number.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from journeys.words import Channel
from providers.http_gateway import make as make_gateway
from providers.sendgrid_email import make as make_sendgrid
from providers.twilio_sms import make as make_sms
from recall.clock import DAY, MINUTE, SECOND
from recall.engine.converge import drain_receipts
from recall.store import schema
from tests.providers.test_sendgrid_email import KEY, OUR_KEY
from tests.providers.test_sendgrid_email import hook as signed_letter
from tests.providers.twilio_far import ACCOUNT, SENDER, TOKEN, signed
from tests.web.conftest import PUBLIC, Door

HOOK_TOKEN = "a-word-of-the-tests"
UNKNOWN = "f" * 32


@dataclass(frozen=True)
class Request:
    """One post as the vendor sends it."""

    path: str
    body: bytes
    headers: dict[str, str]


class Twilio:
    """One status per form; the ref is in the address."""

    name = "twilio_sms"

    def __init__(self, door: Door) -> None:
        self.door = door
        options = {"account_sid": ACCOUNT, "auth_token": TOKEN, "sender": SENDER}
        door.scene.setup.providers[self.name] = make_sms(self.name, door.web.settings, door.scene.clock, options)  # type: ignore[index]

    def post(self, *refs: str, kind: str = "delivered", account: str = ACCOUNT, token: str = TOKEN) -> Request:
        status = {"delivered": "delivered", "opened": "read"}[kind]
        path = self.door.path(self.door.doors.hook(self.name, refs[0]))
        sid = f"SM{int(refs[0][-8:], 16):032x}"
        pairs = [("MessageSid", sid), ("MessageStatus", status), ("AccountSid", account)]
        pairs += [("From", SENDER), ("To", "+8613900000001")]
        return self.sign(Request(path, urlencode(pairs).encode(), {}), token=token)

    def sign(self, request: Request, *, token: str = TOKEN, late: int = 0) -> Request:
        try:
            pairs = parse_qsl(request.body.decode(), keep_blank_values=True)
        except UnicodeDecodeError:
            pairs = []
        return replace(request, headers=dict(signed(pairs, url=PUBLIC + request.path, token=token).headers))

    def forged(self, request: Request) -> Request:
        return self.sign(request, token="another token")


class Sendgrid:
    """Batches of events, signed with their time."""

    name = "sendgrid_email"

    def __init__(self, door: Door) -> None:
        self.door = door
        options = {"api_key": KEY, "webhook_key": OUR_KEY}
        door.scene.setup.providers[self.name] = make_sendgrid(self.name, door.web.settings, door.scene.clock, options)  # type: ignore[index]

    def post(self, *refs: str, kind: str = "delivered") -> Request:
        event = {"delivered": "delivered", "opened": "open"}[kind]
        at = self.door.scene.now // SECOND
        rows = [{"event": event, "ref": ref, "sg_event_id": f"{ref}-{event}", "timestamp": at} for ref in refs]
        return self.sign(Request(f"/hooks/{self.name}", json.dumps(rows).encode(), {}))

    def sign(self, request: Request, *, late: int = 0) -> Request:
        made = signed_letter(request.body, at=(self.door.scene.now - late) // SECOND)
        return replace(request, headers=dict(made.headers))

    def forged(self, request: Request) -> Request:
        made = signed_letter(request.body + b"x", at=self.door.scene.now // SECOND)
        return replace(request, headers=dict(made.headers))


class Gateway:
    """Reports in JSON behind a secret word."""

    name = "cn_106"

    def __init__(self, door: Door) -> None:
        self.door = door
        options = {"profile": "cn-106", "base_url": "http://127.0.0.1:9", "user": "u", "password": "p-word"}
        options["hook_token"] = HOOK_TOKEN
        door.scene.setup.providers[self.name] = make_gateway(self.name, door.web.settings, door.scene.clock, options)  # type: ignore[index]

    def post(self, *refs: str, kind: str = "delivered") -> Request:
        reports = [{"uid": ref, "msgid": f"m-{ref}", "status": "DELIVRD", "time": "20260302100000"} for ref in refs]
        return self.sign(Request("", json.dumps({"reports": reports}).encode(), {}))

    def sign(self, request: Request, *, late: int = 0) -> Request:
        return replace(request, path=f"/hooks/{self.name}?token={HOOK_TOKEN}")

    def forged(self, request: Request) -> Request:
        return replace(request, path=f"/hooks/{self.name}?token=another")


Vendor = Twilio | Sendgrid | Gateway


@pytest.fixture(params=[Twilio, Sendgrid, Gateway])
def vendor(small_door: Door, request: pytest.FixtureRequest) -> Vendor:
    make: Callable[[Door], Vendor] = request.param
    return make(small_door)


def send(vendor: Vendor, request: Request) -> int:
    return int(vendor.door.client.post(request.path, content=request.body, headers=request.headers).status_code)


def sent(vendor: Vendor, users: int = 1) -> list[str]:
    """People who got a message through this vendor; the refs."""
    scene = vendor.door.scene
    version = scene.publish("  - {sms: come-back}\n")
    for n in range(users):
        scene.add_user(f"u{n}", phone=f"+861380013{n:04d}")
        scene.enrol(version, f"u{n}")
    scene.run()
    with scene.store.writing() as connection:
        connection.execute(schema.sends.update().values(provider=vendor.name))
    return [row.ref for row in scene.sends()]


def ledger(vendor: Vendor) -> list[Any]:
    drain_receipts(vendor.door.scene.setup)
    return [(row.ref, row.state, row.delivered_at, row.opened_at) for row in vendor.door.scene.sends()]


@pytest.mark.parametrize("times", range(2, 11))
def test_told_many_times_it_stands_once(vendor: Vendor, times: int) -> None:
    (ref,) = sent(vendor)
    request = vendor.post(ref)
    assert [send(vendor, request) for _ in range(times)] == [200] * times
    assert [row[0] for row in vendor.door.receipts()] == [ref]


def test_the_order_makes_no_difference(vendor: Vendor) -> None:
    refs = sent(vendor, users=4)
    requests = [vendor.post(ref) for ref in refs]
    if not isinstance(vendor, Gateway):  # its profile tells no openings
        requests += [vendor.post(ref, kind="opened") for ref in refs]
    draw = random.Random(1)
    ends = []
    for _ in range(3):
        draw.shuffle(requests)
        assert {send(vendor, request) for request in requests} == {200}
        ends.append(ledger(vendor))
    assert ends[0] == ends[1] == ends[2]
    assert all(delivered for _, _, delivered, _ in ends[0])


def test_a_day_late_it_is_still_taken(vendor: Vendor) -> None:
    (ref,) = sent(vendor)
    vendor.door.scene.later(DAY)
    assert send(vendor, vendor.post(ref)) == 200
    assert ledger(vendor)[0][2]


def test_told_before_we_wrote_down_our_own_answer_it_proves_acceptance(vendor: Vendor) -> None:
    (ref,) = sent(vendor)
    with vendor.door.scene.store.writing() as connection:
        connection.execute(schema.sends.update().values(state="calling", settled_at=None, provider_id=None))
    assert send(vendor, vendor.post(ref)) == 200
    assert ledger(vendor)[0][1] == "accepted"


def test_about_a_send_nobody_knows_it_is_kept_and_moves_nothing(vendor: Vendor) -> None:
    sent(vendor)
    before = ledger(vendor)
    assert send(vendor, vendor.post(UNKNOWN)) == 200
    assert ledger(vendor) == before
    assert [row[0] for row in vendor.door.receipts()] == [UNKNOWN]


def test_forged_it_is_refused(vendor: Vendor) -> None:
    (ref,) = sent(vendor)
    request = vendor.post(ref)
    refused = [vendor.forged(request), replace(vendor.forged(request), headers={})]
    assert [send(vendor, each) for each in refused] == [403, 403]
    assert vendor.door.receipts() == []


@pytest.mark.parametrize("vendor", [Twilio, Sendgrid], indirect=True)  # the gateway signs no body
def test_with_its_body_changed_it_is_refused(vendor: Vendor) -> None:
    ref, other = sent(vendor, users=2)
    genuine = vendor.post(ref)
    changed = genuine.body.replace(b"delivered", b"failed") if isinstance(vendor, Twilio) else vendor.post(other).body
    assert send(vendor, replace(genuine, body=changed)) == 403
    assert send(vendor, replace(genuine, body=genuine.body + b"&X=1")) == 403
    assert vendor.door.receipts() == []


def test_replayed_after_five_minutes_it_is_refused_or_changes_nothing(vendor: Vendor) -> None:
    """SendGrid signs a time; the others do not, so that the same event is known again by its id."""
    (ref,) = sent(vendor)
    request = vendor.post(ref)
    if isinstance(vendor, Sendgrid):
        assert send(vendor, vendor.sign(request, late=5 * MINUTE + SECOND)) == 403
        assert send(vendor, vendor.sign(request, late=-5 * MINUTE - SECOND)) == 403
        assert vendor.door.receipts() == []
        return
    assert send(vendor, request) == 200
    kept = ledger(vendor)
    vendor.door.scene.later(6 * MINUTE)
    assert send(vendor, request) == 200
    assert ledger(vendor) == kept


def test_of_another_account_it_is_refused(small_door: Door) -> None:
    twilio = Twilio(small_door)
    (ref,) = sent(twilio)
    assert send(twilio, twilio.post(ref, account="AC" + "f" * 32)) == 403
    assert small_door.receipts() == []


def test_at_an_address_made_for_another_purpose_or_vendor_it_is_refused(vendor: Vendor) -> None:
    (ref,) = sent(vendor)
    doors = vendor.door.doors
    for url in (doors.voice(vendor.name, ref), doors.hook("outbox", ref), doors.preferences(1, 1, Channel.SMS)):
        token = url.rsplit("/", 1)[1]
        request = replace(vendor.post(ref), path=f"/hooks/{vendor.name}/{token}?token={HOOK_TOKEN}")
        assert send(vendor, vendor.sign(request) if isinstance(vendor, Twilio) else request) == 403
    assert vendor.door.receipts() == []


_BROKEN = {
    "more than 1 MB": b" " * 1_000_001,
    "not UTF-8": b"\xff\xfe\xed\xa0\x80=\xff",
    "deep JSON": b"[" * 100_000,
    "deep objects": b'{"reports":' * 20_000,
    "no fields": b"[{}]",
    "fields of no use": b'[{"event": null, "ref": {}, "sg_event_id": [], "timestamp": "x"}]',
    "reports without fields": b'{"reports": [{}, null, 1, "x", {"status": null, "uid": []}]}',
    "empty": b"",
    "another form": b"MessageSid=&MessageStatus=delivered&AccountSid=",
    "cut short": b'[{"event": "delivered", "ref": "a',
}


@pytest.mark.parametrize("name", _BROKEN)
def test_signed_and_still_no_sense_it_is_no_fault_of_ours(vendor: Vendor, name: str) -> None:
    path = vendor.post(UNKNOWN).path
    status = send(vendor, vendor.sign(Request(path, _BROKEN[name], {})))
    assert status in (200, 400, 403, 413)
    assert vendor.door.receipts() == []


def test_ten_thousand_in_one_body_are_kept(small_door: Door) -> None:
    vendor = Gateway(small_door)
    refs = [f"{n:x}" for n in range(10_000)]
    reports = [{"uid": ref, "msgid": ref, "status": "DELIVRD"} for ref in refs]
    assert send(vendor, vendor.sign(Request("", json.dumps({"reports": reports}).encode(), {}))) == 200
    assert len(small_door.receipts()) == 10_000


def test_many_forged_ones_leave_nothing(vendor: Vendor) -> None:
    request = vendor.forged(vendor.post(UNKNOWN))
    assert {send(vendor, replace(request, body=request.body + b" " * (n % 7))) for n in range(200)} == {403}
    assert vendor.door.receipts() == []
