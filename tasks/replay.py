"""What would go out if we sent the missed ones again, and do it?"""

from __future__ import annotations

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from journeys.durations import local_to_instant
from recall.clock import Instant
from recall.engine import replay as engine
from recall.store.versions import current_version
from tasks.edge import edge
from tasks.retrying import piece
from tasks.setup import setup


@piece("replay", "replay {journey}")
def replay(
    journey: str, step: str, since: date | None, outcome: str, reason: str, dry_run: bool, why: str
) -> dict[str, int]:
    """How many messages the gate would now let out, or why not; unless it is a dry run, make them due."""
    with edge(f"{journey}: replay"):
        wanted = engine.Wanted(
            journey,
            step=step or None,
            since=_midnight(journey, since),
            outcome=None if outcome == "any" else outcome,
            reason=reason or None,
        )
        done = engine.replay(setup(), wanted, dry_run=dry_run, who="prefect", why=why)
    return {"found": len(done.previews), "replayed": done.replayed} | done.counts()


def _midnight(journey: str, day: date | None) -> Instant | None:
    """When this day began in the journey's zone; raises Misconfigured for a journey nobody published."""
    with setup().store.reading() as connection:
        zone = current_version(connection, journey).program.journey.zone
    return None if day is None else local_to_instant(datetime.combine(day, time()), ZoneInfo(zone))
