"""Does the base grow? Everybody with any event, week by week."""

from __future__ import annotations

from recall.clock import DAY
from recall.measure.horizon import local_time
from recall.measure.page import Chart, Column, Figure, Note, Section, Table, shown
from recall.measure.review import Review
from recall.measure.words import Words


def lifecycle_section(review: Review, words: Words) -> Section:
    section = Section("lifecycle", words("lifecycle"))
    weeks = list(review.lifecycle)
    if not any(week.new + week.current + week.resurrected + week.dormant for week in weeks):
        section.parts.append(Note(words("nothing_yet")))
        return section
    from recall.measure.charts import lifecycle

    zone = review.outcomes[0].zone if review.outcomes else "UTC"
    labels = [f"{local_time(review.now - 7 * DAY * week.ago, zone):%m-%d}" for week in weeks]
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
