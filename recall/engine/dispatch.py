"""How does a committed chunk leave? One event loop thread per process owns all provider sessions."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from journeys.words import Cause, Outcome
from providers.base import Outbound, Provider, SendResult
from recall.clock import elapsed_seconds
from recall.engine.tripwire import Tripwire
from recall.errors import ChannelDown, Transient
from recall.store.call_times import CallTimes

log = logging.getLogger("recall.engine")

T = TypeVar("T")
CALL_TIMEOUT_SECONDS = 10.0  # design 5: provider timeout


@dataclass
class Called:
    """The answers of one chunk; `down` is set when the provider refused to work at all."""

    results: list[SendResult] = field(default_factory=list)
    down: ChannelDown | Transient | None = None
    is_late: bool = False  # its time had passed, so that nobody was called

    @property
    def is_outage(self) -> bool:
        """Nothing left this machine: every message is known not to have been sent for want of a connection."""
        unsent = [r for r in self.results if r.outcome is Outcome.NOT_SENT and r.cause is Cause.CONNECT]
        return self.down is not None or (bool(self.results) and len(unsent) == len(self.results))


class Dispatcher:
    """Runs provider calls on a loop of its own; started at the first call, stopped with the process."""

    def __init__(self, tripwire: Tripwire | None = None) -> None:
        self._tripwire = tripwire
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._times: dict[str, CallTimes] = {}

    def call(
        self, provider: Provider, batch: Sequence[Outbound], *, may_begin: Callable[[], bool] = lambda: True
    ) -> Called:
        """Send one chunk; what the provider leaves unanswered is in doubt, whatever went wrong.

        `may_begin` is asked last of all, on the loop: this process may have stood still on its way there.
        """
        wire = None if provider.caps.simulated else self._tripwire
        if wire is None:
            return self.run(_call(provider, batch, may_begin))
        if down := _why_not(wire, batch):
            return Called([SendResult(o.ref, Outcome.NOT_SENT, Cause.CONNECT) for o in batch], down)
        begun = elapsed_seconds()
        called = self.run(_call(provider, batch, may_begin))
        self._note_time(provider.name, elapsed_seconds() - begun, len(batch))
        _count_gone(wire, batch, called.results)
        return called

    def _note_time(self, provider: str, seconds: float, messages: int) -> None:
        with self._lock:
            self._times.setdefault(provider, CallTimes()).add(seconds, messages)

    def take_times(self) -> dict[str, CallTimes]:
        """What calls of real providers took since this was asked last."""
        with self._lock:
            taken, self._times = self._times, {}
        return taken

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run one coroutine on the provider loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._running()).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="recall-dispatch", daemon=True).start()
            return self._loop


def _why_not(wire: Tripwire, batch: Sequence[Outbound]) -> ChannelDown | None:
    """What keeps these calls from being made; what cannot be counted is not called."""
    try:
        why = wire.before(batch)
    except sqlite3.Error as error:
        return ChannelDown(f"the tripwire's file cannot be written ({error}), so nobody is called")
    return ChannelDown(f"the kill switch went on, {why}") if why else None


def _count_gone(wire: Tripwire, batch: Sequence[Outbound], results: Sequence[SendResult]) -> None:
    """Nothing fallible stands between an answer and its record: a count may be too high, an answer never missing."""
    try:
        wire.after(batch, results)
    except sqlite3.Error as error:
        log.error("the tripwire's file cannot be written (%s); calls that never left stay counted", error)


async def _call(provider: Provider, batch: Sequence[Outbound], may_begin: Callable[[], bool]) -> Called:
    if not may_begin():
        return Called([SendResult(o.ref, Outcome.NOT_SENT, Cause.CONNECT) for o in batch], is_late=True)
    called = Called()
    waiting = {outbound.ref for outbound in batch}
    code = "no answer"
    try:
        async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
            async for result in provider.send(batch):
                if result.ref in waiting:
                    waiting.discard(result.ref)
                    called.results.append(result)
    except (ChannelDown, Transient) as error:
        called.down = error  # raised before anything was sent: see providers.base
        called.results += [SendResult(ref, Outcome.NOT_SENT, Cause.CONNECT) for ref in sorted(waiting)]
        return called
    except TimeoutError:
        code = "timeout"
    except Exception as error:  # whatever a vendor's code does, what it did not answer is in doubt and recorded
        code = f"adapter: {type(error).__name__}"
    called.results += [SendResult(ref, Outcome.IN_DOUBT, code=code) for ref in sorted(waiting)]
    return called
