"""How do the engine's messages reach the benchmarks' far end? Three adapters, no richer than a vendor's needs to be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import orjson

from journeys.words import Outcome
from providers.base import (
    Capabilities,
    InDoubt,
    Outbound,
    Preflight,
    ProviderEvent,
    RawRequest,
    SendResult,
)
from providers.groups import Tell, send_groups
from providers.wire import Wire, send_each
from recall.errors import WebhookRejected


class Adapter:
    """What all three have in common: nothing is told later, nothing can be looked up."""

    name = "null"
    caps = Capabilities()

    def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        raise NotImplementedError

    async def reconcile(self, items: Sequence[InDoubt]) -> list[SendResult]:
        return []

    def read_events(self, request: RawRequest) -> list[ProviderEvent]:
        raise WebhookRejected("the benchmarks have no webhooks")

    async def preflight(self) -> Preflight:
        return Preflight()

    async def close(self) -> None:
        """Nothing is held open."""


class Null(Adapter):
    """Takes every message at once, on the spot: the engine without dispatch. Guards of the wire stay off."""

    caps = Capabilities(max_batch=1000, simulated=True)

    def __init__(self) -> None:
        self.taken = 0

    async def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        self.taken += len(batch)
        for message in batch:
            yield SendResult(message.ref, Outcome.ACCEPTED, provider_id=f"p-{message.ref}")


class _OverHttp(Adapter):
    def __init__(self, url: str, *, at_once: int, worker: str = "") -> None:
        self.url = url
        self.at_once = at_once
        self.wire = Wire(at_once=at_once)
        self.headers = {"Content-Type": "application/json"} | ({"X-Worker": worker} if worker else {})

    async def close(self) -> None:
        await self.wire.close()


def _fields(message: Outbound) -> dict[str, str]:
    return {"ref": message.ref, "to": message.address.value, "from": message.sender, "text": message.content.body}


class Batched(_OverHttp):
    """One request for some hundreds of messages, as for push and bulk mail."""

    def __init__(self, url: str, *, size: int, at_once: int = 8, worker: str = "") -> None:
        super().__init__(url, at_once=at_once, worker=worker)
        self.size = size
        self.caps = Capabilities(max_batch=size)

    def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        groups = [batch[start : start + self.size] for start in range(0, len(batch), self.size)]
        return send_groups(groups, self._post, at_once=self.at_once, pulse=self.wire.pulse)

    async def _post(self, group: Sequence[Outbound], tell: Tell) -> None:
        body = orjson.dumps([_fields(message) for message in group])
        answer = await self.wire.ask("POST", f"{self.url}/batch", headers=self.headers, body=body)
        for taken in orjson.loads(answer.body):
            tell(SendResult(taken["ref"], Outcome.ACCEPTED, provider_id=taken["id"]))


class Single(_OverHttp):
    """One request per message, as for SMS and voice."""

    def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        return send_each(batch, self._post, at_once=self.at_once, pulse=self.wire.pulse)

    async def _post(self, message: Outbound) -> SendResult:
        body = orjson.dumps(_fields(message))
        answer = await self.wire.ask("POST", f"{self.url}/send", headers=self.headers, body=body)
        return SendResult(message.ref, Outcome.ACCEPTED, provider_id=orjson.loads(answer.body)["id"])
