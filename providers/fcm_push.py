"""How does a push leave through Firebase Cloud Messaging?

HTTP v1, one request per message. firebase-admin is not used: it posts again by itself after a 503, a read time-out
and a dropped connection (7.7.0). There is no webhook: what was opened or clicked the app tells through `/events`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from google.auth import jwt
from google.auth.crypt import RSASigner
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from journeys.words import Cause, Outcome
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
from providers.keys import options_from
from providers.masking import excerpt
from providers.taxonomy import Verdict, classify
from providers.wire import Answer, NoAnswer, Wire, base_url, send_each
from recall.clock import MINUTE, SECOND, Clock, Instant
from recall.errors import ChannelDown, Misconfigured, WebhookRejected
from recall.settings import Settings

VENDOR = "fcm"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
MAX_TTL_SECONDS = 2_419_200  # FCM keeps a message 28 days at most (2026-11)
FID = "fid:"  # before the value of an address that is a Firebase installation id; else it is a registration token
_GRANT = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_NAME = re.compile(r"projects/[^/\s]{1,100}/messages/\S{1,200}")


class Options(BaseModel):
    """The texts under the provider's name in `provider_options`; `credentials_file` may name a file instead."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    credentials: SecretStr = Field(min_length=2)  # the service account's JSON
    project: str = Field("", pattern=r"^[a-z0-9:.-]{0,100}$")  # "" = the service account's
    base_url: str = "https://fcm.googleapis.com"
    click_action: str = ""  # Android intent action and iOS category a tap starts; the link itself is in the data
    validate_only: bool = False  # FCM checks and delivers nothing
    at_once: int = Field(64, ge=1, le=512)  # requests under way at the same time
    per_second: float | None = Field(None, gt=0)


class _Account(BaseModel):
    """What we need of a service account's JSON."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    client_email: str = Field(min_length=3)
    private_key: SecretStr
    private_key_id: str = ""
    token_uri: str = "https://oauth2.googleapis.com/token"
    project_id: str = ""


def make(name: str, settings: Settings, clock: Clock, options: Mapping[str, str]) -> FcmPush:
    """Open one Firebase project."""
    return FcmPush(options_from(Options, options, settings, secrets=("credentials",), name=name), clock, name=name)


class Tokens:
    """Access tokens of a service account: one request an hour, outside the way of a message."""

    def __init__(self, credentials: SecretStr, wire: Wire, clock: Clock) -> None:
        try:
            self.account = _Account.model_validate_json(credentials.get_secret_value())
            key, key_id = self.account.private_key.get_secret_value(), self.account.private_key_id
            self._signer = RSASigner.from_string(key, key_id or None)  # type: ignore[no-untyped-call]  # google-auth
        except ValueError:
            raise Misconfigured("the service account's JSON cannot be read; download a new key from Firebase") from None
        self._url = base_url(self.account.token_uri)
        self._wire = wire
        self._clock = clock
        self._token = ""
        self._good_until: Instant = 0
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """A token for five minutes at least; raises ChannelDown or NoAnswer, before anything was sent."""
        async with self._lock:
            if not self._token or self._clock.now() > self._good_until - 5 * MINUTE:
                await self._fetch()
            return self._token

    def forget(self) -> None:
        """The vendor did not accept it: the next batch asks for another."""
        self._token = ""

    async def _fetch(self) -> None:
        now = self._clock.now()
        seconds = now // SECOND
        claims = {
            "iss": self.account.client_email,
            "scope": SCOPE,
            "aud": self.account.token_uri,
            "iat": seconds,
            "exp": seconds + 3600,
        }
        signed = jwt.encode(self._signer, claims).decode()  # type: ignore[no-untyped-call]  # google-auth
        answer = await self._wire.ask(
            "POST",
            self._url,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=f"grant_type={_GRANT}&assertion={signed}".encode(),
        )
        read = answer.json()
        token, lives = read.get("access_token"), read.get("expires_in")
        if answer.is_success and isinstance(token, str) and token.isascii() and token.isprintable():
            self._token = token
            self._good_until = now + (int(lives) if isinstance(lives, int | float) else 3600) * SECOND
        elif 400 <= answer.status < 500 and answer.status not in (408, 429):
            raise ChannelDown(f"Google does not accept the service account ({answer.status})")
        else:
            raise NoAnswer(Outcome.NOT_SENT, f"token_{answer.status}", Cause.CONNECT)


class FcmPush:
    """Push notifications of one Firebase project."""

    def __init__(self, options: Options, clock: Clock, *, name: str = "fcm_push") -> None:
        self.name = name
        self.options = options
        self._clock = clock
        self._wire = Wire(at_once=options.at_once)
        self._tokens = Tokens(options.credentials, self._wire, clock)
        project = options.project or self._tokens.account.project_id
        if not project:
            raise Misconfigured(f"provider {name}: the service account names no project; set the option `project`")
        self._url = f"{base_url(options.base_url)}/v1/projects/{project}/messages:send"
        self.caps = Capabilities(
            idempotency=Idempotency.COLLAPSE,
            reconcile=Lookup.NONE,
            validity=True,
            per_second=options.per_second,
        )

    async def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        """One request per message, with one token for all of them."""
        if not batch:
            return
        try:
            token = await self._tokens.token()
        except NoAnswer as failure:  # nothing left: the same to every message, whatever became of the token
            for message in batch:
                yield SendResult(message.ref, Outcome.NOT_SENT, Cause.CONNECT, code=f"token: {failure.code}")
            return
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

        async def one(message: Outbound) -> SendResult:
            if message.not_after <= self._clock.now():
                return SendResult(message.ref, Outcome.NOT_SENT, Cause.THROTTLED, code="window_over")
            body = json.dumps(self._request(message)).encode()
            return self._judge(message, await self._wire.ask("POST", self._url, headers=headers, body=body))

        async for result in send_each(batch, one, at_once=self.options.at_once, pulse=self._wire.pulse):
            yield result

    def _request(self, message: Outbound) -> dict[str, Any]:
        body = to_message(message, now=self._clock.now(), click_action=self.options.click_action)
        return {"message": body, "validate_only": True} if self.options.validate_only else {"message": body}

    def _judge(self, message: Outbound, answer: Answer) -> SendResult:
        name = answer.json().get("name")
        if answer.status == 200:
            if isinstance(name, str) and _NAME.fullmatch(name):
                return SendResult(message.ref, Outcome.ACCEPTED, provider_id=name)
            return SendResult(message.ref, Outcome.IN_DOUBT, code="no_id")
        if answer.status == 401:
            self._tokens.forget()
        content = message.content
        hidden = (message.address.value, message.address.value.removeprefix(FID), content.body, content.title)
        return verdict_of(answer).result(
            message.ref,
            retry_after_seconds=answer.retry_after_seconds(self._clock.now()),
            excerpt=excerpt(_said(answer), hidden),
        )

    async def reconcile(self, items: Sequence[InDoubt]) -> list[SendResult]:
        """FCM cannot be asked; a doubt waits for what the app tells, then for a person."""
        return []

    def read_events(self, request: RawRequest) -> list[ProviderEvent]:
        raise WebhookRejected(f"{self.name} takes no webhooks: the app tells through /events")

    async def preflight(self) -> Preflight:
        """A token, and a message to nobody that FCM only checks."""
        try:
            token = await self._tokens.token()
        except ChannelDown as down:
            return Preflight((Check("credentials", False, f"{down}; download a new key from Firebase"),))
        except NoAnswer as failure:
            return Preflight((Check("credentials", False, f"no usable answer from Google: {failure.code}"),))
        return Preflight((Check("credentials", True, "a token was given"), await self._check_project(token)))

    async def _check_project(self, token: str) -> Check:
        """FCM cannot list anything, so ask it to check, not to send, a message to a token that cannot be."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        body = {"message": {"token": "recall-preflight", "data": {"ref": "preflight"}}, "validate_only": True}
        try:
            answer = await self._wire.ask("POST", self._url, headers=headers, body=json.dumps(body).encode())
        except NoAnswer as failure:
            return Check("project", False, f"no usable answer from FCM: {failure.code}")
        if answer.status in (200, 400) or code_of_error(answer) in ("UNREGISTERED", "SENDER_ID_MISMATCH"):
            return Check("project", True, "the service account may send")
        return Check("project", False, f"FCM says no: {verdict_of(answer).complaint()}")

    async def close(self) -> None:
        await self._wire.close()

    def __repr__(self) -> str:
        return f"FcmPush({self.name!r})"


def to_message(message: Outbound, *, now: Instant, click_action: str = "") -> dict[str, Any]:
    """The `message` of HTTP v1. One ref, one notification: a second one replaces the first on the screen."""
    content, ref = message.content, message.ref
    seconds = min(max((message.not_after - now) // SECOND, 0), MAX_TTL_SECONDS)
    value = message.address.value
    notification = {"title": content.title, "body": content.body} if content.title else {"body": content.body}
    aps: dict[str, Any] = {"sound": "default"}
    shown: dict[str, Any] = {"tag": ref}
    if click_action:
        aps["category"] = shown["click_action"] = click_action
    made: dict[str, Any] = {
        "fid" if value.startswith(FID) else "token": value.removeprefix(FID),
        "notification": notification,
        "data": {"ref": ref, **({"link": content.link} if content.link else {})},  # values are texts
        "android": {"collapse_key": ref, "ttl": f"{seconds}s", "priority": "high", "notification": shown},
        "apns": {
            "headers": {"apns-collapse-id": ref, "apns-expiration": str(now // SECOND + seconds)},
            "payload": {"aps": aps},
        },
    }
    if content.link.startswith("https://"):
        made["webpush"] = {"headers": {"TTL": str(seconds)}, "fcm_options": {"link": content.link}}
    return made


def verdict_of(answer: Answer) -> Verdict:
    """What an answer that is not a yes means."""
    return classify(VENDOR, answer.status, code_of_error(answer))


def code_of_error(answer: Answer) -> str:
    """FCM's own code where it is given, else Google's status; `INVALID_TOKEN` when the token is what is invalid."""
    error = answer.json().get("error")
    if not isinstance(error, dict):
        return ""
    details = [each for each in _list(error.get("details")) if isinstance(each, dict)]
    own = [each.get("errorCode") for each in details if each.get("@type") == _FCM_ERROR]
    code = next((each for each in own if isinstance(each, str)), error.get("status"))
    if code == "INVALID_ARGUMENT" and _names_token(error, details):
        return "INVALID_TOKEN"
    return code if isinstance(code, str) else ""


def _names_token(error: Mapping[str, Any], details: Sequence[Mapping[str, Any]]) -> bool:
    violations = [each for detail in details for each in _list(detail.get("fieldViolations")) if isinstance(each, dict)]
    if violations:
        return all(each.get("field") in ("message.token", "message.fid") for each in violations)
    text = str(error.get("message", "")).lower()
    return "registration token" in text or "installation id" in text


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _said(answer: Answer) -> str:
    error = answer.json().get("error")
    return str(error.get("message", "")) if isinstance(error, dict) else ""
