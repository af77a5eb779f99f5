"""What do SMS and calls through Twilio share? The account and its key, the client, what an answer means, the checks.

The official client builds and reads; our own transport beneath it carries the request (providers/wire.py): the
client's own has no time-out, loses Retry-After and, at INFO, logs the number.
"""

from __future__ import annotations

import logging
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from twilio.rest import Client
from yarl import URL

from journeys.words import Outcome
from providers.base import Check, Outbound, SendResult
from providers.faults import problem_of
from providers.masking import excerpt
from providers.taxonomy import Verdict, classify
from providers.wire import Answer, NoAnswer, Wire, base_url
from recall.clock import Clock
from recall.errors import ChannelDown, Misconfigured
from recall.settings import Settings

VENDOR = "twilio"
SID = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}", re.ASCII)
E164 = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)


class Options(BaseModel):
    """The texts under the provider's name in `provider_options`; credentials may come from RECALL_TWILIO_* instead."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    account_sid: str = Field(pattern=r"^AC[0-9a-fA-F]{32}$")
    auth_token: SecretStr = Field(min_length=1)  # signs webhooks; also our key, unless there is an API key
    api_key_sid: str = Field("", pattern=r"^(SK[0-9a-fA-F]{32})?$")
    api_key_secret: SecretStr = SecretStr("")
    sender: str = ""  # for messages that name none: number, short code, name, or MG… of a messaging service
    base_url: str = "https://api.twilio.com"
    messaging_url: str = "https://messaging.twilio.com"
    at_once: int = Field(64, ge=1, le=512)  # requests under way at the same time
    per_second: float | None = Field(None, gt=0)  # what the sender takes


AnyOptions = TypeVar("AnyOptions", bound=Options)


def options_from(kind: type[AnyOptions], settings: Settings, options: Mapping[str, str], *, name: str) -> AnyOptions:
    """Raises Misconfigured for options that mean nothing; its text shows no value."""
    own: dict[str, object] = {
        "account_sid": settings.twilio_account_sid,
        "auth_token": settings.twilio_auth_token,
        "api_key_sid": settings.twilio_api_key_sid,
        "api_key_secret": settings.twilio_api_key_secret,
    }
    try:
        return kind.model_validate({**own, **options})
    except ValidationError as error:
        raise Misconfigured(
            f"provider {name}: option {problem_of(error)}; set it in RECALL_PROVIDER_OPTIONS or as RECALL_TWILIO_…"
        ) from None  # the cause shows the values


class Refused(Exception):
    """The vendor answered, and it was not a yes."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(str(answer.status))
        self.answer = answer


class _Transport(AsyncHttpClient):  # type: ignore[misc]  # the client is published without types
    """The client's own extension point: one request, at most once; raises Refused or NoAnswer."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(logging.getLogger("recall.providers"), True, None)
        self._wire = wire

    async def request(
        self,
        method: str,
        url: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        sent = dict(headers or {})
        if auth is not None:
            sent["Authorization"] = f"Basic {b64encode(':'.join(auth).encode()).decode()}"
        query = urlencode({name: value for name, value in (params or {}).items() if value is not None}, doseq=True)
        target = URL(f"{url}{'&' if '?' in url else '?'}{query}" if query else url, encoded=True)
        body = urlencode(data, doseq=True).encode() if data else None
        answer = await self._wire.ask(method, target, headers=sent, body=body)
        if not answer.is_success:
            raise Refused(answer)
        if not answer.json():
            raise NoAnswer(Outcome.IN_DOUBT, "unreadable")
        return Response(answer.status, answer.text(), answer.headers)


class Account:
    """One Twilio account; its repr shows no secret."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self.options = options
        self.clock = clock
        self.wire = Wire(at_once=options.at_once)
        key, secret = options.api_key_sid, options.api_key_secret.get_secret_value()
        self.client = Client(
            key or options.account_sid,
            secret if key else options.auth_token.get_secret_value(),
            options.account_sid,
            http_client=_Transport(self.wire),
            environment={"": ""},  # else the client reads TWILIO_* itself
        )
        self.client.api.base_url = base_url(options.base_url)
        self.client.messaging.base_url = base_url(options.messaging_url)

    @property
    def resources(self) -> Any:
        """messages, calls, incoming_phone_numbers … of this account."""
        return self.client.api.v2010.account

    def __repr__(self) -> str:
        return f"Account({self.options.account_sid[:6]}…)"

    async def post(self, message: Outbound, create: Callable[[], Awaitable[Any]], used: set[str]) -> SendResult:
        """Create one message or call; `used` holds the ids this batch has been given. Raises ChannelDown, NoAnswer."""
        try:
            made = await create()
        except Refused as refusal:
            return self.refusal(message, refusal.answer)
        sid = made.sid
        if not isinstance(sid, str) or not SID.fullmatch(sid):
            return SendResult(message.ref, Outcome.IN_DOUBT, code="no_id")
        if sid in used:
            return SendResult(message.ref, Outcome.IN_DOUBT, code="reused_id")
        used.add(sid)
        if made.to != message.address.value:
            return SendResult(message.ref, Outcome.IN_DOUBT, provider_id=sid, code="other_to")
        return SendResult(message.ref, Outcome.ACCEPTED, provider_id=sid)

    def refusal(self, message: Outbound, answer: Answer) -> SendResult:
        hidden = (message.address.value, message.address.value.lstrip("+"), message.content.body)
        return verdict_of(answer).result(
            message.ref,
            retry_after_seconds=answer.retry_after_seconds(self.clock.now()),
            excerpt=excerpt(_said(answer), hidden),
        )

    def sender_of(self, message: Outbound) -> str:
        sender = message.sender or self.options.sender
        if not sender:
            raise ChannelDown("no sender: name one in the policy's route or as the provider's option `sender`")
        return sender

    async def checks(self, *, capability: str) -> list[Check]:
        """Account, balance and the default sender; never raises."""
        checks = [await check("account", self._check_account), await check("balance", self._check_balance)]
        sender = self.options.sender
        if sender:
            checks.append(await check("sender", lambda: self._check_sender(sender, capability)))
        return checks

    async def _check_account(self) -> Check:
        account = await self.client.api.v2010.accounts(self.options.account_sid).fetch_async()
        active = account.status == "active"
        return Check("account", active, f"the account is {account.status}" + ("" if active else ": ask Twilio why"))

    async def _check_balance(self) -> Check:
        balance = await self.resources.balance.fetch_async()
        enough = float(balance.balance) > 0
        text = f"{balance.balance} {balance.currency}" + ("" if enough else ": pay in, nothing will be sent")
        return Check("balance", enough, text)

    async def _check_sender(self, sender: str, capability: str) -> Check:
        if sender.startswith("MG"):
            service = await self.client.messaging.v1.services(sender).fetch_async()
            return Check("sender", True, f"messaging service {service.sid[:6]}…")
        if not sender.lstrip("+").isdigit():
            return Check("sender", True, "a name; whether it may be used in a country, only Twilio's console tells")
        if len(sender) < 7:
            return Check("sender", True, "a short code; its permissions are in Twilio's console")
        numbers = await self.resources.incoming_phone_numbers.list_async(phone_number=sender, limit=1)
        if not numbers:
            return Check("sender", False, "the number is not in this account: buy or move it, or set another sender")
        able = bool((numbers[0].capabilities or {}).get(capability, False))
        return Check("sender", able, f"the number {'can' if able else 'cannot'} {capability}")


def verdict_of(answer: Answer) -> Verdict:
    """What an answer that is not a yes means; the code is in the JSON, if there is any."""
    return classify(VENDOR, answer.status, answer.json().get("code"))


async def check(name: str, ask: Callable[[], Awaitable[Check]]) -> Check:
    """A check that tells what is wrong instead of raising it."""
    try:
        return await ask()
    except Refused as refusal:
        return Check(name, False, f"Twilio says no: {verdict_of(refusal.answer).complaint()}")
    except NoAnswer as failure:
        return Check(name, False, f"no usable answer from Twilio: {failure.code}")
    except Exception as error:  # an answer the client cannot read
        return Check(name, False, f"no usable answer from Twilio: {type(error).__name__}")


def _said(answer: Answer) -> str:
    read = answer.json()
    return str(read.get("message") or read.get("detail") or "")
