"""How does one batch of due users get its message? Gate, call, settle, chunk by chunk; no user is ever a task."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from journeys.program import MessageNode
from journeys.words import Cause, Outcome, Reason
from providers.base import Address, Content, Outbound, SendResult
from recall.clock import Instant, elapsed_seconds
from recall.engine.dispatch import Called
from recall.engine.setup import Setup
from recall.engine.spool import spool
from recall.errors import ChannelDown, StoreBusy, Transient
from recall.store.cases import GatePass, gate_passes
from recall.store.gate import Gate, Page, prepare
from recall.store.gate_pass import Call, Passed, pass_gate, sender_of
from recall.store.ledger import Answer, outage, settle
from recall.store.policies import live_policies
from recall.store.versions import Version

GATE_TO_CALL_SECONDS = 5.0  # design 5: the call starts at most so long after the gate
SENDER_SECONDS = 4.0  # a chunk holds at most what the sender takes in this time
MAX_CHUNK = 1000
MAX_BATCH = 10_000
_SETTLE_WAITS_SECONDS = (0.0, 1.0, 3.0, 8.0, 18.0)  # five tries over thirty seconds, then the spool


@dataclass
class BatchResult:
    """What became of one batch; counts only."""

    outcomes: dict[Outcome, int] = field(default_factory=dict)
    reasons: dict[Reason, int] = field(default_factory=dict)
    shadows: int = 0
    seen: int = 0
    blocked: Reason | None = None

    def add(self, passed: Passed, results: Sequence[SendResult]) -> None:
        self.seen += passed.seen
        self.shadows += passed.shadows
        self.blocked = passed.blocked
        for reason, count in passed.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count
        for result in results:
            self.outcomes[result.outcome] = self.outcomes.get(result.outcome, 0) + 1

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
    with setup.store.reading() as connection:
        passes = gate_passes(connection, version, node, mode=setup.mode)
    for gate_pass in passes:
        _send_pass(setup, gate_pass, result, due_before=due_before, limit=limit, probe=probe)
    return result


def _send_pass(
    setup: Setup, gate_pass: GatePass, result: BatchResult, *, due_before: Instant, limit: int, probe: bool
) -> None:
    """Walk the due index in order, one chunk at a time, until nothing is due or the batch is full."""
    gate = prepare(gate_pass.of, lock=True, jurisdictions=gate_pass.jurisdictions, but=gate_pass.but)
    size = 1 if probe else chunk_size(gate_pass.of.policy.routes[gate_pass.of.channel].per_second)
    after = (-1, -1)
    while result.seen < limit and result.blocked is None:
        page = Page(due_before, min(size, limit - result.seen), after)
        passed, results = send_chunk(setup, gate, page)
        result.add(passed, results)
        if passed.last is None:
            return
        after = passed.last
        size = chunk_size(gate_pass.of.policy.routes[gate_pass.of.channel].per_second)


def chunk_size(per_second: int) -> int:
    """How many messages may be past the gate at once: what the sender takes in four seconds."""
    return max(1, min(MAX_CHUNK, int(per_second * SENDER_SECONDS)))


def send_chunk(setup: Setup, gate: Gate, page: Page) -> tuple[Passed, list[SendResult]]:
    """Gate one page, call what passed, record what the provider said."""
    started = elapsed_seconds()
    with setup.store.writing() as connection:
        passed = pass_gate(connection, gate, page, now=setup.clock.now(), refs=setup.refs)
    if not passed.calls:
        return passed, []
    outbound = [to_outbound(gate, call) for call in passed.calls]
    if elapsed_seconds() - started > GATE_TO_CALL_SECONDS:
        _put_back(setup, outbound)  # this very process knows that nothing touched the wire
        raise Transient(
            f"the gate took longer than {GATE_TO_CALL_SECONDS:.0f} s; {len(outbound)} messages are due again"
        )
    called = setup.dispatcher.call(setup.provider(passed.provider), outbound)
    if called.is_outage:
        _stop(setup, gate, outbound, called, passed.provider)
    record(setup, [to_answer(result) for result in called.results])
    return passed, called.results


def to_outbound(gate: Gate, call: Call) -> Outbound:
    """The committed row as the provider gets it."""
    of, row, rendered = gate.of, call.decision.row, call.decision.rendered
    assert rendered is not None  # the gate rendered every row it let go
    return Outbound(
        ref=call.ref,
        channel=of.channel,
        user=row.host_id,
        address=Address(of.address_kind, row.address or ""),
        content=Content(rendered.body, rendered.title, rendered.html, of.node.link or "", rendered.locale),
        sender=sender_of(gate),
        not_after=call.not_after,
        meta={"journey": of.version.name, "step": of.node.name, "group": str(row.grp)},
    )


def to_answer(result: SendResult) -> Answer:
    return Answer(
        result.ref,
        result.outcome,
        result.cause,
        result.provider_id,
        result.code,
        result.retry_after_seconds,
        result.segments,
        result.cost_micros,
    )


def record(setup: Setup, answers: Sequence[Answer]) -> None:
    """Write answers down; when the store stays away, into the spool. Nothing fallible stands before this."""
    for wait in _SETTLE_WAITS_SECONDS:
        time.sleep(wait)
        try:
            with setup.store.writing() as connection:
                settle(connection, answers, live_policies(connection), now=setup.clock.now())
            return
        except StoreBusy:
            continue
    spool(setup.spool_dir, answers)


def _put_back(setup: Setup, outbound: Sequence[Outbound]) -> None:
    with setup.store.writing() as connection:
        outage(connection, [o.ref for o in outbound], live_policies(connection), now=setup.clock.now())


def _stop(setup: Setup, gate: Gate, outbound: Sequence[Outbound], called: Called, provider: str) -> None:
    """The whole chunk stayed here: rows stay due with their attempts, and the batch fails visibly."""
    record(setup, [to_answer(r) for r in called.results if r.cause is not Cause.CONNECT])
    _put_back(setup, outbound)
    step = f"{gate.of.version.name}/{gate.of.node.name}"
    if isinstance(called.down, ChannelDown):
        raise ChannelDown(f"{step}: {provider} is misconfigured ({called.down}); rows stay due until that is put right")
    raise Transient(f"{step}: {provider} cannot be reached; {len(outbound)} messages are due again")
