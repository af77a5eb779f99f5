"""Does every SMS reach Twilio at most once, exactly as meant, and is only Twilio believed?"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

import pytest
from multidict import MultiDict
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client

from journeys.words import AddressKind, Cause, Channel, Outcome, ReceiptKind
from providers import wire as wire_file
from providers.base import Address, InDoubt, RawRequest
from providers.faults import Fail
from providers.registry import open_provider
from providers.twilio_sms import TwilioSms, make
from providers.twilio_webhooks import verified
from recall.clock import DAY, HOUR, MINUTE, SECOND, FixedClock
from recall.errors import ChannelDown, Misconfigured, WebhookRejected
from recall.settings import load
from tests.providers import vendor as far
from tests.providers.contract import ProviderContract, Rig
from tests.providers.twilio_far import (
    ACCOUNT,
    DEAD,
    NOW,
    SENDER,
    SERVICE,
    STOPPED,
    TOKEN,
    TwilioFar,
    error,
    message,
    payload,
    recut,
    signed,
)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def twilio(clock: FixedClock):
    twilio = TwilioFar(clock)
    yield twilio
    twilio.vendor.close()


def open_sms(twilio: TwilioFar, **options: str) -> TwilioSms:
    return make("twilio_sms", load(), twilio.clock, twilio.options(**options))


@pytest.fixture
def sms(twilio: TwilioFar) -> TwilioSms:
    return open_sms(twilio)


def send(provider: TwilioSms, *messages):
    async def all_of():
        try:
            return [result async for result in provider.send(messages)]
        finally:
            await provider.close()

    return asyncio.run(all_of())


def look_up(provider: TwilioSms, *items: InDoubt) -> dict[str, Outcome]:
    async def ask():
        try:
            return {result.ref: result.outcome for result in await provider.reconcile(items)}
        finally:
            await provider.close()

    return asyncio.run(ask())


def doubt(of, **changes) -> InDoubt:
    item = InDoubt(of.ref, of.channel, of.address, of.content.digest(), NOW, body=of.content.body)
    return replace(item, **changes)


class TestTwilioSmsKeepsTheContract(ProviderContract):
    @pytest.fixture
    def rig(self, clock: FixedClock, twilio: TwilioFar) -> Rig:
        return Rig(
            provider=open_sms(twilio),
            clock=clock,
            message=message,
            refused=lambda: message(901, to=DEAD),
            opted_out=lambda: message(902, to=STOPPED),
            break_it=twilio.break_it,
            accepted=twilio.accepted,
        )


# --- what leaves ---------------------------------------------------------------------------------------------


def test_the_request_is_the_one_of_the_official_client(twilio: TwilioFar, sms: TwilioSms):
    """Field by field against its own encoder, recorded by a transport that sends nothing."""
    sent = message(1)
    send(sms, sent)
    recorded = []

    class Recorder(HttpClient):
        def __init__(self) -> None:
            super().__init__(logging.getLogger("test"), False, None)

        def request(self, method, url, params=None, data=None, headers=None, auth=None, timeout=None, **_):
            recorded.append((method, url, data, headers, auth))
            return Response(201, '{"sid": "SM1"}')

    Client(ACCOUNT, TOKEN, http_client=Recorder()).messages.create(
        to=sent.address.value,
        from_=SENDER,
        body=sent.content.body,
        validity_period=36000,
        status_callback=sent.meta["callback"],
    )
    (method, url, data, headers, _) = recorded[0]
    (seen,) = twilio.vendor.seen
    assert (seen.method, seen.path) == (method, url.removeprefix("https://api.twilio.com"))
    assert seen.pairs == parse_qsl(urlencode(data))
    assert seen.pairs == [
        ("To", sent.address.value),
        ("StatusCallback", sent.meta["callback"]),
        ("ValidityPeriod", "36000"),
        ("From", SENDER),
        ("Body", sent.content.body),
    ]
    assert {name: seen.headers[name] for name in headers} == headers
    assert seen.headers["Authorization"].startswith("Basic ")


def test_a_messaging_service_and_a_sender_of_the_route(twilio: TwilioFar, sms: TwilioSms):
    send(sms, message(1, sender=SERVICE), message(2, sender="+15005550010"))
    forms = sorted((seen.form for seen in twilio.vendor.seen), key=lambda form: form["To"])
    assert forms[0]["MessagingServiceSid"] == [SERVICE]
    assert "From" not in forms[0]
    assert forms[1]["From"] == ["+15005550010"]


@pytest.mark.parametrize(("left", "seconds"), [(DAY, "36000"), (90 * SECOND, "90"), (SECOND, "1")])
def test_a_queued_message_is_no_longer_valid_than_the_window(
    twilio: TwilioFar, sms: TwilioSms, left: int, seconds: str
):
    send(sms, message(1, not_after=NOW + left))
    assert twilio.vendor.seen[0].form["ValidityPeriod"] == [seconds]


def test_nothing_leaves_when_the_window_is_over(twilio: TwilioFar, sms: TwilioSms):
    (result,) = send(sms, message(1, not_after=NOW + SECOND - 1))
    assert (result.outcome, result.code) == (Outcome.NOT_SENT, "window_over")
    assert twilio.vendor.seen == []


def test_without_a_callback_none_is_asked_for(twilio: TwilioFar, sms: TwilioSms):
    send(sms, message(1, meta={}))
    assert "StatusCallback" not in twilio.vendor.seen[0].form


def test_without_any_sender_nothing_leaves(twilio: TwilioFar):
    with pytest.raises(ChannelDown, match="no sender"):
        send(open_sms(twilio, sender=""), message(1))
    assert twilio.vendor.seen == []


def test_an_api_key_signs_instead_of_the_token(twilio: TwilioFar):
    import base64

    send(open_sms(twilio, api_key_sid="SK" + "a" * 32, api_key_secret="secret"), message(1))
    sent = twilio.vendor.seen[0].headers["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(sent).decode() == "SK" + "a" * 32 + ":secret"
    assert f"/Accounts/{ACCOUNT}/" in twilio.vendor.seen[0].path


# --- what can go wrong: never twice, never silent, never long ---------------------------------------------------

FAULTS = {
    "500": (far.reply(500, error(20500, 500)), Outcome.IN_DOUBT, None),
    "502 html": (far.reply(502, "<html>"), Outcome.IN_DOUBT, None),
    "503 retry-after": (far.reply(503, "", Retry_After="5"), Outcome.IN_DOUBT, None),
    "504": (far.reply(504), Outcome.IN_DOUBT, None),
    "reset": (far.reset(), Outcome.IN_DOUBT, None),
    "reset after": (far.taken(far.reset()), Outcome.IN_DOUBT, None),
    "truncated": (far.taken(far.truncated()), Outcome.IN_DOUBT, None),
    "torn": (far.taken(far.torn()), Outcome.IN_DOUBT, None),
    "html 200": (far.html_with_200(), Outcome.IN_DOUBT, None),
    "empty 201": (far.taken(far.reply(201)), Outcome.IN_DOUBT, None),
    "list 201": (far.taken(far.reply(201, [1])), Outcome.IN_DOUBT, None),
    "no id": (far.taken(far.without("sid")), Outcome.IN_DOUBT, None),
    "odd id": (far.taken(far.changed(sid={"a": 1})), Outcome.IN_DOUBT, None),
    "other to": (far.taken(far.changed(to="+8613911111111")), Outcome.IN_DOUBT, None),
    "bomb": (far.taken(far.gzip_bomb(status=201)), Outcome.IN_DOUBT, None),
    "endless": (far.taken(far.endless(201)), Outcome.IN_DOUBT, None),
    "redirect": (far.redirect("http://127.0.0.1:1/inside"), Outcome.IN_DOUBT, None),
    "429": (far.throttle(7, error(20429, 429)), Outcome.NOT_SENT, Cause.THROTTLED),
    "429 bare": (far.reply(429), Outcome.NOT_SENT, Cause.THROTTLED),
    "queue full": (far.reply(400, error(21611, 400)), Outcome.NOT_SENT, Cause.THROTTLED),
    "dead": (far.reply(400, error(21211, 400)), Outcome.REFUSED, Cause.ADDRESS),
    "stopped": (far.reply(400, error(21610, 400)), Outcome.REFUSED, Cause.OPTED_OUT),
    "filtered": (far.reply(400, error(30007, 400)), Outcome.REFUSED, Cause.CONTENT),
    "too long": (far.reply(400, error(21617, 400)), Outcome.REFUSED, Cause.CONTENT),
    "unknown 4xx": (far.reply(400, error(29999, 400)), Outcome.REFUSED, None),
    "html 400": (far.reply(400, "<html>"), Outcome.REFUSED, None),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_its_outcome_and_one_request(twilio: TwilioFar, sms: TwilioSms, name: str):
    behaviour, outcome, cause = FAULTS[name]
    twilio.vendor.behave(behaviour)
    batch = [message(n) for n in range(3)]
    results = send(sms, *batch)
    assert {(result.outcome, result.cause) for result in results} == {(outcome, cause)}
    posts = Counter(parse_qsl(post.body.decode())[1][1].rpartition("/")[2] for post in twilio.vendor.posts)
    assert posts == Counter(each.ref for each in batch)


@pytest.mark.parametrize("share", [1, 3])
def test_one_fault_in_a_batch_stays_one(twilio: TwilioFar, sms: TwilioSms, share: int):
    twilio.vendor.behave(far.taken(far.reset()), times=share)
    results = send(sms, *[message(n) for n in range(30)])
    assert Counter(result.outcome for result in results) == {Outcome.IN_DOUBT: share, Outcome.ACCEPTED: 30 - share}
    assert sorted(twilio.accepted()) == [f"{n:024x}" for n in range(30)]


def test_an_outage_makes_at_most_a_few_doubts(twilio: TwilioFar, sms: TwilioSms):
    twilio.vendor.behave(far.reply(500))
    results = send(sms, *[message(n) for n in range(300)])
    doubts = [result for result in results if result.outcome is Outcome.IN_DOUBT]
    assert len(doubts) == len(twilio.vendor.posts) <= 36
    assert {result.outcome for result in results} - {Outcome.IN_DOUBT} == {Outcome.NOT_SENT}
    assert len(results) == 300


def test_the_same_id_for_two_messages_is_a_doubt(twilio: TwilioFar, sms: TwilioSms):
    twilio.vendor.behave(far.taken(far.changed(sid="SM" + "7" * 32)))
    results = send(sms, message(1, to="+8613900000001"), message(2, to="+8613900000002"))
    assert Counter(result.code for result in results) == {"": 1, "reused_id": 1}


@pytest.mark.parametrize("behaviour", [far.hang(), far.taken(far.slowly(0.05))])
def test_nobody_waits_for_ever(twilio: TwilioFar, sms: TwilioSms, behaviour, monkeypatch: pytest.MonkeyPatch):
    for name in ("READ_SECONDS", "TOTAL_SECONDS", "BATCH_SECONDS"):
        monkeypatch.setattr(wire_file, name, 0.4)
    twilio.vendor.behave(behaviour)
    (result,) = send(sms, message(1))
    assert result.outcome is Outcome.IN_DOUBT


def test_a_key_that_ends_within_a_batch_stops_the_rest(twilio: TwilioFar):
    sms = open_sms(twilio, at_once="1")
    send(sms, message(0))
    twilio.vendor.behave(far.reply(401, error(20003, 401)))
    with pytest.raises(ChannelDown, match="20003"):
        send(sms, message(1), message(2), message(3))
    assert len(twilio.vendor.posts) == 2  # one before, one refused, two never tried


def test_what_the_vendor_says_is_kept_without_the_number(sms: TwilioSms):
    (result,) = send(sms, message(1, to=DEAD))
    assert result.excerpt == "The 'To' number <hidden> is not a valid phone number."


def test_nothing_is_logged_about_people(twilio: TwilioFar, sms: TwilioSms, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG):
        send(sms, message(1), message(2, to=DEAD))
        twilio.vendor.behave(far.reply(400, error(29999, 400, f"bad {DEAD}")))
        send(sms, message(3))
    for secret in (DEAD, DEAD[1:], "欢迎回来", TOKEN, "8613900000001"):
        assert secret not in caplog.text


# --- evidence ------------------------------------------------------------------------------------------------


def test_a_lost_message_is_found_by_number_time_and_text(twilio: TwilioFar, sms: TwilioSms):
    sent = message(1, link="https://example.com/a")
    twilio.break_it(Fail.ACCEPT_THEN_LOSE)
    send(sms, sent)
    twilio.break_it(None)
    twilio.clock.instant += 2 * HOUR
    assert look_up(sms, doubt(sent)) == {sent.ref: Outcome.ACCEPTED}
    assert look_up(sms, doubt(sent, body="")) == {}  # the hash covers a link that the log has not
    assert look_up(sms, doubt(sent, gate_at=NOW - 5 * MINUTE)) == {}  # around that time, but not the one
    assert look_up(sms, doubt(sent, gate_at=NOW - HOUR)) == {sent.ref: Outcome.NOT_SENT}


def test_another_text_to_the_number_proves_neither(twilio: TwilioFar, sms: TwilioSms):
    send(sms, message(1, body="other"))
    twilio.clock.instant += 2 * HOUR
    assert look_up(sms, doubt(message(1))) == {}


def test_one_line_answers_one_doubt(twilio: TwilioFar, sms: TwilioSms):
    send(sms, message(1))
    twilio.clock.instant += 2 * HOUR
    twin = doubt(message(1), ref="f" * 24)
    found = look_up(sms, doubt(message(1)), twin)
    assert list(found.values()) == [Outcome.ACCEPTED]


def test_absence_counts_only_when_the_log_was_read_far_enough(
    twilio: TwilioFar, sms: TwilioSms, monkeypatch: pytest.MonkeyPatch
):
    to = "+8613900000001"
    twilio.clock.instant = NOW + 2 * HOUR
    send(sms, *[message(n, to=to) for n in range(205)])
    old = doubt(message(1, to=to))
    assert look_up(sms, old) == {old.ref: Outcome.NOT_SENT}
    assert len([seen for seen in twilio.vendor.seen if seen.method == "GET"]) == 3
    monkeypatch.setattr("providers.twilio_lookup.MAX_PAGES", 2)
    assert look_up(sms, old) == {}


@pytest.mark.parametrize(
    "behaviour",
    [far.reply(500), far.reply(401, error(20003, 401)), far.reset(), far.html_with_200(), far.reply(200, {"a": 1})],
)
def test_a_lookup_that_fails_says_nothing_and_stops_asking(twilio: TwilioFar, sms: TwilioSms, behaviour):
    twilio.clock.instant += 2 * HOUR
    twilio.vendor.behave(behaviour, only=lambda seen: True)
    assert look_up(sms, *[doubt(message(n)) for n in range(5)]) == {}
    assert {seen.method for seen in twilio.vendor.seen} == {"GET"}
    assert len(twilio.vendor.seen) <= 2


# --- preflight ------------------------------------------------------------------------------------------------


def preflight(provider: TwilioSms):
    async def ask():
        try:
            return await provider.preflight()
        finally:
            await provider.close()

    return asyncio.run(ask())


def test_preflight_looks_at_account_balance_and_sender(twilio: TwilioFar, sms: TwilioSms):
    assert [(check.name, check.ok) for check in preflight(sms).checks] == [
        ("account", True), ("balance", True), ("sender", True)
    ]  # fmt: skip
    assert preflight(open_sms(twilio, sender=SERVICE)).ok
    assert preflight(open_sms(twilio, sender="Brand")).ok
    assert preflight(open_sms(twilio, sender="")).ok
    assert not preflight(open_sms(twilio, sender="+15005550099")).ok
    twilio.status, twilio.balance = "suspended", "-1.20"
    assert [check.name for check in preflight(sms).checks if not check.ok] == ["account", "balance"]


@pytest.mark.parametrize("behaviour", [far.reply(500), far.reset(), far.html_with_200(), far.reply(200, {"a": 1})])
def test_preflight_never_raises(twilio: TwilioFar, sms: TwilioSms, behaviour):
    twilio.vendor.behave(behaviour, only=lambda seen: True)
    assert not preflight(sms).ok


# --- options ----------------------------------------------------------------------------------------------------


def test_it_opens_by_name_with_the_account_of_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECALL_TWILIO_ACCOUNT_SID", ACCOUNT)
    monkeypatch.setenv("RECALL_TWILIO_AUTH_TOKEN", "a-secret-token")
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", "AC" + "9" * 32)
    monkeypatch.setenv("TWILIO_REGION", "au1")
    settings = load()
    provider = open_provider("twilio_sms", settings)
    assert isinstance(provider, TwilioSms)
    assert provider.account.client.account_sid == ACCOUNT
    assert provider.account.client.region is None
    assert "a-secret-token" not in repr(settings) + repr(provider) + repr(vars(provider)) + repr(
        provider.account.options
    )


def test_secrets_in_provider_options_are_not_shown():
    settings = load(provider_options={"twilio_sms": {"account_sid": ACCOUNT, "auth_token": "a-secret-token"}})
    assert "a-secret-token" not in repr(settings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"account_sid": "AC-secret"},
        {"auth_token": ""},
        {"unknown": "x"},
        {"at_once": "0"},
        {"base_url": "http://api.example.com"},
        {"api_key_sid": "zz"},
    ],
)
def test_options_that_mean_nothing_are_told_without_their_value(twilio: TwilioFar, wrong: dict[str, str]):
    with pytest.raises(Misconfigured) as problem:
        make("twilio_sms", load(), twilio.clock, twilio.options(**wrong))
    assert "AC-secret" not in str(problem.value)
    assert problem.value.__cause__ is None


# --- what comes back: is it Twilio? -------------------------------------------------------------------------------

URI = "https://mycompany.com/myapp.php?foo=1&bar=2"
PARAMS = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
    ("Caller", "+14158675309"),
]


def raw(url: str, pairs, signature: str | None, *, kind: str = "application/x-www-form-urlencoded", method="POST"):
    body = pairs if isinstance(pairs, bytes) else urlencode(pairs).encode()
    headers = {"content-type": kind} | ({"x-twilio-signature": signature} if signature is not None else {})
    return RawRequest(method, url, headers, body)


# twilio-python 9.13.0, tests/unit/test_request_validator.py
PUBLISHED = [
    (URI, PARAMS, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
    (URI.replace(".com", ".com:1234"), PARAMS, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
    (URI.replace(".com", ".com:1234").replace("https", "http"), PARAMS, "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
    (URI, PARAMS, "kvajT1Ptam85bY51eRf/AJRuM3w="),
    (URI.replace("https", "http"), PARAMS, "0ZXoZLH/DfblKGATFgpif+LLRf4="),
    (
        URI,
        [("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234"), ("Digits", "1234")],
        "IK+Dwps556ElfBT0I3Rgjkr1wJU=",
    ),
]


@pytest.mark.parametrize(("url", "pairs", "signature"), PUBLISHED)
def test_the_published_signatures_hold(url: str, pairs, signature: str):
    assert verified(raw(url, pairs, signature), TOKEN) == MultiDict(pairs)


def test_the_published_signature_of_a_body_holds():
    body = b'{"property": "value", "boolean": true}'
    url = f"{URI}&bodySHA256={hashlib.sha256(body).hexdigest()}"
    request = raw(url, body, "a9nBmqA0ju/hNViExpshrM61xv4=", kind="application/json")
    assert verified(request, TOKEN) == MultiDict()
    with pytest.raises(WebhookRejected):
        verified(replace(request, body=body + b" "), TOKEN)
    with pytest.raises(WebhookRejected):
        verified(raw(URI, body, "a9nBmqA0ju/hNViExpshrM61xv4=", kind="application/json"), TOKEN)


GOOD = "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.parametrize(
    "request_",
    [
        raw(URI, PARAMS, None),
        raw(URI, PARAMS, ""),
        raw(URI, PARAMS, GOOD.lower()),
        raw(URI, PARAMS, GOOD + "="),
        raw(URI, PARAMS, "é"),
        raw(URI, PARAMS, GOOD, method="GET"),
        raw(URI + "&x=1", PARAMS, GOOD),
        raw(URI.replace("mycompany", "mycompanie"), PARAMS, GOOD),
        raw(URI, PARAMS[1:], GOOD),
        raw(URI, [*PARAMS, ("Digits", "9")], GOOD),
        raw(URI, b"\xff\xfe=1", GOOD),
        raw(URI, b"no equals sign", GOOD),
        raw(URI, b"{}", GOOD, kind="application/json"),
        raw(URI, b"a=1&" * 400_000, GOOD),
        raw(URI, b"&".join(b"a%d=1" % n for n in range(500)), GOOD),
        raw("https://[broken", PARAMS, GOOD),
        raw("https://x.example:99999/", PARAMS, GOOD),
    ],
)
def test_anything_else_is_rejected_and_never_an_error(request_: RawRequest):
    with pytest.raises(WebhookRejected):
        verified(request_, TOKEN)


def test_an_empty_token_signs_nothing():
    with pytest.raises(WebhookRejected):
        verified(signed(PARAMS, token=""), "")


def test_blank_fields_are_signed_too(sms: TwilioSms):
    (event,) = sms.read_events(signed(payload("sms_delivered", SmsMessageSid="")))
    assert event.kind is ReceiptKind.DELIVERED


@pytest.mark.parametrize("name", ["sms_delivered", "sms_undelivered", "sms_reply"])
def test_what_was_cut_anew_says_nothing_new(sms: TwilioSms, name: str):
    """Twilio's signature cannot tell the cuts apart; each is refused, or harmless: the same events as the original."""
    original = signed(payload(name))
    told = sms.read_events(original)
    signature = original.headers["X-Twilio-Signature"]
    cuts = [pairs for pairs in recut(payload(name)) if signed(pairs).headers["X-Twilio-Signature"] == signature]
    refused = 0
    for pairs in cuts:
        try:
            assert sms.read_events(replace(original, body=urlencode(pairs).encode())) == told
        except WebhookRejected:
            refused += 1
    assert refused >= 5


def test_a_signature_of_another_send_or_account_is_no_signature(sms: TwilioSms):
    original = signed(payload("sms_delivered"))
    with pytest.raises(WebhookRejected):
        sms.read_events(replace(original, url="https://recall.example/hooks/twilio/another"))
    with pytest.raises(WebhookRejected):
        sms.read_events(signed(payload("sms_delivered"), token="54321"))
    with pytest.raises(WebhookRejected):
        sms.read_events(signed(payload("sms_delivered", AccountSid="AC" + "9" * 32)))


def test_a_replay_is_the_same_event_again(sms: TwilioSms):
    request = signed(payload("sms_delivered"))
    assert sms.read_events(request) == sms.read_events(request)


# --- what comes back: what does it say? -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("accepted", None),
        ("queued", None),
        ("sending", None),
        ("sent", None),
        ("a_new_one", None),
        ("delivered", ReceiptKind.DELIVERED),
        ("read", ReceiptKind.OPENED),
        ("undelivered", ReceiptKind.UNDELIVERED),
        ("failed", ReceiptKind.UNDELIVERED),
        ("canceled", ReceiptKind.UNDELIVERED),
    ],
)
def test_each_status(sms: TwilioSms, status: str, kind: ReceiptKind | None):
    events = sms.read_events(signed(payload("sms_delivered", MessageStatus=status, SmsStatus=status)))
    assert [event.kind for event in events] == ([kind] if kind else [])
    for event in events:
        assert (event.ref, event.address, event.at, event.channel) == ("", None, NOW, Channel.SMS)
        assert event.event_id == f"SM{'0' * 30}a1:{status}"


@pytest.mark.parametrize(
    ("code", "detail"), [("30005", "address:30005"), ("30003", "soft:30003"), ("30007", "content:30007"), ("", "soft")]
)
def test_a_failure_says_why(sms: TwilioSms, code: str, detail: str):
    (event,) = sms.read_events(signed(payload("sms_undelivered", ErrorCode=code)))
    assert (event.kind, event.detail) == (ReceiptKind.UNDELIVERED, detail)


def test_a_failure_because_of_an_opt_out_is_an_opt_out(sms: TwilioSms):
    events = sms.read_events(signed(payload("sms_undelivered", ErrorCode="21610")))
    assert [event.kind for event in events] == [ReceiptKind.UNDELIVERED, ReceiptKind.OPTED_OUT]
    assert len({event.event_id for event in events}) == 2


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"Body": "退订"}, ReceiptKind.ANSWERED),
        ({"Body": "stop "}, ReceiptKind.OPTED_OUT),
        ({"Body": "Unsubscribe"}, ReceiptKind.OPTED_OUT),
        ({"Body": "please stop"}, ReceiptKind.ANSWERED),
        ({"Body": "whatever", "OptOutType": "STOP"}, ReceiptKind.OPTED_OUT),
        ({"Body": "START", "OptOutType": "START"}, ReceiptKind.ANSWERED),
        ({"Body": ""}, ReceiptKind.ANSWERED),
    ],
)
def test_a_reply_is_told_with_who_and_what(sms: TwilioSms, fields: dict[str, str], kind: ReceiptKind):
    (event,) = sms.read_events(signed(payload("sms_reply", **fields)))
    assert (event.kind, event.ref, event.detail) == (kind, "", fields["Body"])
    assert event.address == Address(AddressKind.PHONE, "+8613900000001")
    assert event.event_id == f"SM{'0' * 30}b1:received"
    assert "13900000001" not in repr(event)
    assert not fields["Body"] or fields["Body"] not in repr(event)


def test_a_reply_of_a_short_code_is_nobodys(sms: TwilioSms):
    assert sms.read_events(signed(payload("sms_reply", From="10086"))) == []


def test_a_long_reply_is_cut(sms: TwilioSms):
    (event,) = sms.read_events(signed(payload("sms_reply", Body="x" * 50_000)))
    assert len(event.detail) == 2_000


@pytest.mark.parametrize(
    "fields",
    [
        {"MessageSid": None},
        {"From": None},
        {"AccountSid": None},
        {"MessageSid": "SM1"},
        {"MessageStatus": "Delivered!"},
        {"ErrorCode": "drop table"},
    ],
)
def test_a_signed_form_of_another_shape_is_rejected(sms: TwilioSms, fields: dict[str, str | None]):
    with pytest.raises(WebhookRejected):
        sms.read_events(signed(payload("sms_delivered", **fields)))


def test_fields_that_twilio_may_add_do_no_harm(sms: TwilioSms):
    (event,) = sms.read_events(signed(payload("sms_delivered", ChannelPrefix="sms", NewThing="1 2 3")))
    assert event.kind is ReceiptKind.DELIVERED
