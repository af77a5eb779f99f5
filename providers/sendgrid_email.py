"""How does e-mail leave through SendGrid, and what comes back?

Up to 1000 people share one request (plain dicts: 7 times faster than the SDK's objects). SendGrid has no
idempotency, so no request is ever repeated; our ref travels in `custom_args` and comes back with every event.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parseaddr
from functools import partial

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from journeys.words import NO_TURN, AddressKind, Cause, Outcome
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
from providers.groups import Tell, Turn, in_parts, send_groups
from providers.keys import options_from
from providers.masking import excerpt
from providers.sendgrid_events import read_events
from providers.sendgrid_letters import MAX_RECIPIENTS, Look, groups_of, shape
from providers.taxonomy import classify
from providers.wire import Answer, NoAnswer, Wire, base_url
from recall.clock import DAY, SECOND, Clock, Instant
from recall.errors import ChannelDown
from recall.settings import Settings

VENDOR = "sendgrid"
MAX_CALLS = 4  # requests one ref may be part of: 1000, then tenths, hundredths, alone
ABSENT_AFTER_SECONDS = 24 * 3600  # Email Activity lags; a day later absence means not sent
MAX_LOOKUPS = 100  # of one pass; the next pass asks about the others
_ENTRY = re.compile(r"personalizations[.\[](\d{1,4})\]?(?:[.\[]|$)(.*)", re.ASCII)
_OURS = ("from", "reply_to", "asm", "tracking_settings", "mail_settings", "categories", "ip_pool_name")


class Options(BaseModel):
    """The texts under the provider's name in `provider_options`; `api_key_file` may name a file instead of the key."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    api_key: SecretStr = Field(min_length=1)
    sender: str = ""  # for messages that name none: `a@b.com` or `Name <a@b.com>`
    reply_to: str = ""
    base_url: str = "https://api.sendgrid.com"  # https://api.eu.sendgrid.com for accounts in the EU
    webhook_key: str = ""  # the verification key of the signed event webhook
    asm_group_id: int | None = Field(None, ge=1)  # unsubscribe group
    ip_pool: str = ""
    activity: bool = False  # the account has the Email Activity add-on, so doubts can be looked up
    sandbox: bool = False  # SendGrid checks everything and delivers nothing
    track_opens: bool = True  # an invisible picture in HTML
    track_clicks: bool = False  # rewrites links: what is read is then not what was recorded
    at_once: int = Field(8, ge=1, le=64)  # requests under way at the same time
    per_second: float | None = Field(None, gt=0)


def make(name: str, settings: Settings, clock: Clock, options: Mapping[str, str]) -> SendgridEmail:
    """Open one SendGrid account."""
    return SendgridEmail(options_from(Options, options, settings, secrets=("api_key",), name=name), clock, name=name)


@dataclass(frozen=True, slots=True)
class Suppressed:
    """One address SendGrid itself will not write to."""

    address: Address
    reason: str  # bounced | opted_out | complained
    at: Instant | None = None


# What SendGrid calls a list -> why an address is on it.
LISTS = {"bounces": "bounced", "unsubscribes": "opted_out", "spam_reports": "complained"}


class SendgridEmail:
    """E-mail of one SendGrid account."""

    def __init__(self, options: Options, clock: Clock, *, name: str = "sendgrid_email") -> None:
        self.name = name
        self.options = options
        self._clock = clock
        self._url = base_url(options.base_url)
        self._wire = Wire(at_once=options.at_once)
        self._look = Look(
            reply_to=options.reply_to,
            asm_group_id=options.asm_group_id,
            ip_pool=options.ip_pool,
            sandbox=options.sandbox,
            track_opens=options.track_opens,
            track_clicks=options.track_clicks,
        )
        self.caps = Capabilities(
            max_batch=MAX_RECIPIENTS,
            reconcile=Lookup.LOOKUP if options.activity else Lookup.CALLBACK,
            authoritative_after_seconds=ABSENT_AFTER_SECONDS if options.activity else None,
            reports_delivery=True,
            reports_open=options.track_opens,
            per_second=options.per_second,
        )

    # --- out ------------------------------------------------------------------------------------------

    async def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        """As few requests as the texts allow; who cannot have an address is refused without asking."""
        good: list[Outbound] = []
        for message in batch:
            if is_address(message.address.value):
                good.append(message)
            else:
                yield SendResult(message.ref, Outcome.REFUSED, Cause.ADDRESS, code="syntax")
        deliver = partial(self._deliver, Turn(), MAX_CALLS)
        async for result in send_groups(
            list(groups_of(good)), deliver, at_once=self.options.at_once, pulse=self._wire.pulse
        ):
            yield result

    async def _deliver(self, turn: Turn, calls: int, group: Sequence[Outbound], tell: Tell) -> None:
        """One request; what SendGrid does not like in it is taken out and the rest asked for again, as new requests.

        Only a 400 leads to another request: it says that nothing of this one was accepted.
        """
        if turn.is_over():
            code = NO_TURN if calls == MAX_CALLS else "no_time"  # the latter were part of a request before
            _tell_all(group, tell, SendResult("", Outcome.NOT_SENT, Cause.THROTTLED, code=code))
            return
        answer = await self._post(group)
        if answer.status != 400:
            self._judge(answer, group, tell)
            return
        complaint = complaint_of(answer, len(group))
        if complaint.is_ours:
            raise ChannelDown(f"SendGrid does not accept our settings: {complaint.is_ours} (400)")
        if complaint.is_content or (len(group) == 1 and not complaint.entries):
            cause = Cause.CONTENT if complaint.is_content else None
            for each in group:
                tell(self._refusal(each, cause, answer))
            return
        for number, cause in complaint.entries.items():
            tell(self._refusal(group[number], cause, answer))
        rest = [message for number, message in enumerate(group) if number not in complaint.entries]
        await self._again(turn, calls - 1, rest, tell, is_named=bool(complaint.entries), answer=answer)

    async def _again(
        self, turn: Turn, calls: int, rest: Sequence[Outbound], tell: Tell, *, is_named: bool, answer: Answer
    ) -> None:
        if calls == 0:
            for message in rest:  # one of these few spoils the others and SendGrid does not say which
                tell(self._refusal(message, None, answer))
        elif rest:
            size = len(rest) if is_named and calls == MAX_CALLS - 1 else -(-len(rest) // 10)
            parts = [rest[start : start + size] for start in range(0, len(rest), size)]
            await in_parts(parts, partial(self._deliver, turn, calls), tell)

    async def _post(self, group: Sequence[Outbound]) -> Answer:
        name, address = parseaddr(group[0].sender or self.options.sender)
        if not is_address(address):
            raise ChannelDown("no sender: name one in the policy's route or as the provider's option `sender`")
        body = json.dumps(self._look.request(shape(group), group, name=name, sender=address)).encode()
        headers = {**self._key(), "Content-Type": "application/json"}
        return await self._wire.ask("POST", f"{self._url}/v3/mail/send", headers=headers, body=body)

    def _key(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.options.api_key.get_secret_value()}"}

    def _judge(self, answer: Answer, group: Sequence[Outbound], tell: Tell) -> None:
        """Everything but a 400 holds for the whole request."""
        provider_id = answer.headers.get("X-Message-Id", "")[:200]
        if answer.status == 202 and provider_id:
            _tell_all(group, tell, SendResult("", Outcome.ACCEPTED, provider_id=provider_id))
        elif answer.status == 200 and self.options.sandbox:
            _tell_all(group, tell, SendResult("", Outcome.ACCEPTED, provider_id=provider_id or "sandbox"))
        elif answer.is_success:
            _tell_all(group, tell, SendResult("", Outcome.IN_DOUBT, code="no_id"))
        else:
            pause = self._pause(answer)
            _tell_all(group, tell, classify(VENDOR, answer.status).result("", retry_after_seconds=pause))

    def _pause(self, answer: Answer) -> float | None:
        """`X-RateLimit-Reset` is a time in Unix seconds."""
        now = self._clock.now()
        reset = answer.headers.get("X-RateLimit-Reset", "")
        if re.fullmatch(r"\d{1,12}", reset, re.ASCII):
            return min(max(int(reset) - now / SECOND, 0.0), 3600.0)
        return answer.retry_after_seconds(now)

    def _refusal(self, message: Outbound, cause: Cause | None, answer: Answer) -> SendResult:
        said = excerpt(answer.text(), (message.address.value, message.content.body, message.content.title))
        return SendResult(message.ref, Outcome.REFUSED, cause, code="400", excerpt=said if cause else "")

    # --- evidence -------------------------------------------------------------------------------------

    async def reconcile(self, items: Sequence[InDoubt]) -> list[SendResult]:
        """By Email Activity (paid); without it only events tell. [U] the form of the query on `unique_args`."""
        found: list[SendResult] = []
        if not self.options.activity:
            return found
        old = self._clock.now() - ABSENT_AFTER_SECONDS * SECOND
        for item in sorted(items, key=lambda item: item.gate_at)[:MAX_LOOKUPS]:
            if not re.fullmatch(r"[0-9a-zA-Z_-]{1,64}", item.ref, re.ASCII):
                continue
            query = f"/v3/messages?limit=2&query=unique_args%5B%27ref%27%5D%3D%22{item.ref}%22"
            messages = await self._list(query, key="messages")
            if messages is None:
                break  # no answer, or too fast (6 a minute without more rights): the next pass goes on
            ids = [str(each.get("msg_id", ""))[:200] for each in messages]
            if ids:
                found.append(SendResult(item.ref, Outcome.ACCEPTED, provider_id=ids[0]))
            elif item.gate_at <= old:
                found.append(SendResult(item.ref, Outcome.NOT_SENT, Cause.CONNECT, code="not_in_activity"))
        return found

    async def _list(self, path: str, *, key: str = "") -> list[dict[str, object]] | None:
        """The objects of a list SendGrid answers (under `key`); None for any other answer."""
        try:
            answer = await self._wire.ask("GET", f"{self._url}{path}", headers=self._key())
        except NoAnswer:
            return None
        try:
            read = json.loads(answer.body) if answer.status == 200 else None
        except (ValueError, RecursionError):
            return None
        listed = read.get(key) if key and isinstance(read, dict) else read
        return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else None

    async def pull_suppressions(self, *, page: int = 500, since: Instant | None = None) -> AsyncIterator[Suppressed]:
        """Bounces, unsubscribes and spam reports SendGrid keeps; raises ChannelDown if it does not hand them out."""
        start = f"&start_time={since // SECOND}" if since is not None else ""
        for name, reason in LISTS.items():
            offset = 0
            while True:
                rows = await self._list(f"/v3/suppression/{name}?limit={page}&offset={offset}{start}")
                if rows is None:
                    raise ChannelDown(f"SendGrid does not hand out its list of {name}; allow the key to read it")
                for row in rows:
                    suppressed = _suppressed(row, reason)
                    if suppressed is not None:
                        yield suppressed
                if len(rows) < page:
                    break
                offset += page

    # --- in -------------------------------------------------------------------------------------------

    def read_events(self, request: RawRequest) -> list[ProviderEvent]:
        """The events SendGrid signed."""
        return read_events(request, key=self.options.webhook_key, now=self._clock.now())

    async def preflight(self) -> Preflight:
        checks = [await self._check_key()]
        if checks[0].ok:
            checks.append(await self._check_lists())
        sender = parseaddr(self.options.sender)[1]
        named = "named" if is_address(sender) else "none of its own: every route of a policy has to name one"
        checks.append(Check("sender", not self.options.sender or is_address(sender), named))
        signed = bool(self.options.webhook_key)
        todo = (
            "set the option webhook_key (Settings, Mail Settings, Signed Event Webhook): until then no event is taken"
        )
        checks.append(Check("webhook", signed, "events are verified" if signed else todo))
        if self.options.sandbox:
            checks.append(Check("sandbox", True, "SANDBOX: everything is accepted and nothing delivered"))
        return Preflight(tuple(checks))

    async def _check_key(self) -> Check:
        try:
            answer = await self._wire.ask("GET", f"{self._url}/v3/scopes", headers=self._key())
        except NoAnswer as failure:
            return Check("key", False, f"no usable answer from SendGrid: {failure.code}")
        if not answer.is_success:
            return Check("key", False, f"SendGrid says no: {classify(VENDOR, answer.status).complaint()}")
        scopes = answer.json().get("scopes")
        able = isinstance(scopes, list) and "mail.send" in scopes
        return Check("key", able, "may send" if able else "the key may not send: give it the scope mail.send")

    async def _check_lists(self) -> Check:
        rows = [await self._list(f"/v3/suppression/{name}?limit=1") for name in LISTS]
        able = None not in rows
        text = "suppression lists can be read" if able else "let the key read suppressions (scope suppression.read)"
        return Check("suppressions", able, text)

    async def close(self) -> None:
        await self._wire.close()

    def __repr__(self) -> str:
        return f"SendgridEmail({self.name!r})"


def _tell_all(group: Sequence[Outbound], tell: Tell, result: SendResult) -> None:
    for each in group:
        tell(
            SendResult(
                each.ref,
                result.outcome,
                result.cause,
                result.provider_id,
                result.code,
                result.retry_after_seconds,
            )
        )


def _suppressed(row: Mapping[str, object], reason: str) -> Suppressed | None:
    value, created = row.get("email"), row.get("created")
    if not isinstance(value, str) or not is_address(value):
        return None
    at = created * SECOND if isinstance(created, int) and 0 < created * SECOND < 100_000 * DAY else None
    return Suppressed(Address(AddressKind.EMAIL, value.strip().lower()), reason, at)


# --- what a 400 complains about -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Complaint:
    """Whom a 400 is about."""

    entries: dict[int, Cause | None] = field(default_factory=dict)  # number in the request -> why
    is_content: bool = False  # the text, so everybody
    is_ours: str = ""  # a setting of ours, by the name of its field


def complaint_of(answer: Answer, size: int) -> Complaint:
    """SendGrid names fields such as `personalizations.3.to.0.email`; [U] that it names every wrong one at once."""
    errors = answer.json().get("errors")
    entries: dict[int, Cause | None] = {}
    fields: list[str] = []
    for error in errors if isinstance(errors, list) else []:
        named = error.get("field") if isinstance(error, dict) else None
        found = _ENTRY.match(named) if isinstance(named, str) else None
        if found and int(found[1]) < size:
            entries[int(found[1])] = Cause.ADDRESS if found[2].startswith("to") else None
        elif isinstance(named, str):
            fields.append(named)
    if entries:
        return Complaint(entries)
    ours = next((name for name in _OURS for each in fields if each.split(".")[0] == name), "")
    content = any(each.split(".")[0] in ("content", "subject") for each in fields)
    return Complaint(is_content=content and not ours, is_ours=ours)


_LOCAL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}", re.ASCII)
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{1,62}", re.ASCII)


def is_address(value: str) -> bool:
    """Can SendGrid take this at all? It takes no letters beyond ASCII before the @ (2026-11)."""
    local, at, domain = value.rpartition("@")
    if (
        not at
        or len(value) > 254
        or not _LOCAL.fullmatch(local)
        or ".." in local
        or local[0] == "."
        or local[-1] == "."
    ):
        return False
    return _DOMAIN.fullmatch(domain) is not None
