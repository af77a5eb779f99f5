"""Who is meant? The rule language of audiences, exits, holds and conditions.

A rule is one of the forms below, told apart by its first key. Rules are data: `recall.store.audience`
turns them into SQL over a user (and, inside a journey, over an enrolment); nothing evaluates them per user
in Python except the tests' slow oracle.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from journeys.values import (
    AttributeName,
    DurationField,
    EventName,
    Flag,
    Identifier,
    Model,
    PositiveDuration,
    WholeNumber,
)
from journeys.words import AddressKind, End

ENTRY = "entry"  # `since: entry` counts from the moment the user entered the journey

_OPERATORS = ("equals", "is_not", "one_of", "none_of", "above", "below", "at_least", "at_most", "known")
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,6})?", re.ASCII)


def _operators(noun: Model) -> list[tuple[str, Any]]:
    return [(name, getattr(noun, name)) for name in _OPERATORS if getattr(noun, name) is not None]


def _check_operators(given: list[tuple[str, Any]]) -> None:
    if len(given) != 1:
        found = "no comparison is given" if not given else "several comparisons are given"
        raise ValueError(
            f"{found}; write exactly one of: is, is_not, one_of, none_of, above, below, at_least, at_most, known"
        )
    name, value = given[0]
    if name in ("above", "below", "at_least", "at_most") and not _NUMBER.fullmatch(value):
        raise ValueError(f"{name}: {value!r} is not a number; write digits, such as {name}: 10 or {name}: 0.5")


class Comparison(Model):
    """Exactly one operator on one attribute or event property; a missing value satisfies only `known: false`."""

    equals: str | None = Field(None, alias="is")
    is_not: str | None = None
    one_of: tuple[str, ...] | None = None
    none_of: tuple[str, ...] | None = None
    above: str | None = None  # numeric, exclusive
    below: str | None = None
    at_least: str | None = None
    at_most: str | None = None
    known: Flag | None = None

    model_config = Model.model_config | {"populate_by_name": True, "serialize_by_alias": True}

    @model_validator(mode="after")
    def _one_operator(self) -> Comparison:
        _check_operators(self.given())
        return self

    def given(self) -> list[tuple[str, Any]]:
        """The operators that were written, by field name."""
        return _operators(self)


class Times(Model):
    """How often; the default of `did` is at least once."""

    at_least: WholeNumber | None = None
    at_most: WholeNumber | None = None


class Did(Model):
    """The user did an event. `between: [a, b]`: the *latest* one lies in (now - b, now - a]."""

    did: EventName
    between: tuple[DurationField, DurationField] | None = None
    within: PositiveDuration | None = None
    since: EventName | None = None  # after the latest such event, or after `entry`
    times: Times | None = None
    where: dict[AttributeName, Comparison] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Did:
        if self.between and self.between[0].micros >= self.between[1].micros:
            raise ValueError("the first duration of between must be the shorter one; write such as [30d, 60d]")
        if self.between and (self.within or self.times):
            raise ValueError(
                "between speaks of the latest event and goes with neither within nor times; write one of them"
            )
        return self


class DidNot(Model):
    """The user did not do an event (ever, within a time, or since another event)."""

    did_not: EventName
    within: PositiveDuration | None = None
    since: EventName | None = None
    where: dict[AttributeName, Comparison] | None = None


class Attribute(Model):
    """A user attribute compared with one operator: `{attribute: overdue_days, is: "0"}`."""

    attribute: AttributeName
    equals: str | None = Field(None, alias="is")
    is_not: str | None = None
    one_of: tuple[str, ...] | None = None
    none_of: tuple[str, ...] | None = None
    above: str | None = None
    below: str | None = None
    at_least: str | None = None
    at_most: str | None = None
    known: Flag | None = None

    model_config = Model.model_config | {"populate_by_name": True, "serialize_by_alias": True}

    @model_validator(mode="after")
    def _one_operator(self) -> Attribute:
        _check_operators(_operators(self))
        return self

    def comparison(self) -> Comparison:
        """The operator without the attribute's name."""
        return Comparison(**self.model_dump(exclude={"attribute"}, exclude_none=True))


class Segment(Model):
    """A named rule, from `segments/<name>.yaml`; replaced by its rule when a journey is published."""

    segment: Identifier


class OtherJourney(Model):
    """The user's passage through another journey ended (in a stated way, within a time)."""

    journey: Identifier
    ended: End | None = None  # None: any end
    active: Flag = False  # True: is in it now
    within: PositiveDuration | None = None


class Reachable(Model):
    """The user has a usable address of this kind (known, not unreachable, not opted out of everything)."""

    reachable: AddressKind


class Reacted(Model):
    """Inside a journey: the person reacted to the message of an earlier step."""

    delivered: Identifier | None = None
    opened: Identifier | None = None
    clicked: Identifier | None = None
    answered: Identifier | None = None

    @model_validator(mode="after")
    def _one_step(self) -> Reacted:
        if len([step for step in (self.delivered, self.opened, self.clicked, self.answered) if step]) != 1:
            raise ValueError("a reaction names one step; write exactly one of: delivered, opened, clicked, answered")
        return self

    def given(self) -> tuple[str, str]:
        """(reaction, step name)."""
        return next((k, v) for k, v in self.model_dump().items() if v)


class All(Model):
    all: tuple[Rule, ...] = Field(min_length=1, max_length=50)


class Any_(Model):
    any: tuple[Rule, ...] = Field(min_length=1, max_length=50)


class None_(Model):
    none: tuple[Rule, ...] = Field(min_length=1, max_length=50)


_FORMS: dict[str, str] = {
    "all": "all",
    "any": "any",
    "none": "none",
    "did": "did",
    "did_not": "did_not",
    "attribute": "attribute",
    "segment": "segment",
    "journey": "journey",
    "reachable": "reachable",
    "delivered": "reacted",
    "opened": "reacted",
    "clicked": "reacted",
    "answered": "reacted",
}


def _form(value: Any) -> str | None:
    keys = value if isinstance(value, dict) else {k for k in _FORMS if getattr(value, k, None) is not None}
    return next((form for key, form in _FORMS.items() if key in keys), None)


Rule = Annotated[
    Annotated[All, Tag("all")]
    | Annotated[Any_, Tag("any")]
    | Annotated[None_, Tag("none")]
    | Annotated[Did, Tag("did")]
    | Annotated[DidNot, Tag("did_not")]
    | Annotated[Attribute, Tag("attribute")]
    | Annotated[Segment, Tag("segment")]
    | Annotated[OtherJourney, Tag("journey")]
    | Annotated[Reachable, Tag("reachable")]
    | Annotated[Reacted, Tag("reacted")],
    Discriminator(
        _form,
        custom_error_type="unknown_rule",
        custom_error_message=(
            "is not a rule; begin with one of: all, any, none, did, did_not, attribute, segment, journey, reachable, "
            "delivered, opened, clicked, answered"
        ),
    ),
]

for _model in (All, Any_, None_):
    _model.model_rebuild()
