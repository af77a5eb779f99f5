"""In which order is the week told? Health before headline, and decisions last; the order is part of being honest."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from recall.clock import DAY, Instant, to_datetime
from recall.measure.decisions import decisions_section
from recall.measure.experiment import Comparison, Ratio, Verdict
from recall.measure.outcomes import PROGRAMME, Outcome
from recall.measure.page import Chart, Column, Figure, Heading, Note, Page, Part, Section, Table, shown
from recall.measure.review import Review
from recall.measure.sections_journeys import (
    cohorts_section,
    funnel_section,
    guardrails_section,
    hazard_section,
    retention_section,
    steps_section,
    tests_section,
)
from recall.measure.words import Words

STALE = 2 * DAY
MOST_HEADLINES = 3  # with cards of their own; every journey stands in the tables


def page_of(review: Review, words: Words) -> Page:
    """The weekly page."""
    sections = [
        _health(review, words),
        _headline(review, words),
        funnel_section(review, words),
        _lifecycle(review, words),
        steps_section(review, words),
        hazard_section(review, words),
        cohorts_section(review, words),
        tests_section(review, words),
        retention_section(review, words),
        guardrails_section(review, words),
        decisions_section(review, words),
    ]
    zone = review.outcomes[0].zone if review.outcomes else "UTC"
    moment = _local(review.now, zone)
    lines = [words("as_of", at=f"{moment:%Y-%m-%d %H:%M}", zone=zone), words("how_to_read")]
    return Page(words("title", day=f"{moment:%Y-%m-%d}"), lines, sections, review.queries, words)


def _local(at: Instant, zone: str) -> datetime:
    return to_datetime(at).astimezone(ZoneInfo(zone))


def name_of(outcome: Outcome, words: Words) -> str:
    return words("programme") if outcome.name == PROGRAMME else outcome.name


# --- 1 data health -----------------------------------------------------------------------------------------


def _health(review: Review, words: Words) -> Section:
    section = Section("health", words("health"))
    for outcome in review.outcomes:
        if outcome.ratio.state in (Ratio.BLOCKED, Ratio.CAUTION):
            mark = "bad" if outcome.ratio.state is Ratio.BLOCKED else "caution"
            text = words(
                f"ratio_note.{outcome.ratio.state}", name=name_of(outcome, words), p=shown(outcome.ratio.p_value, "p")
            )
            section.parts.append(Note(text, mark))
    if not review.blocked:
        section.parts.append(Note(words("health_fine")))
    section.parts += [_assigned(review, words), _freshness(review, words), _messages(review, words)]
    section.parts.append(
        Figure(words("receipts_waiting"), shown(review.receipts_waiting, "count"), "", "receipts_waiting")
    )
    return section


def _assigned(review: Review, words: Words) -> Table:
    rows: list[list[object]] = []
    marks = {}
    for n, outcome in enumerate(review.outcomes):
        observed = outcome.ratio.observed
        expected = outcome.ratio.expected
        total = sum(outcome.people.values())
        rows.append(
            [
                name_of(outcome, words),
                observed["treated"],
                observed["holdout"],
                observed["holdout"] / total if total else None,
                expected["holdout"] / total if expected and total else None,
                outcome.ratio.p_value,
                words(f"ratio.{outcome.ratio.state}"),
                total - outcome.open_people,
                outcome.open_people,
                outcome.passages - total,
            ]
        )
        marks[n, 8] = "open"
        if outcome.ratio.state is not Ratio.FINE:
            marks[n, 6] = "bad" if outcome.ratio.state is Ratio.BLOCKED else "open"
    columns = [
        Column(words("journey")),
        Column(words("treated"), "assigned", "count"),
        Column(words("held_out"), "assigned", "count"),
        Column(words("share_held_out"), "sample_ratio", "fine"),
        Column(words("share_intended"), "sample_ratio", "fine"),
        Column("p", "sample_ratio", "p"),
        Column(words("sample_ratio")),
        Column(words("closed_windows"), "open_windows", "count"),
        Column(words("open_windows"), "open_windows", "count"),
        Column(words("later_passages"), "passages", "count"),
    ]
    return Table("assigned", words("assigned_title"), columns, rows, marks, words("assigned_note"))


def _freshness(review: Review, words: Words) -> Table:
    rows: list[list[object]] = [
        [each.source, f"{to_datetime(each.as_of):%Y-%m-%d %H:%M}", (review.now - each.as_of) / 3_600_000_000]
        for each in review.freshness
    ]
    if review.latest_event is not None:
        lag = (review.now - review.latest_event) / 3_600_000_000
        rows.append([words("newest_event"), f"{to_datetime(review.latest_event):%Y-%m-%d %H:%M}", lag])
    marks = {
        (n, 2): "bad" for n, row in enumerate(rows) if isinstance(row[2], float) and row[2] * 3_600_000_000 > STALE
    }
    columns = [
        Column(words("source")),
        Column(words("tells_until")),
        Column(words("lag_hours"), "event_lag", "number"),
    ]
    return Table("event-lag", words("event_lag_title"), columns, rows, marks)


def _messages(review: Review, words: Words) -> Table:
    rows: list[list[object]] = [
        [each.journey, words(f"state.{each.state}"), each.messages, each.lately, each.replayed]
        for each in review.troubles
    ]
    marks = {
        (n, 2): "bad"
        for n, each in enumerate(review.troubles)
        if each.state in ("in_doubt", "calling") and each.messages
    }
    columns = [
        Column(words("journey")),
        Column(words("state")),
        Column(words("messages"), "messages_state", "count"),
        Column(words("last_7_days"), "messages_state", "count"),
        Column(words("replays"), "messages_state", "count"),
    ]
    return Table("messages-by-state", words("messages_title"), columns, rows, marks, words("messages_note"))


# --- 2 headline --------------------------------------------------------------------------------------------


def _headline(review: Review, words: Words) -> Section:
    section = Section("headline", words("headline"))
    if not review.outcomes:
        section.parts.append(Note(words("no_journey")))
        return section
    first = review.outcomes[0]
    for outcome in review.outcomes[: MOST_HEADLINES if first.name == PROGRAMME else 1]:
        section.parts += [Heading(name_of(outcome, words)), *_figures(outcome, words)]
    estimates = [
        (name_of(o, words), o.comparison.lift.at, o.comparison.lift.low, o.comparison.lift.high)
        for o in review.outcomes
        if o.comparison.lift is not None and o.comparison.verdict is not Verdict.INVALID
    ]
    if estimates:
        from recall.measure.charts import lifts

        section.parts.append(Chart(lifts("lifts", estimates, axis=words("lift_axis")), words("lift_caption")))
    section.parts += [_lift_table(review, words), _cost_table(review, words), _value_table(review, words)]
    return section


def _figures(outcome: Outcome, words: Words) -> list[Part]:
    found = outcome.comparison
    name = name_of(outcome, words)
    if found.verdict is Verdict.INVALID:
        return [Note(words("invalid_note", name=name), "bad")]
    if found.incremental is None or found.lift is None:
        return [Note(words("none_closed", name=name))]
    definition = "programme" if outcome.name == PROGRAMME else "incremental"
    more = words("interval", low=f"{found.incremental.low:,.0f}", high=f"{found.incremental.high:,.0f}")
    verdict = words("too_small") if found.too_small else words(f"verdict.{found.verdict}")
    each = found.cost_per_incremental
    money = outcome.money
    cost = Figure(words("cost_per_incremental"), words("not_shown"), name, "cost_per_incremental")
    if not money.is_one_currency:
        cost = Figure(words("cost_per_incremental"), "–", words("several_currencies"), "cost_per_incremental")
    elif each is not None:
        text = words("interval", low=shown(each.low, "money"), high=shown(each.high, "money"))
        new = outcome.new_user_cost
        against = f"; {words('against_new', cost=shown(new, 'money'))}" if new else ""
        cost = Figure(
            words("cost_per_incremental"), f"{shown(each.at, 'money')} {money.currency}", f"{text}{against}",
            "cost_per_incremental",
        )  # fmt: skip
    figures: list[Part] = [
        Figure(
            words("incremental_of", name=name),
            f"{found.incremental.at:+,.0f}",
            f"{more}; {verdict}",
            definition,
            _colour(found),
        ),
        Figure(
            words("lift"),
            shown(found.lift.at, "points"),
            words("rates", treated=shown(found.treated.rate, "share"), held_out=shown(found.control.rate, "share")),
            "lift",
        ),
        cost,
    ]
    if outcome.attributed is not None:
        share = outcome.incremental_share
        figures.append(
            Figure(
                words("incremental_share"),
                words("not_shown_short") if share is None else shown(share, "share"),
                words("attributed_more", n=f"{outcome.attributed.after_message:,}"),
                "incremental_share",
            )
        )
    return figures


def _colour(found: Comparison) -> str:
    if found.lift is None or found.too_small:
        return ""
    return "good" if found.lift.low > 0 else "bad" if found.lift.high < 0 else ""


def _lift_table(review: Review, words: Words) -> Table:
    rows: list[list[object]] = []
    for outcome in review.outcomes:
        found = outcome.comparison
        lift = None if found.verdict is Verdict.INVALID else found.lift
        rows.append(
            [
                name_of(outcome, words),
                found.treated.people,
                found.treated.goals,
                found.treated.rate,
                found.control.people,
                found.control.goals,
                found.control.rate,
                lift and lift.at,
                lift and lift.low,
                lift and lift.high,
                found.p_value if lift else None,
                words("too_small") if found.too_small else words(f"verdict.{found.verdict}"),
            ]
        )
    columns = [
        Column(words("journey")),
        Column(words("treated"), "assigned", "count"),
        Column(words("came_back"), "rate", "count"),
        Column(words("rate"), "rate", "fine"),
        Column(words("held_out"), "assigned", "count"),
        Column(words("came_back"), "rate", "count"),
        Column(words("rate"), "rate", "fine"),
        Column(words("lift"), "lift", "points"),
        Column(words("low"), "lift", "points"),
        Column(words("high"), "lift", "points"),
        Column("p", "lift", "p"),
        Column(words("result")),
    ]
    return Table("lift", words("lift_title"), columns, rows, note=words("lift_note"))


def _cost_table(review: Review, words: Words) -> Table:
    rows: list[list[object]] = []
    for outcome in review.outcomes:
        found, money = outcome.comparison, outcome.money
        incremental = None if found.verdict is Verdict.INVALID else found.incremental
        each = found.cost_per_incremental if money.is_one_currency else None
        rows.append(
            [
                name_of(outcome, words),
                incremental and incremental.at,
                incremental and incremental.low,
                incremental and incremental.high,
                money.currency if money.is_one_currency else ", ".join(sorted(money.spent)),
                money.closed if money.is_one_currency else None,
                each.at if each else words("not_shown"),
                each.low if each else None,
                each.high if each else None,
                outcome.new_user_cost,
            ]
        )
    columns = [
        Column(words("journey")),
        Column(words("incremental"), "incremental", "count"),
        Column(words("low"), "incremental", "count"),
        Column(words("high"), "incremental", "count"),
        Column(words("currency")),
        Column(words("spent_closed"), "cost", "money"),
        Column(words("cost_per_incremental"), "cost_per_incremental", "money"),
        Column(words("low"), "cost_per_incremental", "money"),
        Column(words("high"), "cost_per_incremental", "money"),
        Column(words("new_user"), "cost", "money"),
    ]
    return Table("cost", words("cost_title"), columns, rows)


def _value_table(review: Review, words: Words) -> Table:
    rows: list[list[object]] = []
    for outcome in review.outcomes:
        found, money = outcome.comparison, outcome.money
        valid = found.verdict is not Verdict.INVALID
        attributed = outcome.attributed.after_message if outcome.attributed else None
        rows.append(
            [
                name_of(outcome, words),
                found.value.at if found.value and valid else None,
                found.net.at if found.net and valid else None,
                found.net.low if found.net and valid else None,
                found.net.high if found.net and valid else None,
                sum(money.spent.values()) if money.is_one_currency else None,
                attributed,
                outcome.attributed.after_click if outcome.attributed else None,
                money.closed / attributed if attributed and money.is_one_currency else None,
            ]
        )
    columns = [
        Column(words("journey")),
        Column(words("incremental_value"), "value", "money"),
        Column(words("net_value"), "value", "money"),
        Column(words("low"), "value", "money"),
        Column(words("high"), "value", "money"),
        Column(words("spent"), "cost", "money"),
        Column(words("attributed"), "attributed", "count"),
        Column(words("attributed_click"), "attributed", "count"),
        Column(words("cost_per_attributed"), "attributed", "money"),
    ]
    return Table("value", words("value_title"), columns, rows, note=words("value_note"))


# --- 4 lifecycle -------------------------------------------------------------------------------------------


def _lifecycle(review: Review, words: Words) -> Section:
    section = Section("lifecycle", words("lifecycle"))
    weeks = list(review.lifecycle)
    if not any(week.new + week.current + week.resurrected + week.dormant for week in weeks):
        section.parts.append(Note(words("nothing_yet")))
        return section
    from recall.measure.charts import lifecycle

    zone = review.outcomes[0].zone if review.outcomes else "UTC"
    labels = [f"{_local(review.now - 7 * DAY * week.ago, zone):%m-%d}" for week in weeks]
    kinds = ("new", "current", "resurrected")
    svg = lifecycle(
        "lifecycle-weeks",
        labels,
        [(words(kind), [getattr(week, kind) for week in weeks]) for kind in kinds],
        (words("dormant"), [week.dormant for week in weeks]),
        axis=words("people"),
    )
    rows: list[list[object]] = [
        [
            label, week.new, week.current, week.resurrected, week.dormant,
            (week.new + week.resurrected) / week.dormant if week.dormant else None,
        ]
        for label, week in zip(labels, weeks, strict=True)
    ]  # fmt: skip
    last = rows[-1][5]
    section.parts += [
        Figure(words("pulse"), shown(last, "number"), words("pulse_more"), "pulse"),
        Chart(svg, words("lifecycle_caption")),
        Table(
            "lifecycle",
            "",
            [
                Column(words("week_until")),
                *(Column(words(kind), "lifecycle", "count") for kind in (*kinds, "dormant")),
                Column(words("pulse"), "pulse", "number"),
            ],
            rows,
        ),
    ]
    return section
