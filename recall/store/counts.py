"""How many, by step and outcome? Plain counts for the tables people look at; never a rate and never a claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import BindParameter, ColumnElement, Connection, Row, and_, bindparam, exists, func, select

from journeys.words import Action, Holdout, SendState
from recall.store import schema
from recall.store.bulk import is_postgresql

_D, _E, _J, _S, _T, _U = (
    schema.decisions,
    schema.enrolments,
    schema.journeys,
    schema.sends,
    schema.steps,
    schema.user_events,
)


@dataclass(frozen=True)
class Entered:
    """Everybody who ever entered a journey, treated or held out."""

    treated: int = 0
    treated_goals: int = 0
    held_out: int = 0
    held_out_goals: int = 0
    active: int = 0


def doubts_by_journey(connection: Connection) -> dict[str, int]:
    """Messages in doubt now; journeys without one are left out."""
    doubts = (
        select(_J.c.name, func.count())
        .join(_S, _S.c.journey_id == _J.c.id)
        .where(schema.SENDS_OPEN, _S.c.state == SendState.IN_DOUBT.value)
        .group_by(_J.c.name)
    )
    return {name: count for name, count in connection.execute(doubts)}


def count_entered(connection: Connection, journey: str) -> Entered:
    """Enrolments and goals inside the window, apart for treated people and holdout."""
    treated, everybody, goals = _is_treated(), func.count(), func.count(_E.c.goal_at)
    counts = select(
        everybody.filter(treated).label("treated"),
        goals.filter(treated).label("treated_goals"),
        everybody.filter(~treated).label("held_out"),
        goals.filter(~treated).label("held_out_goals"),
        everybody.filter(schema.is_active(_E)).label("active"),
    )  # in groups SQLite would sort a row per person
    return Entered(**connection.execute(counts.where(_of(journey))).one()._asdict())


def count_ends(connection: Connection, journey: str) -> dict[str, int]:
    """How passages of treated people ended."""
    ends = select(_E.c.end_reason, func.count()).where(_of(journey), _is_treated(), _E.c.active.is_(False))
    return {reason: count for reason, count in connection.execute(ends.group_by(_E.c.end_reason))}


class StepSends(NamedTuple):
    """Messages of one step in one state, over all versions."""

    step: str
    channel: str
    state: str  # journeys.words.SendState
    sends: int
    delivered: int
    opened: int
    clicked: int
    answered: int


def count_sends(connection: Connection, journey: str) -> list[StepSends]:
    """Every message of a journey; on SQLite part by part, as it keeps and sorts in memory whatever it groups."""
    names = {(row.version_id, row.step_id): (row.name, row.channel) for row in connection.execute(select(_T))}
    counts: Counter[tuple[str, str, str, str]] = Counter()
    end = connection.execute(_LAST_SEND).scalar_one() + 1
    size = end if is_postgresql(connection) else _PART
    for begins in range(0, end, size):
        part = {"journey": journey, "begins": begins, "ends": begins + size}
        for version_id, step_id, state, *numbers in connection.execute(_SENDS_OF_PART, part):
            for kind, number in zip(_COUNTED, numbers, strict=True):
                counts[*names[version_id, step_id], state, kind] += number
    groups = dict.fromkeys(key[:3] for key in counts)
    return [StepSends(*group, *(counts[*group, kind] for kind in _COUNTED)) for group in groups]


def count_skips(connection: Connection, journey: str) -> Sequence[Row[tuple[str, str, int]]]:
    """(step, reason, times) of messages left out for good."""
    left_out = (Action.SKIP.value, Action.ELSE.value)
    return connection.execute(
        select(_T.c.name, _D.c.reason, func.count())
        .select_from(_D)
        .join(_E, _E.c.id == _D.c.enrolment_id)
        .join(_T, and_(_T.c.version_id == _E.c.version_id, _T.c.step_id == _D.c.step_id))
        .where(_of(journey), _D.c.action.in_(left_out))
        .group_by(_T.c.name, _D.c.reason)
    ).all()


def count_waiting(connection: Connection, journey: str) -> Sequence[Row[tuple[str, str | None, int]]]:
    """(step, what holds them back, people) who rest on a step now; None = their time has not come."""
    return connection.execute(
        select(_T.c.name, _E.c.reason, func.count())
        .join(_T, and_(_T.c.version_id == _E.c.version_id, _T.c.step_id == _E.c.step_id))
        .where(_of(journey), schema.is_active(_E))
        .group_by(_T.c.name, _E.c.reason)
    ).all()


def count_stage(connection: Connection, journey: str, event: str) -> int:
    """Treated people who did this event after they entered."""
    did = exists().where(_U.c.user_id == _E.c.user_id, _U.c.name == event, _U.c.last_at >= _E.c.entered_at)
    return connection.execute(select(func.count()).select_from(_E).where(_of(journey), _is_treated(), did)).scalar_one()


def _journey_id(journey: str | BindParameter[str]) -> ColumnElement[int]:
    return select(_J.c.id).where(_J.c.name == journey).scalar_subquery()


def _of(journey: str) -> ColumnElement[bool]:
    return _E.c.journey_id == _journey_id(journey)


def _is_treated() -> ColumnElement[bool]:
    return _E.c.holdout == Holdout.TREATED.value


_PART = 50_000  # sends
_COUNTED = StepSends._fields[3:]
_LAST_SEND = select(func.coalesce(func.max(_S.c.id), 0))
_SENDS_OF_PART = (
    select(
        _S.c.version_id,
        _S.c.step_id,
        _S.c.state,
        func.count(),
        func.count(_S.c.delivered_at),
        func.count(_S.c.opened_at),
        func.count(_S.c.clicked_at),
        func.count(_S.c.answered_at),
    )
    .where(_S.c.id >= bindparam("begins"), _S.c.id < bindparam("ends"))
    .where(_S.c.journey_id == _journey_id(bindparam("journey")))
    .group_by(_S.c.version_id, _S.c.step_id, _S.c.state)
)
