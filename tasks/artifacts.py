"""What does a person see beside a run? Two tables and a progress bar per journey, and events for automations.

Keys are global in Prefect, so each carries the journey. Only ids and counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from prefect.artifacts import acreate_progress_artifact, acreate_table_artifact, aupdate_progress_artifact
from prefect.events import emit_event

from recall.measure.funnel import Line, funnel
from tasks.edge import edge
from tasks.setup import setup

DOUBT_RAISED = "recall.doubt.raised"
PROVIDER_DOWN = "recall.provider.down"
SOURCE_STALE = "recall.source.stale"


async def show_summary(journey: str, lines: Sequence[Mapping[str, str | int]], what: str) -> None:
    """What one run did, a line per step."""
    await acreate_table_artifact(
        key=f"recall-{journey}-summary", table=[dict(line) for line in lines], description=what
    )


async def show_funnel(journey: str) -> None:
    """How far the people of a journey got so far."""
    await acreate_table_artifact(
        key=f"recall-{journey}-funnel",
        table=[dict(line) for line in read_funnel(journey)],
        description=f"**{journey}**, everybody who ever entered. Counts, not effect: who came back *because* of the "
        "journey is told by the holdout alone.",
    )


async def show_replay(journey: str, verdicts: Mapping[str, int], what: str) -> None:
    """What the gate says to each missed message now."""
    table: list[dict[str, str | int]] = [{"verdict": verdict, "messages": n} for verdict, n in verdicts.items()]
    await acreate_table_artifact(key=f"recall-{journey}-replay", table=table, description=f"**{journey}**: {what}")


def read_funnel(journey: str) -> list[Line]:
    with edge(f"{journey}: funnel"), setup().store.reading() as connection:
        return funnel(connection, journey)


async def show_progress(journey: str, step: str, batches: int) -> UUID:
    """A bar for one step that begins now."""
    return await acreate_progress_artifact(
        progress=0.0, key=f"recall-{journey}-progress", description=f"{journey} {step}: 0 of {batches} batches"
    )


async def move_progress(bar: UUID, journey: str, step: str, *, done: int, batches: int) -> None:
    text = f"{journey} {step}: {done} of {batches} batches"
    await aupdate_progress_artifact(bar, progress=100.0 * done / batches, description=text)


def tell(event: str, journey: str, facts: Mapping[str, str | int]) -> None:
    """Emit an event an automation may wait for."""
    resource = {"prefect.resource.id": f"recall.journey.{journey}", "prefect.resource.name": journey}
    emit_event(event=event, resource=resource, payload=dict(facts))
