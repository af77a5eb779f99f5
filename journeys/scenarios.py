"""What must a journey do to whom, when? Scenario files beside a journey, and how what happened is compared with them.

Times without a zone are local: those of a user by the user's clock, those of a scenario by its own `zone`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from journeys.durations import local_to_instant
from journeys.loader import Loaded, check_schema, finish, read_file
from journeys.problems import Check
from journeys.values import (
    AttributeName,
    DurationField,
    EventName,
    Flag,
    Identifier,
    Model,
    Money,
    PositiveDuration,
    Text,
    ZoneName,
)
from journeys.words import Cause, Channel, End, EntryReason, Outcome, Reason, ReceiptKind
from journeys.written import read_keys
from recall.clock import Instant

Act = Literal[
    "pause", "resume", "kill_switch_on", "kill_switch_off", "approve", "suppress", "unsuppress", "erase", "exit"
]


def _local_time(text: str) -> str:
    try:
        parsed = datetime.strptime(text, "%Y-%m-%d %H:%M")  # noqa: DTZ007  # local; its zone is the user's
    except ValueError:
        raise ValueError(f"{text!r} is not a local time; write year-month-day hour:minute, 2026-03-02 09:00") from None
    return parsed.strftime("%Y-%m-%d %H:%M")


LocalTime = Annotated[str, AfterValidator(_local_time)]
UserId = Annotated[str, Field(min_length=1, max_length=200)]


def _why_not(text: str) -> str:
    known = [AUDIENCE, *(reason.value for reason in EntryReason)]
    if text not in known:
        raise ValueError(f"{text!r} is no reason not to enter; write one of: {', '.join(known)}")
    return text


AUDIENCE = "audience"  # not an entry reason: the user is no candidate at all
WhyNot = Annotated[str, AfterValidator(_why_not)]


def instant_of(local: str, zone: str) -> Instant:
    """The instant of a `LocalTime` on the clock of a zone."""
    return local_to_instant(datetime.strptime(local, "%Y-%m-%d %H:%M"), ZoneInfo(zone))  # noqa: DTZ007  # local


# --- given ----------------------------------------------------------------------------------------------


class GivenUser(Model):
    """One person before the scenario begins."""

    id: UserId
    zone: ZoneName = "Asia/Shanghai"
    locale: str = "zh-CN"
    jurisdiction: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "CN"
    phone: Flag = True
    push: Flag = True
    email: Flag = False
    attributes: dict[AttributeName, str] = Field(default_factory=dict)
    consents: tuple[Channel, ...] = (Channel.SMS, Channel.CALL, Channel.EMAIL, Channel.TASK)
    opted_out: tuple[Channel, ...] = ()
    suppressed: Flag = False
    holdout: Flag = False  # True: held out of this journey, whatever the hash says


class GivenEvent(Model):
    """Something a user does, before or during the scenario."""

    user: UserId
    event: EventName
    at: LocalTime
    properties: dict[AttributeName, str] = Field(default_factory=dict)


class GivenChange(Model):
    """An attribute of a user changes during the scenario."""

    user: UserId
    at: LocalTime
    attributes: dict[AttributeName, str]


class GivenReaction(Model):
    """What the provider answers to one step, or the person does with it, so long after it was accepted."""

    user: UserId
    step: Identifier
    reaction: ReceiptKind | None = None
    outcome: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")] | None = None  # of a call or task
    answer: Outcome | None = None  # instead of accepted
    cause: Cause | None = None
    after: DurationField = Field(default="1m", validate_default=True)

    @model_validator(mode="after")
    def _one(self) -> GivenReaction:
        if len([given for given in (self.reaction, self.outcome, self.answer) if given]) != 1:
            raise ValueError("a reaction says one thing; write exactly one of: reaction, outcome, answer")
        return self


class GivenPassage(Model):
    """A passage of a user through another journey that has ended."""

    user: UserId
    journey: Identifier
    ended: End
    at: LocalTime


class GivenAct(Model):
    """What an operator does."""

    at: LocalTime
    act: Act
    user: UserId | None = None  # for suppress, unsuppress, erase, exit


# --- expected -------------------------------------------------------------------------------------------


class Expected(Model):
    """One thing that must happen to one user, at a local time of theirs."""

    user: UserId
    at: LocalTime
    send: Identifier | None = None
    shadow: Identifier | None = None  # holdout: would have been sent
    exit: End | None = None
    skip: Reason | None = None
    defer: Reason | None = None  # only those listed are looked for
    step: Identifier | None = None  # of a skip or defer

    @model_validator(mode="after")
    def _one(self) -> Expected:
        if len([given for given in (self.send, self.shadow, self.exit, self.skip, self.defer) if given]) != 1:
            raise ValueError("an expectation says one thing; write exactly one of: send, shadow, exit, skip, defer")
        return self

    def happening(self) -> Happening:
        what = next(name for name in ("send", "shadow", "exit", "skip", "defer") if getattr(self, name))
        return Happening(self.user, self.at, what, str(getattr(self, what)), self.step)


class Scenario(Model):
    """Some people, what they do, and what must happen to them."""

    name: Text
    zone: ZoneName = "Asia/Shanghai"
    starts: LocalTime
    ends: LocalTime
    every: PositiveDuration = Field(default="15m", validate_default=True)  # how often a run looks
    budget: Money | None = None  # in place of the journey's total
    users: tuple[GivenUser, ...] = Field(min_length=1)
    events: tuple[GivenEvent, ...] = ()
    changes: tuple[GivenChange, ...] = ()
    passages: tuple[GivenPassage, ...] = ()
    reactions: tuple[GivenReaction, ...] = ()
    acts: tuple[GivenAct, ...] = ()
    expect: tuple[Expected, ...] = ()
    not_entered: dict[UserId, WhyNot] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_users(self) -> Scenario:
        known = {user.id for user in self.users}
        told: list[GivenEvent | GivenChange | GivenPassage | GivenReaction | GivenAct | Expected]
        told = [*self.events, *self.changes, *self.passages, *self.reactions, *self.acts, *self.expect]
        for user in (*(item.user for item in told if item.user), *self.not_entered):
            if user not in known:
                raise ValueError(f"{user!r} is not among the users; add it to users")
        if self.starts >= self.ends:
            raise ValueError("the scenario ends before it starts; write a later time for ends")
        return self

    def expectation(self) -> Outcomes:
        return Outcomes(tuple(item.happening() for item in self.expect), dict(self.not_entered))


class ScenarioFile(Model):
    """The scenarios of one journey."""

    schema_: Literal["recall.scenarios/v1"] = Field(alias="schema")
    journey: Identifier
    scenarios: tuple[Scenario, ...] = Field(min_length=1)

    model_config = Model.model_config | {"populate_by_name": True, "serialize_by_alias": True}


def load_scenarios(path: Path) -> Loaded[ScenarioFile]:
    """The scenarios in a file; raises BadFile with every problem found."""
    return read_scenarios(read_file(path), str(path))


def read_scenarios(data: bytes, file: str) -> Loaded[ScenarioFile]:
    """The scenarios in the bytes of a file called `file`; raises BadFile with every problem found."""
    tree, problems = read_keys(data, file)
    check = Check(file, problems)
    noun: ScenarioFile | None = None
    if check_schema(check, tree, "recall.scenarios/v1"):
        noun = check.noun(ScenarioFile, tree)
    return finish(check, noun, tree)


# --- compared -------------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Happening:
    """One thing that happened to one user: at a local time, a send of a step, an exit with a reason …"""

    user: str
    at: str  # LocalTime of the user
    what: str  # send | shadow | exit | skip | defer
    word: str  # the step of a send or shadow; the end or reason of the others
    step: str | None = None  # of a skip or defer

    def __str__(self) -> str:
        on = f" ({self.step})" if self.step else ""
        return f"{self.user} {self.at} {self.what} {self.word}{on}"


@dataclass(frozen=True)
class Outcomes:
    """What happened, or must happen, in one scenario."""

    happenings: tuple[Happening, ...] = ()
    not_entered: Mapping[str, str] = field(default_factory=dict)  # user -> entry reason, or AUDIENCE


def compare(expected: Outcomes, actual: Outcomes) -> list[str]:
    """What differs, one readable line each; empty when all is as expected.

    Sends, shadows, skips and exits must be exactly the expected ones; of deferrals only those expected are looked for.
    """
    lines = [*_compare_entries(expected.not_entered, actual.not_entered)]
    wanted, found = _by_kind(expected.happenings), _by_kind(actual.happenings)
    for kind in sorted(wanted.keys() | found.keys()):
        lines.extend(_compare_times(wanted.get(kind, []), found.get(kind, []), looked_for=kind[1] == "defer"))
    return lines


_Kind = tuple[str, str, str]


def _by_kind(happenings: Iterable[Happening]) -> dict[_Kind, list[Happening]]:
    groups: dict[_Kind, list[Happening]] = defaultdict(list)
    for happening in sorted(happenings, key=lambda each: (each.user, each.at)):
        groups[happening.user, happening.what, happening.word].append(happening)
    return groups


def _compare_times(wanted: list[Happening], found: list[Happening], *, looked_for: bool) -> Iterator[str]:
    """The expected ones at their times; what remains on both sides is told in pairs."""
    missing, extra = list(wanted), []
    for happening in found:
        match = next((each for each in missing if each.at == happening.at and _same_step(each, happening)), None)
        if match:
            missing.remove(match)
        elif not looked_for:
            extra.append(happening)
    for each in list(missing):
        moved = next((other for other in extra if _same_step(each, other)), None)
        if moved:
            missing.remove(each)
            extra.remove(moved)
            yield f"at another time: {each}, but it was {moved.at}"
    yield from (f"missing: {each}" for each in missing)
    yield from (f"unexpected: {each}" for each in extra)


def _same_step(wanted: Happening, found: Happening) -> bool:
    return wanted.step is None or wanted.step == found.step


def _compare_entries(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    lines = []
    for user in sorted(wanted.keys() | found.keys()):
        if user not in found:
            lines.append(f"missing: {user} not entered ({wanted[user]}), but entered")
        elif user not in wanted:
            lines.append(f"unexpected: {user} not entered ({found[user]})")
        elif wanted[user] != found[user]:
            lines.append(f"{user} not entered: expected {wanted[user]}, was {found[user]}")
    return lines
