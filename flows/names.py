"""What is a run called? Journey and local minute, never a person: `settled-30d 03-01 10:15`."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import cast
from zoneinfo import ZoneInfo

from prefect.runtime import flow_run

from recall.clock import to_datetime
from recall.errors import Misconfigured, RecallError
from recall.store.versions import current_version
from tasks.setup import setup


def journey_run() -> str:
    return f"{flow_run.parameters['journey']} {_minute()}"


def verb_run() -> str:
    """For what else is done with a journey: `enrol settled-30d 03-01 08:30`."""
    return f"{flow_run.flow_name.partition('-')[2]} {journey_run()}"


def lane_run() -> str:
    given = flow_run.parameters
    return f"{given['journey']} lane {given['lane']}/{given['lanes']} {_minute()}"


def plain_run() -> str:
    """For flows that belong to no journey."""
    return f"{flow_run.flow_name.removeprefix('recall-')} {_minute()}"


def _minute() -> str:
    """The store's clock where the journey's calendar is; of a store that cannot be opened the run tells next."""
    journey = flow_run.parameters.get("journey")
    zone: tzinfo = UTC
    try:
        now = to_datetime(setup().clock.now())
        if journey:
            with setup().store.reading() as connection:
                zone = ZoneInfo(current_version(connection, journey).program.journey.zone)
    except (Misconfigured, RecallError):
        now = cast(datetime, flow_run.scheduled_start_time)
    return f"{now.astimezone(zone):%m-%d %H:%M}"
