"""How many people are due on a step? One walk over the due part of the index, and no further."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from recall.clock import Instant
from recall.store import schema

_E = schema.enrolments


def count_due(connection: Connection, version_id: int, step_id: int, *, due_before: Instant) -> int:
    """Active enrolments due on one step of one version."""
    due = select(func.count()).where(
        _E.c.version_id == version_id,
        _E.c.step_id == step_id,
        schema.is_active(_E),
        _E.c.due_at <= due_before,
    )
    return int(connection.execute(due).scalar_one())


def oldest_due(connection: Connection) -> Instant | None:
    """The longest overdue active enrolment of the store; None when nobody is enrolled."""
    return connection.execute(select(func.min(_E.c.due_at)).where(schema.is_active(_E))).scalar()
