"""Does every call leave once, say what it must, and end as what it was?"""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from urllib.parse import urlencode

import pytest

from journeys.words import Cause, Channel, Outcome, ReceiptKind
from providers.base import InDoubt, RawRequest
from providers.faults import Fail
from providers.registry import open_provider
from providers.speech import Answer, hints, meaning_of
from providers.twilio_voice import MAX_TWIML, TwilioVoice, make, script
from recall.clock import HOUR, MINUTE, SECOND, FixedClock
from recall.errors import ChannelDown, Misconfigured, WebhookRejected
from recall.settings import load
from tests.providers import vendor as far
from tests.providers.contract import ProviderContract, Rig
from tests.providers.twilio_far import (
    ACCOUNT,
    DEAD,
    NOW,
    SENDER,
    STOPPED,
    TOKEN,
    TwilioFar,
    error,
    payload,
    recut,
    signed,
)
from tests.providers.twilio_far import message as any_message

SID = "CA" + "0" * 30 + "c1"

# https://www.twilio.com/docs/voice/twiml/gather and /say: the builder takes any attribute without a word.
ATTRIBUTES = {
    "Gather": {
        "action", "actionOnEmptyResult", "bargeIn", "hints", "input", "language", "method", "numDigits",
        "speechTimeout", "timeout",
    },
    "Say": {"language"},
    "Hangup": set(),
    "Response": set(),
}  # fmt: skip


def message(n: int, **more):
    return any_message(n, channel=Channel.CALL, **more)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def twilio(clock: FixedClock):
    twilio = TwilioFar(clock)
    yield twilio
    twilio.vendor.close()


def open_voice(twilio: TwilioFar, **options: str) -> TwilioVoice:
    return make("twilio_voice", load(), twilio.clock, twilio.options(**options))


@pytest.fixture
def voice(twilio: TwilioFar) -> TwilioVoice:
    return open_voice(twilio)


def send(provider: TwilioVoice, *messages):
    async def all_of():
        try:
            return [result async for result in provider.send(messages)]
        finally:
            await provider.close()

    return asyncio.run(all_of())


def look_up(provider: TwilioVoice, *items: InDoubt) -> dict[str, Outcome]:
    async def ask():
        try:
            return {result.ref: result.outcome for result in await provider.reconcile(items)}
        finally:
            await provider.close()

    return asyncio.run(ask())


def parsed(twiml: str) -> ET.Element:
    """The document, all of whose attributes Twilio knows."""
    root = ET.fromstring(twiml)
    for element in root.iter():
        assert set(element.attrib) <= ATTRIBUTES[element.tag], element.tag
    return root


class TestTwilioVoiceKeepsTheContract(ProviderContract):
    @pytest.fixture
    def rig(self, clock: FixedClock, twilio: TwilioFar) -> Rig:
        return Rig(
            provider=open_voice(twilio),
            clock=clock,
            message=message,
            refused=lambda: message(901, to=DEAD),
            opted_out=lambda: message(902, to=STOPPED),
            break_it=twilio.break_it,
            accepted=twilio.accepted,
        )


# --- what leaves -------------------------------------------------------------------------------------------------


def test_the_request_field_by_field(twilio: TwilioFar, voice: TwilioVoice):
    sent = message(1)
    send(voice, sent)
    (seen,) = twilio.vendor.seen
    assert seen.path == f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
    callback = sent.meta["callback"]
    expected = script(sent.content.body, locale="zh-CN", answer_url=f"{sent.meta['voice']}/answer")
    assert seen.form == {
        "To": [sent.address.value],
        "From": [SENDER],
        "StatusCallback": [callback],
        "StatusCallbackEvent": ["completed"],
        "Timeout": ["25"],
        "TimeLimit": ["120"],
        "Twiml": [expected],
        "MachineDetection": ["Enable"],
        "AsyncAmd": ["true"],
        "AsyncAmdStatusCallback": [callback],
    }


def test_a_long_text_is_asked_for_at_our_address(twilio: TwilioFar, voice: TwilioVoice):
    sent = message(1, body="x" * MAX_TWIML)
    send(voice, sent)
    form = twilio.vendor.seen[0].form
    assert form["Url"] == [sent.meta["voice"]]
    assert "Twiml" not in form


@pytest.mark.parametrize(
    ("mode", "fields"),
    [
        ("off", set()),
        ("sync", {"MachineDetection", "Url"}),
        ("async", {"MachineDetection", "AsyncAmd", "AsyncAmdStatusCallback"}),
    ],
)
def test_machine_detection(twilio: TwilioFar, mode: str, fields: set[str]):
    send(open_voice(twilio, machine_detection=mode), message(1))
    form = twilio.vendor.seen[0].form
    assert form.keys() & {"MachineDetection", "AsyncAmd", "AsyncAmdStatusCallback", "Url"} == fields


@pytest.mark.parametrize("missing", ["voice", "callback"])
def test_no_call_without_a_key_that_stops(twilio: TwilioFar, voice: TwilioVoice, missing: str):
    meta = {name: url for name, url in message(1).meta.items() if name != missing}
    with pytest.raises(ChannelDown, match="PUBLIC_URL"):
        send(voice, message(1, meta=meta))
    assert twilio.vendor.seen == []


def test_nobody_is_called_when_the_window_is_over(twilio: TwilioFar, voice: TwilioVoice):
    (result,) = send(voice, message(1, not_after=NOW))
    assert (result.outcome, result.code) == (Outcome.NOT_SENT, "window_over")
    assert twilio.vendor.seen == []


@pytest.mark.parametrize(
    ("behaviour", "outcome", "cause"),
    [
        (far.taken(far.reset()), Outcome.IN_DOUBT, None),
        (far.taken(far.truncated()), Outcome.IN_DOUBT, None),
        (far.taken(far.without("sid")), Outcome.IN_DOUBT, None),
        (far.reply(500, error(20500, 500)), Outcome.IN_DOUBT, None),
        (far.throttle(7, error(20429, 429)), Outcome.NOT_SENT, Cause.THROTTLED),
        (far.reply(400, error(21217, 400)), Outcome.REFUSED, Cause.ADDRESS),
        (far.reply(400, error(21215, 400)), Outcome.REFUSED, None),
    ],
)
def test_each_fault_has_its_outcome_and_one_request(twilio: TwilioFar, voice: TwilioVoice, behaviour, outcome, cause):
    twilio.vendor.behave(behaviour)
    results = send(voice, *[message(n) for n in range(3)])
    assert {(result.outcome, result.cause) for result in results} == {(outcome, cause)}
    assert set(Counter(post.form["To"][0] for post in twilio.vendor.posts).values()) == {1}
    assert len(twilio.vendor.posts) == 3


def test_a_lost_call_is_found_by_number_and_time(twilio: TwilioFar, voice: TwilioVoice):
    sent = message(1)
    item = InDoubt(sent.ref, sent.channel, sent.address, sent.content.digest(), NOW)
    twilio.break_it(Fail.ACCEPT_THEN_LOSE)
    send(voice, sent)
    twilio.break_it(None)
    assert look_up(voice, item) == {sent.ref: Outcome.ACCEPTED}
    twilio.clock.instant += 2 * HOUR
    assert look_up(voice, replace(item, gate_at=NOW - 5 * MINUTE)) == {}
    assert look_up(voice, replace(item, gate_at=NOW - HOUR)) == {sent.ref: Outcome.NOT_SENT}
    assert look_up(voice, replace(item, gate_at=NOW - 31 * SECOND)) == {sent.ref: Outcome.ACCEPTED}


@pytest.mark.parametrize("wrong", [{"machine_detection": "maybe"}, {"ring_seconds": "1"}, {"talk_seconds": "x"}])
def test_options_that_mean_nothing_are_told(twilio: TwilioFar, wrong: dict[str, str]):
    with pytest.raises(Misconfigured):
        open_voice(twilio, **wrong)


def test_it_opens_by_name(twilio: TwilioFar):
    opened = open_provider("robot", load(provider_options={"robot": {"kind": "twilio_voice", **twilio.options()}}))
    assert isinstance(opened, TwilioVoice)
    assert (opened.name, opened.caps.per_second) == ("robot", 1.0)
    assert TOKEN not in repr(vars(opened))


# --- what is said --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "spoken", "heard"),
    [
        ("zh-CN", "cmn-CN", "cmn-Hans-CN"),
        ("zh", "cmn-CN", "cmn-Hans-CN"),
        ("zh_TW", "cmn-CN", "cmn-Hans-CN"),
        ("en", "en-US", "en-US"),
        ("", "en-US", "en-US"),
        ("fr-FR", "en-US", "en-US"),
    ],
)
def test_the_greeting_is_the_text_that_passed_the_gate(locale: str, spoken: str, heard: str):
    text = "您好,这里是 <示例> & 伙伴 的自动来电。按1了解,按9不再接听此类来电。"
    (gather,) = parsed(script(text, locale=locale, answer_url="https://h.example/voice/a?b=1&c=2"))
    (say,) = gather
    assert (say.text, say.get("language"), gather.get("language")) == (text, spoken, heard)
    assert gather.get("action") == "https://h.example/voice/a?b=1&c=2"
    assert (gather.get("input"), gather.get("numDigits"), gather.get("actionOnEmptyResult")) == (
        "dtmf speech", "1", "true"
    )  # fmt: skip
    assert gather.get("hints")


def request(name: str, **changes: str | None) -> RawRequest:
    return signed(payload(name, **changes))


def test_the_greeting_at_our_address_is_for_people(voice: TwilioVoice):
    asks = {"ref": "r1", "text": "hello", "locale": "en", "answer_url": "https://h.example/answer"}
    human = request("call_key", Digits=None, AnsweredBy="human")
    assert voice.greet(human, **asks) == script("hello", locale="en", answer_url="https://h.example/answer")
    assert [element.tag for element in parsed(voice.greet(request("call_detected"), **asks))] == ["Hangup"]


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"Digits": "1"}, "interested"),
        ({"Digits": "2"}, "declined"),
        ({"Digits": "3"}, "wrong_person"),
        ({"Digits": "9"}, "opt_out"),
        ({"Digits": "5"}, "no_input"),
        ({"Digits": None}, "no_input"),
        ({"Digits": None, "SpeechResult": "别再打了", "Confidence": "0.9"}, "opt_out"),
        ({"Digits": None, "SpeechResult": "yes please", "Confidence": "0.9"}, "interested"),
        ({"Digits": None, "SpeechResult": "stop calling me", "Confidence": "0.2"}, "no_input"),
        ({"Digits": "1", "SpeechResult": "stop", "Confidence": "0.9"}, "interested"),
    ],
)
@pytest.mark.parametrize("locale", ["zh-CN", "en"])
def test_an_answer_is_told_and_the_call_ends(voice: TwilioVoice, fields, outcome: str, locale: str):
    twiml, events = voice.answer(request("call_key", **fields), ref="r1", locale=locale)
    assert [element.tag for element in parsed(twiml)] == ["Say", "Hangup"]
    assert (events[0].kind, events[0].detail, events[0].ref) == (ReceiptKind.ANSWERED, outcome, "r1")
    assert events[0].event_id == f"{SID}:answer"
    stops = [event for event in events if event.kind is ReceiptKind.OPTED_OUT]
    assert [(stop.ref, stop.channel) for stop in stops] == ([("r1", Channel.CALL)] if outcome == "opt_out" else [])


def test_speech_is_never_kept(voice: TwilioVoice):
    _, events = voice.answer(request("call_speech", SpeechResult="I am Li Lei"), ref="r1", locale="en")
    assert "Li Lei" not in repr(events) + "".join(event.detail for event in events)


def test_silence_on_a_machine_is_the_machine(voice: TwilioVoice):
    """Else a voicemail would count as a person who answered."""
    (told,) = voice.read_events(request("call_detected"))
    twiml, (event,) = voice.answer(request("call_key", Digits=None), ref="r1", locale="en")
    assert (told.kind, told.detail) == (event.kind, event.detail) == (ReceiptKind.UNDELIVERED, "machine")
    assert told.event_id == event.event_id
    assert [element.tag for element in parsed(twiml)] == ["Hangup"]
    assert voice.read_events(request("call_completed")) == []
    _, events = voice.answer(request("call_key", Digits="9"), ref="r1", locale="en")
    assert events[0].detail == "opt_out"  # a key is a person's, whatever detection thought


@pytest.mark.parametrize(
    ("status", "kind", "detail"),
    [
        ("busy", ReceiptKind.UNDELIVERED, "busy"),
        ("no-answer", ReceiptKind.UNDELIVERED, "no_answer"),
        ("failed", ReceiptKind.UNDELIVERED, "failed"),
        ("canceled", ReceiptKind.UNDELIVERED, "failed"),
        ("completed", ReceiptKind.DELIVERED, ""),
        ("ringing", None, ""),
        ("in-progress", None, ""),
        ("queued", None, ""),
        ("a-new-one", None, ""),
    ],
)
def test_each_status(voice: TwilioVoice, status: str, kind: ReceiptKind | None, detail: str):
    events = voice.read_events(request("call_completed", CallStatus=status))
    assert [(event.kind, event.detail) for event in events] == ([(kind, detail)] if kind else [])
    assert all(event.ref == "" and event.address is None and event.channel is Channel.CALL for event in events)


@pytest.mark.parametrize(
    ("answered_by", "is_machine"),
    [("machine_start", True), ("machine_end_beep", True), ("fax", True), ("human", False), ("unknown", False)],
)
def test_who_took_the_call(voice: TwilioVoice, answered_by: str, is_machine: bool):
    events = voice.read_events(request("call_detected", AnsweredBy=answered_by))
    assert [(event.kind, event.detail) for event in events] == (
        [(ReceiptKind.UNDELIVERED, "machine")] if is_machine else []
    )
    done = voice.read_events(request("call_completed", AnsweredBy=answered_by))
    assert [event.kind for event in done] == [ReceiptKind.UNDELIVERED if is_machine else ReceiptKind.DELIVERED]


# --- is it Twilio? ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", ["greet", "answer", "read_events"])
def test_each_door_believes_only_twilio(voice: TwilioVoice, ask: str):
    more = {
        "greet": {"ref": "r", "text": "t", "locale": "en", "answer_url": "https://h.example"},
        "answer": {"ref": "r", "locale": "en"},
        "read_events": {},
    }[ask]
    door = getattr(voice, ask)
    good = request("call_key")
    door(good, **more)
    for bad in (
        replace(good, headers={}),
        replace(good, body=good.body.replace(b"Digits=9", b"Digits=1")),
        replace(good, url=good.url + "x"),
        signed(payload("call_key"), token="54321"),
        signed(payload("call_key", AccountSid="AC" + "9" * 32)),
        signed(payload("call_key", CallSid=None)),
        signed([*payload("call_key"), ("Digits", "1")]),
        RawRequest("POST", good.url, good.headers, b"[]"),
    ):
        with pytest.raises(WebhookRejected):
            door(bad, **more)


@pytest.mark.parametrize("name", ["call_key", "call_speech"])
def test_an_answer_that_was_cut_anew_says_nothing_new(voice: TwilioVoice, name: str):
    original = request(name)
    told = voice.answer(original, ref="r1", locale="en")
    signature = original.headers["X-Twilio-Signature"]
    cuts = [pairs for pairs in recut(payload(name)) if signed(pairs).headers["X-Twilio-Signature"] == signature]
    refused = 0
    for pairs in cuts:
        try:
            assert voice.answer(replace(original, body=urlencode(pairs).encode()), ref="r1", locale="en") == told
        except WebhookRejected:
            refused += 1
    assert refused >= 5


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("speech", "answer"),
    [
        ("好的,可以", Answer.INTERESTED),
        ("我 感兴趣", Answer.INTERESTED),
        ("不感兴趣,谢谢。", Answer.DECLINED),
        ("不需要", Answer.DECLINED),
        ("可以不要再打了吗", Answer.OPT_OUT),
        ("退订", Answer.OPT_OUT),
        ("你打错了", Answer.WRONG_PERSON),
        ("喂?", Answer.NO_INPUT),
        ("Yes!", Answer.INTERESTED),
        ("I'm interested", Answer.INTERESTED),
        ("No, not interested.", Answer.DECLINED),
        ("I don’t want this", Answer.DECLINED),
        ("yes but stop calling", Answer.OPT_OUT),
        ("please take me off your list", Answer.OPT_OUT),
        ("you have the wrong number", Answer.WRONG_PERSON),
        ("I know nothing", Answer.NO_INPUT),
        ("nonstop", Answer.NO_INPUT),
        ("", Answer.NO_INPUT),
        ("   ", Answer.NO_INPUT),
    ],
)
def test_words(speech: str, answer: Answer):
    assert meaning_of(speech=speech, confidence="0.9") is answer


@pytest.mark.parametrize("confidence", ["", "0", "0.49", "nan", "-1", "high", "inf"])
def test_what_was_hardly_heard_is_no_answer(confidence: str):
    assert meaning_of(speech="stop", confidence=confidence) is Answer.NO_INPUT


def test_hints_fit_what_twilio_takes():
    for language in ("zh", "en"):
        phrases = hints(language).split(",")
        assert 10 <= len(phrases) <= 50
        assert all(len(phrase) <= 100 for phrase in phrases)
