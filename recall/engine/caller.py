"""How is one chunk called while the next passes its gate? One at a time, in the order of the gates; at most one waits.

A chunk that waits is still bound by the five seconds from gate to call. So nothing is gated ahead while a call
is slow, and what waits behind a call that failed (or was throttled) is due again: this process knows that its
bytes never left. The next call begins when the answers are there; they are written down meanwhile, by the very thread
that got them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple

from journeys.words import Cause
from providers.base import SendResult
from recall.clock import elapsed_seconds
from recall.engine.calling import call_chunk, keep_answers
from recall.engine.setup import Setup
from recall.engine.untouched import put_back
from recall.store.gate import Gate
from recall.store.gate_pass import Passed

_QUICK_SECONDS = 1.0  # a provider that takes no longer for a chunk may have the next one gated meanwhile
_AT_ONCE = 2  # one chunk being called, and one being written down


@dataclass(frozen=True)
class Gated:
    """A committed chunk that is to be called now."""

    passed: Passed
    started: float  # `elapsed_seconds()` before its gate
    is_probe: bool = False  # its provider failed lately


class _Chunk(NamedTuple):
    """What is on its way."""

    answers: Future[list[SendResult]]
    kept: Future[None]  # done when the answers are written down
    is_probe: bool


class Caller:
    """Calls the chunks of one batch; inline, or in threads of its own where `setup.overlaps`."""

    def __init__(self, setup: Setup, gate: Gate, told: Callable[[list[SendResult]], None]) -> None:
        self._setup, self._gate, self._told = setup, gate, told
        self._threads = ThreadPoolExecutor(_AT_ONCE, "recall-caller") if setup.overlaps else None
        self._on_its_way: _Chunk | None = None
        self._kept: list[Future[None]] = []
        self._is_quick = False

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, _kind: type | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        try:
            self._wait()
        finally:
            if self._threads is not None:
                self._threads.shutdown()
            for kept in self._kept:  # also after a failed call: answers that could not be kept are never passed over
                kept.result()

    def make_ready(self) -> None:
        """Before a gate: wait for the chunk on its way, unless the provider is quick."""
        if not self._is_quick:
            self._wait()

    def call(self, gated: Gated) -> bool:
        """Call this chunk after the one before it; False when that one was throttled, and this one is due again.

        Raises what the chunk before raised, this one being due again, too.
        """
        refs = [call.ref for call in gated.passed.calls]
        try:
            may_go = self._wait()
        except Exception:
            put_back(self._setup, refs)
            raise
        if not may_go:
            put_back(self._setup, refs)
        elif refs:
            self._start(gated)
        return may_go

    def _start(self, gated: Gated) -> None:
        answers: Future[list[SendResult]] = Future()
        if self._threads is None:
            self._call(gated, answers)
            self._told(answers.result())
            return
        self._kept.append(self._threads.submit(self._call, gated, answers))
        self._on_its_way = _Chunk(answers, self._kept[-1], gated.is_probe)

    def _call(self, gated: Gated, answers: Future[list[SendResult]]) -> None:
        begun = elapsed_seconds()
        try:
            called = call_chunk(self._setup, self._gate, gated.passed, started=gated.started)
        except BaseException as error:
            answers.set_exception(error)
            return
        self._is_quick = elapsed_seconds() - begun <= _QUICK_SECONDS
        answers.set_result(called.results)
        keep_answers(self._setup, gated.passed.lane, called, is_probe=gated.is_probe)

    def _wait(self) -> bool:
        """Until the chunk on its way has its answers; False when the vendor asked us to slow down."""
        if self._on_its_way is None:
            return True
        chunk, self._on_its_way = self._on_its_way, None
        results = chunk.answers.result()
        self._told(results)
        is_throttled = any(result.cause is Cause.THROTTLED for result in results)
        if is_throttled or chunk.is_probe:
            chunk.kept.result()  # it says something of the sender that the next gate must know
        return not is_throttled
