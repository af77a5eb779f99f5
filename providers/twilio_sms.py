"""How does an SMS leave through Twilio, and what comes back?

One request per message; Twilio has no idempotency, so none is ever repeated. Our ref travels in the URL of the
status callback, which Twilio signs.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial

from journeys.words import AddressKind, Cause, Channel, Outcome, ReceiptKind
from providers.base import (
    Address,
    Capabilities,
    Check,
    InDoubt,
    Lookup,
    Outbound,
    Preflight,
    ProviderEvent,
    RawRequest,
    SendResult,
)
from providers.taxonomy import Says, classify_receipt
from providers.twilio_account import E164, VENDOR, Account, Options, options_from
from providers.twilio_lookup import AUTHORITATIVE_AFTER_SECONDS, PAGE_SIZE, evidence
from providers.twilio_webhooks import read_form, verified
from providers.wire import send_each
from recall.clock import SECOND, Clock
from recall.errors import WebhookRejected
from recall.settings import Settings

MAX_VALIDITY_SECONDS = 36_000  # Twilio's queue holds ten hours (2026-11)
MAX_TEXT = 2_000  # of a reply; ten segments

# Twilio's own words for stop, a message of one word (2026-11): from then on it answers 21610.
STOP_WORDS = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "END", "QUIT", "REVOKE", "OPTOUT", "CANCEL"})

# MessageStatus -> what it is to us. Those left out (queued, sending, sent …) tell nothing final.
_KINDS = {
    "delivered": ReceiptKind.DELIVERED,
    "partially_delivered": ReceiptKind.DELIVERED,
    "read": ReceiptKind.OPENED,
    "undelivered": ReceiptKind.UNDELIVERED,
    "failed": ReceiptKind.UNDELIVERED,
    "canceled": ReceiptKind.UNDELIVERED,
}
_PARTY = re.compile(r"\+?\d{3,16}|[A-Za-z0-9 _.&+-]{1,11}|[a-z]{2,12}:[^\x00-\x20]{1,60}", re.ASCII)  # or a name
_PATTERNS = {
    "AccountSid": re.compile(r"AC[0-9a-fA-F]{32}", re.ASCII),
    "MessageSid": re.compile(r"(SM|MM)[0-9a-fA-F]{32}", re.ASCII),
    "MessageStatus": re.compile(r"[a-z_]{1,30}", re.ASCII),
    "SmsStatus": re.compile(r"[a-z_]{1,30}", re.ASCII),
    "ErrorCode": re.compile(r"\d{1,6}", re.ASCII),
    "OptOutType": re.compile(r"[A-Z]{1,10}", re.ASCII),
    "From": _PARTY,
    "To": _PARTY,
    "Body": None,
}


def make(name: str, settings: Settings, clock: Clock, options: Mapping[str, str]) -> TwilioSms:
    return TwilioSms(Account(options_from(Options, settings, options, name=name), clock), name=name)


class TwilioSms:
    """SMS of one Twilio account."""

    hook_answer = '<?xml version="1.0" encoding="UTF-8"?><Response/>'  # to a reply: say nothing

    def __init__(self, account: Account, *, name: str = "twilio_sms") -> None:
        self.name = name
        self.account = account
        self.caps = Capabilities(
            reconcile=Lookup.LOOKUP,
            authoritative_after_seconds=AUTHORITATIVE_AFTER_SECONDS,
            validity=True,
            reports_delivery=True,
            per_second=account.options.per_second,
        )

    def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        account = self.account
        return send_each(batch, partial(self._send, set()), at_once=account.options.at_once, pulse=account.wire.pulse)

    async def _send(self, used: set[str], message: Outbound) -> SendResult:
        seconds = (message.not_after - self.account.clock.now()) // SECOND
        if seconds < 1:
            return SendResult(message.ref, Outcome.NOT_SENT, Cause.THROTTLED, code="window_over")
        fields = self._fields(message, validity=min(seconds, MAX_VALIDITY_SECONDS))
        return await self.account.post(message, partial(self.account.resources.messages.create_async, **fields), used)

    def _fields(self, message: Outbound, *, validity: int) -> dict[str, object]:
        sender = self.account.sender_of(message)
        fields: dict[str, object] = {
            "to": message.address.value,
            "messaging_service_sid" if sender.startswith("MG") else "from_": sender,
            "body": message.content.body,
            "validity_period": validity,
        }
        if "callback" in message.meta:
            fields["status_callback"] = message.meta["callback"]
        return fields

    async def reconcile(self, items: Sequence[InDoubt]) -> list[SendResult]:
        messages = self.account.resources.messages
        return await evidence(
            items, lambda number: messages.page_async(to=number, page_size=PAGE_SIZE), self.account.clock
        )

    def read_events(self, request: RawRequest) -> list[ProviderEvent]:
        """The status of one message (its ref is in the URL), or a reply."""
        told = verified(request, self.account.options.auth_token.get_secret_value())
        form = read_form(told, _PATTERNS)
        if form["AccountSid"] != self.account.options.account_sid:
            raise WebhookRejected("another account")
        if not form["MessageSid"] or not form["From"] or not form["To"]:
            raise WebhookRejected("not a message")
        if form["MessageStatus"]:
            return self._status(form)
        if "Body" not in told:
            raise WebhookRejected("not a reply")
        return self._reply(form)

    def _status(self, form: dict[str, str]) -> list[ProviderEvent]:
        """`failed` after `delivered` is another event: which one counts is not decided here."""
        status, sid, now = form["MessageStatus"], form["MessageSid"], self.account.clock.now()
        kind = _KINDS.get(status)
        if kind is None:
            return []
        if kind is not ReceiptKind.UNDELIVERED:
            return [ProviderEvent(f"{sid}:{status}", "", kind, now, channel=Channel.SMS)]
        verdict = classify_receipt(VENDOR, form["ErrorCode"])
        event = ProviderEvent(f"{sid}:{status}", "", kind, now, verdict.detail(), Channel.SMS)
        if verdict.says is Says.REFUSED and verdict.cause is Cause.OPTED_OUT:
            stop = ProviderEvent(f"{sid}:opted_out", "", ReceiptKind.OPTED_OUT, now, channel=Channel.SMS)
            return [event, stop]
        return [event]

    def _reply(self, form: dict[str, str]) -> list[ProviderEvent]:
        """What a person wrote. Twilio's own stop is told as such; other words are the policy's to judge."""
        if not E164.fullmatch(form["From"]):
            return []  # a short code or a name: nobody we write to
        said_stop = form["OptOutType"] == "STOP" or form["Body"].strip().upper() in STOP_WORDS
        return [
            ProviderEvent(
                f"{form['MessageSid']}:received",
                "",
                ReceiptKind.OPTED_OUT if said_stop else ReceiptKind.ANSWERED,
                self.account.clock.now(),
                form["Body"][:MAX_TEXT],
                Channel.SMS,
                Address(AddressKind.PHONE, form["From"]),
            )
        ]

    async def preflight(self) -> Preflight:
        checks = await self.account.checks(capability="sms")
        if not self.account.options.sender:
            checks.append(Check("sender", True, "none of its own: every route of a policy has to name one"))
        return Preflight(tuple(checks))

    async def close(self) -> None:
        await self.account.wire.close()

    def __repr__(self) -> str:
        return f"TwilioSms({self.name!r})"
