"""Can a vendor be added by a file alone, and does nothing in that file or in an answer do harm?"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from base64 import b64encode
from contextlib import suppress
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from journeys.words import AddressKind, Cause, Channel, Outcome, ReceiptKind
from providers.base import Address, Content, Idempotency, Lookup, Outbound, RawRequest
from providers.gateway_profile import find_profile, read_profile
from providers.gateway_words import all_at, parse_path, sign, text_at
from providers.http_gateway import HttpGateway, text_problem
from providers.registry import open_provider
from recall.clock import HOUR, MINUTE, SECOND, FixedClock
from recall.errors import BadFile, ChannelDown, Misconfigured, WebhookRejected
from recall.settings import Settings
from tests.providers import vendor as far
from tests.providers.contract import ProviderContract, Rig
from tests.providers.vendor import Reply, Seen, Vendor

NOW = 1_772_416_800_000_000  # 2026-03-02 02:00 UTC
DEAD, STOPPED = "+8613900009999", "+8613900008888"
NASTY = '【示例】"}]\\ \u2028{{ ref }} 您好😀\n拒收请回复R'
PAYLOADS = Path(__file__).parent / "payloads" / "gateway"
SECRET = "a-secret-of-tests"
SHIPPED = sorted(each.name.removesuffix(".yaml") for each in files("providers").joinpath("gateways").iterdir())


def message(n: int, *, to: str = "", text: str = "", channel: Channel = Channel.SMS, **more) -> Outbound:
    kind = {Channel.PUSH: AddressKind.PUSH, Channel.TASK: AddressKind.NONE}.get(channel, AddressKind.PHONE)
    return Outbound(
        ref=f"{n:024x}",
        channel=channel,
        user=f"user-{n}",
        address=Address(kind, to or f"+86139{n:08d}"),
        content=Content(
            body=text or f"【示例】第{n}位,欢迎回来\n拒收请回复R", title="回来", link="https://example.com/a"
        ),
        sender=more.pop("sender", "10690000"),
        not_after=NOW + HOUR,
        meta={"journey": "settled-30d", "step": "sms-1", "callback": f"https://r.example.com/hooks/cn/tok{n}"},
    )


ACCOUNT = {
    "plain-json": {"key": SECRET, "hook_key": SECRET},
    "cn-106": {"user": "me", "password": SECRET, "hook_token": "a-word"},
    "jpush": {"app_key": "appkey", "master_secret": SECRET},
    "wecom": {"key": SECRET},
    "whatsapp-json": {"phone_id": "12345", "token": SECRET, "app_secret": SECRET},
}


def gateway(profile: str, url: str, clock: FixedClock | None = None, project: Path = Path("."), **more) -> HttpGateway:
    options = {
        "gate": {"kind": "http_gateway", "profile": profile, "base_url": url, **ACCOUNT.get(profile, {}), **more}
    }
    settings = Settings(project_dir=project, provider_options=options)
    made = open_provider("gate", settings, clock=clock or FixedClock(NOW))
    assert isinstance(made, HttpGateway)
    return made


def send(provider: HttpGateway, *batch: Outbound):
    async def all_of():
        try:
            return [result async for result in provider.send(batch)]
        finally:
            await provider.close()

    return asyncio.run(all_of())


class Plain:
    """The far end of plain-json; one key, one message."""

    def __init__(self) -> None:
        self.refs: list[str] = []
        self.vendor = Vendor(self.answer)

    def answer(self, seen: Seen) -> Reply:
        if seen.headers.get("Authorization") != f"Bearer {SECRET}":
            return Reply(401, {"code": "no_account"})
        if seen.method == "GET":
            return Reply(200, {})
        sent = seen.json()
        if sent["to"] in (DEAD, STOPPED):
            code = "bad_address" if sent["to"] == DEAD else "opted_out"
            return Reply(422, {"status": "refused", "code": code, "message": f"no: {sent['to']}"})
        self.refs.append(sent["ref"])
        return Reply(200, {"status": "accepted", "id": f"id-{len(self.refs)}"})


@pytest.fixture
def plain():
    made = Plain()
    yield made
    made.vendor.close()


class TestPlainJsonKeepsTheContract(ProviderContract):
    @pytest.fixture
    def rig(self, plain: Plain) -> Rig:
        clock = FixedClock(NOW)
        return Rig(
            provider=gateway("plain-json", plain.vendor.url, clock),
            clock=clock,
            message=message,
            refused=lambda: message(901, to=DEAD),
            opted_out=lambda: message(902, to=STOPPED),
            break_it=lambda fail: plain.vendor.break_with(
                fail, unsent=far.throttle(7), config=far.reply(401, {"code": "no_account"})
            ),
            accepted=lambda: list(plain.refs),
        )


class Aggregator:
    """The far end of cn-106, which says everything inside a 200 and knows MD5."""

    def __init__(self) -> None:
        self.refs: list[str] = []
        self.fields: list[dict[str, str]] = []
        self.vendor = Vendor(self.answer)

    def answer(self, seen: Seen) -> Reply:
        form = dict(parse_qsl(seen.body.decode(), keep_blank_values=True))
        self.fields.append(form)
        password = hashlib.md5(SECRET.encode()).hexdigest()
        if form["sign"] != hashlib.md5(f"me{password}{form['timestamp']}".encode()).hexdigest():
            return Reply(200, {"status": 2, "message": "bad sign"})
        if form["mobile"] in (DEAD[3:], STOPPED[3:]):
            status = 4 if form["mobile"] == DEAD[3:] else 7
            return Reply(200, {"status": status, "message": f"号码{form['mobile']}"})
        self.refs.append(form["uid"])
        return Reply(200, {"status": 0, "msgid": f"m{len(self.refs)}"})


@pytest.fixture
def aggregator():
    made = Aggregator()
    yield made
    made.vendor.close()


class TestCn106KeepsTheContract(ProviderContract):
    @pytest.fixture
    def rig(self, aggregator: Aggregator) -> Rig:
        clock = FixedClock(NOW)
        return Rig(
            provider=gateway("cn-106", aggregator.vendor.url, clock),
            clock=clock,
            message=message,
            refused=lambda: message(901, to=DEAD),
            opted_out=lambda: message(902, to=STOPPED),
            break_it=lambda fail: aggregator.vendor.break_with(
                fail,
                unsent=far.reply(200, {"status": "3"}, Retry_After="7"),
                config=far.reply(200, {"status": "8", "message": "余额不足"}),
            ),
            accepted=lambda: list(aggregator.refs),
        )

    def test_preflight_tells_and_does_not_raise(self, rig: Rig):
        """It has no request that shows the account without sending: the first message tells."""
        assert rig.runner.run(rig.provider.preflight()).ok
        assert rig.accepted() == []


def test_a_form_field_by_field(aggregator: Aggregator):
    (result,) = send(gateway("cn-106", aggregator.vendor.url), message(1, text=NASTY))
    (seen,) = aggregator.vendor.posts
    assert (result.outcome, result.provider_id) == (Outcome.ACCEPTED, "m1")
    assert seen.path == "/sms/send"
    assert seen.headers["Content-Type"] == "application/x-www-form-urlencoded; charset=utf-8"
    assert dict(parse_qsl(seen.body.decode(), keep_blank_values=True)) == {
        "account": "me",
        "timestamp": "20260302100000",
        "sign": aggregator.fields[0]["sign"],
        "mobile": "13900000001",
        "content": NASTY,
        "extno": "10690000",
        "uid": message(1).ref,
    }


def test_json_field_by_field_whatever_the_texts_hold(plain: Plain):
    send(gateway("plain-json", plain.vendor.url), message(1, text=NASTY))
    (seen,) = plain.vendor.posts
    assert seen.json() == {
        "ref": message(1).ref,
        "to": "+8613900000001",
        "from": "10690000",
        "title": "回来",
        "text": NASTY,
        "link": "https://example.com/a",
        "expires": NOW // SECOND + 3600,
        "callback": "https://r.example.com/hooks/cn/tok1",
    }
    assert seen.headers["Idempotency-Key"] == message(1).ref


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("【示例】您好 拒收请回复R", ""),
        ("您好【示例】 拒收请回复R", "text_brand_not_first"),
        ("【示例】【另】您好 拒收请回复R", "text_brand_not_first"),
        ("您好 拒收请回复R", "text_brand_not_first"),
        ("【示例】您好", "text_opt_out_missing"),
        ("【示例】您好★ 回T退订", "text_forbidden_sign"),
        ("【示例】" + "长" * 500 + "回T退订", "text_too_long"),
    ],
)
def test_a_text_that_is_not_allowed_never_leaves(aggregator: Aggregator, text: str, problem: str):
    made = gateway("cn-106", aggregator.vendor.url)
    assert text_problem(made.profile, text) == problem
    (result,) = send(made, message(1, text=text))
    assert (result.cause, result.code) == ((Cause.CONTENT, problem) if problem else (None, ""))
    assert len(aggregator.vendor.seen) == (0 if problem else 1)


@pytest.mark.parametrize(
    ("reply", "outcome", "cause"),
    [
        (Reply(200, {"status": "5"}), Outcome.REFUSED, Cause.CONTENT),
        (Reply(200, {"status": "10"}), Outcome.NOT_SENT, Cause.THROTTLED),
        (Reply(200, {"status": "4711"}), Outcome.IN_DOUBT, None),  # not in the profile
        (Reply(200, {"status": "0"}), Outcome.IN_DOUBT, None),  # without an id
        (Reply(200, {"status": ["0"], "msgid": "m"}), Outcome.ACCEPTED, None),
        (Reply(200, {"status": {"0": 1}, "msgid": "m"}), Outcome.IN_DOUBT, None),
        (Reply(200, "<html>Sign in</html>"), Outcome.IN_DOUBT, None),
        (Reply(200, "0,m1"), Outcome.IN_DOUBT, None),
        (Reply(204), Outcome.IN_DOUBT, None),  # a yes the profile does not know
        (Reply(500, {"status": "4"}), Outcome.IN_DOUBT, None),  # a broken vendor says anything
        (Reply(503), Outcome.IN_DOUBT, None),
        (Reply(302, b"", {"Location": "/"}), Outcome.IN_DOUBT, None),
        (Reply(429), Outcome.NOT_SENT, Cause.THROTTLED),
        (Reply(413), Outcome.REFUSED, Cause.CONTENT),
        (Reply(418), Outcome.REFUSED, None),
    ],
)
def test_every_answer_means_what_the_profile_says(
    aggregator: Aggregator, reply: Reply, outcome: Outcome, cause: Cause | None
):
    aggregator.vendor.behave(far.reply(reply.status, reply.body, **dict(reply.headers)))
    (result,) = send(gateway("cn-106", aggregator.vendor.url), message(1))
    assert (result.outcome, result.cause) == (outcome, cause)
    assert len(aggregator.vendor.posts) == 1


@pytest.mark.parametrize("status", ["1", "2", "8", "9"])
def test_what_holds_for_everybody_stops_the_step(aggregator: Aggregator, status: str):
    aggregator.vendor.behave(far.reply(200, {"status": status, "message": "账户 +8613900000001"}))
    with pytest.raises(ChannelDown) as told:
        send(gateway("cn-106", aggregator.vendor.url), message(1), message(2))
    assert "139" not in str(told.value)


# --- the other shipped ones ----------------------------------------------------------------------------------


def test_jpush_field_by_field_with_one_cid_per_ref():
    pushed: dict[str, str] = {}

    def answer(seen: Seen) -> Reply:
        assert seen.headers["Authorization"] == "Basic " + b64encode(f"appkey:{SECRET}".encode()).decode()
        if seen.method == "GET":
            return Reply(200, {"cidlist": [f"appkey-{len(far_end.seen)}-{n}" for n in range(int(seen.query["count"]))]})
        cid = seen.json()["cid"]
        return Reply(200, {"sendno": "0", "msg_id": pushed.setdefault(cid, str(len(pushed) + 1))})

    far_end = Vendor(answer)
    try:
        made = gateway("jpush", far_end.url)
        assert made.caps.idempotency is Idempotency.KEY
        batch = [message(n, channel=Channel.PUSH, to=f"reg{n}") for n in range(12)]

        async def twice():
            results = [r async for r in made.send(batch)] + [r async for r in made.send(batch[:1])]
            await made.close()
            return results

        results = asyncio.run(twice())
        assert {result.outcome for result in results} == {Outcome.ACCEPTED}
        assert len(pushed) == 12  # the thirteenth request had the cid of the first
        gets = [seen for seen in far_end.seen if seen.method == "GET"]
        assert [seen.path for seen in gets] == ["/v3/push/cid?count=10", "/v3/push/cid?count=2"]
        body = next(seen.json() for seen in far_end.posts if seen.json()["audience"] == {"registration_id": ["reg1"]})
        ref = batch[1].ref
        extras = {"ref": ref, "link": "https://example.com/a"}
        text = batch[1].content.body
        assert body == {
            "cid": body["cid"],
            "platform": "all",
            "audience": {"registration_id": ["reg1"]},
            "notification": {
                "android": {"title": "回来", "alert": text, "extras": extras},
                "ios": {"alert": {"title": "回来", "body": text}, "sound": "default", "extras": extras},
            },
            "options": {"time_to_live": 3600, "apns_production": True, "apns_collapse_id": ref},
        }
        far_end.behave(far.reply(400, {"error": {"code": 1011, "message": "cannot find user"}}))
        assert send(gateway("jpush", far_end.url), batch[2])[0].cause is Cause.ADDRESS
        far_end.behave(far.reply(503), only=lambda seen: seen.method == "GET")
        before = len(far_end.posts)
        (result,) = send(gateway("jpush", far_end.url), batch[3])
        assert (result.outcome, result.cause, len(far_end.posts)) == (Outcome.NOT_SENT, Cause.CONNECT, before)
    finally:
        far_end.close()


def test_wecom_tells_employees_and_its_yes_is_enough():
    far_end = Vendor(lambda seen: Reply(200, {"errcode": 0, "errmsg": "ok"}))
    try:
        task = message(7, channel=Channel.TASK, text="Call back")
        (result,) = send(gateway("wecom", far_end.url), task)
        assert (result.outcome, result.provider_id) == (Outcome.ACCEPTED, task.ref)
        assert far_end.posts[0].path == f"/cgi-bin/webhook/send?key={SECRET}"
        assert far_end.posts[0].json() == {
            "msgtype": "text",
            "text": {"content": f"回来\nCall back\nuser-7 {task.ref}"},
        }
    finally:
        far_end.close()


def test_whatsapp_sends_and_its_webhook_is_read():
    far_end = Vendor(lambda seen: Reply(200, {"messages": [{"id": "wamid.1"}]}))
    try:
        made = gateway("whatsapp-json", far_end.url)
        (result,) = send(made, message(1))
        assert result.provider_id == "wamid.1"
        assert far_end.posts[0].json()["to"] == "8613900000001"
        assert far_end.posts[0].json()["biz_opaque_callback_data"] == message(1).ref
    finally:
        far_end.close()
    body = (PAYLOADS / "whatsapp.json").read_bytes()
    signature = "sha256=" + hmac.new(SECRET.encode(), body, "sha256").hexdigest()
    request = RawRequest("POST", "https://r.example.com/hooks/gate", {"x-hub-signature-256": signature}, body)
    events = made.read_events(request)
    assert [(e.event_id, e.ref, e.kind, e.detail) for e in events] == [
        ("wamid.1:read", "aa", ReceiptKind.OPENED, ""),
        ("wamid.2:failed", "bb", ReceiptKind.UNDELIVERED, "address:131026"),
        ("wamid.3:failed", "cc", ReceiptKind.OPTED_OUT, ""),
        ("wamid.5:reply", "", ReceiptKind.ANSWERED, "TD"),
        ("wamid.6:reply", "", ReceiptKind.ANSWERED, ""),
    ]
    assert events[3].address == Address(AddressKind.PHONE, "+8613900000001")
    assert events[0].at == 1_772_416_701 * SECOND
    for wrong in (body + b" ", body.replace(b"TD", b"TX")):
        with pytest.raises(WebhookRejected):
            made.read_events(replace(request, body=wrong))


# --- webhooks ------------------------------------------------------------------------------------------------


def test_receipts_and_replies_of_the_aggregator_are_read():
    made = gateway("cn-106", "https://sms.example.com")
    assert made.hook_answer == '{"code":0}'
    url = "https://r.example.com/hooks/gate?token=a-word"
    events = made.read_events(RawRequest("POST", url, {}, (PAYLOADS / "cn-106.json").read_bytes()))
    assert [(e.event_id, e.ref, e.kind, e.detail) for e in events[:-1]] == [
        ("m1:DELIVRD", "aa", ReceiptKind.DELIVERED, ""),
        ("m2:MK:0001", "bb", ReceiptKind.UNDELIVERED, "address:MK:0001"),
        ("m3:XX:0009", "cc", ReceiptKind.UNDELIVERED, "soft:XX:0009"),
        ("r1:reply", "", ReceiptKind.ANSWERED, "ＴＤ"),
    ]
    assert events[0].at == NOW - SECOND
    assert events[2].at == NOW
    assert events[-1].address == Address(AddressKind.PHONE, "+8613900000002")
    assert "139" not in repr(events)


def signed(body: bytes, *, at: int = NOW // SECOND, key: str = SECRET) -> RawRequest:
    made = hmac.new(key.encode(), body + b"." + str(at).encode(), "sha256").hexdigest()
    return RawRequest("POST", "https://r.example.com/hooks/gate", {"x-timestamp": str(at), "X-SIGNATURE": made}, body)


def test_a_signed_webhook_is_read_and_holds_five_minutes():
    made = gateway("plain-json", "https://x.example.com")
    body = json.dumps({"receipts": [{"ref": "aa", "id": "1", "status": "delivered", "at": "2026-03-02T01:59:00Z"}]})
    (event,) = made.read_events(signed(body.encode()))
    assert (event.ref, event.kind, event.at) == ("aa", ReceiptKind.DELIVERED, NOW - MINUTE)
    good = signed(body.encode())
    for wrong in (
        signed(body.encode(), at=NOW // SECOND - 301),
        signed(body.encode(), at=NOW // SECOND + 301),
        signed(body.encode(), key="another"),
        replace(good, body=good.body + b" "),
        replace(good, headers={**good.headers, "x-timestamp": str(NOW // SECOND - 1)}),
        replace(good, headers={**good.headers, "x-timestamp": "now"}),
        replace(good, headers={"x-timestamp": str(NOW // SECOND)}),
        replace(good, headers={}),
    ):
        with pytest.raises(WebhookRejected):
            made.read_events(wrong)


@pytest.mark.parametrize(
    "url",
    ["", "?token=", "?token=another", "?token=a-word&token=a-word", "?Token=a-word", "#token=a-word", "?token=%ff"],
)
def test_without_the_secret_nothing_is_believed(url: str):
    made = gateway("cn-106", "https://sms.example.com")
    with pytest.raises(WebhookRejected):
        made.read_events(RawRequest("POST", f"https://r.example.com/hooks/gate{url}", {}, b"{}"))


@pytest.mark.parametrize(
    "body",
    [b"", b"[", b"\xff", b"[" * 50_000, b'"text"', b"null", b"{}", b'{"reports": 5}', b'{"reports": [[1], null]}'],
)
def test_strange_bodies_of_the_vendor_do_no_harm(body: bytes):
    made = gateway("cn-106", "https://sms.example.com")
    with suppress(WebhookRejected):
        assert made.read_events(RawRequest("POST", "https://r/hooks/gate?token=a-word", {}, body)) == []


# --- a vendor of one's own -----------------------------------------------------------------------------------

OWN = """\
schema: recall.gateway/v1
id: own
title: A vendor of our own
source: its manual, page 3
channel: sms
account:
  base_url: {}
  key: {secret: true}
sign:
  sign: {recipe: hmac-sha1, over: fields, join: ["{{ account.key }}"], with: "&key=", key: "{{account.key}}",
         write: HEX}
request:
  url: "{{ account.base_url }}/batch"
  charset: gbk
  form:
    to: "{{ phones_national }}"
    msg: "{{ text }}"
    n: "{{ count }}"
    sign: "{{ sign }}"
batch: {size: 3, same_text: true}
answer:
  success: ok
  equals: ["true"]
  code: why
  items: {path: "list[]", phone: to, code: state, id: id}
  codes: {dead: address, full: throttled, broke: stop}
"""


@pytest.fixture
def own(tmp_path: Path):
    (tmp_path / "gateways").mkdir()
    (tmp_path / "gateways" / "own.yaml").write_text(OWN.replace('equals: ["true"]', 'equals: ["true", "0"]'))
    return tmp_path


def test_a_vendor_of_ones_own_is_a_file(own: Path):
    def answer(seen: Seen) -> Reply:
        form = dict(parse_qsl(seen.body.decode(), encoding="gbk"))
        text = "&".join(f"{name}={form[name]}" for name in sorted(form) if name != "sign") + f"&key={SECRET}"
        assert form["sign"] == hmac.new(SECRET.encode(), text.encode(), "sha1").hexdigest().upper()
        rows = []
        for n, to in enumerate(form["to"].split(",")):
            dead = to == DEAD[3:]
            rows.append({"to": f"86{to}", "state": "dead" if dead else "0", "id": f"{form['to'][:11]}-{n}"})
        return Reply(200, {"ok": True, "list": rows[:2]})  # the third is never spoken of

    far_end = Vendor(answer)
    try:
        batch = [message(1, text="same"), message(2, text="other"), message(3, text="same"), message(4, text="same")]
        batch[0] = replace(batch[0], address=Address(AddressKind.PHONE, DEAD))
        results = {r.ref: r for r in send(gateway("own", far_end.url, project=own, key=SECRET), *batch)}
        assert [results[each.ref].outcome for each in batch] == [
            Outcome.REFUSED,
            Outcome.ACCEPTED,
            Outcome.ACCEPTED,
            Outcome.IN_DOUBT,
        ]
        assert results[batch[0].ref].cause is Cause.ADDRESS
        assert len(far_end.posts) == 2
    finally:
        far_end.close()


def test_a_batch_refused_because_of_one_is_tried_one_by_one_once(own: Path):
    def answer(seen: Seen) -> Reply:
        to = dict(parse_qsl(seen.body.decode(), encoding="gbk"))["to"]
        if DEAD[3:] in to:
            return Reply(200, {"ok": False, "why": "dead"})
        return Reply(200, {"ok": True, "list": [{"to": each, "state": "0", "id": each[-3:]} for each in to.split(",")]})

    far_end = Vendor(answer)
    try:
        batch = [message(1, text="same"), message(2, text="same", to=DEAD), message(3, text="same")]
        results = {r.ref: r for r in send(gateway("own", far_end.url, project=own, key=SECRET), *batch)}
        assert [results[each.ref].outcome for each in batch] == [Outcome.ACCEPTED, Outcome.REFUSED, Outcome.ACCEPTED]
        assert len(far_end.posts) == 4
    finally:
        far_end.close()


@pytest.mark.parametrize(
    ("old", "new", "line", "word"),
    [
        ("channel: sms", "channel: fax", 5, "fax"),
        ("title: A vendor of our own", "titel: x", 3, "titel"),
        ("recipe: hmac-sha1", "recipe: rot13", 10, "rot13"),
        ('msg: "{{ text }}"', 'msg: "{{ password }}"', 16, "password"),
        ('msg: "{{ text }}"', 'msg: "{{ account.pin }}"', 16, "account.pin"),
        ('msg: "{{ text }}"', 'msg: "{{ text.__class__ }}"', 16, "account.name"),
        ('msg: "{{ text }}"', 'msg: "{% for a in text %}x{% endfor %}"', 16, "For"),
        ('msg: "{{ text }}"', 'msg: "{{ text * 99999999 }}"', 16, "Mul"),
        ('msg: "{{ text }}"', 'msg: "{{ text"', 16, "close every"),
        ('url: "{{ account.base_url }}/batch"', "url: http://sms.example.com", 12, "https"),
        ("codes: {dead: address", "codes: {dead: gone", 25, "gone"),
        ('path: "list[]"', 'path: "list["', 24, "path"),
        ("size: 3", "size: 5000", 19, "5000"),
        ("charset: gbk", "charset: gbk\n  json: '{}'", 11, "one body"),
        ("batch: {size: 3, same_text: true}", "batch: {size: 3}", 19, "each message"),
        ("channel: sms", "channel: sms\nhook: {receipts: {ref: r, status: s, statuses: {}}}", 6, "anybody"),
    ],
)
def test_a_mistake_in_a_profile_has_its_line_and_a_way_out(old: str, new: str, line: int, word: str):
    assert old in OWN
    with pytest.raises(BadFile) as told:
        read_profile(OWN.replace(old, new).encode(), "gateways/own.yaml")
    problems = told.value.problems
    assert any(word in f"{each.message} {each.hint}" and abs((each.line or 0) - line) <= 1 for each in problems), (
        problems
    )
    assert all(each.hint for each in problems)


@pytest.mark.parametrize("text", ['{"to": "{{ phone }}"}', '{"to": {{ phone }}', "{{ phone }}, {{ phone }}"])
def test_json_that_a_text_could_break_is_a_mistake(text: str):
    body = (
        OWN.split("request:")[0]
        + f"request:\n  url: https://x.example.com/\n  json: '{text}'\nanswer: {{no_id: true}}\n"
    )
    with pytest.raises(BadFile) as told:
        read_profile(body.encode(), "own.yaml")
    assert "JSON" in str(told.value)


def test_what_the_document_shows_is_a_profile():
    blocks = (Path(__file__).parents[2] / "docs" / "adding-a-gateway.md").read_text().split("```yaml\n")[1:]
    whole, hook, texts = (block.split("```")[0] for block in blocks)
    whole = whole.replace("account:", "account:\n  hook_token: {secret: true}", 1)
    profile = read_profile(f"{whole}{hook}{texts}".encode(), "docs").noun
    assert profile.hook is not None
    assert profile.texts.brand_first
    with pytest.raises(BadFile, match="the time is not signed"):
        read_profile(f"{whole}{hook}".replace('join: ["{{ timestamp }}"], ', "").encode(), "docs")


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_profile_is_without_a_mistake_and_says_where_it_comes_from(name: str):
    profile = find_profile(name, Path("/nowhere"))
    assert profile.id == name
    assert profile.source
    assert set(ACCOUNT) == set(SHIPPED)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"profile": "../../etc/passwd"},
        {"profile": "no-such"},
        {"profile": "cn-106"},
        {"profile": "cn-106", **ACCOUNT["cn-106"], "base_url": "http://sms.example.com"},
        {"profile": "cn-106", **ACCOUNT["cn-106"], "base_url": "https://sms.example.com", "colour": "red"},
        {"profile": "cn-106", **ACCOUNT["cn-106"], "base_url": "https://sms.example.com", "at_once": "many"},
    ],
)
def test_options_that_mean_nothing_are_a_mistake_at_the_door(options: dict[str, str]):
    with pytest.raises(Misconfigured) as told:
        open_provider("gate", Settings(provider_options={"gate": {"kind": "http_gateway", **options}}))
    assert SECRET not in str(told.value)


def test_secrets_are_not_shown(tmp_path: Path):
    (tmp_path / "password").write_text(SECRET)
    options = {
        "kind": "http_gateway",
        "profile": "cn-106",
        "user": "me",
        "hook_token": "t",
        "password_file": "password",
    }
    settings = Settings(project_dir=tmp_path, provider_options={"g": {**options, "base_url": "https://x.example.com"}})
    made = open_provider("g", settings)
    assert SECRET not in repr((made, vars(made)))
    assert made._account["password"] == SECRET
    assert made.caps.reconcile is Lookup.CALLBACK


def test_paths_walk_where_they_can():
    tree = {"a": [{"b": [1, 2]}, {"b": [3]}], "c": {"d.e": "x"}, "t": True, "n": None}
    assert all_at(tree, "a[].b[]") == [1, 2, 3]
    assert (text_at(tree, "a[0].b[1]"), text_at(tree, "t"), text_at(tree, "n")) == ("2", "true", "")
    assert (text_at(tree, "a[9].b"), text_at(tree, "a.b"), text_at(None, "a"), text_at(tree, "")) == ("", "", "", "")
    for wrong in ("a..b", ".a", "a[", "a[x]", "a.", "[]]"):
        with pytest.raises(ValueError, match="not a path"):
            parse_path(wrong)


def test_signatures_of_public_vectors():
    """RFC 1321, FIPS 180 and RFC 2202."""
    assert sign("md5", b"abc", b"", "hex") == "900150983cd24fb0d6963f7d28e17f72"
    assert sign("sha1", b"abc", b"", "HEX") == "A9993E364706816ABA3E25717850C26C9CD0D89D"
    assert sign("hmac-md5", b"what do ya want for nothing?", b"Jefe", "hex") == "750c783e6ab0b503eaa86e310a5db738"
    assert (
        sign("hmac-sha1", b"what do ya want for nothing?", b"Jefe", "hex") == "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
    )
    assert sign("basic", b"Aladdin:open sesame", b"", "hex") == "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
