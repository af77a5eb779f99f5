"""What must every provider be able to do?

Batch-first and stateless. `send` never raises for one recipient; it raises only `ChannelDown` (configuration)
or `Transient` before anything was sent. No provider, SDK or HTTP stack retries a send.
Adding one: docs/adding-a-provider.md; proof: tests/providers/contract.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from journeys.message import digest
from journeys.words import AddressKind, Cause, Channel, Outcome, ReceiptKind
from recall.clock import Instant


# Not frozen, like what follows: one is made for each message, and freezing takes three times as long.
@dataclass(slots=True, unsafe_hash=True)
class Address:
    kind: AddressKind
    value: str = field(repr=False)  # normalised: E.164, lower-case e-mail, token


@dataclass(slots=True)
class Content:
    body: str = field(repr=False)  # texts may name the person
    title: str = field(default="", repr=False)  # push title, e-mail subject
    html: str = field(default="", repr=False)
    link: str = ""  # where a tap or click leads
    locale: str = ""

    def digest(self) -> str:
        """Hash of everything the person will see: equal in our ledger and in a provider's log."""
        return digest(title=self.title, body=self.body, html=self.html, link=self.link)


@dataclass(slots=True)
class Outbound:
    """One message past its gate."""

    ref: str  # ours, 96 random bits; travels to the provider so that a receipt proves acceptance
    channel: Channel
    user: str  # the host's user id; opaque to vendors, used by `world`, `in_app` and `task`
    address: Address
    content: Content
    sender: str  # number, address or app that speaks; "" = provider's default
    not_after: Instant  # end of the send window: a validity period for vendors that queue
    meta: Mapping[str, str] = field(default_factory=dict)  # journey, step, callback base: never personal data


@dataclass(slots=True)
class SendResult:
    ref: str
    outcome: Outcome
    cause: Cause | None = None  # why refused or not sent
    provider_id: str = ""
    code: str = ""  # the vendor's own code
    retry_after_seconds: float | None = None
    segments: int | None = None
    cost_micros: int | None = None  # when the vendor tells
    excerpt: str = ""  # of the vendor's text, with phone and e-mail masked


@dataclass(frozen=True, slots=True)
class InDoubt:
    """A send whose acceptance is unknown; `reconcile` looks for evidence, read-only."""

    ref: str
    channel: Channel
    address: Address
    body_hash: str
    gate_at: Instant
    provider_id: str = ""
    body: str = field(default="", repr=False)  # as it was handed over, if it was not erased


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """One thing a vendor tells us later."""

    event_id: str  # the vendor's; with the provider's name it makes a receipt unique
    ref: str  # of our send; "" for replies, and where the token in the webhook's URL tells it
    kind: ReceiptKind
    at: Instant
    detail: str = field(default="", repr=False)  # call outcome, failure code; of a reply: what the person wrote
    channel: Channel | None = None
    address: Address | None = None  # replies only: who wrote


@dataclass(frozen=True, slots=True)
class RawRequest:
    """An HTTP request as it arrived, before anything interprets it."""

    method: str
    url: str  # the public one
    headers: Mapping[str, str]
    body: bytes


class Idempotency(StrEnum):
    NONE = "none"
    KEY = "key"  # the vendor drops a second request with the same key, for a while
    COLLAPSE = "collapse"  # a second message replaces the first on the device


class Lookup(StrEnum):
    NONE = "none"
    LOOKUP = "lookup"  # can be asked; absence proves nothing until `authoritative_after_seconds`
    CALLBACK = "callback"  # only receipts tell


@dataclass(frozen=True, slots=True)
class Capabilities:
    max_batch: int = 1  # messages per request
    idempotency: Idempotency = Idempotency.NONE
    reconcile: Lookup = Lookup.NONE
    authoritative_after_seconds: int | None = None  # then absence in the lookup means not sent; None: never
    schedules: bool = False
    cancels: bool = False
    validity: bool = False  # honours `not_after`
    reports_delivery: bool = False
    reports_open: bool = False
    needs_template: bool = False
    per_second: float | None = None  # what one sender takes; None: as fast as we can
    simulated: bool = False  # sends to nobody; the only kind a simulated store may use


@dataclass(frozen=True, slots=True)
class Check:
    name: str  # "credentials", "sender", "webhook"
    ok: bool
    detail: str  # what is wrong and what to do; no secrets


@dataclass(frozen=True, slots=True)
class Preflight:
    checks: tuple[Check, ...] = ()

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)


class Provider(Protocol):
    """A way to reach people on one channel (or, for `outbox` and `world`, on all)."""

    name: str
    caps: Capabilities

    def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        """One result per message, in any order. What is missing at the end is in doubt."""
        ...

    async def reconcile(self, items: Sequence[InDoubt]) -> list[SendResult]:
        """Evidence for doubtful sends; leaves out what it knows nothing about. Read-only."""
        ...

    def read_events(self, request: RawRequest) -> list[ProviderEvent]:
        """Read a webhook; raises WebhookRejected unless the vendor signed it."""
        ...

    async def preflight(self) -> Preflight:
        """Would sending work? Credentials, senders, balance, templates."""
        ...

    async def close(self) -> None: ...


Providers = Mapping[str, Provider]
JsonObject = dict[str, Any]
