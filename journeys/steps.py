"""Which steps does a journey have, in the order of its file, and what is each called?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from journeys.journey import Branch, Case, Exit, Journey, Message, Split, Step, Wait
from journeys.rules import All, Any_, None_, Rule

Place = tuple[str | int, ...]  # where a step stands in its file: ("steps", 2, "branch", 0, "steps", 1)


@dataclass(frozen=True, eq=False)
class Named:
    """One node to be, in the order of the file: `of` is the step, `part` says which node of it."""

    name: str
    of: Step
    place: Place
    part: str = ""  # "" the step itself, "outcome" of a call or task


def name_steps(steps: tuple[Step, ...]) -> list[Named]:
    """Every node of a journey with its name: the id that was written, else the channel or form and its number."""
    return list(_named(steps, ("steps",), Counter()))


def _named(steps: tuple[Step, ...], place: Place, count: Counter[str]) -> Iterator[Named]:
    for n, step in enumerate(steps):
        yield from _named_step(step, (*place, n), count)


def _named_step(step: Step, place: Place, count: Counter[str]) -> Iterator[Named]:
    match step:
        case Message():
            count["message"] += 1
            yield from _named_message(step, step.id or _auto(f"{step.channel}-{count['message']}"), place, count)
        case Split(split=arms):
            count["split"] += 1
            yield Named(step.id or f"split-{count['split']}", step, place)
            for n, arm in enumerate(arms):
                yield from _named(arm.steps, (*place, "split", n, "steps"), count)
        case Branch(branch=cases):
            count["branch"] += 1
            yield Named(step.id or f"branch-{count['branch']}", step, place)
            for n, case in enumerate(cases):
                yield from _named(case.steps, (*place, "branch", n, case_key(case)), count)
        case Wait():
            if step.until or step.until_date:
                count["wait"] += 1
                yield Named(step.id or f"wait-{count['wait']}", step, place)
        case Exit():
            count["exit"] += 1
            yield Named(step.id or f"exit-{count['exit']}", step, place)


def case_key(case: Case) -> str:
    """Under which key the steps of a branch's case stand in the file."""
    return "steps" if case.when else "else"


def _auto(name: str) -> str:
    return name.replace("_", "-")  # in_app-2 would not be an id


def _named_message(message: Message, name: str, place: Place, count: Counter[str]) -> Iterator[Named]:
    yield Named(name, message, place)
    if has_outcome(message):
        yield Named(f"{name}-outcome", message, place, "outcome")
        for outcome, action in (message.on_outcome or {}).items():
            if isinstance(action, tuple):
                yield from _named(action, (*place, "on_outcome", outcome), count)
    other = message.otherwise
    if isinstance(other, Message):
        yield from _named_message(other, other.id or f"{name}-else", (*place, "else"), count)


def has_outcome(message: Message) -> bool:
    """Does a node that awaits the outcome follow this message?"""
    return bool(message.attempts or message.on_outcome)


def each_step(steps: tuple[Step, ...], place: Place = ("steps",)) -> Iterator[tuple[Place, Step]]:
    """Every step with its place, the inner ones (an `else` message too) after the one that holds them."""
    for n, step in enumerate(steps):
        yield from _and_inner(step, (*place, n))


def _and_inner(step: Step, place: Place) -> Iterator[tuple[Place, Step]]:
    yield place, step
    for inner, its_place in inner_steps(step, place):
        yield from each_step(inner, its_place)
    if isinstance(step, Message) and isinstance(step.otherwise, Message):
        yield from _and_inner(step.otherwise, (*place, "else"))


def inner_steps(step: Step, place: Place) -> Iterator[tuple[tuple[Step, ...], Place]]:
    """The lists of steps inside one step, each with its place."""
    match step:
        case Split(split=arms):
            for n, arm in enumerate(arms):
                yield arm.steps, (*place, "split", n, "steps")
        case Branch(branch=cases):
            for n, case in enumerate(cases):
                yield case.steps, (*place, "branch", n, case_key(case))
        case Message():
            for outcome, action in (step.on_outcome or {}).items():
                if isinstance(action, tuple):
                    yield action, (*place, "on_outcome", outcome)


def rules_of(journey: Journey) -> Iterator[tuple[Place, Rule]]:
    """Every rule of a journey, each with its place: audience, exits, holds, and the conditions of steps."""
    yield ("entry", "audience"), journey.entry.audience
    for key in ("exit_when", "hold_when"):
        if (rule := getattr(journey, key)) is not None:
            yield (key,), rule
    for place, step in each_step(journey.steps):
        yield from rules_of_step(step, place)


def rules_of_step(step: Step, place: Place) -> Iterator[tuple[Place, Rule]]:
    """The conditions of one step, each with its place."""
    if isinstance(step, Message) and step.when is not None:
        yield (*place, "when"), step.when
    if isinstance(step, Branch):
        for n, case in enumerate(step.branch):
            if case.when is not None:
                yield (*place, "branch", n, "when"), case.when


def each_rule(rule: Rule, place: Place) -> Iterator[tuple[Place, Rule]]:
    """A rule and every rule inside it, each with its place in the file."""
    yield place, rule
    for key, kind in (("all", All), ("any", Any_), ("none", None_)):
        if isinstance(rule, kind):
            for n, inner in enumerate(getattr(rule, key)):
                yield from each_rule(inner, (*place, key, n))
