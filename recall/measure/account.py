"""What came of a journey, so that nothing is missing? Every message meant for anybody: sent, or one reason why not.

Counts, never a claim: what the journey caused is told by comparing treated people with the holdout, and that by
`recall review`, which also says when there are too few to tell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from journeys.words import End, Holdout, Reason, SendState
from recall.clock import Instant
from recall.store.accounts import (
    Fate,
    count_users_entered,
    read_fates,
    read_looks,
    read_returns,
    read_spent,
)
from recall.store.connect import Connection

NOT_DUE = "not_due_yet"
OTHER_WAY = "other_way"  # the passage took a branch without this message
_SENT = {SendState.ACCEPTED.value: "sent", SendState.IN_DOUBT.value: "in_doubt", SendState.CALLING.value: "in_doubt"}


@dataclass
class StepAccount:
    """One message step over all passages of treated people: `sent` + `in_doubt` + all `not_sent` = people."""

    step: str
    channel: str
    sent: int = 0
    in_doubt: int = 0
    not_sent: Counter[str] = field(default_factory=Counter)  # reason -> people

    @property
    def people(self) -> int:
        return self.sent + self.in_doubt + self.not_sent.total()


@dataclass
class Account:
    """One journey, all versions."""

    journey: str
    enrolled: int = 0
    users_entered: int = 0
    people: Counter[str] = field(default_factory=Counter)  # journeys.words.Holdout -> passages
    goals: Counter[str] = field(default_factory=Counter)  # journeys.words.Holdout -> passages with a goal
    open_windows: int = 0  # passages whose goal may still come
    entry_reasons: dict[str, int] = field(default_factory=dict)
    steps: list[StepAccount] = field(default_factory=list)
    shadows: int = 0  # messages the holdout would have got
    sent: dict[str, int] = field(default_factory=dict)  # channel -> messages taken
    cost: dict[str, int] = field(default_factory=dict)  # currency -> micros

    @property
    def treated(self) -> int:
        return self.people[Holdout.TREATED]

    @property
    def held_out(self) -> int:
        return self.people.total() - self.treated

    @property
    def goals_treated(self) -> int:
        return self.goals[Holdout.TREATED]

    @property
    def goals_held_out(self) -> int:
        return self.goals.total() - self.goals_treated

    @property
    def in_doubt(self) -> int:
        return sum(step.in_doubt for step in self.steps)

    @property
    def not_sent(self) -> Counter[str]:
        """Messages that were not sent, by reason; those the holdout would have got are `holdout`."""
        reasons: Counter[str] = sum((step.not_sent for step in self.steps), Counter())
        if self.shadows:
            reasons[Reason.HOLDOUT.value] += self.shadows
        return reasons


def read_account(connection: Connection, journey: str, *, now: Instant) -> Account:
    """The account of one journey as it stands."""
    account = Account(journey, users_entered=count_users_entered(connection, journey))
    for side in read_returns(connection, journey, now=now):
        account.people[side.holdout] = side.people
        account.goals[side.holdout] = side.goals
        account.open_windows += side.open_windows
    account.enrolled = account.people.total()
    account.entry_reasons = read_looks(connection, journey).refused
    _count_fates(account, read_fates(connection, journey))
    for spent in read_spent(connection, journey):
        account.sent[spent.channel] = account.sent.get(spent.channel, 0) + spent.messages
        account.cost[spent.currency] = account.cost.get(spent.currency, 0) + spent.micros
    return account


def _count_fates(account: Account, fates: Iterable[Fate]) -> None:
    steps: dict[tuple[int, str], StepAccount] = {}
    for fate in fates:
        if fate.holdout != Holdout.TREATED:
            account.shadows += fate.people if fate.state == SendState.SHADOW else 0
            continue
        step = steps.setdefault((fate.step_id, fate.step), StepAccount(fate.step, fate.channel))
        match _SENT.get(fate.state or ""):
            case "sent":
                step.sent += fate.people
            case "in_doubt":
                step.in_doubt += fate.people
            case _:
                step.not_sent[why_not(fate)] += fate.people
    account.steps = list(steps.values())


def why_not(fate: Fate) -> str:
    """The one reason for which a message was not sent."""
    if fate.state is not None:
        return fate.cause or fate.state
    if fate.left_out is not None:
        return fate.left_out
    if fate.is_past or fate.end_reason == End.FINISHED:
        return OTHER_WAY
    if fate.end_reason is not None:
        return fate.end_reason
    return (fate.waits_for if fate.is_here else None) or NOT_DUE
