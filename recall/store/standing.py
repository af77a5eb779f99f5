"""Where did the gate leave an enrolment, and is it still there?"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, select

from recall.store import schema

_E = schema.enrolments


def still_where_gate_left_it(send: Any) -> ColumnElement[bool]:
    """No later step passed: the gate of this send was the last thing that moved its enrolment.

    An enrolment that ended with this very message counts too, unless the person entered the journey again.
    """
    other = schema.enrolments.alias("other")
    back_inside = exists(
        select(1).where(
            other.c.journey_id == _E.c.journey_id,
            other.c.user_id == _E.c.user_id,
            other.c.id != _E.c.id,
            schema.is_active(other),
        )
    )
    waiting = and_(schema.is_active(_E), _E.c.base_at == send.gate_at)
    finished = and_(_E.c.end_reason == "finished", _E.c.ended_at == send.gate_at, ~back_inside)
    return and_(_E.c.id == send.enrolment_id, or_(waiting, finished))
