"""Do they stay?"""

from __future__ import annotations

from collections.abc import Sequence

from recall.measure.page import Column, Note, Section, Table
from recall.measure.review import Review, Told
from recall.measure.words import Words


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
        lift = None if told.outcome.is_blocked else found.lift
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
