"""When did somebody come back? The first goal after entering and within the window; it counts once."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection, select

from journeys.values import MICROS_PER_UNIT
from recall.clock import Instant
from recall.store import schema
from recall.store.audience import property_condition
from recall.store.bulk import among, ids_parameter
from recall.store.properties import property_text
from recall.store.versions import Version

_E, _V = schema.enrolments, schema.events

FirstGoal = tuple[int, int, Instant, int | None]  # enrolment id, event id, when, worth in micros


def first_goals(connection: Connection, version: Version, users: Sequence[int]) -> list[FirstGoal]:
    """The first goal of every enrolment of these users that has none yet, ended ones included."""
    goal = version.program.journey.goal
    counting = [
        property_condition(property_text(_V.c.properties, name), comparison)
        for name, comparison in (goal.where or {}).items()
    ]
    wanted = (
        select(_E.c.id, _V.c.id.label("event_id"), _V.c.at, _V.c.properties)
        .join(_V, (_V.c.user_id == _E.c.user_id) & _V.c.name.in_(goal.events))
        .where(
            among(connection, _E.c.user_id, "ids"),
            _E.c.version_id == version.id,
            _E.c.goal_at.is_(None),
            _V.c.at > _E.c.entered_at,
            _V.c.at <= _E.c.goal_until,
            *counting,
        )
        .order_by(_E.c.id, _V.c.at, _V.c.id)
    )
    found: dict[int, FirstGoal] = {}
    for row in connection.execute(wanted, {"ids": ids_parameter(connection, users)}):
        if row.id not in found:
            found[row.id] = (row.id, row.event_id, row.at, worth(row.properties, goal.value))
    return list(found.values())


def worth(properties: str | None, name: str | None) -> int | None:
    """The numeric property `name` of an event in micros; None when it has none."""
    if not properties or not name:
        return None
    try:
        return round(float(json.loads(properties)[name]) * MICROS_PER_UNIT)
    except (KeyError, ValueError, OverflowError):
        return None
