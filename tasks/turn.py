"""Who passes a branch, split or exit now, and who is due for a message after that?"""

from __future__ import annotations

from dataclasses import dataclass

from recall.engine import run as engine
from tasks.edge import edge
from tasks.retrying import piece
from tasks.setup import setup
from tasks.started import started


@dataclass(frozen=True)
class Due:
    """A message step with people due on it; ids and counts, as Prefect may see them."""

    step: str
    channel: str
    version: int  # the store's id of the published version
    users: int
    batches: int
    batch_size: int  # people, at most


@dataclass(frozen=True)
class Turned:
    turned: int  # enrolments that passed a control step
    due: tuple[Due, ...]


@piece("turn", "turn {journey}")
def turn(journey: str) -> Turned:
    """Pass every control step, then look who is due for a message."""
    with edge(f"{journey}: turn"):
        turned = engine.turn(setup(), journey, due_before=started())
        steps = engine.due_steps(setup(), journey, due_before=started())
    return Turned(turned, tuple(_due(step) for step in steps))


def _due(step: engine.DueStep) -> Due:
    return Due(step.node.name, step.node.channel.value, step.version.id, step.users, step.batches, step.batch_size)
