"""How is one chunk called while the next passes its gate? One at a time, in the order of the gates; at most one waits.

A chunk that waits is still bound by the five seconds from gate to call. So nothing is gated ahead while a call
is slow, and what waits behind a call that failed (or was throttled) is due again: this process knows that its
bytes never left.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from journeys.words import Cause
from providers.base import SendResult
from recall.clock import elapsed_seconds
from recall.engine.calling import call_chunk
from recall.engine.setup import Setup
from recall.engine.untouched import put_back
from recall.store.gate import Gate
from recall.store.gate_pass import Passed

_QUICK_SECONDS = 1.0  # a provider that takes no longer for a chunk may have the next one gated meanwhile


class Caller:
    """Calls the chunks of one batch; inline, or in a thread of its own where `setup.overlaps`."""

    def __init__(self, setup: Setup, gate: Gate, told: Callable[[list[SendResult]], None]) -> None:
        self._setup, self._gate, self._told = setup, gate, told
        self._thread = ThreadPoolExecutor(1, "recall-caller") if setup.overlaps else None
        self._running: Future[list[SendResult]] | None = None
        self._is_quick = False

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, _kind: type | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        try:
            self._wait()
        finally:
            if self._thread is not None:
                self._thread.shutdown()

    def make_ready(self) -> None:
        """Before a gate: wait for the chunk on its way, unless the provider is quick."""
        if not self._is_quick:
            self._wait()

    def call(self, passed: Passed, *, started: float, is_probe: bool) -> bool:
        """Call this chunk after the one before it; False when that one was throttled, and this one is due again.

        Raises what the chunk before raised, this one being due again, too.
        """
        try:
            may_go = self._wait()
        except Exception:
            put_back(self._setup, [call.ref for call in passed.calls])
            raise
        if not may_go:
            put_back(self._setup, [call.ref for call in passed.calls])
        elif passed.calls:
            self._start(passed, started=started, is_probe=is_probe)
        return may_go

    def _start(self, passed: Passed, *, started: float, is_probe: bool) -> None:
        if self._thread is None:
            self._told(call_chunk(self._setup, self._gate, passed, started=started, is_probe=is_probe))
        else:
            self._running = self._thread.submit(self._timed, passed, started, is_probe)

    def _timed(self, passed: Passed, started: float, is_probe: bool) -> list[SendResult]:
        begun = elapsed_seconds()
        results = call_chunk(self._setup, self._gate, passed, started=started, is_probe=is_probe)
        self._is_quick = elapsed_seconds() - begun <= _QUICK_SECONDS
        return results

    def _wait(self) -> bool:
        """Until the chunk on its way has its answers; False when the vendor asked us to slow down."""
        if self._running is None:
            return True
        running, self._running = self._running, None
        results = running.result()
        self._told(results)
        return all(result.cause is not Cause.THROTTLED for result in results)
