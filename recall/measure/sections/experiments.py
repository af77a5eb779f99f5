"""Which tests are decided, which run, and how many people does each need?"""

from __future__ import annotations

from recall.measure.experiment import Comparison, Verdict
from recall.measure.looks import boundary
from recall.measure.page import Chart, Column, Note, Section, Table
from recall.measure.review import Review
from recall.measure.splits import SplitResult
from recall.measure.words import Words


def experiments_section(review: Review, words: Words) -> Section:
    section = Section("tests", words("tests"), [Note(words("tests_note"))])
    rows = [
        _test_row(words.name_of(outcome.name), outcome.comparison, words, declared=outcome.declared)
        for outcome in review.outcomes
    ]
    for told in review.journeys:
        rows += [_split_row(result, arm, words) for result in told.splits for arm in result.arms]
    section.parts.append(Table("tests", "", _test_columns(words), rows))
    for outcome in review.outcomes:
        if outcome.looks and outcome.comparison.verdict is not Verdict.INVALID:
            from recall.measure.charts import looks

            plan = outcome.comparison.plan
            svg = looks(
                f"looks-{outcome.name}",
                [(look.number, look.z) for look in outcome.looks],
                [(k, boundary(k, plan.looks)) for k in range(1, plan.looks + 1)],
                axis=words("look_axis"),
                labels=(words.name_of(outcome.name), words("boundary")),
            )
            section.parts.append(Chart(svg, words("looks_caption", name=words.name_of(outcome.name))))
    return section


def _test_columns(words: Words) -> list[Column]:
    return [
        Column(words("test")),
        Column(words("horizon")),
        Column(words("look"), "boundary", "count"),
        Column("z", "boundary", "number"),
        Column(words("boundary"), "boundary", "number"),
        Column(words("result"), ""),
        Column(words("people"), "sample_size", "count"),
        Column(words("needed"), "sample_size", "count"),
        Column(words("power"), "sample_size", "share"),
        Column(words("detectable"), "sample_size", "points"),
    ]


def _test_row(name: str, found: Comparison, words: Words, *, declared: bool) -> list[object]:
    horizon = words("looks_declared" if declared else "looks_assumed", n=found.plan.looks)
    return [
        name,
        horizon,
        found.plan.look,
        None if found.verdict is Verdict.INVALID else found.z,
        found.boundary,
        words("too_small") if found.too_small else words(f"verdict.{found.verdict}"),
        found.treated.people + found.control.people,
        found.needed,
        found.power,
        found.detectable,
    ]


def _split_row(result: SplitResult, arm: Comparison, words: Words) -> list[object]:
    name = f"{result.journey} {result.split}: {arm.arm} / {result.control}"
    return _test_row(name, arm, words, declared=True)
