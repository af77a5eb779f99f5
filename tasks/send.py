"""How does a batch look to Prefect? One task of at most 20,000 people; nobody is ever a task of their own."""

from __future__ import annotations

from dataclasses import dataclass

from prefect.runtime import task_run

from journeys.program import MessageNode
from recall.engine import send as engine
from recall.errors import Misconfigured
from recall.store.versions import Version, read_version
from tasks.edge import edge
from tasks.retrying import piece
from tasks.setup import setup
from tasks.started import started


@dataclass(frozen=True)
class Sent:
    """What became of one batch; counts only."""

    counts: dict[str, int]
    blocked: str = ""  # the reason that held the whole step back, if one did


@piece("send-batch", "{channel} {journey}/{step} batch {batch:03d}")
def send_batch(journey: str, step: str, channel: str, version: int, batch: int, batch_size: int) -> Sent:
    """Send to the next `batch_size` due people of one step; which ones, the store decides when the task runs.

    Fails only for an outage or a wrong configuration, and nobody is lost then: they stay due. A further try
    sends one message first, before it commits a whole chunk to a provider that may still be away.
    """
    with edge(f"{journey}/{step} batch {batch:03d}"):
        of, node = _find(version, step)
        probe = (task_run.run_count or 1) > 1
        result = engine.send_batch(setup(), of, node, due_before=started(), limit=batch_size, probe=probe)
    return Sent(result.counts(), result.blocked.value if result.blocked else "")


def _find(version: int, step: str) -> tuple[Version, MessageNode]:
    with setup().store.reading() as connection:
        of = read_version(connection, version)
    for node in of.program.nodes:
        if isinstance(node, MessageNode) and node.name == step:
            return of, node
    raise Misconfigured(f"journey {of.name} version {of.number} has no message step {step!r}")
