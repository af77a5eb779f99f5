"""How does a journey become the flat program that enrolments rest on? Compiled once, when a version is published.

Node ids are positions in the order of the file, so the same file always gives the same program. Split and
branch join again behind themselves; a wait becomes a delay on the way to what follows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from journeys.durations import Duration
from journeys.journey import Arm, Branch, Case, Exit, Journey, Message, Split, Step, Wait, WaitUntil
from journeys.program import (
    BranchNode,
    Delay,
    ExitNode,
    MessageNode,
    Node,
    OutcomeNode,
    Program,
    SplitNode,
    UntilDateNode,
    UntilNode,
    Way,
)
from journeys.rules import ENTRY, All, Any_, Did, None_, Reacted, Rule, Segment
from journeys.steps import Place, case_key, has_outcome, name_steps
from journeys.templates import Template
from journeys.words import Channel, End
from recall.errors import Misconfigured

EXPIRES = Duration(days=3)  # a message not sent this long after it was first due is not sent any more
OUTCOME_WITHIN = Duration(days=1)  # how long the outcome of a call or task is waited for


def compile_journey(
    journey: Journey, segments: Mapping[str, Rule] | None = None, templates: Mapping[str, Template] | None = None
) -> Program:
    """The program of a journey with its segments and templates; raises Misconfigured for what lint would refuse."""
    inlined = inline_segments(journey, segments or {})
    start, nodes = compile_steps(inlined)
    used = sorted({(node.template, node.channel) for node in nodes if isinstance(node, MessageNode)})
    return Program(
        journey=inlined,
        start=start,
        nodes=nodes,
        templates=_texts(used, templates or {}),
        values={name: defaults for name in dict(used) if (defaults := _defaults(name, templates or {}))},
    )


def compile_steps(journey: Journey) -> tuple[Way, tuple[Node, ...]]:
    """The way in and the nodes; names are those of `steps.name_steps`, in the same order."""
    compiled = _Compiler(journey)
    return compiled.start, compiled.nodes


def _texts(
    used: list[tuple[str, Channel]], templates: Mapping[str, Template]
) -> dict[str, dict[Channel, dict[str, dict[str, str]]]]:
    """Only what the journey sends: a change of any other text is no new version."""
    found: dict[str, dict[Channel, dict[str, dict[str, str]]]] = {}
    for name, channel in used:
        if name not in templates:
            raise Misconfigured(f"no template {name!r}; write templates/{name}.yaml")
        texts = templates[name].texts(channel)
        if not texts:
            raise Misconfigured(f"template {name!r} has no text for {channel}; add `{channel}:` to it")
        found.setdefault(name, {})[channel] = {locale: text.parts() for locale, text in texts.items()}
    return found


def _defaults(name: str, templates: Mapping[str, Template]) -> dict[str, str]:
    return templates[name].defaults() if name in templates else {}


# --- segments -------------------------------------------------------------------------------------------


def inline_segments(journey: Journey, segments: Mapping[str, Rule]) -> Journey:
    """The journey with each named segment replaced by its rule."""

    def inline(rule: Rule | None) -> Rule | None:
        return rule and inline_rule(rule, segments)

    entry = journey.entry.model_copy(update={"audience": inline(journey.entry.audience)})
    return journey.model_copy(
        update={
            "entry": entry,
            "exit_when": inline(journey.exit_when),
            "hold_when": inline(journey.hold_when),
            "steps": _inline_steps(journey.steps, inline),
        }
    )


def inline_rule(rule: Rule, segments: Mapping[str, Rule], trail: tuple[str, ...] = ()) -> Rule:
    """The rule without named segments; raises Misconfigured for an unknown one or one that contains itself."""
    match rule:
        case Segment(segment=name):
            if name in trail:
                raise Misconfigured(f"segment {name!r} contains itself: {' > '.join((*trail, name))}")
            if name not in segments:
                raise Misconfigured(f"no segment {name!r}; write segments/{name}.yaml")
            return inline_rule(segments[name], segments, (*trail, name))
        case All(all=rules):
            return All(all=tuple(inline_rule(inner, segments, trail) for inner in rules))
        case Any_(any=rules):
            return Any_(any=tuple(inline_rule(inner, segments, trail) for inner in rules))
        case None_(none=rules):
            return None_(none=tuple(inline_rule(inner, segments, trail) for inner in rules))
    return rule


def _inline_steps(steps: tuple[Step, ...], inline: Any) -> tuple[Step, ...]:
    return tuple(_inline_step(step, inline) for step in steps)


def _inline_step(step: Step, inline: Any) -> Step:
    match step:
        case Message():
            return _inline_message(step, inline)
        case Split(split=arms):
            return step.model_copy(update={"split": tuple(_with_steps(arm, inline) for arm in arms)})
        case Branch(branch=cases):
            ways = (case.model_copy(update={"when": inline(case.when)}) for case in cases)
            return step.model_copy(update={"branch": tuple(_with_steps(way, inline) for way in ways)})
    return step


def _with_steps(way: Arm | Case, inline: Any) -> Arm | Case:
    return way.model_copy(update={"steps": _inline_steps(way.steps, inline)})


def _inline_message(message: Message, inline: Any) -> Message:
    otherwise = message.otherwise
    changed: dict[str, Any] = {"when": inline(message.when)}
    if isinstance(otherwise, Message):
        changed["otherwise"] = _inline_message(otherwise, inline)
    if message.on_outcome:
        changed["on_outcome"] = {
            outcome: _inline_steps(action, inline) if isinstance(action, tuple) else action
            for outcome, action in message.on_outcome.items()
        }
    return message.model_copy(update=changed)


# --- nodes ----------------------------------------------------------------------------------------------


class _Compiler:
    """Gives every node its id first, then its ways, from the end of the file to its beginning."""

    def __init__(self, journey: Journey) -> None:
        named = name_steps(journey.steps)
        twice = [name for name, times in Counter(node.name for node in named).items() if times > 1]
        if twice:
            raise Misconfigured(f"two steps are called {twice[0]!r}; give each an id of its own")
        self._heads = {(node.place, node.part): {"id": n, "name": node.name} for n, node in enumerate(named)}
        self._nodes: dict[int, Node] = {}
        self.start = self._enter(journey.steps, ("steps",), Way())
        self.nodes = _with_channels([self._nodes[n] for n in range(len(named))])

    def _enter(self, steps: tuple[Step, ...], place: Place, after: Way) -> Way:
        """The way to the first node of `steps`, which end in `after`; their nodes are made on the way back."""
        way = after
        for n, step in reversed(list(enumerate(steps))):
            if isinstance(step, Wait) and not (step.until or step.until_date):
                way = Way(node=way.node, delays=(Delay(length=step.length, next=step.next), *way.delays))
            else:
                way = self._node(step, (*place, n), way)
        return way

    def _node(self, step: Step, place: Place, after: Way) -> Way:
        head: Any = self._heads.get((place, ""))
        match step:
            case Message():
                return self._message(step, place, after)
            case Split():
                return self._add(SplitNode(**head, arms=self._arms(step, place, after)))
            case Branch():
                return self._add(BranchNode(**head, cases=self._cases(step, place, after)))
            case Wait(until=WaitUntil() as until, at_most=Duration() as at_most):
                return self._add(UntilNode(**head, until=_until(until), at_most=at_most, next=after))
            case Wait(until_date=str() as attribute):
                return self._add(UntilDateNode(**head, attribute=attribute, next=after))
            case Exit():
                return self._add(ExitNode(**head, end=End(step.exit)))
        raise AssertionError(f"a step of unknown form: {step}")

    def _arms(self, split: Split, place: Place, after: Way) -> tuple[tuple[str, int, Way], ...]:
        return tuple(
            (arm.arm, arm.percent, self._enter(arm.steps, (*place, "split", n, "steps"), after))
            for n, arm in enumerate(split.split)
        )

    def _cases(self, branch: Branch, place: Place, after: Way) -> tuple[tuple[Rule | None, Way], ...]:
        ways = [
            (case.when, self._enter(case.steps, (*place, "branch", n, case_key(case)), after))
            for n, case in enumerate(branch.branch)
        ]
        return tuple(ways) if any(when is None for when, _ in ways) else (*ways, (None, after))

    def _message(self, message: Message, place: Place, after: Way) -> Way:
        head: Any = self._heads[place, ""]
        other = message.otherwise
        return self._add(
            MessageNode(
                **head,
                channel=message.channel,
                template=message.template,
                when=message.when,
                link=message.link,
                expires=message.expires or EXPIRES,
                offer=message.offer,
                attempts=message.attempts,
                confirm=message.confirm,
                next=self._outcome(message, place, after) if has_outcome(message) else after,
                otherwise=self._message(other, (*place, "else"), after) if isinstance(other, Message) else None,
                otherwise_exits=other == "exit",
                channels_after=(),
            )
        )

    def _outcome(self, message: Message, place: Place, after: Way) -> Way:
        head: Any = self._heads[place, "outcome"]
        actions: dict[str, Any] = {
            outcome: self._enter(action, (*place, "on_outcome", outcome), after)
            if isinstance(action, tuple)
            else action
            for outcome, action in (message.on_outcome or {}).items()
        }
        return self._add(
            OutcomeNode(
                **head,
                of=head["id"] - 1,  # an outcome is named right after its message
                within=message.outcome_within or OUTCOME_WITHIN,
                attempts=message.attempts,
                actions=actions,
                next=after,
            )
        )

    def _add(self, node: Node) -> Way:
        self._nodes[node.id] = node
        return Way(node=node.id)


def _with_channels(nodes: list[Node]) -> tuple[Node, ...]:
    """Fill in `channels_after`; every way leads down the file, so the last node is asked first."""
    reach: dict[int | None, frozenset[Channel]] = {None: frozenset()}
    for node in reversed(nodes):
        after = frozenset[Channel]().union(*(reach[way.node] for way in ways_of(node)))
        reach[node.id] = after
        if isinstance(node, MessageNode):
            reach[node.id] = after | {node.channel}
            ordered = tuple(channel for channel in Channel if channel in after)
            nodes[node.id] = node.model_copy(update={"channels_after": ordered})
    return tuple(nodes)


def ways_of(node: Node) -> list[Way]:
    """Every way that leads on from a node."""
    match node:
        case MessageNode():
            return [node.next] if node.otherwise is None else [node.next, node.otherwise]
        case BranchNode():
            return [way for _, way in node.cases]
        case SplitNode():
            return [way for _, _, way in node.arms]
        case OutcomeNode():
            return [node.next, *(way for way in node.actions.values() if isinstance(way, Way))]
        case ExitNode():
            return []
    return [node.next]


def _until(until: WaitUntil) -> Rule:
    if until.did:
        return Did(did=until.did, since=ENTRY)
    return Reacted(**until.model_dump(exclude={"did"}, exclude_none=True))
