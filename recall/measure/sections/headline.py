"""What came back because of it, and what did one of them cost?"""

from __future__ import annotations

from recall.measure.experiment import Comparison, Verdict
from recall.measure.horizon import PROGRAMME
from recall.measure.outcomes import Outcome
from recall.measure.page import Chart, Column, Figure, Heading, Note, Part, Section, Table, shown
from recall.measure.review import Review
from recall.measure.words import Words

MOST_HEADLINES = 3  # with cards of their own; every journey stands in the tables


def headline_section(review: Review, words: Words) -> Section:
    section = Section("headline", words("headline"))
    if not review.outcomes:
        section.parts.append(Note(words("no_journey")))
        return section
    first = review.outcomes[0]
    for outcome in review.outcomes[: MOST_HEADLINES if first.name == PROGRAMME else 1]:
        section.parts += [Heading(words.name_of(outcome.name)), *_figures(outcome, words)]
    estimates = [
        (words.name_of(o.name), o.comparison.lift.at, o.comparison.lift.low, o.comparison.lift.high)
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
    name = words.name_of(outcome.name)
    if found.verdict is Verdict.INVALID:
        return [Note(words("invalid_note", name=name), "bad")]
    if found.incremental is None or found.lift is None:
        return [Note(words("none_closed", name=name))]
    definition = "programme" if outcome.name == PROGRAMME else "incremental"
    more = words("interval", low=f"{round(found.incremental.low):,}", high=f"{round(found.incremental.high):,}")
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
            f"{round(found.incremental.at):+,}",
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
                words.name_of(outcome.name),
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
                words.name_of(outcome.name),
                incremental and incremental.at,
                incremental and incremental.low,
                incremental and incremental.high,
                money.currency if money.is_one_currency else ", ".join(sorted(money.spent)),
                money.closed if money.is_one_currency else None,
                money.offers if money.is_one_currency else None,
                each.at if each else words("verdict.invalid" if outcome.is_blocked else "not_shown"),
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
        Column(words("spent_offers"), "cost", "money"),
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
                words.name_of(outcome.name),
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
