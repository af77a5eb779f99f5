"""Is this step held back for everybody? Kill switch, pause, missing approval, stale data: read with every chunk."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from journeys.durations import subtract
from journeys.words import Reason
from recall.clock import Instant
from recall.store import schema
from recall.store.controls import Controls, read_controls
from recall.store.gate_reasons import Case


def blocked(connection: Connection, of: Case, now: Instant) -> Reason | None:
    """The first of the reasons that hold for every row of a step; None when it may go on."""
    controls = read_controls(connection)
    if controls.kill_switch is not None:
        return Reason.KILL_SWITCH
    if _is_paused(controls, of):
        return Reason.PAUSED
    if of.version.program.journey.approval and of.version.hash not in controls.approved:
        return Reason.NOT_APPROVED
    if _is_stale(connection, of, now):
        return Reason.STALE_DATA
    return None


def _is_paused(controls: Controls, of: Case) -> bool:
    return (
        of.version.name in controls.paused
        or f"{of.version.name}/{of.node.name}" in controls.stopped_steps
        or of.node.template in controls.stopped_templates
    )


def _is_stale(connection: Connection, of: Case, now: Instant) -> bool:
    """Some source of events tells only up to a time longer ago than the journey bears (or there is none)."""
    freshness = of.version.program.journey.entry.freshness
    if freshness is None:
        return False
    oldest = connection.execute(select(func.min(schema.sources.c.as_of))).scalar()
    return oldest is None or oldest < subtract(now, freshness, of.zone)
