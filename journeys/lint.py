"""What in a journey file cannot be meant? Errors stop a publication, warnings ask for a second look.

Who may enter, when it ends and what it may cost are asked here; the steps in `lint_steps`, the messages in
`lint_messages`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

from journeys.journey import CampaignAnchor, DateAnchor, Journey, PolicyByJurisdiction, TriggerAnchor
from journeys.lint_messages import lint_messages
from journeys.lint_steps import lint_steps, too_many_steps
from journeys.loader import Loaded
from journeys.policy import Policy
from journeys.problems import did_you_mean
from journeys.rules import ENTRY, All, Any_, Did, DidNot, OtherJourney, Reacted, Rule, Segment
from journeys.steps import Place, each_rule, rules_of
from journeys.templates import Template
from recall.errors import Problem

# The events the catalogue speaks of: a word very near to one of them is probably meant to be it.
EVENTS = (
    "registered",
    "visited",
    "application_started",
    "application_submitted",
    "credit_granted",
    "loan_drawn",
    "loan_settled",
    "purchased",
    "welcomed_back",
)
_CRON_FIELD = re.compile(r"(\*|\d{1,2}(-\d{1,2})?)(/\d{1,2})?(,(\*|\d{1,2}(-\d{1,2})?)(/\d{1,2})?)*")
_CRON_MOST = (59, 23, 31, 12, 7)


def lint(
    journey: Loaded[Journey],
    policies: Mapping[str, Policy],
    templates: Mapping[str, Template],
    segments: Mapping[str, Rule],
    other_journeys: Mapping[str, Journey],
) -> list[Problem]:
    """Every error and warning of one journey, by line; `other_journeys` may hold the journey itself."""
    too_long = too_many_steps(journey)
    if too_long:
        return [too_long]
    others = {name: other for name, other in other_journeys.items() if name != journey.noun.id}
    mine = [policy for _, policy in cases(journey.noun, policies)]
    found = [
        *_policies(journey, policies),
        *_entry(journey),
        *_ends(journey),
        *_limits(journey, mine),
        *_times(journey),
        *_rules(journey, segments, others),
        *_neighbours(journey, others),
        *lint_steps(journey),
        *lint_messages(journey, mine, templates),
    ]
    return sorted(dict.fromkeys(found), key=lambda problem: problem.line or 0)


# --- policies -------------------------------------------------------------------------------------------


def cases(journey: Journey, policies: Mapping[str, Policy]) -> Iterator[tuple[Place, Policy]]:
    """The policies a journey may come under that are there, each with the place that names it."""
    for place, name in _policy_names(journey):
        if name in policies:
            yield place, policies[name]


def _policy_names(journey: Journey) -> Iterator[tuple[Place, str]]:
    if not isinstance(journey.policy, PolicyByJurisdiction):
        yield ("policy",), journey.policy
        return
    for jurisdiction, name in journey.policy.cases.items():
        yield ("policy", jurisdiction), name
    yield ("policy", "else"), journey.policy.otherwise


def _policies(journey: Loaded[Journey], policies: Mapping[str, Policy]) -> Iterator[Problem]:
    for place, name in _policy_names(journey.noun):
        if name not in policies and name != "no_send":
            hint = did_you_mean(name, list(policies)) if policies else f"write policies/{name}.yaml"
            yield journey.problem(f"there is no policy {name}", hint, *place)
    for place, policy in cases(journey.noun, policies):
        jurisdiction = str(place[-1])
        if len(place) == 2 and jurisdiction != "else" and policy.jurisdiction != jurisdiction:
            hint = f"name a policy of {jurisdiction}"
            yield journey.problem(f"{policy.id} is a policy of {policy.jurisdiction}", hint, *place)


# --- entry, ends, limits --------------------------------------------------------------------------------


def _entry(journey: Loaded[Journey]) -> Iterator[Problem]:
    entry = journey.noun.entry
    if entry.reentry and isinstance(entry.anchor, CampaignAnchor):
        yield journey.problem("a campaign is entered once", "leave reentry out", "entry", "reentry")
    if entry.reentry and entry.reentry.max == 0:
        yield journey.problem("0 passages let nobody in", "write at least 1", "entry", "reentry", "max")
    if entry.limit and entry.limit.per_day == 0:
        yield journey.problem("0 per day lets nobody in", "write a number or leave it out", "entry", "limit", "per_day")
    if entry.rollout == 0:
        yield journey.problem(
            "rolled out to 0 %: nobody enters", "raise it to begin", "entry", "rollout", severity="warning"
        )
    if isinstance(entry.anchor, TriggerAnchor) and "schedule" in entry.model_fields_set:
        yield journey.problem(
            "a triggered journey has no schedule", "leave schedule out", "entry", "schedule", severity="warning"
        )


def _ends(journey: Loaded[Journey]) -> Iterator[Problem]:
    noun = journey.noun
    doubled = {rule.did for rule in _flat(noun.exit_when) if isinstance(rule, Did)} & set(noun.goal.events)
    for event in sorted(doubled):
        message = f"{event} is the goal already, and reaching it ends the journey as goal_reached"
        yield journey.problem(message, "leave it out of exit_when", "exit_when", severity="warning")
    if noun.holdout is None:
        yield journey.problem(
            "without a holdout nobody can say what this journey brought",
            "add holdout: {percent: 10}",
            severity="warning",
        )
    elif noun.holdout.percent >= 100:
        yield journey.problem("everybody is held out", "write a smaller share, such as 10", "holdout", "percent")
    elif noun.holdout.percent == 0:
        yield journey.problem(
            "a holdout of 0 measures nothing", "write such as 10", "holdout", "percent", severity="warning"
        )


def _flat(rule: Rule | None) -> Iterator[Rule]:
    """The rules that hold whenever this one may: itself, or the parts of all and any."""
    match rule:
        case All(all=rules) | Any_(any=rules):
            for inner in rules:
                yield from _flat(inner)
        case None:
            return
        case _:
            yield rule


def _limits(journey: Loaded[Journey], policies: Iterable[Policy]) -> Iterator[Problem]:
    noun, budget = journey.noun, journey.noun.budget
    for name in ("per_day", "total", "per_user"):
        if budget and getattr(budget, name) == 0:
            yield journey.problem("a budget of 0 sends nothing", "write an amount or leave it out", "budget", name)
    for policy in policies:
        if budget and budget.currency != policy.prices.currency:
            message = f"the budget is in {budget.currency}, the price book of {policy.id} in {policy.prices.currency}"
            yield journey.problem(message, f"write currency: {policy.prices.currency}", "budget", "currency")
    if budget and budget.per_day and budget.total and budget.per_day > budget.total:
        yield journey.problem(
            "more may be spent per day than in all", "lower per_day", "budget", "per_day", severity="warning"
        )
    for n, allowed in enumerate(noun.ramp or ()):
        if allowed == 0:
            yield journey.problem("a day with 0 sends stops the ramp", "write at least 1", "ramp", n)
        elif n and allowed < (noun.ramp or ())[n - 1]:
            yield journey.problem("the ramp goes down here", "write rising numbers", "ramp", n, severity="warning")
    if noun.lanes == 0 or noun.lanes > 64:
        yield journey.problem(f"{noun.lanes} lanes cannot run", "write 1 to 64", "lanes")


def _times(journey: Loaded[Journey]) -> Iterator[Problem]:
    for place, cron in ((("run",), journey.noun.run), (("entry", "schedule"), journey.noun.entry.schedule)):
        if not _is_cron(cron):
            yield journey.problem(f"{cron!r} is not a cron line", "write five fields, such as */15 * * * *", *place)


def _is_cron(text: str) -> bool:
    fields = text.split(" ")
    return all(
        _CRON_FIELD.fullmatch(field) and all(int(number) <= most for number in re.findall(r"\d+", field))
        for field, most in zip(fields, _CRON_MOST, strict=True)
    )


# --- rules ----------------------------------------------------------------------------------------------


def _rules(journey: Loaded[Journey], segments: Mapping[str, Rule], others: Mapping[str, Journey]) -> Iterator[Problem]:
    known = {*EVENTS, *(event for other in others.values() for event in events_of(other))}
    noun = journey.noun
    for where, rule in rules_of(noun):
        yield from lint_rule(journey, rule, where, segments=segments, others=others)
    for place, inner in each_rule(noun.entry.audience, ("entry", "audience")):
        if isinstance(inner, Reacted):
            yield journey.problem("nobody reacted to a step before entering", "use did or journey", *place)
        if isinstance(inner, (Did, DidNot)) and inner.since == ENTRY:
            yield journey.problem("there is no entry yet", "name an event after since", *place, "since")
    for place, event in _events(noun):
        near = get_close_matches(event, known, n=1, cutoff=0.84)
        if event not in known and near:
            hint = f"did you mean {near[0]}?"
            yield journey.problem(f"no other journey knows the event {event}", hint, *place, severity="warning")


def lint_rule(
    journey: Loaded[Journey], rule: Rule, place: Place, *, segments: Mapping[str, Rule], others: Mapping[str, Journey]
) -> Iterator[Problem]:
    """Names in a rule that nothing answers to."""
    for where, each in each_rule(rule, place):
        if isinstance(each, Segment):
            yield from _segment(journey, each.segment, where, segments)
        if isinstance(each, OtherJourney) and each.journey not in others and each.journey != journey.noun.id:
            hint = did_you_mean(each.journey, list(others)) if others else f"write journeys/{each.journey}.yaml"
            yield journey.problem(f"there is no journey {each.journey}", hint, *where, "journey")


def _segment(journey: Loaded[Journey], name: str, place: Place, segments: Mapping[str, Rule]) -> Iterator[Problem]:
    if name not in segments:
        hint = did_you_mean(name, list(segments)) if segments else f"write segments/{name}.yaml"
        yield journey.problem(f"there is no segment {name}", hint, *place, "segment")
        return
    circle = _circle(name, segments, ())
    if circle:
        message = f"the segment contains itself: {' > '.join(circle)}"
        yield journey.problem(message, "write the rule out in one of them", *place, "segment")


def _circle(name: str, segments: Mapping[str, Rule], trail: tuple[str, ...]) -> tuple[str, ...] | None:
    if name in trail:
        return (*trail[trail.index(name) :], name)
    for _, rule in each_rule(segments[name], ()) if name in segments else ():
        found = _circle(rule.segment, segments, (*trail, name)) if isinstance(rule, Segment) else None
        if found:
            return found
    return None


def _events(journey: Journey) -> Iterator[tuple[Place, str]]:
    anchor = journey.entry.anchor
    if isinstance(anchor, TriggerAnchor):
        yield ("entry", "anchor", "trigger"), anchor.trigger
    elif isinstance(anchor, str):
        yield ("entry", "anchor"), anchor
    for event in journey.goal.events:
        yield ("goal", "event" if journey.goal.event else "any"), event
    for where, rule in rules_of(journey):
        for place, inner in each_rule(rule, where):
            if isinstance(inner, Did):
                yield (*place, "did"), inner.did
            elif isinstance(inner, DidNot):
                yield (*place, "did_not"), inner.did_not
            if isinstance(inner, (Did, DidNot)) and inner.since and inner.since != ENTRY:
                yield (*place, "since"), inner.since


def events_of(journey: Journey) -> set[str]:
    """The events a journey speaks of."""
    return {event for _, event in _events(journey)}


# --- neighbours -----------------------------------------------------------------------------------------


def _neighbours(journey: Loaded[Journey], others: Mapping[str, Journey]) -> Iterator[Problem]:
    noun = journey.noun
    anchor = _anchor_key(noun)
    for name, other in sorted(others.items()):
        if anchor != _anchor_key(other) or noun.entry.overlap != "allow" or other.entry.overlap != "allow":
            continue
        if noun.entry.priority == other.entry.priority:
            message = f"{name} begins with the same anchor and has the same priority, so either may take a cap slot"
            hint = "give one a higher entry.priority, or set entry.overlap"
            yield journey.problem(message, hint, "entry", "anchor", severity="warning")


def _anchor_key(journey: Journey) -> str:
    anchor = journey.entry.anchor
    if isinstance(anchor, DateAnchor):
        return f"attribute {anchor.attribute}"
    return anchor if isinstance(anchor, str) else repr(anchor)
