"""What should a person decide now, and what be tried next? Derived from the page, never decided by it."""

from __future__ import annotations

from collections.abc import Iterator

from journeys.sample_size import people_needed
from recall.measure.experiment import Verdict
from recall.measure.outcomes import Outcome
from recall.measure.page import Column, Note, Section, Table, shown
from recall.measure.review import Review, Told
from recall.measure.words import Words

SHARES = (0.5, 0.2, 0.1, 0.05)
LEAST_REACHED = 100  # people at a contact before it is called too many


def decisions_section(review: Review, words: Words) -> Section:
    """Last on the page: what each section means for the next week."""
    section = Section("decisions", words("decisions"), [])
    found = [*_programme(review, words), *(line for told in review.journeys for line in _journey(told, words))]
    section.parts += [Note(text, mark) for text, mark in found] or [Note(words("decide_nothing"))]
    section.parts.append(_next_tests(review, words))
    section.parts.append(Note(words("decide_note")))
    return section


def _programme(review: Review, words: Words) -> Iterator[tuple[str, str]]:
    if review.in_doubt:
        yield words("decide_doubts", n=review.in_doubt), "caution"
    if review.programme is not None:
        yield from _verdict(review.programme, words)


def _journey(told: Told, words: Words) -> Iterator[tuple[str, str]]:
    yield from _verdict(told.outcome, words)
    if told.outcome.comparison.verdict is not Verdict.INVALID:
        yield from _contacts(told, words)
        yield from _harm(told, words)
    for stage in told.passage.stages:
        if stage.is_below and stage.base_stage != "opened" and stage.base >= LEAST_REACHED:
            stage_name = words.named("stage", stage.stage)
            share = shown(stage.share, "share")
            yield words("decide_stage", name=told.outcome.name, stage=stage_name, share=share, target=stage.target), ""
    for result in told.splits:
        if result.winner is not None:
            yield words("decide_winner", name=told.outcome.name, split=result.split, arm=result.winner), ""


def _harm(told: Told, words: Words) -> Iterator[tuple[str, str]]:
    for line in told.passage.harm:
        if line.more is not None and line.is_shown:
            more = {"low": shown(line.more.low, "points"), "high": shown(line.more.high, "points")}
            event = words.named("harm", line.event)
            yield words("decide_worse", name=told.outcome.name, event=event, **more), "bad"


def _verdict(outcome: Outcome, words: Words) -> Iterator[tuple[str, str]]:
    found = outcome.comparison
    name = words.name_of(outcome.name)
    if outcome.is_blocked:
        yield words("decide_invalid", name=name), "bad"
        return
    if found.lift is None:
        yield words("decide_wait_window", name=name), ""
        return
    match found.verdict:
        case Verdict.STOP if found.lift.at > 0:
            yield words("decide_keep", name=name), ""
        case Verdict.STOP:
            yield words("decide_harm", name=name), "bad"
        case Verdict.RUNNING:
            yield words("decide_running", name=name, look=found.plan.look, looks=found.plan.looks), ""
        case _:
            yield words("decide_inconclusive", name=name), "caution"
    if found.too_small and found.needed is not None:
        total = found.treated.people + found.control.people
        yield words("decide_too_small", name=name, needed=f"{found.needed:,}", people=f"{total:,}"), "caution"
    each, new = found.cost_per_incremental, outcome.new_user_cost
    if each is not None and new is not None and outcome.money.is_one_currency:
        key = "decide_dear" if each.low > new else "decide_cheap" if each.high < new else "decide_price_open"
        yield words(key, name=name, cost=shown(each.at, "money"), new=shown(new, "money")), ""


def _contacts(told: Told, words: Words) -> Iterator[tuple[str, str]]:
    """The first contact from which on the messaged come back no more often than the held out at the same moment."""
    lines = [line for line in told.passage.hazards if min(line.reached, line.held_out) >= LEAST_REACHED]
    idle = None
    for line in reversed(lines):
        if line.held_out_hazard is None or line.hazard > line.held_out_hazard:
            break
        idle = line.k
    if idle is not None:
        yield words("decide_contacts", name=told.outcome.name, k=idle), ""


def _next_tests(review: Review, words: Words) -> Table:
    """People needed to see a fifth more than would come anyway, by the share held out."""
    rows: list[list[object]] = []
    for outcome in review.outcomes:
        base = outcome.comparison.control.rate
        if base:
            better = min(base * (1 + outcome.comparison.plan.relative), 1.0)
            name = words.name_of(outcome.name)
            rows.append([name, base, better, *(people_needed(base, better, share) for share in SHARES)])
    columns = [
        Column(words("journey")),
        Column(words("base_rate"), "sample_size", "share"),
        Column(words("aimed_rate"), "sample_size", "share"),
        *(Column(words("at_holdout", share=f"{100 * share:.0f} %"), "sample_size", "count") for share in SHARES),
    ]
    return Table("next-tests", words("next_tests_title"), columns, rows)
