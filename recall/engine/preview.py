"""What would a run do now? The gate is asked without locks, and nothing is written.

Each page is asked by itself: where a budget or a limit runs out in the middle of a run, the preview says go to more
people than it would cover.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from journeys.program import MessageNode
from journeys.words import Reason
from recall.clock import Instant
from recall.engine.run import DueStep, due_steps
from recall.engine.setup import Setup
from recall.store.cases import GatePass, gate_passes
from recall.store.due import count_due
from recall.store.gate import decide, prepare
from recall.store.gate_rows import Page
from recall.store.versions import versions_in_use

PAGE = 1000
GO = "go"


@dataclass
class Preview:
    """What the gate says to everybody due in a journey, by step."""

    steps: dict[str, dict[str, int]] = field(default_factory=dict)  # "go", "shadow" or a reason -> people
    turns: int = 0  # people due on a branch, split or wait; where they go is decided in a run

    @property
    def is_idle(self) -> bool:
        return not (self.steps or self.turns)


def preview_run(setup: Setup, journey: str) -> Preview:
    """The gate's word on everybody who is due in a journey now."""
    now = setup.clock.now()
    preview = Preview()
    for step in due_steps(setup, journey, due_before=now):
        counts = preview.steps.setdefault(step.node.name, {})
        for gate_pass in _passes(setup, step):
            for word, people in _ask(setup, gate_pass, step, now).items():
                counts[word] = counts.get(word, 0) + people
    preview.turns = _turns(setup, journey, now)
    return preview


def _passes(setup: Setup, step: DueStep) -> list[GatePass]:
    with setup.store.reading() as connection:
        return gate_passes(connection, step.version, step.node, mode=setup.mode)


def _ask(setup: Setup, gate_pass: GatePass, step: DueStep, now: Instant) -> dict[str, int]:
    gate = prepare(gate_pass.of, lock=False, jurisdictions=gate_pass.jurisdictions, but=gate_pass.but)
    counts: dict[str, int] = {}
    after = (-1, -1)
    while True:
        with setup.store.reading() as connection:
            chunk = decide(connection, gate, Page(now, PAGE, after), now=now, lock=False)
        if chunk.blocked is not None:
            return {chunk.blocked.value: step.users}
        for decision in chunk.decisions:
            word = GO if decision.reason is None else _word(decision.reason)
            counts[word] = counts.get(word, 0) + 1
        if chunk.last is None:
            return counts
        after = chunk.last


def _word(reason: Reason) -> str:
    return "shadow" if reason is Reason.HOLDOUT else reason.value


def _turns(setup: Setup, journey: str, now: Instant) -> int:
    with setup.store.reading() as connection:
        return sum(
            count_due(connection, version.id, node.id, due_before=now)
            for version in versions_in_use(connection, journey)
            for node in version.program.nodes
            if not isinstance(node, MessageNode)
        )
