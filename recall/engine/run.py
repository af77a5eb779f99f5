"""What is due in a journey, and how does one pass over it go? The flows call these same pieces one by one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from journeys.program import MessageNode, Node
from recall.clock import MINUTE, Instant
from recall.engine.converge import converge
from recall.engine.guard import guard_journey
from recall.engine.send import MAX_BATCH, MAX_CHUNK, BatchResult, send_batch
from recall.engine.setup import Setup
from recall.errors import ChannelDown, Transient
from recall.store.cases import policy_names
from recall.store.changes import Converged
from recall.store.control_steps import advance
from recall.store.due import count_due
from recall.store.policies import live_policy
from recall.store.versions import Version, versions_in_use

CLAIM_FOR = 10 * MINUTE  # a run stops taking new rows after this; the rest is due next time


@dataclass(frozen=True)
class DueStep:
    """A message step of one version with people due on it."""

    version: Version
    node: MessageNode
    users: int
    batches: int

    @property
    def batch_size(self) -> int:
        """People of one batch, at most."""
        return -(-self.users // self.batches)


@dataclass
class RunResult:
    """What one pass did, by step name; counts only."""

    converged: Converged = field(default_factory=Converged)
    turned: int = 0  # enrolments that passed a control step
    steps: dict[str, dict[str, int]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  # step name -> what is wrong

    @property
    def is_idle(self) -> bool:
        return not (self.converged.users or self.turned or self.steps or self.failed)


def run_journey(setup: Setup, journey: str) -> RunResult:
    """Everything due now: leave, turn, send. One failed step does not stop the others."""
    started = setup.clock.now()
    result = RunResult(converged=converge(setup))
    result.turned = turn(setup, journey, due_before=started)
    for step in due_steps(setup, journey, due_before=started):
        _run_step(setup, step, result, due_before=started)
    return result


def _run_step(setup: Setup, step: DueStep, result: RunResult, *, due_before: Instant) -> None:
    counts = result.steps.setdefault(step.node.name, {})
    try:
        for batch in run_batches(setup, step, due_before=due_before):
            for name, count in batch.counts().items():
                counts[name] = counts.get(name, 0) + count
    except (Transient, ChannelDown) as error:
        result.failed[step.node.name] = str(error)


def run_batches(setup: Setup, step: DueStep, *, due_before: Instant) -> list[BatchResult]:
    """All batches of one step, as many side by side as there are gates; raises what the provider's trouble raises.

    After a failure no further batch begins.
    """
    numbers, results, failed = iter(range(step.batches)), list[BatchResult](), list[Exception]()

    def work() -> None:
        for _ in numbers:
            if failed or setup.clock.now() - due_before > CLAIM_FOR:
                return
            try:
                results.append(send_batch(setup, step.version, step.node, due_before=due_before, limit=step.batch_size))
            except Exception as error:
                failed.append(error)

    if setup.gates == 1:
        work()
    else:
        with ThreadPoolExecutor(setup.gates, "recall-batch") as pool:
            for _ in range(setup.gates):
                pool.submit(work)
    for error in failed:
        raise error
    return results


def turn(setup: Setup, journey: str, *, due_before: Instant) -> int:
    """Pass every control step until nobody is due on one; returns how many turns were taken.

    Guardrails are looked at first: a journey that does harm pauses itself before it sends again.
    """
    turned = 0
    with setup.store.reading() as connection:
        versions = versions_in_use(connection, journey)
    for version in versions:
        guard_journey(setup, version)
        while moved := sum(
            _turn_node(setup, version, node, due_before=due_before)
            for node in version.program.nodes
            if not isinstance(node, MessageNode)
        ):
            turned += moved
    return turned


def _turn_node(setup: Setup, version: Version, node: Node, *, due_before: Instant) -> int:
    turned = 0
    while True:
        with setup.store.writing() as connection:
            live = live_policy(connection, policy_names(version.program.journey)[0])
            moved = advance(connection, setup.store, version, node, live, due_before=due_before, now=setup.clock.now())
        if not moved:
            return turned
        turned += moved


def due_steps(setup: Setup, journey: str, *, due_before: Instant) -> list[DueStep]:
    """Message steps with people due, version by version in journey order; reads only what is due."""
    with setup.store.reading() as connection:
        return [
            DueStep(version, node, users, _batches(setup, users))
            for version in versions_in_use(connection, journey)
            for node in version.program.nodes
            if isinstance(node, MessageNode)
            and (users := count_due(connection, version.id, node.id, due_before=due_before))
        ]


def _batches(setup: Setup, users: int) -> int:
    """As many as go side by side, or a multiple of that, where there is a chunk for each."""
    rounds = -(-users // (MAX_BATCH * setup.gates))
    return min(rounds * setup.gates, -(-users // MAX_CHUNK))
