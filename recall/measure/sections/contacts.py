"""What does one more contact bring, and what does it cost?"""

from __future__ import annotations

from recall.measure.page import Chart, Column, Heading, Note, Section, Table
from recall.measure.review import Review
from recall.measure.words import Words

MOST_CONTACTS = 10


def contacts_section(review: Review, words: Words) -> Section:
    section = Section("contacts", words("contacts"), [Note(words("contacts_note"))])
    for told in review.journeys:
        lines = told.passage.hazards[:MOST_CONTACTS]
        name, blocked = told.outcome.name, told.outcome.is_blocked
        section.parts.append(Heading(name))
        if lines:
            from recall.measure.charts import hazard

            theirs = [] if blocked else [(line.k, line.held_out_hazard) for line in lines]
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
                line.k, line.reached, line.successes, line.hazard, line.held_out,
                None if blocked else line.held_out_hazard,
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
    return section.or_nothing(words)
