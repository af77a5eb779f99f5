"""Which provider does exactly what a test says?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from journeys.words import AddressKind, Cause, Channel, Outcome
from providers.base import (
    Address,
    Capabilities,
    Content,
    InDoubt,
    Lookup,
    Outbound,
    Preflight,
    ProviderEvent,
    RawRequest,
    SendResult,
)
from recall.errors import ChannelDown, Transient

Answer = Callable[[Outbound], SendResult | None]


def accept(message: Outbound) -> SendResult:
    return SendResult(message.ref, Outcome.ACCEPTED, provider_id=f"id-{message.ref}")


def refuse(cause: Cause, code: str = "21211") -> Answer:
    return lambda message: SendResult(message.ref, Outcome.REFUSED, cause, code=code)


def throttle(message: Outbound) -> SendResult:
    return SendResult(message.ref, Outcome.NOT_SENT, Cause.THROTTLED, code="20429", retry_after_seconds=120)


def lose(message: Outbound) -> SendResult:
    return SendResult(message.ref, Outcome.IN_DOUBT, code="timeout")


def forget(message: Outbound) -> None:
    """No result at all."""


class Scripted:
    """Answers as told, remembers every call, and knows in lookups what it was told to know."""

    name = "outbox"

    def __init__(self, answer: Answer = accept) -> None:
        self.answer = answer
        self.down: ChannelDown | Transient | Exception | None = None  # raised before anything is sent
        self.down_after: int | None = None  # or after so many messages of a batch
        self.calls: list[Outbound] = []
        self.known: dict[str, Outcome] = {}
        self.caps = Capabilities(
            max_batch=1000, reconcile=Lookup.LOOKUP, authoritative_after_seconds=60, simulated=True
        )

    async def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        if self.down is not None and self.down_after is None:
            raise self.down
        for n, message in enumerate(batch):
            if self.down is not None and n == self.down_after:
                raise self.down
            self.calls.append(message)
            result = self.answer(message)
            if result is not None:
                yield result

    async def reconcile(self, items: Sequence[InDoubt]) -> list[SendResult]:
        return [SendResult(item.ref, self.known[item.ref]) for item in items if item.ref in self.known]

    def read_events(self, request: RawRequest) -> list[ProviderEvent]:
        return []

    async def preflight(self) -> Preflight:
        return Preflight()

    async def close(self) -> None:
        return None


def message(ref: str, phone: str = "+8613800000001") -> Outbound:
    """A short SMS."""
    return Outbound(ref, Channel.SMS, "u1", Address(AddressKind.PHONE, phone), Content("hello"), "", 0)
