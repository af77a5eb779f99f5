"""Who came back, and who has to leave, before anybody is messaged?"""

from __future__ import annotations

from recall.engine import converge as engine
from recall.store.controls import refuse_unknown_journey
from tasks.edge import edge
from tasks.retrying import piece
from tasks.setup import setup


@piece("converge", "converge {journey}")
def converge(journey: str) -> dict[str, int]:
    """Apply receipts, goals, exit rules and opt-outs of everybody who changed, in whatever journey; counts."""
    with edge(f"{journey}: converge"):
        with setup().store.reading() as connection:
            refuse_unknown_journey(connection, journey)
        done = engine.converge(setup())
    counts = {"changed": done.users, "recalled": done.recalled}
    return counts | {end.value: count for end, count in done.ended.items()}
