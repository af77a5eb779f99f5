"""How does a person of ours get work? It is there already: the ledger's row is an item of the worklist.

`recall task` lists, hands out and takes back; see `recall.engine.worklist`.
"""

from __future__ import annotations

from collections.abc import Mapping

from journeys.words import Channel
from providers.base import Capabilities, Check, Idempotency, Lookup, Preflight
from providers.in_app import InApp, refuse_options
from recall.clock import Clock
from recall.settings import Settings


def make(name: str, settings: Settings, clock: Clock, options: Mapping[str, str]) -> Task:
    """The worklist; it takes no options."""
    refuse_options(name, options)
    return Task(name)


class Task(InApp):
    """Takes every task at once."""

    channel = Channel.TASK
    caps = Capabilities(max_batch=1000, idempotency=Idempotency.KEY, reconcile=Lookup.LOOKUP)

    def __init__(self, name: str = "task") -> None:
        super().__init__(name)

    async def preflight(self) -> Preflight:
        return Preflight((Check("worklist", True, "`recall task list` shows what is to be done"),))
