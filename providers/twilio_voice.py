"""How does a call leave through Twilio, what does the robot say, and how did the call end?

The text that passed the gate is spoken; it says who calls and which key stops these calls. A call without our own
address for the answer is not made: nobody could press that key. Twilio starts one call per second per account and
queues the rest for up to a day, with no way to say "not after": the route's `per_second` has to hold it back.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Literal

from pydantic import Field
from twilio.twiml.voice_response import VoiceResponse

from journeys.words import Cause, Channel, Outcome, ReceiptKind
from providers.base import (
    Capabilities,
    InDoubt,
    Lookup,
    Outbound,
    Preflight,
    ProviderEvent,
    RawRequest,
    SendResult,
)
from providers.speech import Answer, hints, meaning_of
from providers.twilio_account import Account, Options, options_from
from providers.twilio_lookup import AUTHORITATIVE_AFTER_SECONDS, PAGE_SIZE, evidence
from providers.twilio_webhooks import read_form, verified
from providers.wire import send_each
from recall.clock import Clock
from recall.errors import ChannelDown, WebhookRejected
from recall.settings import Settings

MAX_TWIML = 4_000  # characters of a call's own TwiML; longer ones are asked for at our address
SPEECH_SECONDS = 5  # how long we wait for a key or a word
_REMEMBERED = 10_000  # calls a machine took

# Our language -> what it is called by the voice, by the recogniser [both unverified for zh], and what is said last.
_LANGUAGES: dict[str, tuple[str, str]] = {"zh": ("cmn-CN", "cmn-Hans-CN"), "en": ("en-US", "en-US")}
_LAST_WORDS: dict[str, dict[Answer, str]] = {
    "zh": {
        Answer.INTERESTED: "好的,感谢您的关注,我们会尽快与您联系。再见。",
        Answer.DECLINED: "好的,打扰您了。再见。",
        Answer.OPT_OUT: "好的,我们不会再给您拨打此类电话。再见。",
        Answer.WRONG_PERSON: "抱歉打扰了,我们会更正记录。再见。",
        Answer.NO_INPUT: "感谢您的接听。再见。",
    },
    "en": {
        Answer.INTERESTED: "Thank you. We will be in touch. Goodbye.",
        Answer.DECLINED: "Thank you for your time. Goodbye.",
        Answer.OPT_OUT: "All right. We will not call you about this again. Goodbye.",
        Answer.WRONG_PERSON: "Sorry to have bothered you. We will correct our records. Goodbye.",
        Answer.NO_INPUT: "Thank you for listening. Goodbye.",
    },
}
# CallStatus of a call that nobody took -> its outcome.
_NOT_TAKEN = {"busy": "busy", "no-answer": "no_answer", "failed": "failed", "canceled": "failed"}
_WORD = re.compile(r"[a-z_-]{1,30}", re.ASCII)
_PATTERNS = {
    "AccountSid": re.compile(r"AC[0-9a-fA-F]{32}", re.ASCII),
    "CallSid": re.compile(r"CA[0-9a-fA-F]{32}", re.ASCII),
    "CallStatus": _WORD,
    "AnsweredBy": _WORD,
    "Digits": re.compile(r"[0-9*#]{1,20}", re.ASCII),
    "SpeechResult": None,
    "Confidence": re.compile(r"[0-9.eE+-]{1,30}", re.ASCII),
}


class VoiceOptions(Options):
    at_once: int = Field(8, ge=1, le=512)
    per_second: float | None = Field(1.0, gt=0)  # of the whole account, unless Twilio has raised it
    machine_detection: Literal["async", "sync", "off"] = "async"  # sync: silence of some seconds for people, too
    ring_seconds: int = Field(25, ge=5, le=600)  # 25 s: before most voicemails take over
    talk_seconds: int = Field(120, ge=10, le=14_400)  # then the call is cut


def make(name: str, settings: Settings, clock: Clock, options: Mapping[str, str]) -> TwilioVoice:
    read = options_from(VoiceOptions, settings, options, name=name)
    return TwilioVoice(Account(read, clock), read, name=name)


class TwilioVoice:
    """Robot calls of one Twilio account."""

    def __init__(self, account: Account, options: VoiceOptions, *, name: str = "twilio_voice") -> None:
        self.name = name
        self.account = account
        self.options = options
        self.caps = Capabilities(
            reconcile=Lookup.LOOKUP,
            authoritative_after_seconds=AUTHORITATIVE_AFTER_SECONDS,
            reports_delivery=True,
            per_second=options.per_second,
        )
        self._machines: OrderedDict[str, None] = OrderedDict()  # calls whose detection came back, in this process

    # --- out ---------------------------------------------------------------------------------------------------

    def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        return send_each(batch, partial(self._send, set()), at_once=self.options.at_once)

    async def _send(self, used: set[str], message: Outbound) -> SendResult:
        if message.not_after <= self.account.clock.now():
            return SendResult(message.ref, Outcome.NOT_SENT, Cause.THROTTLED, code="window_over")
        fields = self._fields(message)
        return await self.account.post(message, partial(self.account.resources.calls.create_async, **fields), used)

    def _fields(self, message: Outbound) -> dict[str, object]:
        voice, callback = message.meta.get("voice", ""), message.meta.get("callback", "")
        if not voice or not callback:
            raise ChannelDown("calls need RECALL_PUBLIC_URL and `recall serve`: nobody could press the key that stops")
        fields: dict[str, object] = {
            "to": message.address.value,
            "from_": self.account.sender_of(message),
            "status_callback": callback,
            "status_callback_event": ["completed"],  # comes for every end: busy, failed, no-answer too
            "timeout": self.options.ring_seconds,
            "time_limit": self.options.talk_seconds,
        }
        twiml = script(message.content.body, locale=message.content.locale, answer_url=f"{voice}/answer")
        # Only a TwiML that is asked for can be told by sync detection that a machine took the call.
        if len(twiml) <= MAX_TWIML and self.options.machine_detection != "sync":
            fields["twiml"] = twiml
        else:
            fields["url"] = voice
        if self.options.machine_detection != "off":
            fields["machine_detection"] = "Enable"
        if self.options.machine_detection == "async":
            fields |= {"async_amd": "true", "async_amd_status_callback": callback}
        return fields

    async def reconcile(self, items: Sequence[InDoubt]) -> list[SendResult]:
        calls = self.account.resources.calls
        return await evidence(
            items, lambda number: calls.page_async(to=number, page_size=PAGE_SIZE), self.account.clock
        )

    async def preflight(self) -> Preflight:
        return Preflight(tuple(await self.account.checks(capability="voice")))

    async def close(self) -> None:
        await self.account.wire.close()

    def __repr__(self) -> str:
        return f"TwilioVoice({self.name!r})"

    # --- during the call ---------------------------------------------------------------------------------------

    def greet(self, request: RawRequest, *, ref: str, text: str, locale: str, answer_url: str) -> str:
        """What to say when Twilio asks at our address; to a machine, nothing."""
        form = self._read(request)
        if _is_machine(form["AnsweredBy"]):
            return _hang_up()
        return script(text, locale=locale, answer_url=answer_url)

    def answer(self, request: RawRequest, *, ref: str, locale: str) -> tuple[str, list[ProviderEvent]]:
        """Last words, and what the key or the speech means. Silence on a machine is the machine's, not an answer."""
        form = self._read(request)
        sid = form["CallSid"]
        means = meaning_of(keys=form["Digits"], speech=form["SpeechResult"], confidence=form["Confidence"])
        if means is Answer.NO_INPUT and (sid in self._machines or _is_machine(form["AnsweredBy"])):
            return _hang_up(), [self._event(sid, "machine", ReceiptKind.UNDELIVERED, "machine", ref)]
        events = [self._event(sid, "answer", ReceiptKind.ANSWERED, means.value, ref)]
        if means is Answer.OPT_OUT:
            events.append(self._event(sid, "opted_out", ReceiptKind.OPTED_OUT, "", ref))
        return _hang_up(_LAST_WORDS[_language(locale)][means], locale), events

    # --- afterwards --------------------------------------------------------------------------------------------

    def read_events(self, request: RawRequest) -> list[ProviderEvent]:
        """How a call ended, or what machine detection found; the ref is in the URL."""
        form = self._read(request)
        sid, status = form["CallSid"], form["CallStatus"]
        if _is_machine(form["AnsweredBy"]):
            self._machines[sid] = None
            if len(self._machines) > _REMEMBERED:
                self._machines.popitem(last=False)
            return [self._event(sid, "machine", ReceiptKind.UNDELIVERED, "machine")]
        if status in _NOT_TAKEN:
            return [self._event(sid, status, ReceiptKind.UNDELIVERED, _NOT_TAKEN[status])]
        if status == "completed" and sid not in self._machines:
            return [self._event(sid, status, ReceiptKind.DELIVERED)]
        return []

    def _read(self, request: RawRequest) -> dict[str, str]:
        form = read_form(verified(request, self.account.options.auth_token.get_secret_value()), _PATTERNS)
        if form["AccountSid"] != self.account.options.account_sid:
            raise WebhookRejected("another account")
        if not form["CallSid"]:
            raise WebhookRejected("not a call")
        return form

    def _event(self, sid: str, what: str, kind: ReceiptKind, detail: str = "", ref: str = "") -> ProviderEvent:
        return ProviderEvent(f"{sid}:{what}", ref, kind, self.account.clock.now(), detail, Channel.CALL)


def script(text: str, *, locale: str, answer_url: str) -> str:
    """TwiML that says the text and waits for a key or a word; an empty answer is told too."""
    voice, recogniser = _LANGUAGES[_language(locale)]
    response = VoiceResponse()
    gather = response.gather(
        input="dtmf speech",
        num_digits=1,
        action=answer_url,
        method="POST",
        timeout=SPEECH_SECONDS,
        speech_timeout=2,  # "auto" needs a speech model that supports it
        action_on_empty_result=True,
        language=recogniser,
        hints=hints(_language(locale)),
        barge_in=True,
    )
    gather.say(text, language=voice)
    return str(response)


def _hang_up(words: str = "", locale: str = "") -> str:
    response = VoiceResponse()
    if words:
        response.say(words, language=_LANGUAGES[_language(locale)][0])
    response.hangup()
    return str(response)


def _language(locale: str) -> str:
    """ "zh" or "en"; a language we have no words for is spoken to in English."""
    short = locale.replace("_", "-").partition("-")[0].lower()
    return short if short in _LANGUAGES else "en"


def _is_machine(answered_by: str) -> bool:
    return answered_by.startswith("machine") or answered_by == "fax"
