"""What became of messages, step by step and contact by contact? The tables behind the weekly page; SQL only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import CTE, ColumnElement, Select, and_, case, exists, func, or_, select

from journeys.words import Holdout, SendState
from recall.clock import Instant
from recall.store import schema
from recall.store.figures import SENT, Asked, first_passages

_E, _J, _S, _T, _V = schema.enrolments, schema.journeys, schema.sends, schema.steps, schema.events


_S_COLUMNS = (
    _S.c.id,
    _S.c.channel,
    _S.c.version_id,
    _S.c.step_id,
    _S.c.state,
    _S.c.gate_at,
    _S.c.currency,
    _S.c.delivered_at,
    _S.c.undelivered_at,
    _S.c.opened_at,
    _S.c.clicked_at,
    _S.c.answered_at,
    _S.c.opted_out_at,
    _S.c.complained_at,
    _S.c.answer,
    func.coalesce(_S.c.cost, _S.c.price).label("micros"),
)


class StepLine(NamedTuple):
    """Messages of one step, channel and arm over all passages of treated people."""

    step: str
    channel: str
    arm: str
    version_id: int
    step_id: int
    sent: int
    refused: int
    not_sent: int
    delivered: int
    undelivered: int
    opened: int
    clicked: int
    answered: int
    goals: int  # came back after this message and before the next: last touch, not caused
    opted_out: int
    complained: int
    hung_up: int  # calls that were answered and ended without a word
    micros: int
    currency: str


HUNG_UP = "no_input"


def read_steps(asked: Asked, journey_id: int) -> list[StepLine]:
    """In the order of the program, newest version last."""
    # The next message that went out: partitioned by whether this one did, so that no second look at sends is needed.
    went = case((_S.c.state.in_(SENT), 1), else_=0)
    following = func.lead(_S.c.gate_at).over(partition_by=(_S.c.enrolment_id, went), order_by=(_S.c.gate_at, _S.c.id))
    sends = (
        select(*_S_COLUMNS, _E.c.arm, _E.c.goal_at, following.label("next_at"), went.label("went"))
        .join(_E, _E.c.id == _S.c.enrolment_id)
        .where(_S.c.journey_id == journey_id, _S.c.state != SendState.SHADOW.value)
        .cte("messages")
    )
    goal = and_(sends.c.went == 1, _is_goal_of(sends))
    keys = (_T.c.name, sends.c.channel, sends.c.arm, sends.c.version_id, sends.c.step_id)
    statement = (
        select(
            *keys,
            _many(sends.c.state.in_(SENT)),
            _many(sends.c.state == SendState.REFUSED.value),
            _many(sends.c.state == SendState.NOT_SENT.value),
            func.count(sends.c.delivered_at),
            func.count(sends.c.undelivered_at),
            func.count(sends.c.opened_at),
            func.count(sends.c.clicked_at),
            func.count(sends.c.answered_at),
            _many(goal),
            func.count(sends.c.opted_out_at),
            func.count(sends.c.complained_at),
            _many(sends.c.answer == HUNG_UP),
            func.sum(case((sends.c.state.in_(SENT), sends.c.micros), else_=0)),
            func.max(sends.c.currency),
        )
        .select_from(sends)
        .join(_T, and_(_T.c.version_id == sends.c.version_id, _T.c.step_id == sends.c.step_id))
        .group_by(*keys)
        .order_by(sends.c.version_id, sends.c.step_id, sends.c.arm)
    )
    return [StepLine._make((*row[:17], int(row[17] or 0), row[18] or "")) for row in asked.ask("steps", statement)]


class ContactCount(NamedTuple):
    """Contact k of closed first passages."""

    treated: bool
    k: int
    reached: int
    successes: int  # goal after this contact and before the next
    micros: int


def read_contacts(asked: Asked, journey_id: int, channels: Sequence[str]) -> list[ContactCount]:
    """Contacts on these channels; the holdout's are the shadows logged at the same moments."""
    people = first_passages(journey_id, now=asked.now)
    over: dict[str, Any] = {"partition_by": _S.c.enrolment_id, "order_by": (_S.c.gate_at, _S.c.id)}
    found = (
        select(
            case((people.c.holdout == Holdout.TREATED.value, 1), else_=0).label("treated"),
            _S.c.gate_at,
            people.c.goal_at,
            func.coalesce(_S.c.cost, _S.c.price).label("micros"),
            func.row_number().over(**over).label("k"),
            func.lead(_S.c.gate_at).over(**over).label("next_at"),
        )
        .join(people, people.c.id == _S.c.enrolment_id)
        .where(_S.c.journey_id == journey_id, _S.c.state.in_((*SENT, SendState.SHADOW.value)), people.c.closed == 1)
    )
    touch = (found.where(_S.c.channel.in_(channels)) if channels else found).cte("touches")
    statement = (
        select(touch.c.treated, touch.c.k, func.count(), _many(_is_goal_of(touch)), func.sum(touch.c.micros))
        .group_by(touch.c.treated, touch.c.k)
        .order_by(touch.c.treated, touch.c.k)
    )
    return [ContactCount(bool(t), int(k), n, int(s), int(m or 0)) for t, k, n, s, m in asked.ask("contacts", statement)]


def _is_goal_of(touch: CTE) -> ColumnElement[bool]:
    return and_(touch.c.goal_at > touch.c.gate_at, or_(touch.c.next_at.is_(None), touch.c.goal_at <= touch.c.next_at))


def _many(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


class PersonFunnel(NamedTuple):
    """Treated people of closed windows who got at least one message that was …"""

    people: int
    messaged: int
    delivered: int
    opened: int
    clicked: int
    opened_and_clicked: int  # the same message; an SMS can be clicked and not be seen to be opened


def read_person_funnel(asked: Asked, journey_id: int) -> PersonFunnel:
    people = first_passages(journey_id, now=asked.now)
    per = (
        select(
            people.c.id,
            func.count(_S.c.id).label("messaged"),
            func.count(_S.c.delivered_at).label("delivered"),
            func.count(_S.c.opened_at).label("opened"),
            func.count(_S.c.clicked_at).label("clicked"),
            func.count(case((_S.c.opened_at.is_not(None), _S.c.clicked_at))).label("opened_and_clicked"),
        )
        .select_from(people)
        .outerjoin(_S, and_(_S.c.enrolment_id == people.c.id, _S.c.state.in_(SENT)))
        .where(people.c.closed == 1, people.c.holdout == Holdout.TREATED.value)
        .group_by(people.c.id)
        .subquery()
    )
    row = asked.ask(
        "reached", select(func.count(), *(_many(per.c[name] > 0) for name in PersonFunnel._fields[1:])).select_from(per)
    )[0]
    return PersonFunnel(*(int(count or 0) for count in row))


def count_logins(asked: Asked, journey_id: int, event: str) -> int:
    """Of those who clicked (see `reached`): who did this event from the click on, within the window."""
    people = first_passages(journey_id, now=asked.now)
    after = and_(
        _V.c.user_id == people.c.user_id,
        _V.c.name == event,
        _V.c.at >= _S.c.clicked_at,
        _V.c.at <= people.c.goal_until,
    )
    rows = asked.ask(
        "logins",
        select(func.count(people.c.id.distinct()))
        .select_from(people)
        .join(_S, and_(_S.c.enrolment_id == people.c.id, _S.c.clicked_at.is_not(None)))
        .where(people.c.closed == 1, people.c.holdout == Holdout.TREATED.value, exists().where(after)),
    )
    return int(rows[0][0])


class SenderLine(NamedTuple):
    """One sender on one channel since `since`."""

    provider: str
    sender: str
    channel: str
    sent: int
    refused: int
    delivered: int
    undelivered: int
    answered: int
    complained: int
    opted_out: int


def read_senders(asked: Asked, since: Instant) -> list[SenderLine]:
    keys = (_S.c.provider, _S.c.sender, _S.c.channel)
    statement: Select[Any] = (
        select(
            *keys,
            _many(_S.c.state.in_(SENT)),
            _many(_S.c.state == SendState.REFUSED.value),
            func.count(_S.c.delivered_at),
            func.count(_S.c.undelivered_at),
            func.count(_S.c.answered_at),
            func.count(_S.c.complained_at),
            func.count(_S.c.opted_out_at),
        )
        .where(_S.c.gate_at >= since, _S.c.state != SendState.SHADOW.value)
        .group_by(*keys)
        .order_by(*keys)
    )
    return [SenderLine(*row) for row in asked.ask("senders", statement)]


class Trouble(NamedTuple):
    """Messages of one journey that went wrong, ever, and since `since`."""

    journey: str
    state: str
    messages: int
    lately: int
    replayed: int


def read_troubles(asked: Asked, since: Instant) -> list[Trouble]:
    statement = (
        select(
            _J.c.name,
            _S.c.state,
            func.count(),
            _many(_S.c.gate_at >= since),
            func.count(_S.c.replay_of),
        )
        .join(_J, _J.c.id == _S.c.journey_id)
        .where(_S.c.state != SendState.SHADOW.value)
        .group_by(_J.c.name, _S.c.state)
        .order_by(_J.c.name, _S.c.state)
    )
    return [Trouble(*row) for row in asked.ask("troubles", statement)]
