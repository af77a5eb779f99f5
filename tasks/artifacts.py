"""What does a person see beside a run? Two tables and a progress bar per journey, and events for automations.

Keys are global in Prefect, so each carries the journey. Only ids and counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.events import emit_event

from recall.clock import SECOND, elapsed_seconds
from recall.measure.daily import COLUMNS, JourneyDay, day_told, read_untold_day, row_of
from recall.measure.funnel import Line, funnel, may_count, note_counted
from tasks.edge import edge
from tasks.setup import setup

DOUBT_RAISED = "recall.doubt.raised"
PROVIDER_DOWN = "recall.provider.down"
SOURCE_STALE = "recall.source.stale"
DAY_ALERT = "recall.day.alert"


async def show_summary(journey: str, lines: Sequence[Mapping[str, str | int]], what: str) -> None:
    """What one run did, a line per step."""
    await acreate_table_artifact(
        key=f"recall-{journey}-summary", table=[dict(line) for line in lines], description=what
    )


async def show_funnel(journey: str) -> None:
    """How far the people of a journey got so far; on the first run of its day also how yesterday went.

    It counts everybody who ever entered, which takes longer from year to year: so not after each run.
    """
    day = look_at_yesterday(journey)
    if day is None and not may_count_funnel(journey):
        return
    key, lines = f"recall-{journey}-funnel", [dict(line) for line in read_funnel(journey)]
    what = (
        f"**{journey}**, everybody who ever entered. Counts, not effect: who came back *because* of the journey is "
        "told by the holdout alone."
    )
    if day is None:
        await acreate_table_artifact(key=key, table=lines, description=what)
        return
    text = "\n\n".join([*_told_day(day), what, _markdown(list(lines[0]), [list(line.values()) for line in lines])])
    await acreate_markdown_artifact(key=key, markdown=text, description=f"{journey}: yesterday, and all so far")
    note_day_told(journey, day)
    if day.alerts:
        tell(DAY_ALERT, journey, {"alerts": len(day.alerts), "what": "; ".join(day.alerts)})


def look_at_yesterday(journey: str) -> JourneyDay | None:
    """Yesterday of this journey, by its own calendar; None once it was told."""
    with edge(f"{journey}: yesterday"), setup().store.reading() as connection:
        now = setup().clock.now()
        return read_untold_day(connection, journey, now=now)


def note_day_told(journey: str, day: JourneyDay) -> None:
    with edge(f"{journey}: yesterday"), setup().store.writing() as connection:
        day_told(connection, day)


def _told_day(day: JourneyDay) -> list[str]:
    alerts = [f"**ALERT** {alert}" for alert in day.alerts] or ["No alert."]
    head = f"**{day.journey}**, yesterday: each stage against its target and the same weekday a week before"
    return [head, *alerts, _markdown(COLUMNS[1:], [row_of(line)[1:] for line in day.lines])]


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str | int]]) -> str:
    """A table; nothing in it can break a cell."""
    cells = [list(columns), ["---"] * len(columns), *([str(cell).replace("|", "/") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


async def show_replay(journey: str, verdicts: Mapping[str, int], what: str) -> None:
    """What the gate says to each missed message now."""
    table: list[dict[str, str | int]] = [{"verdict": verdict, "messages": n} for verdict, n in verdicts.items()]
    await acreate_table_artifact(key=f"recall-{journey}-replay", table=table, description=f"**{journey}**: {what}")


def may_count_funnel(journey: str) -> bool:
    with edge(f"{journey}: funnel"), setup().store.reading() as connection:
        return may_count(connection, journey, now=setup().clock.now())


def read_funnel(journey: str) -> list[Line]:
    """Counts, and notes how long that took."""
    began = elapsed_seconds()
    with edge(f"{journey}: funnel"):
        with setup().store.reading() as connection:
            lines = funnel(connection, journey)
        micros = int((elapsed_seconds() - began) * SECOND)
        with setup().store.writing() as connection:
            note_counted(connection, journey, now=setup().clock.now(), micros=micros)
    return lines


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
