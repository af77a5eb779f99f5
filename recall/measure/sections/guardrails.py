"""What must not get worse while people come back?"""

from __future__ import annotations

from recall.measure.page import Column, Note, Section, Table
from recall.measure.review import Review
from recall.measure.words import Words


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
        calls = [line for line in lines if line.channel == "call"]
        sent = sum(line.sent for line in lines)
        refused = sum(line.refused for line in lines)
        kinds = (
            ("opted_out", sum(line.opted_out for line in lines), sent, limits.opt_outs if limits else None),
            ("complained", sum(line.complained for line in lines), sent, limits.complaints if limits else None),
            ("refused", refused, sent + refused, limits.refusals if limits else None),
            ("hung_up", sum(line.hung_up for line in calls), sum(line.answered for line in calls), None),
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
    rows: list[list[object]] = []
    marks: dict[tuple[int, int], str] = {}
    for told in review.journeys:
        for line in told.passage.harm:
            more = None if told.outcome.is_blocked else line.more
            if more is not None and line.is_shown:
                marks[len(rows), 6] = "bad"
            rows.append(
                [
                    told.outcome.name, words.named("harm", line.event), line.treated.goals, line.treated.rate,
                    line.held_out.goals, line.held_out.rate, more and more.at, more and more.low, more and more.high,
                ]
            )  # fmt: skip
    columns = [
        Column(words("journey")),
        Column(words("event")),
        Column(words("treated"), "harm", "count"),
        Column(words("share"), "harm", "fine"),
        Column(words("held_out"), "harm", "count"),
        Column(words("share"), "harm", "fine"),
        Column(words("more"), "harm", "points"),
        Column(words("low"), "harm", "points"),
        Column(words("high"), "harm", "points"),
    ]
    return Table("harm", words("harm_title"), columns, rows, marks, words("harm_note"))


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
