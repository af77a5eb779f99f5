"""What is to be done by people of ours, and what came of it? Tasks go out as a list and come back with an outcome."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from journeys.program import OutcomeNode
from recall.clock import Instant
from recall.engine.converge import drain_receipts
from recall.engine.setup import Setup
from recall.store.versions import read_version
from recall.store.worklist import Task, expire_tasks, known_tasks, open_tasks, record_outcome

_PAGE = 1000
_OUTCOME = re.compile(r"[a-z][a-z0-9_-]{0,39}")


@dataclass(frozen=True)
class Item:
    """A task, and which outcomes its journey listens to."""

    task: Task
    outcomes: tuple[str, ...] = ()


def list_tasks(setup: Setup, *, journey: str = "") -> Iterator[Item]:
    """Every task that may be done now, oldest first."""
    words: dict[tuple[int, int], tuple[str, ...]] = {}
    after = 0
    while True:
        with setup.store.reading() as connection:
            tasks, after = open_tasks(connection, now=setup.clock.now(), journey=journey, after=after, limit=_PAGE)
            for task in tasks:
                step = (task.version_id, task.step_id)
                if step not in words:
                    nodes = read_version(connection, task.version_id).program.nodes
                    words[step] = next(
                        (
                            tuple(sorted(node.actions))
                            for node in nodes
                            if isinstance(node, OutcomeNode) and node.of == task.step_id
                        ),
                        (),
                    )
        yield from (Item(task, words[task.version_id, task.step_id]) for task in tasks)
        if not after:
            return


@dataclass(frozen=True)
class Reported:
    """One line somebody brings back."""

    line: int
    ref: str
    outcome: str
    user: str = ""  # if the line names one, it must be the task's
    at: Instant | None = None  # when it was done; None: now


@dataclass
class Taken:
    """What came of bringing outcomes back."""

    recorded: int = 0
    known: int = 0  # the same outcome was there already
    empty: int = 0  # no outcome yet
    problems: list[tuple[int, str]] = field(default_factory=list)  # line, what is wrong


def take_outcomes(setup: Setup, rows: Sequence[Reported]) -> Taken:
    """Record outcomes, all good lines in one transaction, and let the journeys go on."""
    taken, now = Taken(), setup.clock.now()
    with setup.store.writing() as connection:
        known = known_tasks(connection, {row.ref for row in rows if row.ref})
        done: dict[str, str] = {ref: task.answer for ref, task in known.items() if task.answer is not None}
        for row in rows:
            outcome = row.outcome.strip().lower()
            at = now if row.at is None else row.at
            if not outcome:
                taken.empty += 1
            elif not _OUTCOME.fullmatch(outcome):
                taken.problems.append((row.line, "an outcome is one word of a-z 0-9 _ -, such as done"))
            elif row.ref not in known:
                taken.problems.append((row.line, "no task has this ref; export the list again"))
            elif row.user and row.user != known[row.ref].user:
                taken.problems.append((row.line, "this ref belongs to another user; were lines mixed up?"))
            elif done.get(row.ref, outcome) != outcome:
                taken.problems.append((row.line, f"this task already has the outcome {done[row.ref] or 'none'}"))
            elif not known[row.ref].gate_at <= at <= now:
                taken.problems.append((row.line, "the time lies before the task, or in the future"))
            elif row.ref in done:
                taken.known += 1
            else:
                record_outcome(connection, row.ref, outcome, at=at, now=now)
                done[row.ref] = outcome
                taken.recorded += 1
    drain_receipts(setup)
    return taken


def expire(setup: Setup) -> int:
    """Close tasks whose time is over; returns how many."""
    closed = 0
    while True:
        with setup.store.writing() as connection:
            some = expire_tasks(connection, now=setup.clock.now())
        closed += some
        if not some:
            return closed
