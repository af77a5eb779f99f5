"""What does a journey file say? One class per part of the file, in the order in which it is written."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from journeys.rules import Comparison, Rule
from journeys.spans import Spans
from journeys.values import (
    AttributeName,
    Currency,
    DurationField,
    EventName,
    Flag,
    Identifier,
    Model,
    Money,
    Percent,
    PositiveDuration,
    Share,
    Text,
    WholeNumber,
    ZoneName,
)
from journeys.words import Channel

Cron = Annotated[str, Field(pattern=r"^\S+( \S+){4}$")]


# --- who may enter -------------------------------------------------------------------------------------


class DateAnchor(Model):
    """Anchored on a date attribute of the user, such as a due date, plus or minus an offset."""

    attribute: AttributeName
    before: DurationField | None = None
    after: DurationField | None = None

    @model_validator(mode="after")
    def _one_offset(self) -> DateAnchor:
        if self.before and self.after:
            raise ValueError("before and after exclude each other; write one of them")
        return self


class TriggerAnchor(Model):
    """Enters when the host's API or this event says so."""

    trigger: EventName


class CampaignAnchor(Model):
    """Everyone in the audience enters once; `campaign` is the entry key."""

    campaign: Identifier


class Reentry(Model):
    """A user may enter again this long after the end of the last passage, at most `max` passages in all."""

    after: DurationField
    max: WholeNumber | None = None


class EntryLimit(Model):
    per_day: WholeNumber


class Entry(Model):
    anchor: EventName | DateAnchor | TriggerAnchor | CampaignAnchor
    audience: Rule
    schedule: Cron = "30 8 * * *"  # when the audience is looked at, in the journey's zone
    reentry: Reentry | None = None  # None: once per entry key
    overlap: Literal["allow", "wait", "never"] = "allow"  # with other journeys the user is in
    priority: WholeNumber = 50  # higher goes first where journeys contend for one cap slot
    limit: EntryLimit | None = None
    rollout: Percent = 100
    freshness: PositiveDuration | None = None  # a source older than this: stale_data


# --- when it ends ---------------------------------------------------------------------------------------


class Goal(Model):
    """The event that means "came back", counted from entering until `window` closes."""

    event: EventName | None = None
    any: tuple[EventName, ...] | None = None
    where: dict[AttributeName, Comparison] | None = None
    window: PositiveDuration
    value: AttributeName | None = None  # the numeric event property that says what the return is worth

    @model_validator(mode="after")
    def _one_way(self) -> Goal:
        if bool(self.event) == bool(self.any):
            raise ValueError(
                "a goal needs one of event and any; write event: loan_drawn or any: [loan_drawn, purchased]"
            )
        return self

    @property
    def events(self) -> tuple[str, ...]:
        return self.any or ((self.event,) if self.event else ())


class HoldoutShare(Model):
    percent: Percent


# --- limits ---------------------------------------------------------------------------------------------


class Budget(Model):
    """Money this journey may spend; amounts in the currency of the price book."""

    currency: Currency
    per_day: Money | None = None
    total: Money | None = None
    per_user: Money | None = None
    on_spent: Literal["defer", "exit"] = "defer"


class Guardrails(Model):
    """A journey pauses itself when, of its latest sends, more than these shares went wrong."""

    after: WholeNumber = 200  # sends before a share means anything
    complaints: Share | None = None
    opt_outs: Share | None = None
    refusals: Share | None = None


class Offer(Model):
    """A coupon, trial fund, rate cut: how many there are, and what happens when none is left."""

    name: Identifier
    stock: WholeNumber
    on_empty: Literal["skip", "defer", "exit"] = "skip"
    cost: Money | None = None  # of one redemption, in the policy's currency; counted by `recall review`
    redeemed: EventName | None = None  # the event that says it was; the goal when not told


# --- steps ----------------------------------------------------------------------------------------------


class Attempts(Model):
    """A call may be tried again: busy, no_answer and machine are outcomes, not errors."""

    max: WholeNumber
    gap: PositiveDuration
    retry_when: tuple[Literal["busy", "no_answer", "machine", "no_input", "failed"], ...] = ("busy", "no_answer")


class Message(Model):
    """One message: the channel is the key, the template its value."""

    channel: Channel
    template: Identifier
    id: Identifier | None = None
    when: Rule | None = None
    otherwise: Message | Literal["skip", "exit"] | None = Field(None, alias="else")
    link: Annotated[str, Field(max_length=2000)] | None = None  # https URL or app deep link; stored with each send
    expires: PositiveDuration | None = None  # after first due; default 3d
    offer: Offer | None = None
    attempts: Attempts | None = None  # calls only
    confirm: Identifier | None = None  # calls only: ask this check of the host at the last second
    on_outcome: dict[Identifier | Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")], OutcomeAction] | None = None
    outcome_within: PositiveDuration | None = None  # how long an outcome is waited for; default 1d

    model_config = Model.model_config | {"populate_by_name": True, "serialize_by_alias": True}

    @model_validator(mode="after")
    def _calls_only(self) -> Message:
        if self.confirm and self.channel is not Channel.CALL:
            raise ValueError(f"confirm belongs to call steps, not to {self.channel}")
        if self.channel not in (Channel.CALL, Channel.TASK) and (self.attempts or self.on_outcome):
            raise ValueError(
                f"attempts and on_outcome do not belong to {self.channel}; write them on a call or task step"
            )
        return self


class WaitUntil(Model):
    """Rests until the person reacts (a step) or does an event, at most so long."""

    delivered: Identifier | None = None
    opened: Identifier | None = None
    clicked: Identifier | None = None
    answered: Identifier | None = None
    did: EventName | None = None

    @model_validator(mode="after")
    def _one_way(self) -> WaitUntil:
        given = [word for word in (self.delivered, self.opened, self.clicked, self.answered, self.did) if word]
        if len(given) != 1:
            raise ValueError(
                "until waits for one thing; write exactly one of: delivered, opened, clicked, answered, did"
            )
        return self


class Wait(Model):
    """Exactly one of: a length, an event with a time-out, a date attribute, a weekday and clock time."""

    length: PositiveDuration | None = None
    until: WaitUntil | None = None
    at_most: PositiveDuration | None = None  # required with `until`
    until_date: AttributeName | None = None
    next: Annotated[str, Field(pattern=r"^(mon|tue|wed|thu|fri|sat|sun) ([01]\d|2[0-3]):[0-5]\d$")] | None = None
    id: Identifier | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Wait:
        if len([form for form in (self.length, self.until, self.until_date, self.next) if form]) != 1:
            raise ValueError("a wait needs one form; write 3d, or exactly one of: until, until_date, next")
        if bool(self.until) != bool(self.at_most):
            raise ValueError("until and at_most belong together; write {until: {clicked: push-1}, at_most: 3d}")
        return self


class Arm(Model):
    arm: Identifier
    percent: Percent
    steps: tuple[Step, ...]


class Split(Model):
    """Arms by hash of the user: stable over versions and re-entries."""

    split: tuple[Arm, ...]
    id: Identifier | None = None


class Case(Model):
    """One way of a branch; a case without `when` is the `else`."""

    when: Rule | None = None
    steps: tuple[Step, ...]


class Branch(Model):
    branch: tuple[Case, ...]
    id: Identifier | None = None


class Exit(Model):
    exit: Literal["finished", "exit_rule", "operator"] = "finished"
    id: Identifier | None = None


Step = Message | Wait | Split | Branch | Exit
OutcomeAction = Literal["exit", "suppress_address", "suppress_user", "opt_out", "continue"] | tuple[Step, ...]


# --- measuring ------------------------------------------------------------------------------------------


class Stage(Model):
    """One stage of the funnel and the share of the stage before it that should get there."""

    stage: Text
    event: EventName
    target: Percent | None = None


class PolicyByJurisdiction(Model):
    """Policy per value of users.jurisdiction; `no_send` leaves people out with the reason no_policy."""

    cases: dict[str, str]  # jurisdiction -> policy id or no_send
    otherwise: str = "no_send"


class Journey(Model):
    schema_: Literal["recall.journey/v1"] = Field(alias="schema")
    id: Identifier
    title: Text
    owner: Text | None = None
    brand: Identifier = "default"
    zone: ZoneName = "Asia/Shanghai"  # calendar of cutoffs and schedules; people are messaged in their own
    policy: Identifier | PolicyByJurisdiction
    run: Cron = "*/15 * * * *"  # when due messages are looked for, in `zone`
    entry: Entry
    goal: Goal
    exit_when: Rule | None = None
    hold_when: Rule | None = None
    holdout: HoldoutShare | None = None
    budget: Budget | None = None
    ramp: tuple[WholeNumber, ...] | None = None  # sends allowed on the 1st, 2nd, … day of sending; then unlimited
    guardrails: Guardrails | None = None
    window: dict[Channel, Spans] | None = None  # may only narrow the policy's
    approval: Flag = False  # True: a person approves a version before it sends
    lanes: WholeNumber = 1
    funnel: tuple[Stage, ...] = ()
    steps: tuple[Step, ...]

    model_config = Model.model_config | {"populate_by_name": True, "serialize_by_alias": True}

    @field_validator("steps")
    @classmethod
    def _some_steps(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        if not steps:
            raise ValueError("a journey needs at least one step; write such as - {push: come-back}")
        return steps


for _model in (Message, Arm, Case, Branch, Split):
    _model.model_rebuild()
