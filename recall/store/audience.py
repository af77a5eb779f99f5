"""Whom does a rule mean? Rules as SQL over a user, and inside a journey over an enrolment.

An expression is built once and executed many times: every cutoff in it is a parameter (`Cutoffs.values`).
Each expression is true or false, never NULL, so that `none` means what it says. What the words mean:

- Of events, only name and time count; the one *after* another is strictly later. `within: w` is (now - w, …],
  `between: [a, b]` is (now - b, now - a] and speaks of the latest event (of the latest that passes `where`).
- `since: Y` speaks of people for whom Y happened; for all others neither `did` nor `did_not` holds
  (else "did not borrow since settling" would mean everybody who never had a loan to settle).
- `times: {at_most: n}` alone means one to n times, because the rule says that the user did it.
- A missing attribute or property satisfies nothing but `known: false`; text that is not a plain number
  satisfies none of above, below, at_least, at_most.
- `ended: goal_reached` also holds when the goal was reached within its window after the last step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    and_,
    bindparam,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
)

from journeys.durations import Duration, add, subtract
from journeys.journey import Goal
from journeys.rules import (
    ENTRY,
    All,
    Any_,
    Attribute,
    Comparison,
    Did,
    DidNot,
    None_,
    OtherJourney,
    Reachable,
    Reacted,
    Rule,
    Times,
)
from journeys.words import ADDRESS_OF, CHANNEL_BIT, AddressKind, End
from recall.clock import Instant
from recall.errors import Misconfigured
from recall.store import schema
from recall.store.properties import NUMERIC, compare_number, compare_text, number_in, property_text

NOW = bindparam("now", type_=BigInteger)
Condition = ColumnElement[bool]


class Cutoffs:
    """The moments an expression compares with: named parameters, whose values follow from now."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone  # the journey's: its calendar says when a day is over
        self._shifts: dict[str, Callable[[Instant], Instant]] = {}

    def ago(self, length: Duration) -> BindParameter[int]:
        """The moment so long before now."""
        return self._named(f"ago_{length}", lambda now: subtract(now, length, self.zone))

    def ahead(self, length: Duration) -> BindParameter[int]:
        """The moment so long after now."""
        return self._named(f"ahead_{length}", lambda now: add(now, length, self.zone))

    def _named(self, name: str, shift: Callable[[Instant], Instant]) -> BindParameter[int]:
        self._shifts[name] = shift
        return bindparam(name, type_=BigInteger)

    def values(self, now: Instant) -> dict[str, int]:
        """The value of each parameter, `now` among them."""
        return {"now": now} | {name: shift(now) for name, shift in self._shifts.items()}


@dataclass(frozen=True)
class Scope:
    """The columns of the statement around a rule that say who is looked at; None outside a journey."""

    user_id: ColumnElement[int]  # users.id
    cutoffs: Cutoffs
    entered_at: ColumnElement[int] | None = None
    enrolment_id: ColumnElement[int] | None = None
    step_ids: Mapping[str, int] = field(default_factory=dict)  # step name -> step_id


def compile_rule(rule: Rule, scope: Scope) -> Condition:
    """The rule as a condition on the statement `scope` speaks of; raises Misconfigured where it cannot apply."""
    match rule:
        case All():
            return and_(*[compile_rule(part, scope) for part in rule.all])
        case Any_():
            return or_(*[compile_rule(part, scope) for part in rule.any])
        case None_():
            return ~or_(*[compile_rule(part, scope) for part in rule.none])
        case Did():
            return _did(rule, scope)
        case DidNot():
            return _did_not(rule, scope)
        case Attribute():
            return _attribute(rule.attribute, rule.comparison(), scope)
        case OtherJourney():
            return _other_journey(rule, scope)
        case Reachable():
            return _reachable(rule.reachable, scope)
        case Reacted():
            return _reacted(rule, scope)
        case _:
            raise Misconfigured(f"segment {rule.segment!r} was not replaced by its rule; publish the journey again")


def compile_goal(goal: Goal, scope: Scope, *, after: ColumnElement[int]) -> Condition:
    """An event that means "came back" happened later than `after`."""
    return or_(*[_happened(_Events(scope, name, goal.where, (after,))) for name in goal.events])


# --- events ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Events:
    """Events of one name that count: those that pass `where` and are later than every bound."""

    scope: Scope
    name: str
    where: Mapping[str, Comparison] | None
    later_than: tuple[ColumnElement[int], ...]


def _did(rule: Did, scope: Scope) -> Condition:
    def did(bounds: tuple[ColumnElement[int], ...]) -> Condition:
        events = _Events(scope, rule.did, rule.where, bounds)
        if rule.between is not None:
            newest, oldest = rule.between
            return _latest_between(events, scope.cutoffs.ago(oldest), scope.cutoffs.ago(newest))
        return _so_often(events, rule.times or Times())

    return _since(rule, scope, did)


def _did_not(rule: DidNot, scope: Scope) -> Condition:
    return _since(rule, scope, lambda bounds: ~_happened(_Events(scope, rule.did_not, rule.where, bounds)))


def _since(rule: Did | DidNot, scope: Scope, build: Callable[[tuple[ColumnElement[int], ...]], Condition]) -> Condition:
    """`build` with the bounds that `within` and `since` set; for `since: Y` also that Y happened."""
    within = () if rule.within is None else (scope.cutoffs.ago(rule.within),)
    if rule.since is None:
        return build(within)
    if rule.since == ENTRY:
        return build((*within, _inside(scope.entered_at, "since: entry")))
    other = schema.user_events.alias()
    return found_in(other, *_of(other, scope, rule.since), build((*within, other.c.last_at)))


def _happened(events: _Events, until: ColumnElement[int] | None = None) -> Condition:
    """An event that counts, and is not later than `until`; without `where` only the latest is looked at."""
    if events.where:
        table = schema.events.alias()
        last = [] if until is None else [table.c.at <= until]
        return found_in(table, *_matching(table, events), *last)
    latest = schema.user_events.alias()
    at = latest.c.last_at + 0  # so that PostgreSQL looks by user, and not through everybody's events since
    newer = [at > bound for bound in events.later_than]
    last = [] if until is None else [at <= until]
    return found_in(latest, *_of(latest, events.scope, events.name), *newer, *last)


def _latest_between(events: _Events, oldest: ColumnElement[int], newest: ColumnElement[int]) -> Condition:
    """Without `where` the row of `user_events` is the latest; with it, no later one may pass."""
    reached = _happened(replace(events, later_than=(*events.later_than, oldest)), until=newest)
    return and_(reached, ~_happened(replace(events, later_than=(newest,)))) if events.where else reached


def _so_often(events: _Events, times: Times) -> Condition:
    least = 1 if times.at_least is None else times.at_least
    if least == 1 and times.at_most is None:
        return _happened(events)
    table = schema.events.alias()
    matching = select(func.count()).select_from(table).where(*_matching(table, events))
    count = matching.correlate_except(table).scalar_subquery()
    often = [count >= least] if least else []
    rare = [count <= times.at_most] if times.at_most is not None else []
    # Whoever never did it is told apart by one look at the key, without counting.
    ever = [_happened(replace(events, where=None))] if least else []
    return and_(true(), *ever, *often, *rare)


def _of(latest: FromClause, scope: Scope, name: str) -> tuple[Condition, Condition]:
    """The row of `user_events` about this user and this event."""
    return latest.c.user_id == scope.user_id, latest.c.name == name


def _matching(table: FromClause, events: _Events) -> list[Condition]:
    """Rows of `events` that count."""
    conditions: list[Condition] = [table.c.user_id == events.scope.user_id, table.c.name == events.name]
    conditions += [table.c.at > bound for bound in events.later_than]
    for name, comparison in (events.where or {}).items():
        conditions.append(property_condition(property_text(table.c.properties, name), comparison))
    return conditions


def property_condition(text: ColumnElement[str], comparison: Comparison) -> Condition:
    """NULL instead of false for a missing property: stands only directly in a WHERE."""
    operator, given = comparison.given()[0]
    if operator == "known":
        return text.is_not(None) if given else text.is_(None)
    if operator in NUMERIC:
        return compare_number(number_in(text), operator, given)
    return compare_text(text, operator, given)


# --- everything else ------------------------------------------------------------------------------------


def _attribute(name: str, comparison: Comparison, scope: Scope) -> Condition:
    table = schema.user_attributes.alias()
    operator, given = comparison.given()[0]
    mine = (table.c.user_id == scope.user_id, table.c.name == name)
    if operator == "known":
        return found_in(table, *mine) if given else ~found_in(table, *mine)
    if operator in NUMERIC:
        return found_in(table, *mine, compare_number(table.c.number, operator, given))
    return found_in(table, *mine, compare_text(table.c.value, operator, given))


def _other_journey(rule: OtherJourney, scope: Scope) -> Condition:
    table = schema.enrolments.alias()
    named = select(schema.journeys.c.id).where(schema.journeys.c.name == rule.journey).scalar_subquery()
    mine = (table.c.user_id == scope.user_id, table.c.journey_id == named)
    if rule.active:
        ended = [] if rule.ended is None else [false()]  # who is inside has not ended
        return found_in(table, *mine, schema.is_active(table), *_within(table.c.entered_at, rule, scope), *ended)
    if rule.ended is None:
        return found_in(table, *mine, table.c.ended_at.is_not(None), *_within(table.c.ended_at, rule, scope))
    ended_so = and_(table.c.end_reason == rule.ended.value, *_within(table.c.ended_at, rule, scope))
    if rule.ended is End.GOAL_REACHED:
        ended_so = or_(ended_so, and_(table.c.goal_at.is_not(None), *_within(table.c.goal_at, rule, scope)))
    return found_in(table, *mine, table.c.ended_at.is_not(None), ended_so)


def _within(moment: ColumnElement[int], rule: OtherJourney, scope: Scope) -> list[Condition]:
    return [] if rule.within is None else [moment > scope.cutoffs.ago(rule.within)]


def _reachable(kind: AddressKind, scope: Scope) -> Condition:
    """Has an address of this kind that works, and at least one channel over it that was not opted out of."""
    if kind is AddressKind.NONE:
        return true()
    users, table = schema.users.alias(), schema.addresses.alias()
    mask = sum(bit for channel, bit in CHANNEL_BIT.items() if ADDRESS_OF[channel] is kind)
    current = select(users.c[f"{kind}_id"]).where(users.c.id == scope.user_id).correlate_except(users).scalar_subquery()
    usable = (table.c.id != schema.NO_ADDRESS, table.c.unreachable.is_(None), table.c.suppressed.is_(False))
    return found_in(table, table.c.id == current, *usable, table.c.opted_out.op("&")(mask) != mask)


def _reacted(rule: Reacted, scope: Scope) -> Condition:
    reaction, step = rule.given()
    if step not in scope.step_ids:
        raise Misconfigured(f"{reaction}: {step!r} is not a step of this journey")
    table = schema.sends.alias()
    mine = table.c.enrolment_id == _inside(scope.enrolment_id, f"{reaction}: {step}")
    return found_in(table, mine, table.c.step_id == scope.step_ids[step], table.c[f"{reaction}_at"].is_not(None))


def _inside(column: ColumnElement[int] | None, rule: str) -> ColumnElement[int]:
    if column is None:
        raise Misconfigured(f"`{rule}` speaks of somebody inside the journey; it cannot say who may enter")
    return column


def found_in(table: FromClause, *conditions: Condition) -> Condition:
    """A row of one table meets the conditions; every other table in them belongs to the statement around it.

    Not EXISTS: PostgreSQL makes a join of that whenever it takes reading everybody's events for cheaper than looking
    a page of people up. A scalar subquery stays a look-up by key for each person.
    """
    row: Select[tuple[int]] = select(literal_column("1", Integer)).select_from(table).where(*conditions)
    return row.limit(literal_column("1", Integer)).correlate_except(table).scalar_subquery().is_not(None)
