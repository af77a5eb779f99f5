"""How many people are due on a step? One walk over the due part of the index, and no further."""

from __future__ import annotations

from sqlalchemy import BigInteger, Connection, bindparam, func, select

from recall.clock import Instant
from recall.store import schema

_E = schema.enrolments


def count_due(connection: Connection, version_id: int, step_id: int, *, due_before: Instant) -> int:
    """Active enrolments due on one step of one version."""
    asked = {"version": version_id, "step": step_id, "due_before": due_before}
    return int(connection.execute(_DUE, asked).scalar_one())


_DUE = select(func.count()).where(
    _E.c.version_id == bindparam("version"),
    _E.c.step_id == bindparam("step"),
    schema.is_active(_E),
    _E.c.due_at <= bindparam("due_before", type_=BigInteger),
)


def oldest_due(connection: Connection) -> Instant | None:
    """The longest overdue active enrolment of the store; None when nobody is enrolled."""
    return connection.execute(select(func.min(_E.c.due_at)).where(schema.is_active(_E))).scalar()
