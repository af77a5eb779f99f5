"""Whom does a rule mean? The slow answer: one person at a time, over the whole list of what they did.

Written from the design, not from the SQL: no table, no latest-event shortcut, a calendar of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from journeys.durations import Duration
from journeys.journey import Goal
from journeys.rules import (
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
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Event:
    name: str
    at: int
    properties: Mapping[str, str] | None = None
    key: str = ""


@dataclass(frozen=True)
class Contact:
    """The current address of one kind."""

    unreachable: bool = False
    suppressed: bool = False
    opted_out: frozenset[str] = frozenset()  # channels


@dataclass(frozen=True)
class Passage:
    """One enrolment in some journey."""

    journey: str
    entered_at: int
    entry_key: str = "before"
    ended_at: int | None = None
    end_reason: str | None = None
    goal_at: int | None = None


@dataclass(frozen=True)
class Person:
    user: str
    events: Sequence[Event] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    dates: Mapping[str, int] = field(default_factory=dict)  # attributes that are instants
    contacts: Mapping[str, Contact] = field(default_factory=dict)  # phone, email, push
    passages: Sequence[Passage] = ()
    jurisdiction: str = ""
    suppressed: bool = False
    erased: bool = False
    rest_until: int | None = None
    entered_at: int = 0  # of the enrolment the rule is asked in
    reactions: frozenset[tuple[str, str]] = frozenset()  # (reaction, step) in that enrolment


def ago(now: int, length: Duration, zone: ZoneInfo) -> int:
    """Calendar days back on the clock of the zone; an hour that does not exist ends at its end."""
    if not length.days:
        return now - length.minutes * 60_000_000
    wall = (EPOCH + now * MICROSECOND).astimezone(zone).replace(tzinfo=None) - timedelta(days=length.days)
    if _exists(wall, zone):
        return _instant(wall, zone)
    while not _exists(wall, zone):
        wall = wall.replace(second=0, microsecond=0) - timedelta(minutes=1)
    return _instant(wall, zone) + 60_000_000


def _exists(wall: datetime, zone: ZoneInfo) -> bool:
    return wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall


def _instant(wall: datetime, zone: ZoneInfo) -> int:
    return (wall.replace(tzinfo=zone) - EPOCH) // MICROSECOND


def number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text, re.ASCII) and len(text) <= 31 else None


def compares(comparison: Comparison, value: str | None) -> bool:
    (operator, given), *_ = comparison.given()
    if operator == "known":
        return (value is not None) == given
    if value is None:
        return False
    if operator in ("equals", "is_not"):
        return (value == given) == (operator == "equals")
    if operator in ("one_of", "none_of"):
        return (value in given) == (operator == "one_of")
    amount, bound = number(value), float(given)
    if amount is None:
        return False
    return {
        "above": amount > bound,
        "below": amount < bound,
        "at_least": amount >= bound,
        "at_most": amount <= bound,
    }[operator]


def holds(rule: Rule, person: Person, *, now: int, zone: ZoneInfo) -> bool:
    """Whether the rule means this person now."""
    match rule:
        case All():
            return all(holds(part, person, now=now, zone=zone) for part in rule.all)
        case Any_():
            return any(holds(part, person, now=now, zone=zone) for part in rule.any)
        case None_():
            return not any(holds(part, person, now=now, zone=zone) for part in rule.none)
        case Attribute():
            return compares(rule.comparison(), person.attributes.get(rule.attribute))
        case Did() | DidNot():
            return _happened(rule, person, now, zone)
        case OtherJourney():
            return any(_passed(rule, passage, now, zone) for passage in person.passages)
        case Reachable():
            return rule.reachable == "none" or _usable(rule.reachable, person.contacts.get(rule.reachable))
        case Reacted():
            return rule.given() in person.reactions
    raise AssertionError(rule)


def _matching(person: Person, name: str, where: Mapping[str, Comparison] | None) -> list[int]:
    return sorted(
        event.at
        for event in person.events
        if event.name == name
        and all(compares(c, (event.properties or {}).get(name)) for name, c in (where or {}).items())
    )


def _happened(rule: Did | DidNot, person: Person, now: int, zone: ZoneInfo) -> bool:
    since = None
    if rule.since == "entry":
        since = person.entered_at
    elif rule.since is not None:
        others = _matching(person, rule.since, None)
        if not others:
            return False  # nothing to count from: neither form holds
        since = others[-1]
    if isinstance(rule, DidNot):
        moments = _matching(person, rule.did_not, rule.where)
        return not [at for at in moments if _counts(at, since, rule.within, now, zone)]
    moments = _matching(person, rule.did, rule.where)
    if rule.between:
        newest, oldest = (ago(now, length, zone) for length in rule.between)
        return bool(moments) and oldest < moments[-1] <= newest and (since is None or moments[-1] > since)
    times = len([at for at in moments if _counts(at, since, rule.within, now, zone)])
    least = 1 if rule.times is None or rule.times.at_least is None else rule.times.at_least
    most = None if rule.times is None else rule.times.at_most
    return times >= least and (most is None or times <= most)


def _counts(at: int, since: int | None, within: Duration | None, now: int, zone: ZoneInfo) -> bool:
    return (since is None or at > since) and (within is None or at > ago(now, within, zone))


def _passed(rule: OtherJourney, passage: Passage, now: int, zone: ZoneInfo) -> bool:
    def recent(moment: int | None) -> bool:
        return moment is not None and (rule.within is None or moment > ago(now, rule.within, zone))

    if passage.journey != rule.journey:
        return False
    if rule.active:
        return passage.ended_at is None and rule.ended is None and recent(passage.entered_at)
    if passage.ended_at is None:
        return False
    if rule.ended is None:
        return recent(passage.ended_at)
    late = rule.ended == "goal_reached" and recent(passage.goal_at)
    return late or (passage.end_reason == rule.ended and recent(passage.ended_at))


def _usable(kind: str, contact: Contact | None) -> bool:
    if contact is None or contact.unreachable or contact.suppressed:
        return False
    over = {"phone": {"sms", "call"}, "email": {"email"}, "push": {"push"}}[kind]
    return not over <= contact.opted_out


def came_back(goal: Goal, person: Person, *, after: int) -> bool:
    """Whether a goal event happened later than `after`."""
    return any(at > after for name in goal.events for at in _matching(person, name, goal.where))
