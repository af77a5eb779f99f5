"""How does a journey read aloud? One line per fact and step; `show` prints them, `diff` compares them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from journeys.journey import (
    Branch,
    CampaignAnchor,
    Case,
    DateAnchor,
    Entry,
    Exit,
    Goal,
    Journey,
    Message,
    PolicyByJurisdiction,
    Split,
    Step,
    TriggerAnchor,
    Wait,
)
from journeys.program import Program
from journeys.rules import All, Any_, Attribute, Comparison, Did, DidNot, None_, OtherJourney, Reachable, Rule, Segment
from journeys.steps import Place, case_key, name_steps
from journeys.values import MICROS_PER_UNIT, clock_text

_IN = "  "
_WIDTH = 12  # of the first column


def outline(journey: Journey) -> list[str]:
    """Everything a journey says, in the order of its file."""
    return [f"{journey.id}: {journey.title}", *_facts(journey), "steps", *outline_steps(journey)]


def outline_texts(program: Program) -> list[str]:
    """Every text a version sends, by template, channel and locale."""
    return [
        f"{template} {channel} {locale} {part}: {text}"
        for template, channels in sorted(program.templates.items())
        for channel, locales in sorted(channels.items())
        for locale, parts in sorted(locales.items())
        for part, text in parts.items()
    ]


def _facts(journey: Journey) -> Iterator[str]:
    for name, text in _told(journey):
        if text:
            yield f"{_IN}{name:<{_WIDTH}}{text}"


def _told(journey: Journey) -> Iterator[tuple[str, str]]:
    entry = journey.entry
    yield "owner", journey.owner or ""
    yield "brand", "" if journey.brand == "default" else journey.brand
    yield "policy", _policy(journey.policy)
    yield "enters", f"{_anchor(entry)}; looked at: {entry.schedule} ({journey.zone})"
    yield "audience", say(entry.audience)
    yield "limits", "; ".join(_entry_limits(entry))
    yield "goal", _goal(journey.goal)
    yield "leaves when", say(journey.exit_when) if journey.exit_when else ""
    yield "rests while", say(journey.hold_when) if journey.hold_when else ""
    yield "holdout", f"{journey.holdout.percent} %" if journey.holdout else ""
    yield "budget", _budget(journey)
    yield "ramp", ", ".join(map(str, journey.ramp or ()))
    yield "window", "; ".join(f"{channel} {_spans(spans)}" for channel, spans in (journey.window or {}).items())
    yield "runs", journey.run
    yield "approval", "a person approves each version" if journey.approval else ""
    yield "funnel", " > ".join(stage.stage for stage in journey.funnel)


def _policy(policy: str | PolicyByJurisdiction) -> str:
    if isinstance(policy, str):
        return policy
    return ", ".join(f"{where}: {name}" for where, name in policy.cases.items()) + f", else: {policy.otherwise}"


def _anchor(entry: Entry) -> str:
    match entry.anchor:
        case DateAnchor(attribute=name, before=before, after=after):
            return f"{before} before {name}" if before else f"{after} after {name}" if after else f"at {name}"
        case TriggerAnchor(trigger=event):
            return f"at each {event}"
        case CampaignAnchor(campaign=name):
            return f"once for the campaign {name}"
        case event:
            return f"for each {event}"


def _entry_limits(entry: Entry) -> Iterator[str]:
    if entry.reentry:
        most = f", at most {entry.reentry.max} passages" if entry.reentry.max else ""
        yield f"again {entry.reentry.after} after the end{most}"
    if entry.overlap != "allow":
        yield f"overlap {entry.overlap}"
    if entry.priority != 50:
        yield f"priority {entry.priority}"
    if entry.limit:
        yield f"{entry.limit.per_day} a day"
    if entry.rollout != 100:
        yield f"rolled out to {entry.rollout} %"
    if entry.freshness:
        yield f"data at most {entry.freshness} old"


def _goal(goal: Goal) -> str:
    where = f" where {_where(goal.where)}" if goal.where else ""
    worth = f", worth its {goal.value}" if goal.value else ""
    return f"{' or '.join(goal.events)}{where} within {goal.window}{worth}"


def _budget(journey: Journey) -> str:
    budget = journey.budget
    if budget is None:
        return ""
    limits = (("a day", budget.per_day), ("in all", budget.total), ("a person", budget.per_user))
    said = [f"{money(micros)} {budget.currency} {each}" for each, micros in limits if micros is not None]
    return f"{', '.join(said)}; when spent: {budget.on_spent}"


def money(micros: int) -> str:
    """Micros as decimal text without trailing zeros: 45000 as 0.045."""
    whole, rest = divmod(abs(micros), MICROS_PER_UNIT)
    text = f"{whole}.{rest:06d}".rstrip("0").removesuffix(".")
    return f"-{text}" if micros < 0 else text


def _spans(spans: Iterable[tuple[int, int]]) -> str:
    return ", ".join(f"{clock_text(start)}-{clock_text(end)}" for start, end in spans)


# --- steps ----------------------------------------------------------------------------------------------


def outline_steps(journey: Journey) -> list[str]:
    """The steps as a tree: what stands further to the right happens inside what stands above it."""
    names = {(node.place, node.part): node.name for node in name_steps(journey.steps)}
    return list(_steps(journey.steps, ("steps",), names, _IN))


_Names = dict[tuple[Place, str], str]


def _steps(steps: tuple[Step, ...], place: Place, names: _Names, indent: str) -> Iterator[str]:
    for n, step in enumerate(steps):
        yield from _step(step, (*place, n), names, indent)
    if not steps:
        yield f"{indent}(nothing)"


def _step(step: Step, place: Place, names: _Names, indent: str) -> Iterator[str]:
    name = names.get((place, ""), "")
    match step:
        case Message():
            yield from _message(step, place, names, indent)
        case Wait():
            yield f"{indent}{_wait(step)}" + (f"  [{name}]" if name else "")
        case Split(split=arms):
            yield f"{indent}split by hash of the user  [{name}]"
            for n, arm in enumerate(arms):
                yield f"{indent}{_IN}arm {arm.arm}, {arm.percent} %"
                yield from _steps(arm.steps, (*place, "split", n, "steps"), names, indent + _IN * 2)
        case Branch(branch=cases):
            yield f"{indent}branch  [{name}]"
            for n, case in enumerate(cases):
                yield f"{indent}{_IN}{_case(case)}"
                yield from _steps(case.steps, (*place, "branch", n, case_key(case)), names, indent + _IN * 2)
        case Exit(exit=end):
            yield f"{indent}exit as {end}  [{name}]"


def _case(case: Case) -> str:
    return f"when {say(case.when)}" if case.when else "else"


def _wait(wait: Wait) -> str:
    if wait.until and wait.at_most:
        said = [(word, step) for word, step in wait.until.model_dump(exclude_none=True).items()]
        return f"wait until {' '.join(said[0])}, at most {wait.at_most}"
    if wait.until_date:
        return f"wait until the date {wait.until_date}"
    return f"wait {wait.length}" if wait.length else f"wait for the next {wait.next}"


def _message(message: Message, place: Place, names: _Names, indent: str, *, lead: str = "") -> Iterator[str]:
    yield f"{indent}{lead}{message.channel} {message.template}{_extras(message)}  [{names[place, '']}]"
    for outcome, action in (message.on_outcome or {}).items():
        if isinstance(action, str):
            yield f"{indent}{_IN}answered {outcome}: {action}"
        else:
            yield f"{indent}{_IN}answered {outcome}:"
            yield from _steps(action, (*place, "on_outcome", outcome), names, indent + _IN * 2)
    if isinstance(message.otherwise, Message):
        yield from _message(message.otherwise, (*place, "else"), names, indent + _IN, lead="else ")
    elif message.otherwise:
        yield f"{indent}{_IN}else {message.otherwise}"


def _extras(message: Message) -> str:
    said = [f" when {say(message.when)}"] if message.when else []
    if message.attempts:
        tries = message.attempts
        said.append(f" up to {tries.max} times, {tries.gap} apart, after {' or '.join(tries.retry_when)}")
    if message.offer:
        said.append(f" with {message.offer.name} ({message.offer.stock} there, when empty: {message.offer.on_empty})")
    if message.expires:
        said.append(f" not later than {message.expires} after it fell due")
    if message.link:
        said.append(f" link {message.link}")
    return ",".join(said)


# --- rules ----------------------------------------------------------------------------------------------


def say(rule: Rule | None, *, inside: bool = False) -> str:
    """A rule as a sentence part; groups inside others stand in brackets."""
    match rule:
        case All(all=rules):
            return _group(" and ", rules, inside)
        case Any_(any=rules):
            return _group(" or ", rules, inside)
        case None_(none=rules):
            return f"none of ({', '.join(say(each) for each in rules)})"
        case Did():
            return _did(rule)
        case DidNot():
            return f"did not {rule.did_not}{_when(rule)}"
        case Attribute(attribute=name):
            return f"{name} {_compare(rule.comparison())}"
        case Segment(segment=name):
            return f"in segment {name}"
        case OtherJourney():
            return _other(rule)
        case Reachable():
            return " ".join(["reachable", *map(str, rule.model_dump(exclude_none=True).values())])
        case None:
            return ""
        case _:
            return " ".join(f"{word} {step}" for word, step in rule.model_dump(exclude_none=True).items())


def _group(word: str, rules: tuple[Rule, ...], inside: bool) -> str:
    said = word.join(say(each, inside=True) for each in rules)
    return f"({said})" if inside and len(rules) > 1 else said


def _did(rule: Did) -> str:
    times = ""
    if rule.times:
        bounds = (("at least", rule.times.at_least), ("at most", rule.times.at_most))
        times = " " + " and ".join(f"{word} {n}" for word, n in bounds if n is not None) + " times"
    latest = f", the latest between {rule.between[0]} and {rule.between[1]} ago" if rule.between else ""
    return f"did {rule.did}{times}{_when(rule)}{latest}"


def _when(rule: Did | DidNot) -> str:
    where = f" where {_where(rule.where)}" if rule.where else ""
    within = f" within {rule.within}" if rule.within else ""
    return f"{where}{within}{f' since {rule.since}' if rule.since else ''}"


def _where(where: dict[str, Comparison]) -> str:
    return " and ".join(f"{name} {_compare(comparison)}" for name, comparison in where.items())


def _compare(comparison: Comparison) -> str:
    [(operator, value)] = comparison.given()
    words = ", ".join(value) if isinstance(value, tuple) else str(value).lower() if operator == "known" else value
    return f"{'is' if operator == 'equals' else operator.replace('_', ' ')} {words}"


def _other(rule: OtherJourney) -> str:
    said = rule.model_dump(exclude_none=True)
    rest = " ".join(f"{word} {value}" for word, value in said.items() if word != "journey")
    return f"in journey {rule.journey} {rest}".rstrip()
