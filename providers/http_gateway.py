"""How does a message leave through a vendor that is described in a file? See `providers.gateway_profile`.

For what China, JPush, WeCom, WhatsApp and the many small HTTP vendors have in common. Nothing is repeated; what an
answer means, the profile says, and what it does not say is in doubt.
"""

from __future__ import annotations

import json
import re
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import timedelta, timezone
from functools import partial
from typing import Any
from urllib.parse import quote_plus

from journeys.words import AddressKind, Cause, Outcome
from providers.base import (
    Capabilities,
    Check,
    Idempotency,
    InDoubt,
    Lookup,
    Outbound,
    Preflight,
    ProviderEvent,
    RawRequest,
    SendResult,
)
from providers.gateway_profile import Items, Meaning, Profile, Signature, find_profile
from providers.gateway_webhooks import read_hook
from providers.gateway_words import Part, Raw, Written, all_at, sign, sorted_fields, text_at
from providers.groups import Tell, in_parts, send_groups
from providers.keys import with_secrets
from providers.masking import code_of, excerpt
from providers.taxonomy import Says, classify
from providers.wire import Answer, NoAnswer, Wire, base_url
from recall.clock import SECOND, Clock, to_datetime
from recall.errors import ChannelDown, Misconfigured, WebhookRejected
from recall.settings import Settings

_CHINA = timezone(timedelta(hours=8))  # vendors there write 20260302100000 and mean Beijing
_BRAND = re.compile(r"【[^【】]{1,30}】")
_OWN = ("profile", "sender", "at_once")  # options that are not of the account
MAX_KEPT_TICKETS = 20_000

_CAUSES = {"address": Cause.ADDRESS, "opted_out": Cause.OPTED_OUT, "content": Cause.CONTENT, "refused": None}


def make(name: str, settings: Settings, clock: Clock, options: Mapping[str, str]) -> HttpGateway:
    """Open a vendor: the option `profile` names its file; the others are the values of its account."""
    if "profile" not in options:
        raise Misconfigured(f"provider {name}: say which vendor by the option profile, such as cn-106")
    profile = find_profile(options["profile"], settings.project_dir)
    read = with_secrets(options, profile.secrets, settings, name=name)
    account = Part((key, value.default) for key, value in profile.account.items() if value.default is not None)
    for key, value in read.items():
        if key not in _OWN:
            if key not in profile.account:
                raise Misconfigured(f"provider {name}: {profile.id} has no option {key}; see its profile")
            account[key] = value
    missing = sorted(key for key in profile.account if not account.get(key))
    if missing:
        raise Misconfigured(f"provider {name}: {profile.id} also needs the options {', '.join(missing)}")
    try:
        at_once = min(max(int(read.get("at_once", "32")), 1), 512)
    except ValueError:
        raise Misconfigured(f"provider {name}: at_once is a number, such as 32") from None
    return HttpGateway(profile, account, clock, name=name, sender=read.get("sender", ""), at_once=at_once)


class HttpGateway:
    """One account of a vendor that a profile describes."""

    def __init__(
        self,
        profile: Profile,
        account: Part,
        clock: Clock,
        *,
        name: str = "http_gateway",
        sender: str = "",
        at_once: int = 32,
    ) -> None:
        self.name = name
        self.profile = profile
        self.hook_answer = profile.hook.answer if profile.hook else ""
        self._account = account
        self._sender = sender
        self._clock = clock
        self._wire = Wire(at_once=at_once)
        self._at_once = at_once
        self._tickets: OrderedDict[str, str] = OrderedDict()  # by ref: a second request of a ref has the same key
        self._compiled: dict[tuple[str, bool], Written] = {}
        base_url(self._fill(profile.request.url, self._values([_SAMPLE])).partition("?")[0])
        self.caps = Capabilities(
            max_batch=profile.batch.size,
            idempotency=Idempotency(profile.idempotency),
            reconcile=Lookup.CALLBACK if profile.hook and profile.hook.receipts else Lookup.NONE,
            validity=profile.validity,
            reports_delivery=bool(profile.hook and profile.hook.receipts),
            reports_open=bool(
                profile.hook and profile.hook.receipts and "opened" in profile.hook.receipts.statuses.values()
            ),
            per_second=float(profile.per_second) if profile.per_second else None,
        )

    # --- out ------------------------------------------------------------------------------------------

    async def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        """Requests of as many messages as the vendor takes; texts it does not allow are refused here."""
        good: list[Outbound] = []
        for message in batch:
            problem = text_problem(self.profile, message.content.body)
            if problem:
                yield SendResult(message.ref, Outcome.REFUSED, Cause.CONTENT, code=problem)
            else:
                good.append(message)
        try:
            await self._fetch_tickets(good)
        except NoAnswer as failure:
            for message in good:
                yield SendResult(message.ref, Outcome.NOT_SENT, Cause.CONNECT, code=f"ticket: {failure.code}")
            return
        groups = list(self._groups(good))
        async for result in send_groups(
            groups, partial(self._deliver, True), at_once=self._at_once, pulse=self._wire.pulse
        ):
            yield result

    def _groups(self, batch: Sequence[Outbound]) -> Iterator[list[Outbound]]:
        alike: dict[tuple[str, ...], list[Outbound]] = {}
        for message in batch:
            same = (message.sender, message.content.digest()) if self.profile.batch.same_text else ()
            alike.setdefault(same, []).append(message)
        size = self.profile.batch.size
        for group in alike.values():
            yield from (group[start : start + size] for start in range(0, len(group), size))

    async def _fetch_tickets(self, batch: Sequence[Outbound]) -> None:
        tickets = self.profile.request.tickets
        wanted = [message.ref for message in batch if message.ref not in self._tickets] if tickets else []
        while wanted and tickets is not None:
            values = {**self._values(batch[:1]), "count": min(len(wanted), tickets.most)}
            values |= self._signatures(values, {}, b"")
            url = self._fill(tickets.url, values)
            answer = await self._wire.ask("GET", url, headers=self._headers(values, with_type=False))
            verdict = classify("gateway", answer.status)
            if verdict.says is Says.STOP:
                raise ChannelDown(f"{self.profile.id}: {verdict.complaint()}")
            given = [each for each in all_at(_json(answer), tickets.list) if isinstance(each, str) and each]
            if not given:
                raise NoAnswer(Outcome.NOT_SENT, f"{answer.status}", Cause.CONNECT)
            for ref, ticket in zip(wanted, given, strict=False):
                self._tickets[ref] = ticket[:200]
            wanted = wanted[len(given) :]
        while len(self._tickets) > MAX_KEPT_TICKETS:
            self._tickets.popitem(last=False)

    async def _deliver(self, may_part: bool, group: Sequence[Outbound], tell: Tell) -> None:
        request = self.profile.request
        values = self._values(group)
        fields, body = self._body(values, group)
        values |= self._signatures(values, fields, body)
        fields, body = self._body(values, group)
        answer = await self._wire.ask(
            request.method, self._fill(request.url, values), headers=self._headers(values), body=body
        )
        if not self._judge(answer, group, tell, may_part=may_part):
            await in_parts([[message] for message in group], partial(self._deliver, False), tell)

    def _headers(self, values: Mapping[str, object], *, with_type: bool = True) -> dict[str, str]:
        request = self.profile.request
        kind = "application/json" if request.json_ is not None else "application/x-www-form-urlencoded"
        made = {"Content-Type": f"{kind}; charset={request.charset}"} if with_type else {}
        for name, source in request.headers.items():
            text = self._fill(source, values)
            if not text.isprintable() or not text.isascii():
                raise ChannelDown(f"{self.profile.id}: the header {name} would hold what no header may hold")
            made[name] = text
        return made

    def _body(self, values: Mapping[str, object], group: Sequence[Outbound]) -> tuple[dict[str, str], bytes]:
        """The form's fields, if it is a form, and the bytes; signatures not known yet are empty."""
        request = self.profile.request
        known = {**dict.fromkeys(self.profile.sign, ""), **values}
        if request.item is not None:
            each = [self._fill(request.item, {**known, **self._of(one)}, as_json=True) for one in group]
            known["items"] = Raw(",".join(each))
        if request.json_ is not None:
            return {}, self._fill(request.json_, known, as_json=True).encode(request.charset, "replace")
        fields = {name: self._fill(source, known) for name, source in (request.form or {}).items()}
        pairs = (
            f"{quote_plus(n)}={quote_plus(v, encoding=request.charset, errors='replace')}" for n, v in fields.items()
        )
        return fields, "&".join(pairs).encode("ascii")

    def _signatures(self, values: Mapping[str, object], fields: Mapping[str, str], body: bytes) -> dict[str, object]:
        made: dict[str, object] = {}
        for name, recipe in self.profile.sign.items():
            others = {field: value for field, value in fields.items() if name not in self._names_of_field(field)}
            made[name] = self._sign(recipe, {**values, **made}, others, body)
        return made

    def _names_of_field(self, field: str) -> set[str]:
        return Written.names_in((self.profile.request.form or {})[field])

    def _sign(self, how: Signature, values: Mapping[str, object], fields: Mapping[str, str], body: bytes) -> str:
        parts = [self._fill(source, values).encode() for source in how.join]
        if how.over == "fields":
            parts.insert(0, sorted_fields(fields).encode())
        elif how.over == "body":
            parts.insert(0, body)
        data = self._fill(how.with_, values).encode().join(parts)
        return sign(how.recipe, data, self._fill(how.key, values).encode(), how.write)

    def _fill(self, source: str, values: Mapping[str, object], *, as_json: bool = False) -> str:
        key = (source, as_json)
        if key not in self._compiled:
            self._compiled[key] = Written(source, as_json=as_json)
        return self._compiled[key].render(values)

    def _values(self, group: Sequence[Outbound]) -> dict[str, object]:
        """What templates may use: the first message, all numbers, the time, the account."""
        now = self._clock.now()
        first = group[0]
        left = max((first.not_after - now) // SECOND, 0)
        phones = [message.address.value for message in group]
        return {
            **self._of(first),
            "phones": ",".join(phones),
            "phones_national": ",".join(map(national, phones)),
            "items": Raw(""),
            "count": len(group),
            "now": now // SECOND,
            "now_ms": now // 1000,
            "now_text": to_datetime(now).astimezone(_CHINA).strftime("%Y%m%d%H%M%S"),
            "ttl_seconds": left,
            "expires": now // SECOND + left,
            "account": self._account,
        }

    def _of(self, message: Outbound) -> dict[str, object]:
        content, value = message.content, message.address.value
        is_phone = message.address.kind is AddressKind.PHONE
        return {
            "ref": message.ref,
            "ref_uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, message.ref)),
            "address": value,
            "phone": value if is_phone else "",
            "phone_digits": value.removeprefix("+") if is_phone else "",
            "phone_national": national(value) if is_phone else "",
            "user": message.user,
            "title": content.title,
            "text": content.body,
            "html": content.html,
            "link": content.link,
            "locale": content.locale,
            "sender": message.sender or self._sender,
            "callback": message.meta.get("callback", ""),
            "journey": message.meta.get("journey", ""),
            "step": message.meta.get("step", ""),
            "ticket": self._tickets.get(message.ref, ""),
        }

    # --- what an answer means -------------------------------------------------------------------------

    def _judge(self, answer: Answer, group: Sequence[Outbound], tell: Tell, *, may_part: bool) -> bool:
        """Tells each message's fate; False when one of several spoils a request of which nothing was taken."""
        said = self.profile.answer
        tree = _json(answer)
        code = code_of(text_at(tree, said.code))
        meaning: Meaning | None
        if answer.status not in said.http:
            meaning = said.codes.get(code) if answer.status < 500 else None
            meaning = "in_doubt" if meaning is None and answer.is_success else meaning
            if meaning is None:
                verdict = classify("gateway", answer.status)
                pause = answer.retry_after_seconds(self._clock.now(), header=said.retry_after)
                for each in group:
                    tell(verdict.result(each.ref, retry_after_seconds=pause, excerpt=self._excerpt(answer, each)))
                return True
        elif tree is None:
            meaning, code = "in_doubt", "unreadable"
        elif said.items is not None and (items := all_at(tree, said.items.path)):
            self._judge_items(answer, said.items, items, group, tell)
            return True
        elif not said.success or text_at(tree, said.success) in said.equals:
            given = text_at(tree, said.id)[:200]
            for each in group:
                tell(self._accepted(each, each.ref if said.no_id else given))
            return True
        else:
            meaning = said.codes.get(code, said.other)
        if may_part and len(group) > 1 and meaning in ("address", "opted_out", "content", "refused"):
            return False
        for each in group:
            tell(self._result(answer, each, meaning, code))
        return True

    def _judge_items(
        self, answer: Answer, how: Items, items: Sequence[object], group: Sequence[Outbound], tell: Tell
    ) -> None:
        """Messages nobody speaks of stay untold, which is a doubt."""
        said = self.profile.answer
        by_ref = {each.ref: each for each in group}
        by_phone = {each.address.value[-11:]: each for each in group}
        for item in items:
            message = by_ref.get(text_at(item, how.ref)) or by_phone.get(text_at(item, how.phone)[-11:] or "-")
            if message is None:
                continue
            code = code_of(text_at(item, how.code))
            if not how.code or code in said.equals:
                tell(self._accepted(message, message.ref if said.no_id else text_at(item, how.id)[:200]))
            else:
                tell(self._result(answer, message, said.codes.get(code, said.other), code))

    def _accepted(self, message: Outbound, provider_id: str) -> SendResult:
        if not provider_id:
            return SendResult(message.ref, Outcome.IN_DOUBT, code="no_id")
        return SendResult(message.ref, Outcome.ACCEPTED, provider_id=provider_id)

    def _result(self, answer: Answer, message: Outbound, meaning: Meaning, code: str) -> SendResult:
        if meaning == "stop":
            raise ChannelDown(f"{self.profile.id} answered {code}: key, sender or account is wrong, or it must be paid")
        if meaning == "throttled":
            pause = answer.retry_after_seconds(self._clock.now(), header=self.profile.answer.retry_after)
            return SendResult(message.ref, Outcome.NOT_SENT, Cause.THROTTLED, code=code, retry_after_seconds=pause)
        if meaning == "in_doubt":
            return SendResult(message.ref, Outcome.IN_DOUBT, code=code or "not_in_profile")
        said = self._excerpt(answer, message)
        return SendResult(message.ref, Outcome.REFUSED, _CAUSES[meaning], code=code, excerpt=said)

    def _excerpt(self, answer: Answer, message: Outbound) -> str:
        said = text_at(_json(answer), self.profile.answer.message)
        content, value = message.content, message.address.value
        hidden = [value, value.lstrip("+"), national(value), content.body, content.title]
        return excerpt(said, [*hidden, *(self._account[name] for name in self.profile.secrets)])

    # --- in -------------------------------------------------------------------------------------------

    async def reconcile(self, items: Sequence[InDoubt]) -> list[SendResult]:
        """Profiles know no lookup: receipts tell, or a person."""
        return []

    def read_events(self, request: RawRequest) -> list[ProviderEvent]:
        if self.profile.hook is None:
            raise WebhookRejected(f"{self.profile.id} has no webhook in its profile")
        return read_hook(self.profile.hook, request, self._account, self.profile.channel, now=self._clock.now())

    async def preflight(self) -> Preflight:
        checks = [Check("profile", True, f"{self.profile.id}: {self.profile.title}")]
        checks.append(await self._check_account())
        if self.profile.hook is None:
            checks.append(Check("webhook", True, "none: this vendor tells nothing afterwards"))
        return Preflight(tuple(checks))

    async def _check_account(self) -> Check:
        check = self.profile.check
        if check is None:
            return Check("account", True, "this vendor has no request that would show it without sending")
        values = self._values([_SAMPLE])
        values |= self._signatures(values, self._body(values, [_SAMPLE])[0], b"")
        try:
            headers = self._headers(values, with_type=False)
            answer = await self._wire.ask("GET", self._fill(check.url, values), headers=headers)
        except NoAnswer as failure:
            return Check("account", False, f"no usable answer from {self.profile.id}: {failure.code}")
        if answer.is_success and (not check.success or text_at(_json(answer), check.success) in check.equals):
            return Check("account", True, "the vendor knows us")
        return Check("account", False, f"{self.profile.id} says no ({answer.status}): check key and account")

    async def close(self) -> None:
        await self._wire.close()

    def __repr__(self) -> str:
        return f"HttpGateway({self.name!r}, {self.profile.id!r})"


def text_problem(profile: Profile, text: str) -> str:
    """What this vendor would not allow in a text, as a code; "" when all is well. Also for checks before publishing."""
    rules = profile.texts
    if len(text) > rules.max_chars:
        return "text_too_long"
    if rules.brand_first and (_BRAND.match(text) is None or len(_BRAND.findall(text)) != 1):
        return "text_brand_not_first"
    if rules.ends_with and not text.rstrip().endswith(rules.ends_with):
        return "text_opt_out_missing"
    return "text_forbidden_sign" if any(each in text for each in rules.forbidden) else ""


def national(phone: str) -> str:
    """The number as it is dialled inside its country; what is no phone stays as it is."""
    if not phone.startswith("+"):
        return phone
    if phone.startswith("+86"):
        return phone[3:]
    import phonenumbers

    try:
        return str(phonenumbers.national_significant_number(phonenumbers.parse(phone)))
    except phonenumbers.NumberParseException:
        return phone


def _json(answer: Answer) -> Any:
    """The JSON of an answer; None when there is none."""
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None


def _sample() -> Outbound:
    """For addresses and checks that need no message."""
    from journeys.words import Channel
    from providers.base import Address, Content

    return Outbound("0" * 24, Channel.SMS, "", Address(AddressKind.PHONE, "+10000000000"), Content(""), "", 0)


_SAMPLE = _sample()
