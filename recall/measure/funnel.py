"""How far did the people of a journey get? Counts by step; what the journey *caused* is told by the holdout alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from journeys.journey import Stage
from journeys.program import MessageNode, Program
from journeys.words import SendState
from recall.clock import Instant
from recall.store.connect import Connection, read_fact, write_fact
from recall.store.counts import (
    Entered,
    count_ends,
    count_entered,
    count_sends,
    count_skips,
    count_stage,
    count_waiting,
)
from recall.store.versions import current_version

Line = dict[str, str | int]
SHARE_OF_TIME = 100  # counting everybody who ever entered takes at most a hundredth of the time
RECEIPTS = ("delivered", "opened", "clicked", "answered")


@dataclass
class StepCounts:
    """What became of everybody who came to one message step, over all versions."""

    channel: str = ""
    states: dict[str, int] = field(default_factory=dict)  # SendState -> sends
    receipts: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)  # reason -> times
    waiting: dict[str, int] = field(default_factory=dict)  # reason, or "as planned" -> people

    @property
    def sent(self) -> int:
        """Taken by the provider, for all we know: in doubt counts."""
        return self.states.get(SendState.ACCEPTED, 0) + self.states.get(SendState.IN_DOUBT, 0)


def count_steps(connection: Connection, journey: str) -> dict[str, StepCounts]:
    """Counts of each step somebody ever came to, by name."""
    steps: dict[str, StepCounts] = {}
    for name, channel, state, sends, *receipts in count_sends(connection, journey):
        step = steps.setdefault(name, StepCounts())
        step.channel = channel
        step.states[state] = step.states.get(state, 0) + sends
        for kind, count in zip(RECEIPTS, receipts, strict=True):
            step.receipts[kind] = step.receipts.get(kind, 0) + count
    for name, reason, times in count_skips(connection, journey):
        steps.setdefault(name, StepCounts()).left_out[reason] = times
    for name, why, people in count_waiting(connection, journey):
        steps.setdefault(name, StepCounts()).waiting[why or "as planned"] = people
    return steps


def funnel(connection: Connection, journey: str) -> list[Line]:
    """One line per thing that happens to people: entered, each step, each declared stage, came back, ended."""
    program = current_version(connection, journey).program
    entered = count_entered(connection, journey)
    ends = count_ends(connection, journey)
    return [
        _line("entered", entered.treated, f"{entered.active} on their way, holdout included"),
        *_steps(program, count_steps(connection, journey)),
        *_stages(connection, journey, program.journey.funnel),
        *_goals(entered),
        _line("ended", sum(ends.values()), told(ends)),
    ]


def may_count(connection: Connection, journey: str, *, now: Instant) -> bool:
    """Whether it is time to count again: the longer the last count took, the later."""
    return now >= int(read_fact(connection, _fact(journey)) or 0)


def note_counted(connection: Connection, journey: str, *, now: Instant, micros: int) -> None:
    """A count of this journey took so long."""
    write_fact(connection, _fact(journey), str(now + SHARE_OF_TIME * micros))


def _fact(journey: str) -> str:
    return f"funnel-counts-again:{journey}"


def told(counts: Mapping[str, int], before: str = "") -> str:
    """Counts in words, the greatest first; nothing when there are none."""
    parts = [f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    return f"{before}{', '.join(parts)}" if parts else ""


def _line(what: str, people: int, more: str = "", receipts: Iterable[int | str] = ("",) * len(RECEIPTS)) -> Line:
    return {"what": what, "people": people, **dict(zip(RECEIPTS, receipts, strict=True)), "more": more}


def _steps(program: Program, steps: Mapping[str, StepCounts]) -> Iterator[Line]:
    """Message steps in journey order, then those that only older versions have; control steps where people rest."""
    current = {node.name: node for node in program.nodes}
    for name in [*current, *sorted(set(steps) - set(current))]:
        counts, node = steps.get(name, StepCounts()), current.get(name)
        channel = node.channel.value if isinstance(node, MessageNode) else counts.channel
        if channel:
            receipts = [counts.receipts.get(kind, 0) for kind in RECEIPTS]
            yield _line(f"{name} [{channel}]", counts.sent, _more(counts), receipts)
        elif counts.waiting:
            yield _line(name, sum(counts.waiting.values()), "waiting here")


def _more(counts: StepCounts) -> str:
    others = {state: n for state, n in counts.states.items() if state != SendState.ACCEPTED}
    parts = (told(others), told(counts.left_out, "left out: "), told(counts.waiting, "waiting: "))
    return " · ".join(part for part in parts if part)


def _stages(connection: Connection, journey: str, stages: Iterable[Stage]) -> Iterator[Line]:
    for stage in stages:
        target = "" if stage.target is None else f"target: {stage.target} % of the stage before"
        yield _line(stage.stage, count_stage(connection, journey, stage.event), target)


def _goals(entered: Entered) -> Iterator[Line]:
    yield _line("came back", entered.treated_goals, f"of {entered.treated:,}; not all because of the journey")
    if entered.held_out:
        yield _line("came back without messages", entered.held_out_goals, f"of {entered.held_out:,} in the holdout")
