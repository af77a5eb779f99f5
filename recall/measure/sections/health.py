"""Can the numbers be trusted? Sample ratios, open windows, how fresh events are, what became of messages."""

from __future__ import annotations

from recall.clock import DAY, to_datetime
from recall.measure.page import Column, Figure, Note, Section, Table, shown
from recall.measure.ratio import Ratio
from recall.measure.review import Review
from recall.measure.words import Words

STALE = 2 * DAY


def health_section(review: Review, words: Words) -> Section:
    section = Section("health", words("health"))
    for outcome in review.outcomes:
        if outcome.ratio.state in (Ratio.BLOCKED, Ratio.CAUTION):
            mark = "bad" if outcome.ratio.state is Ratio.BLOCKED else "caution"
            name, p = words.name_of(outcome.name), shown(outcome.ratio.p_value, "p")
            text = words(f"ratio_note.{outcome.ratio.state}", name=name, p=p)
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
                words.name_of(outcome.name),
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
