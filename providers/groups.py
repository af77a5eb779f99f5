"""How do messages leave several to a request? Under the same rules as one by one: see `providers.wire.send_each`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

from journeys.words import Cause, Outcome
from providers.base import Outbound, SendResult
from providers.wire import START_SECONDS, NoAnswer, Pulse, send_each
from recall.errors import ChannelDown

Tell = Callable[[SendResult], None]
SendGroup = Callable[[Sequence[Outbound], Tell], Awaitable[None]]


async def send_groups(
    groups: Sequence[Sequence[Outbound]], send: SendGroup, *, at_once: int, pulse: Pulse | None = None
) -> AsyncIterator[SendResult]:
    """Send groups (none empty), `at_once` at a time; yields one result per message.

    `send` tells a result as soon as it is known. What it has not told when it ends or fails has the fate of the
    failure; without one it is in doubt.
    """
    by_first = {group[0].ref: group for group in groups}
    known: dict[str, SendResult] = {}

    async def one(first: Outbound) -> SendResult:
        group = by_first[first.ref]
        try:
            await send(group, lambda result: known.__setitem__(result.ref, result))
        except ChannelDown:
            if not any(each.ref in known for each in group):
                raise
            # A part of the group has left, so the caller may not take all of it for unsent.
            _fill(group, known, lambda ref: SendResult(ref, Outcome.NOT_SENT, Cause.CONNECT, code="configuration"))
        _fill(group, known, lambda ref: SendResult(ref, Outcome.IN_DOUBT, code="no_result"))
        return replace(_worst([known[each.ref] for each in group]), ref=first.ref)  # stands for the group

    firsts = [group[0] for group in groups]
    async for result in send_each(firsts, one, at_once=at_once, pulse=pulse):
        for message in by_first[result.ref]:
            yield known.get(message.ref) or replace(result, ref=message.ref)


def _fill(group: Sequence[Outbound], known: dict[str, SendResult], make: Callable[[str], SendResult]) -> None:
    for each in group:
        if each.ref not in known:
            known[each.ref] = make(each.ref)


def _worst(results: Sequence[SendResult]) -> SendResult:
    """A doubt speaks for the whole group, then an acceptance, which shows that the vendor works."""
    order = (Outcome.IN_DOUBT, Outcome.ACCEPTED, Outcome.REFUSED, Outcome.NOT_SENT)
    return min(results, key=lambda result: order.index(result.outcome))


class Turn:
    """Whether a batch may still start a request: each needs its time before the caller gives up."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()

    def is_over(self) -> bool:
        return self._loop.time() - self._started >= START_SECONDS


async def in_parts(parts: Sequence[Sequence[Outbound]], send: SendGroup, tell: Tell) -> None:
    """Send the parts of one group at the same time; a part without an answer does not spoil the others."""

    async def part(messages: Sequence[Outbound]) -> None:
        try:
            await send(messages, tell)
        except NoAnswer as failure:
            for message in messages:
                tell(failure.result(message.ref))

    done = await asyncio.gather(*(part(messages) for messages in parts), return_exceptions=True)
    failures = [error for error in done if isinstance(error, BaseException)]
    for error in sorted(failures, key=lambda error: isinstance(error, ChannelDown)):
        raise error  # a bug before a stop: a stop would say that nothing left
