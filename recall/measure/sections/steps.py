"""What became of the messages of each step, by channel and arm?"""

from __future__ import annotations

from recall.measure.page import Column, Heading, Note, Section, Table
from recall.measure.passage import steps_over_versions
from recall.measure.review import Review
from recall.measure.words import Words

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
    return section.or_nothing(words)
