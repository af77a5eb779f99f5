"""Does the lift fade? By week of entering."""

from __future__ import annotations

from recall.clock import Instant
from recall.measure.horizon import local_time
from recall.measure.outcomes import Outcome
from recall.measure.page import Chart, Column, Heading, Note, Section, Table
from recall.measure.review import Review
from recall.measure.words import Words

LEAST_SHOWN = 2  # weeks with an interval, before a chart of weeks is drawn


def cohorts_section(review: Review, words: Words) -> Section:
    section = Section("cohorts", words("cohorts"), [Note(words("cohorts_note"))])
    for outcome in review.outcomes:
        section.parts.append(Heading(words.name_of(outcome.name)))
        if outcome.is_blocked:
            section.parts.append(Note(words("invalid_note", name=words.name_of(outcome.name)), "bad"))
            continue
        known = [
            (
                _day(week.begins, outcome.zone),
                week.comparison.lift.at,
                week.comparison.lift.low,
                week.comparison.lift.high,
            )
            for week in outcome.weeks
            if week.comparison.lift is not None
        ]
        if len(known) >= LEAST_SHOWN:
            from recall.measure.charts import lift_by_week

            svg = lift_by_week(f"weeks-{outcome.name}", known, axis=words("lift_axis"))
            section.parts.append(Chart(svg, words("cohorts_caption")))
        section.parts.append(_week_table(outcome, words))
    return section.or_nothing(words)


def _week_table(outcome: Outcome, words: Words) -> Table:
    rows: list[list[object]] = []
    marks: dict[tuple[int, int], str] = {}
    for n, week in enumerate(outcome.weeks):
        found = week.comparison
        lift = found.lift
        rows.append(
            [
                _day(week.begins, outcome.zone, year=True),
                found.treated.people, found.treated.rate, found.control.people, found.control.rate,
                lift and lift.at, lift and lift.low, lift and lift.high, week.open_people,
            ]
        )  # fmt: skip
        if week.open_people:
            marks |= {(n, place): "open" for place in range(9)}
    columns = [
        Column(words("week_from")),
        Column(words("treated"), "cohorts", "count"),
        Column(words("rate"), "cohorts", "share"),
        Column(words("held_out"), "cohorts", "count"),
        Column(words("rate"), "cohorts", "share"),
        Column(words("lift"), "cohorts", "points"),
        Column(words("low"), "cohorts", "points"),
        Column(words("high"), "cohorts", "points"),
        Column(words("open_windows"), "open_windows", "count"),
    ]
    return Table(f"cohorts-{outcome.name}", "", columns, rows, marks)


def _day(at: Instant, zone: str, *, year: bool = False) -> str:
    local = local_time(at, zone)
    return f"{local:%Y-%m-%d}" if year else f"{local:%m-%d}"
