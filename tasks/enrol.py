"""Who enters a journey today?"""

from __future__ import annotations

from recall.engine import enrol as engine
from recall.store.versions import current_version
from tasks.edge import edge
from tasks.retrying import piece
from tasks.setup import setup


@piece("enrol", "enrol {journey}")
def enrol(journey: str) -> dict[str, int]:
    """Let in everyone of the audience who may enter; counts of candidates, enrolled and each reason why not."""
    with edge(f"{journey}: enrol"):
        with setup().store.reading() as connection:
            version = current_version(connection, journey)
        return engine.enrol(setup().store, version, now=setup().clock.now()).counts()
