"""What does the provider of a scenario answer? What the scenario says; to everything else: taken, like an outbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from journeys.words import Outcome
from providers.base import Capabilities, InDoubt, Outbound, Preflight, ProviderEvent, RawRequest, SendResult
from providers.outbox import Outbox
from recall.engine.scenario_given import Given
from recall.errors import WebhookRejected


class Scripted:
    """The outbox under the name of any provider; it never looks anything up, so a doubt stays one."""

    caps = Capabilities(max_batch=1000, simulated=True)

    def __init__(self, name: str, outbox: Outbox, given: Given) -> None:
        self.name = name
        self._outbox = outbox
        self._given = given

    async def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        """Answer as the scenario says, and let the reactions it says follow."""
        answers = {message.ref: self._given.answer_to(message.user, message.meta["step"]) for message in batch}
        by_ref = {message.ref: message for message in batch}
        taken = [message for message in batch if answers[message.ref] is None]
        for ref, answer in answers.items():
            if answer is not None and answer.answer is not None:
                if answer.answer in (Outcome.ACCEPTED, Outcome.IN_DOUBT):
                    self._react(by_ref[ref])
                yield SendResult(ref, answer.answer, answer.cause, code="scenario")
        async for result in self._outbox.send(taken):
            self._react(by_ref[result.ref])
            yield result

    def _react(self, message: Outbound) -> None:
        self._given.react(self.name, message.ref, message.user, message.meta["step"])

    async def reconcile(self, items: Sequence[InDoubt]) -> list[SendResult]:
        return []

    def read_events(self, request: RawRequest) -> list[ProviderEvent]:
        raise WebhookRejected("a scenario has no vendor")

    async def preflight(self) -> Preflight:
        return Preflight()

    async def close(self) -> None:
        """Nothing is held open."""
