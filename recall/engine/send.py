"""How does one batch of due users get its message? Gate, call, settle, chunk by chunk; no user is ever a task."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from journeys.policy import Route
from journeys.program import MessageNode
from journeys.words import Outcome, Reason
from providers.base import SendResult
from recall.clock import SECOND, Instant, elapsed_seconds
from recall.engine.caller import Caller, Gated
from recall.engine.setup import Setup
from recall.engine.untouched import put_back
from recall.errors import StoreBusy, Transient
from recall.store.call_times import add_call_times
from recall.store.cases import GatePass, gate_passes
from recall.store.gate import Gate, prepare
from recall.store.gate_pass import Passed, pass_gate
from recall.store.gate_rows import Page
from recall.store.routes import Grant, give_back, grant
from recall.store.versions import Version

log = logging.getLogger("recall.engine")

SENDER_SECONDS = 4.0  # a chunk holds at most what the sender takes in this time
MAX_CHUNK = 1000
MAX_BATCH = 20_000
_MOST_WAITS = 60  # of at most a second each: then the batch fails visibly and is tried again later


@dataclass
class BatchResult:
    """What became of one batch; counts only."""

    outcomes: dict[Outcome, int] = field(default_factory=dict)
    reasons: dict[Reason, int] = field(default_factory=dict)
    shadows: int = 0
    seen: int = 0
    blocked: Reason | None = None

    def add_passed(self, passed: Passed) -> None:
        self.seen += passed.seen
        self.shadows += passed.shadows
        self.blocked = passed.blocked
        for reason, count in passed.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count

    def add_results(self, results: Sequence[SendResult]) -> None:
        for result in results:
            self.outcomes[result.outcome] = self.outcomes.get(result.outcome, 0) + 1

    def merge(self, other: BatchResult) -> None:
        self.outcomes = dict(Counter(self.outcomes) + Counter(other.outcomes))
        self.reasons = dict(Counter(self.reasons) + Counter(other.reasons))
        self.shadows += other.shadows
        self.seen += other.seen
        self.blocked = self.blocked or other.blocked

    def counts(self) -> dict[str, int]:
        """One flat dict of counts, as flows and `--json` show it."""
        counts = {outcome.value: n for outcome, n in self.outcomes.items()}
        counts |= {reason.value: n for reason, n in self.reasons.items() if reason is not Reason.HOLDOUT}
        return counts | ({"shadow": self.shadows} if self.shadows else {})


def send_batch(
    setup: Setup,
    version: Version,
    node: MessageNode,
    *,
    due_before: Instant,
    limit: int = MAX_BATCH,
    probe: bool = False,
) -> BatchResult:
    """Send to at most `limit` due users of one step; `probe` tries one row first, after an outage.

    Raises Transient or ChannelDown when the provider cannot work; everything not sent is due again.
    """
    result = BatchResult()
    if setup.marker is not None:
        setup.marker.check(setup.clock.now())
    if setup.fit is not None:
        setup.fit.check(setup.clock.now())
    with setup.store.reading() as connection:
        passes = gate_passes(connection, version, node, mode=setup.mode)
    try:
        for gate_pass in passes:
            _send_pass(setup, gate_pass, result, due_before=due_before, limit=limit, probe=probe)
    finally:
        _tell_call_times(setup)
    return result


def _tell_call_times(setup: Setup) -> None:
    """Once per batch; that a figure for the metrics is lost stops nothing."""
    times = setup.dispatcher.take_times()
    if not times:
        return
    try:
        with setup.store.writing() as connection:
            add_call_times(connection, times)
    except StoreBusy as error:
        log.warning("the times of %s calls were not kept: %s", sum(each.calls for each in times.values()), error)


def _send_pass(
    setup: Setup, gate_pass: GatePass, result: BatchResult, *, due_before: Instant, limit: int, probe: bool
) -> None:
    """Walk the due index in order, one chunk at a time, until nothing is due or the batch is full."""
    gate = prepare(
        gate_pass.of,
        lock=True,
        jurisdictions=gate_pass.jurisdictions,
        but=gate_pass.but,
        doors=setup.doors,
        testers=setup.testers,
    )
    with Caller(setup, gate, result.add_results) as caller:
        _walk(setup, gate, caller, result, due_before=due_before, limit=limit, probe=probe)


def _walk(
    setup: Setup, gate: Gate, caller: Caller, result: BatchResult, *, due_before: Instant, limit: int, probe: bool
) -> None:
    route = gate.of.policy.routes[gate.of.channel]
    after: tuple[Instant, int] | None = (-1, -1)
    while after is not None and result.seen < limit and result.blocked is None:
        caller.make_ready()
        most = 1 if probe else chunk_size(route.per_second)
        gated = gate_chunk(setup, gate, Page(due_before, min(most, limit - result.seen), after))
        if caller.call(gated):
            result.add_passed(gated.passed)
            after = gated.passed.last
        probe = False


def chunk_size(per_second: int) -> int:
    """How many messages may be past the gate at once: what the sender takes in four seconds."""
    return max(1, min(MAX_CHUNK, int(per_second * SENDER_SECONDS)))


def gate_chunk(setup: Setup, gate: Gate, page: Page) -> Gated:
    """Let at most one page through the gate and commit it; waits for the sender where it is too fast for it."""
    route = gate.of.policy.routes[gate.of.channel]
    for _ in range(_MOST_WAITS):
        started = elapsed_seconds()
        granted, passed = _try_gate(setup, gate, route, page)
        if passed is not None:
            _mark(setup, passed)
            return Gated(passed, started, granted.is_probe)
        time.sleep(min(max((granted.again_at or 0) - setup.clock.now(), 0) / SECOND, 1.0))
    raise Transient(f"{gate.of.version.name}/{gate.of.node.name}: every sender of {granted.lane.provider} is resting")


def _try_gate(setup: Setup, gate: Gate, route: Route, page: Page) -> tuple[Grant, Passed | None]:
    """Provider, sender and tokens for a chunk, and its gate; None when none may leave now. Unneeded tokens go back.

    One transaction, but on PostgreSQL, where others would wait for the sender's row as long as the gate takes.
    """
    paced = not any(setup.provider(name).caps.simulated for name in route.providers)
    ask = partial(grant, route=route, brand=gate.of.version.brand, want=page.limit, paced=paced)
    granted, passed = None, None
    if paced and setup.store.is_postgresql:
        with setup.store.writing() as connection:
            granted = ask(connection, now=setup.clock.now())
    try:
        with setup.store.writing() as connection:
            now = setup.clock.now()
            granted = granted or ask(connection, now=now)
            if granted.messages:
                page = replace(page, limit=granted.messages)
                passed = pass_gate(connection, gate, page, now=now, lane=granted.lane, refs=setup.refs)
                give_back(connection, granted, used=len(passed.calls))
    except StoreBusy:
        if passed is not None:
            _take_back(setup, passed)
        raise
    return granted, passed


def _mark(setup: Setup, passed: Passed) -> None:
    """Note outside the store what passed, before anybody is called."""
    if passed.calls and setup.marker is not None:
        try:
            setup.marker.passed([call.ref for call in passed.calls], passed.now)
        except OSError as error:
            _take_back(setup, passed)
            raise Transient(f"what was sent last cannot be noted outside the store ({error.strerror})") from None


def _take_back(setup: Setup, passed: Passed) -> None:
    """The answer to our COMMIT got lost, or the mark: whatever it kept is due again, for nobody was called.

    Where the store stays away these rows become doubts, as if the process had died.
    """
    with suppress(StoreBusy):
        put_back(setup, [call.ref for call in passed.calls])
