"""How far do people get, stage by stage, against what is aimed for?"""

from __future__ import annotations

from collections.abc import Sequence

from recall.measure.page import Chart, Column, Heading, Note, Section, Table
from recall.measure.review import Review
from recall.measure.stages import StageLine
from recall.measure.words import Words


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
    return section.or_nothing(words)


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
