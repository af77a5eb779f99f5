"""What happened to messages nobody knows about? Look for evidence, once for all journeys."""

from __future__ import annotations

from dataclasses import asdict

from recall.engine import reconcile as engine
from recall.store.counts import doubts_by_journey
from tasks.edge import edge
from tasks.retrying import piece
from tasks.setup import setup


@piece("reconcile", "reconcile")
def reconcile() -> dict[str, int]:
    """Spool, receipts, dead calls, lookups at providers; counts."""
    with edge("reconcile"):
        return asdict(engine.reconcile(setup()))


def open_doubts() -> dict[str, int]:
    """Messages in doubt now, by journey."""
    with edge("reconcile"), setup().store.reading() as connection:
        return doubts_by_journey(connection)
