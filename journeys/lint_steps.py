"""Do the steps of a journey hang together? Names, shares, waits, and whether each step can be reached at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from journeys.compile import compile_steps, ways_of
from journeys.journey import Branch, Journey, Message, Split, Step, Wait
from journeys.loader import Loaded
from journeys.problems import did_you_mean
from journeys.program import MessageNode, Node, OutcomeNode, UntilDateNode, UntilNode, Way
from journeys.rules import Reacted, Rule
from journeys.steps import Named, Place, each_rule, each_step, has_outcome, inner_steps, name_steps, rules_of_step
from journeys.words import Channel
from recall.errors import Misconfigured, Problem

MAX_STEPS = 200
MAX_ATTEMPTS = 5
_CLICKABLE = (Channel.PUSH, Channel.SMS, Channel.EMAIL, Channel.IN_APP)


def too_many_steps(journey: Loaded[Journey]) -> Problem | None:
    """The one thing said of a journey too long to be looked at further."""
    count = sum(1 for _ in each_step(journey.noun.steps))
    if count <= MAX_STEPS:
        return None
    return journey.problem(f"{count} steps are too many", f"the most is {MAX_STEPS}; make two journeys", "steps")


def lint_steps(journey: Loaded[Journey]) -> list[Problem]:
    """Every error and warning about the order and shape of the steps."""
    steps = list(each_step(journey.noun.steps))
    names = name_steps(journey.noun.steps)
    found = [
        *_unique(journey, names),
        *(problem for place, step in steps for problem in _shape(journey, step, place)),
        *_reactions(journey, names),
        *_last_wait(journey),
        *_longer_than_goal(journey),
    ]
    return [*found, *_ways(journey, names)]


def _unique(journey: Loaded[Journey], names: list[Named]) -> Iterator[Problem]:
    times = Counter(named.name for named in names)
    seen: set[str] = set()
    for named in names:
        if times[named.name] > 1 and named.name in seen:
            yield journey.problem(
                f"two steps are called {named.name}", "give each an id of its own", *named.place, "id"
            )
        seen.add(named.name)


# --- one step -------------------------------------------------------------------------------------------


def _shape(journey: Loaded[Journey], step: Step, place: Place) -> Iterator[Problem]:
    match step:
        case Split():
            yield from _split(journey, step, (*place, "split"))
        case Branch():
            yield from _branch(journey, step, (*place, "branch"))
        case Message():
            yield from _message(journey, step, place)
    for inner, its_place in inner_steps(step, place):
        if not inner:
            yield journey.problem("there is no step here", "write steps, or exit if the journey ends here", *its_place)


def _split(journey: Loaded[Journey], split: Split, place: Place) -> Iterator[Problem]:
    total = sum(arm.percent for arm in split.split)
    if total != 100:
        yield journey.problem(f"the arms add up to {total} %", "make them 100 in all", *place)
    if len(split.split) < 2:
        yield journey.problem("a split needs two arms or more", "add an arm, or write its steps without split", *place)
    names = Counter(arm.arm for arm in split.split)
    for n, arm in enumerate(split.split):
        if arm.percent == 0:
            yield journey.problem(f"nobody takes the arm {arm.arm}", "give it a share or drop it", *place, n, "percent")
        if names[arm.arm] > 1 and n:
            yield journey.problem(f"two arms are called {arm.arm}", "give each its own name", *place, n, "arm")


def _branch(journey: Loaded[Journey], branch: Branch, place: Place) -> Iterator[Problem]:
    cases = branch.branch
    if not any(case.when for case in cases):
        yield journey.problem("a branch needs a case with `when`", "write - {when: …, steps: [...]}", *place)
    for n, case in enumerate(cases):
        if case.when is None and n < len(cases) - 1:
            yield journey.problem("the cases after `else` are never taken", "put else last, and only once", *place, n)


def _message(journey: Loaded[Journey], message: Message, place: Place) -> Iterator[Problem]:
    attempts = message.attempts
    if attempts and not 1 <= attempts.max <= MAX_ATTEMPTS:
        yield journey.problem(
            f"{attempts.max} attempts cannot be made", f"write 1 to {MAX_ATTEMPTS}", *place, "attempts", "max"
        )
    if message.offer and message.offer.stock == 0:
        yield journey.problem(
            "an offer with no stock reaches nobody", "write how many there are", *place, "offer", "stock"
        )
    if message.outcome_within and not has_outcome(message):
        yield journey.problem(
            "no outcome is waited for here", "add on_outcome or drop it", *place, "outcome_within", severity="warning"
        )


# --- reactions to earlier steps -------------------------------------------------------------------------


def _reactions(journey: Loaded[Journey], names: list[Named]) -> Iterator[Problem]:
    messages = {named.name: named for named in names if isinstance(named.of, Message) and not named.part}
    for key in ("exit_when", "hold_when"):
        for place, reacted in _reacted(getattr(journey.noun, key), (key,)):
            yield from _reaction(journey, reacted, place, messages, messages)
    for here, step in each_step(journey.noun.steps):
        earlier = {name: named for name, named in messages.items() if _is_before(named.place, here)}
        for rule_place, rule in rules_of_step(step, here):
            for place, reacted in _reacted(rule, rule_place):
                yield from _reaction(journey, reacted, place, messages, earlier)
        if isinstance(step, Wait) and step.until and not step.until.did:
            reacted = Reacted(**step.until.model_dump(exclude_none=True))
            yield from _reaction(journey, reacted, (*here, "wait", "until"), messages, earlier)


def _reacted(rule: Rule | None, place: Place) -> Iterator[tuple[Place, Reacted]]:
    for where, inner in each_rule(rule, place) if rule is not None else ():
        if isinstance(inner, Reacted):
            yield where, inner


def _reaction(
    journey: Loaded[Journey],
    reacted: Reacted,
    place: Place,
    messages: Mapping[str, Named],
    earlier: Mapping[str, Named],
) -> Iterator[Problem]:
    kind, name = reacted.given()
    named = messages.get(name)
    if named is None:
        hint = did_you_mean(name, list(messages))
        yield journey.problem(f"no message is called {name}", hint, *place, kind)
        return
    if name not in earlier:
        hint = f"name one of: {', '.join(earlier)}" if earlier else "put a message before this"
        yield journey.problem(f"{name} has not been sent when this is asked", hint, *place, kind)
    elif isinstance(named.of, Message) and not _can_happen(kind, named.of):
        message = f"{name} is a message nobody can have {kind}"
        hint = "give it a link, or ask for delivered or a did" if kind == "clicked" else "ask for delivered or a did"
        yield journey.problem(message, hint, *place, kind, severity="warning")


def _can_happen(kind: str, message: Message) -> bool:
    match kind:
        case "clicked":
            return message.channel is Channel.PUSH or (message.channel in _CLICKABLE and bool(message.link))
        case "opened":
            return message.channel in (Channel.PUSH, Channel.EMAIL, Channel.IN_APP)
        case "answered":
            return message.channel in (Channel.CALL, Channel.TASK, Channel.SMS)
    return True


def _is_before(message: Place, here: Place) -> bool:
    """May the message at one place have been sent when somebody stands at the other?

    Before in the file, and not in another arm, case or outcome of the same step.
    """
    for n, (a, b) in enumerate(zip(message, here, strict=False)):
        if a != b:
            fork = message[n - 1] if n else ""
            return isinstance(a, int) and isinstance(b, int) and a < b and fork not in ("split", "branch")
    return len(message) < len(here) and here[len(message)] in ("on_outcome",)


# --- the way through ------------------------------------------------------------------------------------


def _last_wait(journey: Loaded[Journey]) -> Iterator[Problem]:
    last = journey.noun.steps[-1]
    if isinstance(last, Wait):
        place = ("steps", len(journey.noun.steps) - 1)
        yield journey.problem("nothing comes after this wait", "drop it or add a step", *place, severity="warning")


def _ways(journey: Loaded[Journey], names: list[Named]) -> Iterator[Problem]:
    """Unreachable steps, and messages that would follow each other at once."""
    try:
        start, nodes = compile_steps(journey.noun)
    except Misconfigured:
        return  # two steps of one name: told already
    yield from _unreachable(journey, names, _reached(start, nodes))
    told: set[int] = set()
    for node in nodes:
        if isinstance(node, MessageNode):
            for following in sorted(_at_once(node.next, nodes) - told):
                told.add(following)
                place = names[following].place
                message = f"{names[following].name} would follow {node.name} at once"
                yield journey.problem(message, "put a wait between them, such as - {wait: 3d}", *place)


def _reached(start: Way, nodes: tuple[Node, ...]) -> set[int]:
    reached: set[int] = set()
    open_ways = [start]
    while open_ways:
        node = open_ways.pop().node
        if node is not None and node not in reached:
            reached.add(node)
            open_ways.extend(ways_of(nodes[node]))
    return reached


def _unreachable(journey: Loaded[Journey], names: list[Named], reached: set[int]) -> Iterator[Problem]:
    told: set[Place] = set()
    for n, named in enumerate(names):
        parent = named.place[:-1]
        if n in reached or any(parent[: len(other)] == other for other in told):
            continue
        told.add(parent)
        yield journey.problem(f"{named.name} is never reached", "drop it, or the exit before it", *named.place)


def _at_once(way: Way, nodes: tuple[Node, ...]) -> set[int]:
    """The messages reached on this way without any wait."""
    if way.node is None or way.delays:
        return set()
    node = nodes[way.node]
    if isinstance(node, MessageNode):
        return {way.node}
    if isinstance(node, (UntilNode, UntilDateNode, OutcomeNode)):
        return set()
    return set().union(*(_at_once(onward, nodes) for onward in ways_of(node)))


def _longer_than_goal(journey: Loaded[Journey]) -> Iterator[Problem]:
    waits = sum(
        step.length.micros if step.length else step.at_most.micros if step.at_most else 0
        for step in journey.noun.steps
        if isinstance(step, Wait)
    )
    if waits >= journey.noun.goal.window.micros:
        yield journey.problem(
            "the last message would go out after the goal's window has closed",
            "lengthen goal.window or shorten the waits",
            *("goal", "window"),
            severity="warning",
        )
