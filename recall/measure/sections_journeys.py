"""What does the page say journey by journey? Funnel, messages, contacts, weeks, tests, retention, guardrails."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from recall.clock import Instant, to_datetime
from recall.measure.experiment import Comparison, Verdict
from recall.measure.looks import boundary
from recall.measure.outcomes import PROGRAMME, Outcome
from recall.measure.page import Chart, Column, Heading, Note, Section, Table
from recall.measure.passage import StageLine, steps_over_versions
from recall.measure.review import Review, Told
from recall.measure.splits import SplitResult
from recall.measure.words import Words

LEAST_SHOWN = 2  # weeks with an interval, before a chart of weeks is drawn
MOST_CONTACTS = 10


def _name(outcome: Outcome, words: Words) -> str:
    return words("programme") if outcome.name == PROGRAMME else outcome.name


def _empty(section: Section, words: Words) -> Section:
    if not section.parts:
        section.parts.append(Note(words("nothing_yet")))
    return section


# --- 3 funnel ----------------------------------------------------------------------------------------------


def funnel_section(review: Review, words: Words) -> Section:
    section = Section("funnel", words("funnel"), [Note(words("funnel_note"))])
    for told in review.journeys:
        journey, stages = told.outcome.name, told.passage.stages
        section.parts.append(Heading(words("funnel_of", name=journey, n=f"{told.passage.reached.people:,}")))
        drawn = [
            (stage_label(stage, words), stage.share, stage.target)
            for stage in stages
            if stage.share is not None and stage.base_stage != "opened"
        ]
        if drawn:
            from recall.measure.charts import funnel

            svg = funnel(f"funnel-{journey}", drawn, axis=words("funnel_axis"), target=words("target"))
            section.parts.append(Chart(svg, words("funnel_caption")))
        section.parts.append(_stage_table(journey, stages, words))
    return _empty(section, words)


def stage_label(stage: StageLine, words: Words) -> str:
    return words.named("stage", stage.stage)


def _stage_table(journey: str, stages: Sequence[StageLine], words: Words) -> Table:
    rows: list[list[object]] = []
    marks = {}
    for n, stage in enumerate(stages):
        held = stage.held_out / stage.held_out_base if stage.held_out is not None and stage.held_out_base else None
        aim = None if stage.target is None else stage.target / 100
        rows.append(
            [
                stage_label(stage, words), stage.people, words.named("stage", stage.base_stage), stage.base,
                stage.share, aim, stage.held_out, held,
            ]
        )  # fmt: skip
        if stage.target is not None and stage.share is not None:
            marks[n, 4] = "bad" if stage.is_below else "good"
    columns = [
        Column(words("stage")),
        Column("n", "stage", "count"),
        Column(words("of"), "stage"),
        Column(words("base_n"), "stage", "count"),
        Column(words("share"), "stage", "share"),
        Column(words("target"), "stage", "share"),
        Column(words("held_out_n"), "stage", "count"),
        Column(words("held_out_share"), "stage", "share"),
    ]
    return Table(f"funnel-{journey}", "", columns, rows, marks)


# --- 5 steps -----------------------------------------------------------------------------------------------

_COUNTS = ("sent", "delivered", "opened", "clicked", "answered", "goals", "opted_out", "complained")


def steps_section(review: Review, words: Words) -> Section:
    section = Section("steps", words("steps"), [Note(words("steps_note"))] if review.journeys else [])
    for told in review.journeys:
        lines = steps_over_versions(told.passage.steps)
        rows: list[list[object]] = [
            [
                line.step, words.named("channel", line.channel), line.arm or "–",
                *(getattr(line, name) for name in _COUNTS), line.micros / 1e6, line.currency,
                line.micros / 1e6 / line.goals if line.goals else None,
            ]
            for line in lines
        ]  # fmt: skip
        columns = [
            Column(words("step")),
            Column(words("channel")),
            Column(words("arm")),
            *(Column(words(f"count.{name}"), "steps", "count") for name in _COUNTS),
            Column(words("cost"), "cost", "money"),
            Column(words("currency")),
            Column(words("cost_per_goal"), "steps", "money"),
        ]
        section.parts += [Heading(told.outcome.name), Table(f"steps-{told.outcome.name}", "", columns, rows)]
    return _empty(section, words)


# --- 6 contacts --------------------------------------------------------------------------------------------


def hazard_section(review: Review, words: Words) -> Section:
    section = Section("contacts", words("contacts"), [Note(words("contacts_note"))])
    for told in review.journeys:
        lines = told.passage.hazards[:MOST_CONTACTS]
        name = told.outcome.name
        section.parts.append(Heading(name))
        if lines:
            from recall.measure.charts import hazard

            theirs = [(line.k, line.held_out_hazard) for line in lines if line.held_out_hazard is not None]
            svg = hazard(
                f"hazard-{name}",
                [(line.k, line.hazard) for line in lines],
                [(k, share) for k, share in theirs if share is not None],
                told.passage.cap,
                axes_labels=(words("contact_number"), words("hazard_axis")),
                labels=(words("messaged"), words("held_out_same_time"), words("cap")),
            )
            section.parts.append(Chart(svg, words("hazard_caption")))
        rows: list[list[object]] = [
            [
                line.k, line.reached, line.successes, line.hazard, line.held_out, line.held_out_hazard,
                line.cost, line.cost_per_success, line.saved, line.lost,
            ]
            for line in lines
        ]  # fmt: skip
        columns = [
            Column(words("contact_number"), "hazard", "count"),
            Column(words("reached_people"), "hazard", "count"),
            Column(words("came_back"), "hazard", "count"),
            Column(words("hazard"), "hazard", "fine"),
            Column(words("held_out"), "hazard", "count"),
            Column(words("hazard_held_out"), "hazard", "fine"),
            Column(words("cost"), "cost", "money"),
            Column(words("cost_per_goal"), "hazard", "money"),
            Column(words("cap_saves"), "cap", "money"),
            Column(words("cap_loses"), "cap", "count"),
        ]
        marks = {(n, 0): "open" for n, line in enumerate(lines) if told.passage.cap and line.k > told.passage.cap}
        section.parts.append(Table(f"contacts-{name}", "", columns, rows, marks))
    return _empty(section, words)


# --- 7 cohorts ---------------------------------------------------------------------------------------------


def cohorts_section(review: Review, words: Words) -> Section:
    section = Section("cohorts", words("cohorts"), [Note(words("cohorts_note"))])
    for outcome in review.outcomes:
        section.parts.append(Heading(_name(outcome, words)))
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
    return _empty(section, words)


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
    local = to_datetime(at).astimezone(ZoneInfo(zone))
    return f"{local:%Y-%m-%d}" if year else f"{local:%m-%d}"


# --- 8 tests -----------------------------------------------------------------------------------------------


def tests_section(review: Review, words: Words) -> Section:
    section = Section("tests", words("tests"), [Note(words("tests_note"))])
    rows = [
        _test_row(_name(outcome, words), outcome.comparison, words, declared=outcome.declared)
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
                labels=(_name(outcome, words), words("boundary")),
            )
            section.parts.append(Chart(svg, words("looks_caption", name=_name(outcome, words))))
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
        found.z,
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


# --- 9 retention -------------------------------------------------------------------------------------------


def retention_section(review: Review, words: Words) -> Section:
    section = Section("retention", words("retention"), [Note(words("retention_note"))])
    rows: list[list[object]] = [
        [
            told.outcome.name,
            f"D{line.day}",
            line.people,
            line.active,
            line.active / line.people if line.people else None,
        ]
        for told in review.journeys
        for line in told.passage.retention
    ]
    columns = [
        Column(words("journey")),
        Column(words("day_after")),
        Column("n", "retention", "count"),
        Column(words("active"), "retention", "count"),
        Column(words("share"), "retention", "share"),
    ]
    section.parts.append(Table("retention", words("retention_title"), columns, rows))
    section.parts.append(_later_table(review.journeys, words))
    return section


def _later_table(journeys: Sequence[Told], words: Words) -> Table:
    rows: list[list[object]] = []
    for told in journeys:
        found = told.passage.active_later
        lift = found.lift
        rows.append(
            [
                told.outcome.name, found.treated.people, found.treated.rate, found.control.people, found.control.rate,
                lift and lift.at, lift and lift.low, lift and lift.high,
                words("too_small") if found.too_small else "",
            ]
        )  # fmt: skip
    columns = [
        Column(words("journey")),
        Column(words("treated"), "active_later", "count"),
        Column(words("active"), "active_later", "share"),
        Column(words("held_out"), "active_later", "count"),
        Column(words("active"), "active_later", "share"),
        Column(words("lift"), "active_later", "points"),
        Column(words("low"), "active_later", "points"),
        Column(words("high"), "active_later", "points"),
        Column(words("result")),
    ]
    return Table("active-later", words("active_later_title"), columns, rows, note=words("active_later_note"))


# --- 10 guardrails -----------------------------------------------------------------------------------------


def guardrails_section(review: Review, words: Words) -> Section:
    section = Section("guardrails", words("guardrails"), [Note(words("guardrails_note"))])
    section.parts += [_guard_table(review, words), _harm_table(review, words)]
    section.parts += [_template_table(review, words), _sender_table(review, words)]
    return section


def _guard_table(review: Review, words: Words) -> Table:
    rows: list[list[object]] = []
    marks: dict[tuple[int, int], str] = {}
    for told in review.journeys:
        limits = told.passage.journey.guardrails
        lines = told.passage.steps
        sent = sum(line.sent for line in lines)
        refused = sum(line.refused for line in lines)
        kinds = (
            ("opted_out", sum(line.opted_out for line in lines), sent, limits.opt_outs if limits else None),
            ("complained", sum(line.complained for line in lines), sent, limits.complaints if limits else None),
            ("refused", refused, sent + refused, limits.refusals if limits else None),
            ("undelivered", sum(line.undelivered for line in lines), sent, None),
        )
        for kind, count, of, limit in kinds:
            share = count / of if of else None
            aim = None if limit is None else limit / 1e6
            if share is not None and aim is not None:
                marks[len(rows), 4] = "bad" if share > aim else "good"
            rows.append([told.outcome.name, words(f"guard.{kind}"), count, of, share, aim])
    columns = [
        Column(words("journey")),
        Column(words("guard")),
        Column("n", "guardrails", "count"),
        Column(words("of_messages"), "guardrails", "count"),
        Column(words("share"), "guardrails", "fine"),
        Column(words("limit"), "guardrails", "fine"),
    ]
    return Table("guardrails", words("guardrails_title"), columns, rows, marks)


def _harm_table(review: Review, words: Words) -> Table:
    rows: list[list[object]] = [
        [
            told.outcome.name, words.named("harm", line.event), line.treated,
            line.treated / line.treated_people if line.treated_people else None,
            line.held_out, line.held_out / line.held_out_people if line.held_out_people else None,
        ]
        for told in review.journeys
        for line in told.passage.harm
    ]  # fmt: skip
    columns = [
        Column(words("journey")),
        Column(words("event")),
        Column(words("treated"), "harm", "count"),
        Column(words("share"), "harm", "fine"),
        Column(words("held_out"), "harm", "count"),
        Column(words("share"), "harm", "fine"),
    ]
    return Table("harm", words("harm_title"), columns, rows, note=words("harm_note"))


_OF_TEMPLATE = ("sent", "refused", "delivered", "clicked", "goals", "complained", "opted_out")
_HEALTH = ("sent", "refused", "delivered", "undelivered", "answered", "complained", "opted_out")


def _template_table(review: Review, words: Words) -> Table:
    rows: list[list[object]] = [
        [
            told.outcome.name, template, words.named("channel", channel),
            *(getattr(line, name) for name in _OF_TEMPLATE),
        ]
        for told in review.journeys
        for (template, channel), line in told.passage.templates.items()
    ]  # fmt: skip
    columns = [
        Column(words("journey")),
        Column(words("template")),
        Column(words("channel")),
        *(Column(words(f"count.{name}"), "templates", "count") for name in _OF_TEMPLATE),
    ]
    return Table("templates", words("templates_title"), columns, rows)


def _sender_table(review: Review, words: Words) -> Table:
    rows: list[list[object]] = [
        [line.provider, line.sender or "–", words.named("channel", line.channel), *(getattr(line, n) for n in _HEALTH)]
        for line in review.senders
    ]
    columns = [
        Column(words("provider")),
        Column(words("sender")),
        Column(words("channel")),
        *(Column(words(f"count.{name}"), "senders", "count") for name in _HEALTH),
    ]
    return Table("senders", words("senders_title"), columns, rows)
