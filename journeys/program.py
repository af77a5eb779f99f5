"""What is a journey once it is published? A flat list of nodes a user's enrolment rests on.

Compiled once, stored with the version and never compiled again, so that node ids (the store's `step_id`)
mean the same for as long as somebody is inside. Waits are not nodes: they are delays on the way to one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from journeys.journey import Attempts, Journey, Offer
from journeys.rules import Rule
from journeys.values import DurationField, Identifier, Model, Percent
from journeys.words import Channel, End


class NodeKind(StrEnum):
    MESSAGE = "message"
    BRANCH = "branch"
    SPLIT = "split"
    UNTIL = "until"  # rests until a reaction or event, or the time-out
    UNTIL_DATE = "until_date"  # rests until a date attribute of the user
    OUTCOME = "outcome"  # rests until a call or task has its outcome, then goes on by it
    EXIT = "exit"


class Delay(Model):
    """One wait on the way to a node."""

    length: DurationField | None = None
    next: str | None = None  # "thu 11:00"


class Way(Model):
    """Where the enrolment goes, after which waits; node None ends it as `finished`."""

    node: int | None = None
    delays: tuple[Delay, ...] = ()


class _Node(Model):
    id: int  # step_id: position in the program
    name: str  # "sms-2": unique in the version


class MessageNode(_Node):
    kind: Literal[NodeKind.MESSAGE] = NodeKind.MESSAGE
    channel: Channel
    template: Identifier
    when: Rule | None = None
    link: str | None = None
    expires: DurationField
    offer: Offer | None = None
    attempts: Attempts | None = None
    confirm: Identifier | None = None
    next: Way
    otherwise: Way | None = None  # compiled `else`; None: skip, that is `next`
    otherwise_exits: bool = False  # `else: exit`
    channels_after: tuple[Channel, ...]  # of every message still reachable after (and beside) this one


class BranchNode(_Node):
    kind: Literal[NodeKind.BRANCH] = NodeKind.BRANCH
    cases: tuple[tuple[Rule | None, Way], ...]  # first that holds; a None rule always holds and stands last


class SplitNode(_Node):
    kind: Literal[NodeKind.SPLIT] = NodeKind.SPLIT
    arms: tuple[tuple[Identifier, Percent, Way], ...]


class UntilNode(_Node):
    kind: Literal[NodeKind.UNTIL] = NodeKind.UNTIL
    until: Rule  # Reacted, or Did since entry
    at_most: DurationField
    next: Way


class UntilDateNode(_Node):
    kind: Literal[NodeKind.UNTIL_DATE] = NodeKind.UNTIL_DATE
    attribute: str
    next: Way


class OutcomeNode(_Node):
    """Follows a call or task; `retry` goes back to it as the next attempt."""

    kind: Literal[NodeKind.OUTCOME] = NodeKind.OUTCOME
    of: int  # node id of the call or task
    within: DurationField
    attempts: Attempts | None = None
    actions: dict[str, Literal["exit", "suppress_address", "suppress_user", "opt_out", "continue"] | Way]
    next: Way


class ExitNode(_Node):
    kind: Literal[NodeKind.EXIT] = NodeKind.EXIT
    end: End = End.FINISHED


Node = Annotated[
    MessageNode | BranchNode | SplitNode | UntilNode | UntilDateNode | OutcomeNode | ExitNode,
    Field(discriminator="kind"),
]


class Program(Model):
    """A published version: the journey as written, its compiled nodes, and every template it uses."""

    journey: Journey  # segments replaced by their rules
    start: Way
    nodes: tuple[Node, ...]  # nodes[i].id == i
    # Template id -> channel -> locale -> {title?, subject?, body, html?}.
    templates: dict[str, dict[Channel, dict[str, dict[str, str]]]]
    values: dict[str, dict[str, str]] = Field(default_factory=dict)  # template id -> variable -> its default text

    def message(self, step_id: int) -> MessageNode:
        """The message node with this id; raises KeyError for a control node."""
        node = self.nodes[step_id]
        if not isinstance(node, MessageNode):
            raise KeyError(f"step {step_id} ({node.name}) is not a message")
        return node
