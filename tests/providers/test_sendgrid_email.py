"""Does SendGrid get what each person shall read, once, and is only what SendGrid signed believed?"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from journeys.words import AddressKind, Cause, Channel, Outcome, ReceiptKind
from providers.base import Address, Content, Outbound, RawRequest
from providers.registry import open_provider
from providers.sendgrid_email import MAX_CALLS, Options, SendgridEmail, is_address
from providers.sendgrid_letters import MAX_OWN_BYTES, groups_of, shape
from recall.clock import DAY, MINUTE, SECOND, FixedClock
from recall.errors import ChannelDown, Misconfigured, WebhookRejected
from recall.settings import Settings
from tests.providers import vendor as far
from tests.providers.contract import ProviderContract, Rig
from tests.providers.vendor import Reply, Seen, Vendor

NOW = 1_772_416_800_000_000  # 2026-03-02 02:00 UTC
KEY = "SG.a-key-of-tests"
DEAD = "nobody@dead.example"
STOPPED = "stopped@example.com"
PAYLOADS = Path(__file__).parent / "payloads" / "sendgrid"

# The published vector of sendgrid-python (test/unit/test_eventwebhook.py, MIT).
PUBLIC_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7"
    "dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
)
OTHER_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqTxd43gyp8IOEto2LdIfjRQr"
    "Ibsd4SXZkLW6jDutdhXSJCWHw8REntlo7aNDthvj+y7GjUuFDb/R1NGe1OPzpA=="
)
SIGNATURE = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
BAD_SIGNATURE = "MEUCIQCtIHJeH93Y+qpYeWrySphQgpNGNr/U+UyUlBkU6n7RAwIgJTz2C+8a8xonZGi6BpSzoQsbVRamr2nlxFDWYNH3j/0="
STAMP = "1600112502"
SIGNED = (
    b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address",'
    b'"sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",'
    b'"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",'
    b'"smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
)


def message(n: int, *, to: str = "", body: str = "", html: str = "", title: str = "", **more) -> Outbound:
    return Outbound(
        ref=f"{n:024x}",
        channel=Channel.EMAIL,
        user=f"user-{n}",
        address=Address(AddressKind.EMAIL, to or f"person{n}@example.com"),
        content=Content(
            body=body
            or f"Dear Ms {n},\nyour limit has been raised.\nhttps://go.example.com/l/{n}\nExample Ltd, 1 Road",
            title=title or "Your limit",
            html=html,
        ),
        sender=more.pop("sender", ""),
        not_after=NOW + DAY,
        meta=more or {"journey": "settled-30d", "step": "email-1", "unsubscribe": f"https://r.example.com/u/tok{n}"},
    )


class Far:
    """SendGrid as far as the adapter can see it; strict about what it takes."""

    def __init__(self) -> None:
        self.refs: list[str] = []
        self.read: dict[str, tuple[str, str, str]] = {}  # ref -> subject, text, html as the person reads them
        self.names_entries = True
        self.requests = 0
        self.vendor = Vendor(self.answer)
        self.activity: dict[str, str] = {}
        self.lists: dict[str, list[dict]] = {}

    def answer(self, seen: Seen) -> Reply:
        if seen.headers.get("Authorization") != f"Bearer {KEY}":
            return Reply(401, {"errors": [{"message": "authorization required", "field": None}]})
        path = seen.path.split("?")[0]
        if path == "/v3/mail/send":
            return self.take(seen)
        if path == "/v3/scopes":
            return Reply(200, {"scopes": ["mail.send", "suppression.read"]})
        if path == "/v3/messages":
            ref = seen.query["query"].removeprefix("unique_args['ref']=\"").removesuffix('"')
            found = self.activity.get(ref) or (ref in self.refs and "m-x")
            return Reply(200, {"messages": [{"msg_id": found, "status": "delivered"}] if found else []})
        if path.startswith("/v3/suppression/"):
            rows = self.lists.get(path.rsplit("/", 1)[1], [])
            start = int(seen.query.get("offset", 0))
            return Reply(200, rows[start : start + int(seen.query["limit"])])
        return Reply(404, {})

    def take(self, seen: Seen) -> Reply:
        sent = seen.json()
        entries = sent["personalizations"]
        assert 0 < len(entries) <= 1000
        assert seen.headers["Content-Type"] == "application/json"
        emails = [entry["to"][0]["email"] for entry in entries]
        bad = [n for n, email in enumerate(emails) if email.endswith("dead.example")]
        if bad or len(set(emails)) < len(emails):
            field = "personalizations.{}.to.0.email" if self.names_entries else "personalizations"
            text = "Does not contain a valid address: {}"
            errors = [{"message": text.format(emails[n]), "field": field.format(n), "help": None} for n in bad]
            return Reply(400, {"errors": errors})
        for entry in entries:
            self.deliver(sent, entry)
        self.requests += 1
        return Reply(202, b"", {"X-Message-Id": f"msg-{self.requests}"})

    def deliver(self, sent: dict, entry: dict) -> None:
        ref = entry["custom_args"]["ref"]
        assert sum(len(k) + len(v.encode()) for k, v in entry.get("substitutions", {}).items()) <= 10_000
        texts = {each["type"]: each["value"] for each in sent["content"]}
        parts = [entry.get("subject", sent.get("subject", "")), texts["text/plain"], texts.get("text/html", "")]
        for tag, value in entry.get("substitutions", {}).items():
            parts = [part.replace(tag, value) for part in parts]
        self.refs.append(ref)
        self.read[ref] = (parts[0], parts[1], parts[2])


@pytest.fixture
def sendgrid():
    made = Far()
    yield made
    made.vendor.close()


def provider(far_end: Far, clock: FixedClock | None = None, **options) -> SendgridEmail:
    given = {"api_key": KEY, "sender": "Example <hello@example.com>", "base_url": far_end.vendor.url, **options}
    return SendgridEmail(Options.model_validate(given), clock or FixedClock(NOW))


def send(far_end: Far, *batch: Outbound, **options):
    async def all_of():
        made = provider(far_end, **options)
        try:
            return [result async for result in made.send(batch)]
        finally:
            await made.close()

    return asyncio.run(all_of())


class TestSendgridKeepsTheContract(ProviderContract):
    @pytest.fixture(params=["callback", "activity"])
    def rig(self, sendgrid: Far, request) -> Rig:
        clock = FixedClock(NOW)
        reset = str(NOW // SECOND + 7)
        options = {"activity": request.param == "activity", "webhook_key": PUBLIC_KEY}
        return Rig(
            provider=provider(sendgrid, clock, **options),
            clock=clock,
            message=message,
            refused=lambda: message(901, to=DEAD),
            opted_out=lambda: message(902, to=STOPPED),
            break_it=lambda fail: sendgrid.vendor.break_with(
                fail,
                unsent=far.reply(429, {"errors": [{"message": "too many requests"}]}, X_RateLimit_Reset=reset),
                config=far.reply(401, {"errors": [{"message": "The provided authorization grant is invalid"}]}),
            ),
            accepted=lambda: list(sendgrid.refs),
        )

    def test_an_opt_out_known_to_the_provider_is_told_as_such(self, rig: Rig):
        """SendGrid answers 202 and tells by an event (`dropped`), which is tested below."""
        (result,) = rig.send(rig.opted_out())
        assert result.outcome is Outcome.ACCEPTED


def test_one_request_field_by_field(sendgrid: Far):
    send(sendgrid, message(1), reply_to="help@example.com", asm_group_id="7", ip_pool="warm")
    (seen,) = sendgrid.vendor.posts
    assert seen.json() == {
        "personalizations": [
            {
                "to": [{"email": "person1@example.com"}],
                "custom_args": {"ref": message(1).ref},
                "headers": {
                    "List-Unsubscribe": "<https://r.example.com/u/tok1>",
                    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
                },
            }
        ],
        "from": {"email": "hello@example.com", "name": "Example"},
        "subject": "Your limit",
        "content": [{"type": "text/plain", "value": message(1).content.body}],
        "categories": ["settled-30d", "email-1"],
        "tracking_settings": {
            "click_tracking": {"enable": False, "enable_text": False},
            "open_tracking": {"enable": True},
            "subscription_tracking": {"enable": False},
        },
        "reply_to": {"email": "help@example.com"},
        "asm": {"group_id": 7},
        "ip_pool_name": "warm",
    }


def test_the_sender_of_the_route_wins_and_no_sender_at_all_stops_the_step(sendgrid: Far):
    send(sendgrid, message(1, sender="other@example.com"))
    assert sendgrid.vendor.posts[0].json()["from"] == {"email": "other@example.com"}
    with pytest.raises(ChannelDown):
        send(sendgrid, message(2), sender="")
    assert len(sendgrid.vendor.posts) == 1


def test_a_thousand_people_share_one_request_and_each_reads_their_own_text(sendgrid: Far):
    page = "<html><body>\n<p>Dear Ms {n} &amp; Co</p>\n<p>Your limit</p>\n</body></html>"
    batch = [message(n, html=page.format(n=n), title=f"For Ms {n}") for n in range(1000)]
    results = send(sendgrid, *batch)
    assert Counter(result.outcome for result in results) == {Outcome.ACCEPTED: 1000}
    assert {result.provider_id for result in results} == {"msg-1"}
    assert len(sendgrid.vendor.posts) == 1
    for each in batch:
        subject, text, html = sendgrid.read[each.ref]
        assert replace(each.content, title=subject, body=text, html=html).digest() == each.content.digest()
    assert b"Example Ltd" in sendgrid.vendor.posts[0].body
    assert sendgrid.vendor.posts[0].body.count(b"Example Ltd") == 1


@pytest.mark.parametrize(
    "bodies",
    [
        ["one\ntwo", "one\ntwo\nthree"],
        ["a", "b", ""],
        ["x -recall0xt0- y\nsame", "-recall0xt1-\nsame", "-recall1xh0-\nsame"],
        ["{{ name }}-t0-\nline", "%tag%\nline"],
        ["ends with -\nx", "- begins\nx"],
    ],
)
def test_what_a_person_reads_is_what_was_recorded_whatever_the_texts_hold(bodies: list[str]):
    batch = [message(n, body=body or "\n", html=body[::-1]) for n, body in enumerate(bodies)]
    made = shape(batch)
    for n, each in enumerate(batch):
        assert made.text_for(n) == (each.content.body, each.content.html)


def test_equal_texts_need_no_substitution():
    made = shape([message(n, body="the same", html="<p>the same</p>") for n in range(3)])
    assert (made.own, made.body, made.subject) == ((), "the same", "Your limit")


def test_who_has_too_much_of_their_own_gets_a_request_alone(sendgrid: Far):
    long = "长" * (MAX_OWN_BYTES // 3)
    batch = [message(1), message(2, body=f"{long}\n{long}"), message(3)]
    results = send(sendgrid, *batch)
    assert {result.outcome for result in results} == {Outcome.ACCEPTED}
    assert sorted(len(seen.json()["personalizations"]) for seen in sendgrid.vendor.posts)[-1] <= 2
    assert all(sendgrid.read[each.ref][1] == each.content.body for each in batch)


def test_groups_split_by_sender_step_kind_of_text_and_double_address():
    batch = [
        message(1),
        message(2, to="PERSON1@example.com"),
        message(3, sender="b@example.com"),
        message(4, journey="other"),
        message(5, html="<p>x</p>"),
        message(6),
    ]
    groups = [[each.ref[-1] for each in group] for group in groups_of(batch)]
    assert groups == [["1", "6"], ["2"], ["3"], ["4"], ["5"]]


def test_an_address_that_is_named_is_dropped_and_the_rest_sent(sendgrid: Far):
    batch = [message(n) for n in range(5)] + [message(5, to=DEAD), message(6, to=f"x{DEAD}"), message(7)]
    results = {result.ref: result for result in send(sendgrid, *batch)}
    bad = {batch[5].ref, batch[6].ref}
    assert {ref for ref, result in results.items() if result.cause is Cause.ADDRESS} == bad
    assert all(result.outcome is Outcome.ACCEPTED for ref, result in results.items() if ref not in bad)
    assert len(sendgrid.vendor.posts) == 2
    assert DEAD not in repr(results)


def test_an_address_that_is_not_named_is_found_by_tenths_and_nobody_else_suffers(sendgrid: Far):
    sendgrid.names_entries = False
    batch = [message(n) for n in range(1000)]
    batch[123] = message(123, to=DEAD)
    results = {result.ref: result for result in send(sendgrid, *batch)}
    assert len(results) == 1000
    refused = [ref for ref, result in results.items() if result.outcome is Outcome.REFUSED]
    assert refused == [batch[123].ref]
    assert results[batch[123].ref].cause is None  # nobody said that it was the address
    calls = Counter(
        entry["custom_args"]["ref"] for seen in sendgrid.vendor.posts for entry in seen.json()["personalizations"]
    )
    assert max(calls.values()) == MAX_CALLS
    assert Counter(sendgrid.refs).most_common(1)[0][1] == 1


def test_no_ref_is_part_of_more_than_four_requests(sendgrid: Far):
    sendgrid.vendor.behave(far.reply(400, {"errors": [{"message": "no", "field": "personalizations"}]}))
    results = send(sendgrid, *[message(n) for n in range(30)])
    assert {result.outcome for result in results} == {Outcome.REFUSED}
    calls = Counter(
        entry["custom_args"]["ref"] for seen in sendgrid.vendor.posts for entry in seen.json()["personalizations"]
    )
    assert max(calls.values()) <= MAX_CALLS


@pytest.mark.parametrize(
    ("field", "outcome"), [("content.0.value", Outcome.REFUSED), ("subject", Outcome.REFUSED), ("from.email", None)]
)
def test_a_complaint_about_everybody_costs_one_request(sendgrid: Far, field: str, outcome: Outcome | None):
    sendgrid.vendor.behave(far.reply(400, {"errors": [{"message": "no", "field": field}]}))
    if outcome is None:
        with pytest.raises(ChannelDown):
            send(sendgrid, message(1), message(2))
    else:
        assert {(r.outcome, r.cause) for r in send(sendgrid, message(1), message(2))} == {(outcome, Cause.CONTENT)}
    assert len(sendgrid.vendor.posts) == 1


@pytest.mark.parametrize(
    "behaviour",
    [
        far.reply(202),  # without an id
        far.html_with_200(),
        far.redirect("http://127.0.0.1:1/"),
        far.reply(500),
        far.reply(503, Retry_After="3"),
        far.taken(far.reset()),
        far.torn(),
        far.gzip_bomb(),
    ],
)
def test_what_cannot_be_known_is_in_doubt_for_all_and_asked_once(sendgrid: Far, behaviour):
    sendgrid.vendor.behave(behaviour)
    assert {result.outcome for result in send(sendgrid, message(1), message(2))} == {Outcome.IN_DOUBT}
    assert len(sendgrid.vendor.posts) == 1


def test_a_key_that_stops_working_between_two_parts_does_not_undo_what_was_accepted(sendgrid: Far):
    batch = [message(n) for n in range(4)] + [message(9, to=DEAD)]
    sendgrid.vendor.behave(
        far.reply(401), only=lambda seen: b'"person0@' in seen.body and DEAD.encode() not in seen.body
    )
    results = {result.ref: result for result in send(sendgrid, *batch)}
    assert results[batch[4].ref].cause is Cause.ADDRESS
    assert {results[each.ref].outcome for each in batch[:4]} == {Outcome.NOT_SENT}
    assert sendgrid.refs == []


def test_a_throttle_says_when_the_window_ends(sendgrid: Far):
    sendgrid.vendor.behave(far.reply(429, X_RateLimit_Reset=str(NOW // SECOND + 33)))
    (result,) = send(sendgrid, message(1))
    assert (result.outcome, result.cause, result.retry_after_seconds) == (Outcome.NOT_SENT, Cause.THROTTLED, 33.0)


def test_the_sandbox_delivers_nothing_and_says_so(sendgrid: Far):
    sendgrid.vendor.behave(far.reply(200))
    (result,) = send(sendgrid, message(1), sandbox="true")
    assert (result.outcome, result.provider_id) == (Outcome.ACCEPTED, "sandbox")
    assert sendgrid.vendor.posts[0].json()["mail_settings"] == {"sandbox_mode": {"enable": True}}


@pytest.mark.parametrize(
    ("value", "is_good"),
    [
        ("a@example.com", True),
        ("a.b+c@sub.example.co.uk", True),
        ("a@xn--fiqs8s.example", True),
        ("a@b", False),
        ("a@@example.com", False),
        ("a b@example.com", False),
        (".a@example.com", False),
        ("a..b@example.com", False),
        ("a@example.com\r\nBcc: b@example.com", False),
        ("名@example.com", False),
        ("a" * 65 + "@example.com", False),
        ("a@" + "b" * 250 + ".com", False),
        ("", False),
    ],
)
def test_syntax_is_checked_before_anything_leaves(value: str, is_good: bool):
    assert is_address(value) is is_good


def test_lookups_stop_at_the_first_answer_that_says_nothing(sendgrid: Far):
    sendgrid.vendor.behave(far.reply(429), only=lambda seen: seen.path.startswith("/v3/messages"))
    rig = Rig(provider(sendgrid, activity="true"), FixedClock(NOW), message, None, None, None, None)
    assert rig.reconcile(*[message(n) for n in range(5)]) == {}
    assert len([seen for seen in sendgrid.vendor.seen if seen.method == "GET"]) == 1
    rig.close()


def test_suppressions_are_pulled_page_by_page(sendgrid: Far):
    sendgrid.lists["bounces"] = [{"email": f"B{n}@example.com", "created": 1_700_000_000 + n} for n in range(5)]
    sendgrid.lists["spam_reports"] = [{"email": "s@example.com", "created": "?"}, {"email": "no address"}, {}]

    async def pull():
        made = provider(sendgrid)
        try:
            return [row async for row in made.pull_suppressions(page=2)]
        finally:
            await made.close()

    rows = asyncio.run(pull())
    assert [(row.address.value, row.reason, row.at) for row in rows] == [
        *[(f"b{n}@example.com", "bounced", (1_700_000_000 + n) * SECOND) for n in range(5)],
        ("s@example.com", "complained", None),
    ]
    assert "example.com" not in repr(rows)
    sendgrid.vendor.behave(far.reply(403), only=lambda seen: True)
    with pytest.raises(ChannelDown):
        asyncio.run(pull())


# --- events --------------------------------------------------------------------------------------------------

PRIVATE = ec.generate_private_key(ec.SECP256R1())
OUR_KEY = base64.b64encode(
    PRIVATE.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
).decode()


def hook(body: bytes, *, at: int = NOW // SECOND, stamp: str | None = None, signature: str | None = None) -> RawRequest:
    stamp = str(at) if stamp is None else stamp
    made = base64.b64encode(PRIVATE.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()
    headers = {
        "x-twilio-email-event-webhook-signature": made if signature is None else signature,
        "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
    }
    return RawRequest("POST", "https://r.example.com/hooks/sendgrid_email", headers, body)


def reader(key: str = OUR_KEY, now: int = NOW) -> SendgridEmail:
    given = {"api_key": KEY, "webhook_key": key}
    return SendgridEmail(Options.model_validate(given), FixedClock(now))


def test_the_published_vector_is_believed_at_its_time():
    headers = {
        "X-Twilio-Email-Event-Webhook-Signature": SIGNATURE,
        "X-Twilio-Email-Event-Webhook-Timestamp": STAMP,
    }
    request = RawRequest("POST", "https://r.example.com/", headers, SIGNED)
    now = int(STAMP) * SECOND
    assert reader(PUBLIC_KEY, now).read_events(request) == []  # a letter that is not ours
    rejected = [
        (PUBLIC_KEY, now + 5 * MINUTE + SECOND, request),
        (PUBLIC_KEY, now - 5 * MINUTE - SECOND, request),
        (OTHER_KEY, now, request),
        ("", now, request),
        ("no key", now, request),
        (PUBLIC_KEY, now, replace(request, body=SIGNED.rstrip(b"\r\n"))),
        (PUBLIC_KEY, now, replace(request, body=SIGNED.replace(b"hello", b"hallo"))),
        (PUBLIC_KEY, now, replace(request, body=b"payload")),
        (PUBLIC_KEY, now, replace(request, headers={**headers, "X-Twilio-Email-Event-Webhook-Timestamp": "timestamp"})),
        (
            PUBLIC_KEY,
            now,
            replace(request, headers={**headers, "X-Twilio-Email-Event-Webhook-Signature": BAD_SIGNATURE}),
        ),
    ]
    for key, at, each in rejected:
        with pytest.raises(WebhookRejected):
            reader(key, at).read_events(each)


def test_every_event_becomes_what_it_means():
    events = reader().read_events(hook((PAYLOADS / "events.json").read_bytes()))
    assert [(e.event_id, e.ref[-2:], e.kind, e.detail) for e in events] == [
        ("e-delivered", "0a", ReceiptKind.DELIVERED, ""),
        ("e-open", "0a", ReceiptKind.OPENED, ""),
        ("e-click", "0a", ReceiptKind.CLICKED, ""),
        ("e-bounce", "0b", ReceiptKind.UNDELIVERED, "address:bounce"),
        ("e-blocked", "0c", ReceiptKind.UNDELIVERED, "soft:blocked"),
        ("e-dropped-bounced", "0d", ReceiptKind.UNDELIVERED, "address:BouncedAddress"),
        ("e-dropped-unsub", "0e", ReceiptKind.UNDELIVERED, "opted_out:UnsubscribedAddress"),
        ("e-dropped-unsub:opted_out", "0e", ReceiptKind.OPTED_OUT, ""),
        ("e-dropped-spam", "0f", ReceiptKind.UNDELIVERED, "opted_out:SpamReportingAddress"),
        ("e-dropped-spam:complained", "0f", ReceiptKind.COMPLAINED, ""),
        ("e-dropped-content", "10", ReceiptKind.UNDELIVERED, "content:SpamContent"),
        ("e-spam", "11", ReceiptKind.COMPLAINED, ""),
        ("e-unsub", "12", ReceiptKind.OPTED_OUT, ""),
        ("e-group", "13", ReceiptKind.OPTED_OUT, ""),
        ("e-foreign-unsub", "", ReceiptKind.OPTED_OUT, ""),
    ]
    assert events[0].at == 1_772_416_702 * SECOND
    assert [e.address for e in events if e.address] == [Address(AddressKind.EMAIL, "e@example.com")]


def test_an_event_without_an_id_has_the_same_one_each_time():
    body = b'[{"event":"delivered","timestamp":1772416702,"ref":"0a"},{"event":"delivered","timestamp":1,"ref":"0a"}]'
    first, other = reader().read_events(hook(body))
    assert reader().read_events(hook(body))[0].event_id == first.event_id != other.event_id


@pytest.mark.parametrize(
    ("stamp", "body"),
    [("1772416800", b"[]"), ("1772416800000", b" \r\n[]")],
)
def test_both_forms_of_the_time_are_read(stamp: str, body: bytes):
    assert reader().read_events(hook(body, stamp=stamp)) == []


@pytest.mark.parametrize(
    "request_",
    [
        hook(b"[]", signature=""),
        hook(b"[]", signature="not base64!"),
        hook(b"[]", signature="AAAA"),
        hook(b"[]", stamp=""),
        hook(b"[]", stamp="１７７２４１６８００"),
        hook(b"0[]", stamp="177241680"),  # a digit shifted from the time to the body
        hook(b"[]", stamp="177241680x"),
        hook(b"[]", at=NOW // SECOND - 301),
        hook(b"[]", at=NOW // SECOND + 301),
        hook(b'{"event":"delivered"}'),
        hook(b"[" * 100_000),
        hook(b"[\xff]"),
        hook(b""),
        replace(hook(b"[]"), headers={}),
    ],
)
def test_what_sendgrid_did_not_sign_just_now_is_rejected(request_: RawRequest):
    with pytest.raises(WebhookRejected):
        reader().read_events(request_)


@pytest.mark.parametrize(
    "row",
    [
        "{}",
        "[]",
        '{"event":[]}',
        '{"event":"open","ref":5}',
        '{"event":"bounce","ref":"a","type":{"x":1},"timestamp":"x"}',
        '{"event":"delivered","ref":"a","timestamp":99999999999999}',
        '{"event":"unsubscribe","email":7}',
    ],
)
def test_strange_events_of_sendgrid_do_no_harm(row: str):
    for event in reader().read_events(hook(f"[{row}]".encode())):
        assert event.at <= NOW
        assert event.ref == "a"


def test_it_is_opened_by_its_name_with_the_key_in_a_file(tmp_path: Path):
    (tmp_path / "key").write_text(f"{KEY}\n")
    options = {"mail": {"kind": "sendgrid_email", "api_key_file": "key", "webhook_key": PUBLIC_KEY}}
    opened = open_provider("mail", Settings(project_dir=tmp_path, provider_options=options))
    assert opened.name == "mail"
    assert opened.options.api_key.get_secret_value() == KEY
    assert KEY not in repr(opened.options)
    for wrong in (
        {},
        {"api_key": KEY, "no_such": "1"},
        {"api_key_file": "missing"},
        {"api_key": KEY, "api_key_file": "key"},
    ):
        options = {"mail": {"kind": "sendgrid_email", **wrong}}
        with pytest.raises(Misconfigured) as error:
            open_provider("mail", Settings(project_dir=tmp_path, provider_options=options))
        assert KEY not in str(error.value)
