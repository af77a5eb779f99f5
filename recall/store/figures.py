"""Who was assigned to what, who came back, and what did it cost? The tables behind the weekly page; SQL only.

Every statement is kept as text beside its answer, so that each number can show the query it came from. The causal
tables count each person once, by the first passage: later ones depend on what the first did, so they are shown and
not compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import CTE, ColumnElement, Connection, Select, and_, case, cast, exists, func, literal, select
from sqlalchemy.types import Double

from journeys.words import Holdout, SendState
from recall.clock import DAY, Instant
from recall.store import schema

WEEK = 7 * DAY
MONDAY = 4 * DAY  # 1970-01-05 was the first Monday
MICROS = 1_000_000
SENT = (SendState.ACCEPTED.value, SendState.IN_DOUBT.value)  # in doubt: may have arrived, and may cost

_E, _S, _V = schema.enrolments, schema.sends, schema.events


class Asked:
    """Asks the store and remembers how."""

    def __init__(self, connection: Connection, *, now: Instant) -> None:
        self.connection = connection
        self.now = now
        self.queries: dict[str, str] = {}  # name -> SQL of the first time

    def ask(self, name: str, statement: Select[Any]) -> Sequence[Any]:
        if name not in self.queries:
            written = statement.compile(self.connection.engine, compile_kwargs={"literal_binds": True})
            self.queries[name] = str(written)
        return self.connection.execute(statement).all()


class Cohort(NamedTuple):
    """People of one version, side and enrolment week."""

    journey_id: int
    version_id: int
    period: int  # of the policy's holdout: 0 before its first change
    holdout: str  # journeys.words.Holdout
    closed: bool  # the window is over
    week: int  # number of the local week they entered in
    people: int
    goals: int
    value: float  # units of money
    value_squares: float


def first_passages(journey_id: int | None, *, now: Instant) -> CTE:
    """Each person's first passage through one journey, or through any."""
    firsts = select(func.min(_E.c.id)).group_by(_E.c.user_id)
    if journey_id is not None:
        firsts = firsts.where(_E.c.journey_id == journey_id)
    return (
        select(
            _E.c.id,
            _E.c.journey_id,
            _E.c.version_id,
            _E.c.user_id,
            _E.c.holdout,
            _E.c.arm,
            _E.c.entered_at,
            _E.c.goal_at,
            _E.c.goal_value,
            _E.c.goal_until,
            case((_E.c.goal_until <= now, 1), else_=0).label("closed"),
        )
        .where(_E.c.id.in_(firsts))
        .cte("people")
    )


def read_cohorts(asked: Asked, journey_id: int | None, *, offset: int, changes: Sequence[Instant] = ()) -> list[Cohort]:
    """Everybody ever assigned, by version, side, window and week; `offset` is the zone's, in micros."""
    people = first_passages(journey_id, now=asked.now)
    week = (people.c.entered_at + offset - MONDAY) // WEEK
    period = case(*((people.c.entered_at < at, n) for n, at in enumerate(changes)), else_=len(changes))
    value = cast(people.c.goal_value, Double) / MICROS
    keys = (
        people.c.journey_id,
        people.c.version_id,
        period.label("period") if changes else literal(0).label("period"),
        people.c.holdout,
        people.c.closed,
        week.label("week"),
    )
    rows = asked.ask(
        "assigned" if journey_id is not None else "programme",
        select(*keys, func.count(), func.count(people.c.goal_at), func.sum(value), func.sum(value * value)).group_by(
            *(key.name if key.name in ("period", "week") else key for key in keys)
        ),
    )
    return [
        Cohort(r[0], r[1], r[2], r[3], bool(r[4]), int(r[5]), r[6], r[7], float(r[8] or 0), float(r[9] or 0))
        for r in rows
    ]


def count_passages(asked: Asked, journey_id: int) -> int:
    """All passages, later ones of the same person included."""
    rows = asked.ask("passages", select(func.count()).select_from(_E).where(_E.c.journey_id == journey_id))
    return int(rows[0][0])


class Spending(NamedTuple):
    """What messages to treated people cost, apart for those whose windows are over."""

    closed: bool
    currency: str
    messages: int
    micros: int


def read_spending(asked: Asked, journey_id: int | None) -> list[Spending]:
    """The vendor's price where told, else ours of the gate; of first passages, so that it fits the lift."""
    people = first_passages(journey_id, now=asked.now)
    money = func.sum(func.coalesce(_S.c.cost, _S.c.price))
    rows = asked.ask(
        "cost",
        select(people.c.closed, _S.c.currency, func.count(), money)
        .join(_S, _S.c.enrolment_id == people.c.id)
        .where(_S.c.state.in_(SENT))
        .group_by(people.c.closed, _S.c.currency),
    )
    return [Spending(bool(closed), currency, count, int(micros or 0)) for closed, currency, count, micros in rows]


def read_programme_spending(asked: Asked) -> list[Spending]:
    """The same over all journeys and all passages of the people whose first window is over."""
    people = first_passages(None, now=asked.now)
    money = func.sum(func.coalesce(_S.c.cost, _S.c.price))
    rows = asked.ask(
        "programme_cost",
        select(people.c.closed, _S.c.currency, func.count(), money)
        .join(_S, and_(_S.c.user_id == people.c.user_id, _S.c.gate_at <= people.c.goal_until))
        .where(_S.c.state.in_(SENT))
        .group_by(people.c.closed, _S.c.currency),
    )
    return [Spending(bool(closed), currency, count, int(micros or 0)) for closed, currency, count, micros in rows]


class Redeemed(NamedTuple):
    """People who took up an offer they were sent, each once."""

    closed: bool
    version_id: int
    currency: str
    people: int


def read_redeemed(
    asked: Asked, journey_id: int, offer: str, events: Sequence[str], *, programme: bool = False
) -> list[Redeemed]:
    """Who did one of these events after the message and within the window; of first passages, or of the programme's."""
    people = first_passages(None if programme else journey_id, now=asked.now)
    mine = _S.c.user_id == people.c.user_id if programme else _S.c.enrolment_id == people.c.id
    done = exists().where(
        _V.c.user_id == people.c.user_id,
        _V.c.name.in_(events),
        _V.c.at > _S.c.gate_at,
        _V.c.at <= people.c.goal_until,
    )
    keys = (people.c.closed, _S.c.version_id, _S.c.currency)
    rows = asked.ask(
        "redeemed",
        select(*keys, func.count(people.c.user_id.distinct()))
        .join(_S, mine)
        .where(_S.c.journey_id == journey_id, _S.c.offer == offer, _S.c.state.in_(SENT), done)
        .group_by(*keys),
    )
    return [Redeemed(bool(closed), version, currency, count) for closed, version, currency, count in rows]


class Attributed(NamedTuple):
    """Treated people with a goal in a closed window: after any message, and within five days of a click."""

    after_message: int
    after_click: int


def read_attributed(asked: Asked, journey_id: int) -> Attributed:
    people = first_passages(journey_id, now=asked.now)
    sent = and_(_S.c.enrolment_id == people.c.id, _S.c.state.in_(SENT), _S.c.gate_at < people.c.goal_at)
    clicked = and_(sent, _S.c.clicked_at <= people.c.goal_at, _S.c.clicked_at > people.c.goal_at - 5 * DAY)
    row = asked.ask(
        "attributed",
        select(
            func.sum(case((exists().where(sent), 1), else_=0)),
            func.sum(case((exists().where(clicked), 1), else_=0)),
        ).where(people.c.closed == 1, people.c.goal_at.is_not(None), people.c.holdout == Holdout.TREATED.value),
    )[0]
    return Attributed(int(row[0] or 0), int(row[1] or 0))


class Sided(NamedTuple):
    """How many people of a side did something."""

    treated: bool
    people: int


def count_stages(
    asked: Asked, journey_id: int, events: Sequence[str], *, name: str = "stages", later_too: bool = False
) -> dict[tuple[str, bool], int]:
    """(event, treated) -> people who did it after entering and within the window, or up to now; closed windows only."""
    if not events:
        return {}
    people = first_passages(journey_id, now=asked.now)
    treated = _is_treated(people).label("treated")
    rows = asked.ask(
        name,
        select(_V.c.name, treated, func.count(people.c.id.distinct()))
        .select_from(people)
        .join(
            _V,
            and_(
                _V.c.user_id == people.c.user_id,
                _V.c.name.in_(sorted(set(events))),
                _V.c.at > people.c.entered_at,
                _V.c.at <= (asked.now if later_too else people.c.goal_until),
            ),
        )
        .where(people.c.closed == 1)
        .group_by(_V.c.name, "treated"),
    )
    return {(name, bool(side)): count for name, side, count in rows}


class Stayed(NamedTuple):
    """People who could be followed so long, and those of them who were active then."""

    treated: bool
    people: int
    active: int


def read_retention(asked: Asked, journey_id: int, day: int) -> list[Stayed]:
    """Of those who came back: any event on the day so many days after the goal."""
    people = first_passages(journey_id, now=asked.now)
    begins = people.c.goal_at + day * DAY
    active = _did_anything(people, begins, begins + DAY)
    statement = _stayed(people, active, and_(people.c.goal_at.is_not(None), begins + DAY <= asked.now))
    return [Stayed(bool(t), n, int(a or 0)) for t, n, a in asked.ask("retention", statement)]


def read_active_later(asked: Asked, journey_id: int) -> list[Stayed]:
    """Of everybody assigned: any event on days 29 to 56 after entering. This one is causal."""
    people = first_passages(journey_id, now=asked.now)
    active = _did_anything(people, people.c.entered_at + 28 * DAY, people.c.entered_at + 56 * DAY)
    statement = _stayed(people, active, people.c.entered_at + 56 * DAY <= asked.now)
    return [Stayed(bool(t), n, int(a or 0)) for t, n, a in asked.ask("active_later", statement)]


def _stayed(people: CTE, active: ColumnElement[bool], who: ColumnElement[bool]) -> Select[Any]:
    treated = _is_treated(people).label("treated")
    return select(treated, func.count(), func.sum(case((active, 1), else_=0))).where(who).group_by("treated")


def _did_anything(people: CTE, begins: ColumnElement[int], ends: ColumnElement[int]) -> ColumnElement[bool]:
    return exists().where(_V.c.user_id == people.c.user_id, _V.c.at >= begins, _V.c.at < ends)


def _is_treated(people: CTE) -> ColumnElement[int]:
    return case((people.c.holdout == Holdout.TREATED.value, 1), else_=0)


class ArmCount(NamedTuple):
    """Treated people with this text in `arm`, first passages with closed windows, or all."""

    version_id: int
    arm: str
    closed: bool
    people: int
    goals: int
    value: float
    value_squares: float
    began: Instant  # when the first of them entered


def read_arms(asked: Asked, journey_id: int) -> list[ArmCount]:
    people = first_passages(journey_id, now=asked.now)
    value = cast(people.c.goal_value, Double) / MICROS
    rows = asked.ask(
        "arms",
        select(
            people.c.version_id,
            people.c.arm,
            people.c.closed,
            func.count(),
            func.count(people.c.goal_at),
            func.sum(value),
            func.sum(value * value),
            func.min(people.c.entered_at),
        )
        .where(people.c.arm != "", people.c.holdout == Holdout.TREATED.value)
        .group_by(people.c.version_id, people.c.arm, people.c.closed),
    )
    return [ArmCount(r[0], r[1], bool(r[2]), r[3], r[4], float(r[5] or 0), float(r[6] or 0), r[7]) for r in rows]


def count_held_out(asked: Asked, journey_id: int) -> int:
    """People of the holdout whose windows are over."""
    people = first_passages(journey_id, now=asked.now)
    rows = asked.ask(
        "held_out",
        select(func.count()).select_from(people).where(people.c.closed == 1, people.c.holdout != Holdout.TREATED.value),
    )
    return int(rows[0][0])


def count_stops(asked: Asked, journey_id: int) -> dict[bool, int]:
    """treated -> people whose address was opted out, by whatever way, after entering."""
    people = first_passages(journey_id, now=asked.now)
    stops, addresses, owners = schema.suppressions, schema.addresses, schema.user_addresses
    treated = _is_treated(people).label("treated")
    rows = asked.ask(
        "stops",
        select(treated, func.count(people.c.id.distinct()))
        .select_from(stops)
        .join(addresses, and_(addresses.c.kind == stops.c.kind, addresses.c.hash == stops.c.hash))
        .join(owners, owners.c.address_id == addresses.c.id)
        .join(people, people.c.user_id == owners.c.user_id)
        .where(
            people.c.closed == 1,
            stops.c.reason == "opted_out",
            stops.c.at > people.c.entered_at,
        )
        .group_by("treated"),
    )
    return {bool(side): count for side, count in rows}
