"""How does a message get into the app? The ledger's row is the card already, and `recall serve` hands it out.

So sending is saying yes. A card whose process died between gate and record is no loss either: its row is durable.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from journeys.words import Channel, Outcome
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
from recall.clock import Clock
from recall.errors import ChannelDown, Misconfigured, WebhookRejected
from recall.settings import Settings


def make(name: str, settings: Settings, clock: Clock, options: Mapping[str, str]) -> InApp:
    """Cards for the app; it takes no options."""
    refuse_options(name, options)
    where = f"the app asks {settings.public_url}/in-app/USER" if settings.public_url else ""
    return InApp(name, where)


def refuse_options(name: str, options: Mapping[str, str]) -> None:
    if options:
        raise Misconfigured(f"provider {name}: takes no options, not {', '.join(sorted(options))}")


class InApp:
    """Takes every message of its channel at once."""

    channel = Channel.IN_APP
    caps = Capabilities(max_batch=1000, idempotency=Idempotency.KEY, reconcile=Lookup.LOOKUP, reports_open=True)

    def __init__(self, name: str = "in_app", where: str = "") -> None:
        self.name = name
        self._where = where

    async def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        wrong = sorted({message.channel.value for message in batch} - {self.channel.value})
        if wrong:
            raise ChannelDown(f"{self.name} is for {self.channel}; the policy routes {', '.join(wrong)} to it")
        for message in batch:
            yield SendResult(message.ref, Outcome.ACCEPTED, provider_id=message.ref)

    async def reconcile(self, items: Sequence[InDoubt]) -> list[SendResult]:
        """What passed its gate is in the ledger, and that is all it takes."""
        return [SendResult(item.ref, Outcome.ACCEPTED, provider_id=item.ref) for item in items]

    def read_events(self, request: RawRequest) -> list[ProviderEvent]:
        raise WebhookRejected(f"{self.name} takes no webhooks")

    async def preflight(self) -> Preflight:
        todo = "nobody can ask for cards: set RECALL_PUBLIC_URL and run `recall serve`"
        return Preflight((Check("cards", bool(self._where), self._where or todo),))

    async def close(self) -> None:
        """Nothing is held open."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"
