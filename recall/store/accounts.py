"""What became of each message a journey meant for somebody? Grouped and counted; nobody is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Subquery, and_, case, func, select

from journeys.program import NodeKind
from recall.clock import Instant
from recall.store import schema

_D, _E, _J, _S, _T = schema.decisions, schema.enrolments, schema.journeys, schema.sends, schema.steps


class Fate(NamedTuple):
    """So many passages for which one message step came out alike."""

    holdout: str
    step_id: int
    step: str
    channel: str
    state: str | None  # of the last send; None when there was none
    cause: str | None
    left_out: str | None  # last reason for which the gate left it out for good
    is_past: bool  # they are, or ended, further on
    is_here: bool  # somebody active rests on this step
    waits_for: str | None  # what holds them back there
    end_reason: str | None  # None while the passage goes on
    people: int


def read_fates(connection: Connection, journey: str) -> Iterator[Fate]:
    """Every passage through any version, times every message step of that version."""
    send = _last(_S.c.id, _S.c.enrolment_id, _S.c.step_id)
    decision = _last(_D.c.id, _D.c.enrolment_id, _D.c.step_id, _D.c.action.not_in(("defer", "wait")))
    here = and_(schema.is_active(_E), _E.c.step_id == _T.c.step_id)
    columns = (
        _E.c.holdout,
        _T.c.step_id,
        _T.c.name,
        _T.c.channel,
        _S.c.state,
        _S.c.cause,
        _D.c.reason,
        case((_E.c.step_id > _T.c.step_id, 1), else_=0),
        case((here, 1), else_=0),
        case((here, _E.c.reason)),
        _E.c.end_reason,
    )
    rows = (
        select(*columns, func.count())
        .select_from(_E)
        .join(_J, _J.c.id == _E.c.journey_id)
        .join(_T, and_(_T.c.version_id == _E.c.version_id, _T.c.kind == NodeKind.MESSAGE.value))
        .outerjoin(send, and_(send.c.enrolment_id == _E.c.id, send.c.step_id == _T.c.step_id))
        .outerjoin(_S, _S.c.id == send.c.last)
        .outerjoin(decision, and_(decision.c.enrolment_id == _E.c.id, decision.c.step_id == _T.c.step_id))
        .outerjoin(_D, _D.c.id == decision.c.last)
        .where(_J.c.name == journey)
        .group_by(*columns)
        .order_by(_T.c.step_id)
    )
    return (Fate._make((*row[:7], bool(row[7]), bool(row[8]), *row[9:])) for row in connection.execute(rows))


def _last(
    number: Column[int], enrolment_id: Column[int], step_id: Column[int], *conditions: ColumnElement[bool]
) -> Subquery:
    """The greatest id per passage and step."""
    last = select(func.max(number).label("last"), enrolment_id, step_id).where(*conditions)
    return last.group_by(enrolment_id, step_id).subquery()


class Spent(NamedTuple):
    """Messages of one channel that were taken, and what they cost."""

    channel: str
    messages: int
    micros: int
    currency: str


def read_spent(connection: Connection, journey: str) -> list[Spent]:
    """By channel and currency; the vendor's price where it told one, else ours of the gate."""
    rows = (
        select(_S.c.channel, func.count(), func.sum(func.coalesce(_S.c.cost, _S.c.price)), _S.c.currency)
        .join(_J, _J.c.id == _S.c.journey_id)
        .where(_J.c.name == journey, _S.c.state == "accepted")
        .group_by(_S.c.channel, _S.c.currency)
        .order_by(_S.c.channel)
    )
    return [Spent(row[0], row[1], int(row[2]), row[3]) for row in connection.execute(rows)]


class Looks(NamedTuple):
    """What all looks at the audience together counted; who was refused on two days counts twice."""

    candidates: int
    enrolled: int
    refused: dict[str, int]  # by entry reason


def read_looks(connection: Connection, journey: str) -> Looks:
    table = schema.entry_counts
    rows = (
        select(table.c.reason, func.sum(table.c.users))
        .join(_J, _J.c.id == table.c.journey_id)
        .where(_J.c.name == journey)
        .group_by(table.c.reason)
    )
    counts = {reason: int(users) for reason, users in connection.execute(rows)}
    return Looks(counts.pop("candidates", 0), counts.pop("enrolled", 0), {k: v for k, v in counts.items() if v})


class Returned(NamedTuple):
    """Passages and first goals of one side of the experiment."""

    holdout: str
    people: int
    goals: int
    open_windows: int  # whose goal may still come


def read_returns(connection: Connection, journey: str, *, now: Instant) -> list[Returned]:
    waiting = and_(_E.c.goal_at.is_(None), _E.c.goal_until > now)
    rows = (
        select(_E.c.holdout, func.count(), func.count(_E.c.goal_at), func.sum(case((waiting, 1), else_=0)))
        .join(_J, _J.c.id == _E.c.journey_id)
        .where(_J.c.name == journey)
        .group_by(_E.c.holdout)
        .order_by(_E.c.holdout)
    )
    return [Returned(row[0], row[1], row[2], int(row[3])) for row in connection.execute(rows)]


def count_users_entered(connection: Connection, journey: str) -> int:
    """People who entered at least once."""
    rows = select(func.count(_E.c.user_id.distinct())).join(_J, _J.c.id == _E.c.journey_id).where(_J.c.name == journey)
    return int(connection.execute(rows).scalar_one())


class Troubles(NamedTuple):
    """What went wrong on the way and how it was put right."""

    tried_again: int  # accepted after an attempt that was known not to be sent
    doubts: int  # ever raised
    resolved: dict[str, int]  # accepted | not_sent


def read_troubles(connection: Connection) -> Troubles:
    doubts = schema.doubts
    again = select(func.count()).select_from(_S).where(_S.c.attempt > 1, _S.c.state == "accepted")
    by = select(doubts.c.resolution, func.count()).group_by(doubts.c.resolution)
    counts = {resolution or "open": number for resolution, number in connection.execute(by)}
    return Troubles(
        tried_again=int(connection.execute(again).scalar_one()),
        doubts=sum(counts.values()),
        resolved={name: number for name, number in sorted(counts.items()) if name != "open"},
    )


def find_eventful_user(connection: Connection, journey: str) -> str | None:
    """The host's id of somebody to whom much happened in this journey: the one with most decisions and sends."""
    users = schema.users
    weight = func.count(_D.c.id.distinct()) + func.count(_S.c.id.distinct()) * 2
    rows = (
        select(users.c.user_id)
        .join(_E, _E.c.user_id == users.c.id)
        .join(_J, _J.c.id == _E.c.journey_id)
        .outerjoin(_D, _D.c.enrolment_id == _E.c.id)
        .outerjoin(_S, and_(_S.c.enrolment_id == _E.c.id, _S.c.state == "accepted"))
        .where(_J.c.name == journey)
        .group_by(users.c.user_id)
        .order_by(weight.desc(), users.c.user_id)
        .limit(1)
    )
    return connection.execute(rows).scalar()
