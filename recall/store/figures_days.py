"""What happened on which day, who is active at all, and how fresh is what we know? SQL only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, and_, case, exists, func, select

from journeys.words import Holdout
from recall.clock import Instant
from recall.store import schema
from recall.store.figures import SENT, WEEK, Asked
from recall.store.versions import Version, read_version

_E, _P, _S, _U, _V = schema.enrolments, schema.policies, schema.sends, schema.user_events, schema.events
WEEKS = 12


class Freshness(NamedTuple):
    source: str
    as_of: Instant


def read_freshness(asked: Asked) -> list[Freshness]:
    sources = schema.sources
    rows = asked.ask("event_lag", select(sources.c.name, sources.c.as_of).order_by(sources.c.name))
    return [Freshness(*row) for row in rows]


def latest_event(asked: Asked) -> Instant | None:
    """The time of the newest event of anybody."""
    newest: Instant | None = asked.ask("latest_event", select(func.max(_U.c.last_at)))[0][0]
    return newest


def count_unapplied_receipts(asked: Asked) -> int:
    receipts = schema.receipts
    waiting = select(func.count()).select_from(receipts).where(receipts.c.applied_at.is_(None))
    return int(asked.ask("receipts_waiting", waiting)[0][0])


def every_version(connection: Connection) -> list[Version]:
    """Every version ever published; people may still be counted in any of them."""
    return [read_version(connection, id_) for id_ in connection.execute(select(schema.versions.c.id)).scalars().all()]


def policy_holdouts(asked: Asked) -> list[tuple[str, Instant, str]]:
    """(policy, published at, content) of every policy ever in force, oldest first."""
    rows = asked.ask("policies", select(_P.c.name, _P.c.published_at, _P.c.content).order_by(_P.c.id))
    return [(row[0], row[1], row[2]) for row in rows]


class LifeWeek(NamedTuple):
    """One week of everybody: `ago` 0 is the week that ended now."""

    ago: int
    new: int
    current: int
    resurrected: int
    dormant: int  # active the week before, not in this one


def read_lifecycle(asked: Asked) -> list[LifeWeek]:
    """The last twelve weeks, oldest first. New: first event ever; current: active the week before too."""
    now = asked.now
    ago = ((now - _V.c.at) // WEEK).label("ago")
    seen = and_(_V.c.at <= now, _V.c.at > now - (WEEKS + 1) * WEEK)
    active = select(_V.c.user_id, ago).where(seen).distinct().subquery()
    first = select(_U.c.user_id, func.min(_U.c.first_at).label("at")).group_by(_U.c.user_id).subquery()
    before = func.lead(active.c.ago).over(partition_by=active.c.user_id, order_by=active.c.ago)
    after = func.lag(active.c.ago).over(partition_by=active.c.user_id, order_by=active.c.ago)
    each = (
        select(
            active.c.ago,
            case(
                ((now - first.c.at) // WEEK <= active.c.ago, "new"),
                (before == active.c.ago + 1, "current"),
                else_="resurrected",
            ).label("kind"),
            case((after == active.c.ago - 1, 1), else_=0).label("stays"),
        )
        .join(first, first.c.user_id == active.c.user_id)
        .subquery()
    )
    statement = select(each.c.ago, each.c.kind, each.c.stays, func.count()).group_by(
        each.c.ago, each.c.kind, each.c.stays
    )
    kinds: dict[tuple[int, str], int] = {}
    lost: dict[int, int] = {}
    for weeks_ago, kind, stays, people in asked.ask("lifecycle", statement):
        kinds[weeks_ago, kind] = kinds.get((weeks_ago, kind), 0) + people
        if not stays:
            lost[weeks_ago - 1] = lost.get(weeks_ago - 1, 0) + people
    return [
        LifeWeek(
            n, kinds.get((n, "new"), 0), kinds.get((n, "current"), 0), kinds.get((n, "resurrected"), 0), lost.get(n, 0)
        )
        for n in reversed(range(WEEKS))
    ]


class DayCount(NamedTuple):
    """People of a journey to whom this happened on one local day."""

    entered: int
    sent: int
    delivered: int
    opened: int
    clicked: int
    goals: int
    stages: dict[str, int]  # event -> treated people inside their window who did it


def count_day(asked: Asked, journey_id: int, begins: Instant, ends: Instant, events: Sequence[str]) -> DayCount:
    """[begins, ends) of one journey; messages by the day they went out, with what is known of them now."""
    entered = and_(_E.c.journey_id == journey_id, _E.c.entered_at >= begins, _E.c.entered_at < ends)
    came_back = and_(
        _E.c.journey_id == journey_id,
        _E.c.goal_at >= begins,
        _E.c.goal_at < ends,
        _E.c.holdout == Holdout.TREATED.value,
    )
    messages = asked.ask(
        "day_messages",
        select(
            func.count(_S.c.user_id.distinct()),
            func.count(case((_S.c.delivered_at.is_not(None), _S.c.user_id)).distinct()),
            func.count(case((_S.c.opened_at.is_not(None), _S.c.user_id)).distinct()),
            func.count(case((_S.c.clicked_at.is_not(None), _S.c.user_id)).distinct()),
        ).where(_S.c.journey_id == journey_id, _S.c.state.in_(SENT), _S.c.gate_at >= begins, _S.c.gate_at < ends),
    )[0]
    sent, delivered, opened, clicked = (int(count) for count in messages)
    return DayCount(
        entered=int(asked.ask("day_entered", select(func.count()).select_from(_E).where(entered))[0][0]),
        sent=sent,
        delivered=delivered,
        opened=opened,
        clicked=clicked,
        goals=int(asked.ask("day_goals", select(func.count()).select_from(_E).where(came_back))[0][0]),
        stages=_day_stages(asked, journey_id, begins, ends, events),
    )


def _day_stages(asked: Asked, journey_id: int, begins: Instant, ends: Instant, events: Sequence[str]) -> dict[str, int]:
    if not events:
        return {}
    inside = exists().where(
        _E.c.user_id == _V.c.user_id,
        _E.c.journey_id == journey_id,
        _E.c.holdout == Holdout.TREATED.value,
        _E.c.entered_at < _V.c.at,
        _E.c.goal_until >= _V.c.at,
    )
    rows = asked.ask(
        "day_stages",
        select(_V.c.name, func.count(_V.c.user_id.distinct()))
        .where(_V.c.name.in_(sorted(set(events))), _V.c.at >= begins, _V.c.at < ends, inside)
        .group_by(_V.c.name),
    )
    return dict.fromkeys(events, 0) | {name: count for name, count in rows}
