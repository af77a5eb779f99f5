"""Which tasks wait for people of ours? Listed, handed out as a file, and taken back with what came of them."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recall.cli.context import App, pass_app
from recall.cli.desk import moment, reading_setup
from recall.cli.output import table
from recall.clock import to_instant
from recall.errors import BadFile, Misconfigured, Problem

if TYPE_CHECKING:
    from recall.engine.worklist import Item, Reported

PERSON_NEEDED = 1
COLUMNS = ("ref", "user", "journey", "step", "since", "expires", "text", "link", "outcomes", "outcome", "at")
_journey = click.option("--journey", default="", help="Only tasks of this journey.")


@click.group()
def task() -> None:
    """What people of ours have to do, and what came of it."""


@task.command("list")
@_journey
@pass_app
def list_(app: App, journey: str) -> None:
    """List the tasks that may be done now, oldest first; no texts, no names.

    \b
    Example:
      recall task list --journey settled-30d
    """
    items = list(_items(app, journey))
    data = [_shown(item) for item in items]
    lines = [table(list(data[0]), [list(row.values()) for row in data])] if data else ["Nothing is to be done."]
    app.output.answer({"tasks": data}, *lines)


@task.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_journey
@pass_app
def export(app: App, file: Path, journey: str) -> None:
    """Write the tasks that may be done now to FILE, to be filled in: one word under `outcome` per line.

    The file holds what the texts say about people; only you may read it. `outcomes` are the words the journey
    listens to.

    \b
    Example:
      recall task export tasks.csv
    """
    count = _write(file, _items(app, journey))
    app.output.answer({"tasks": count, "file": str(file)}, f"{count} tasks are in {file}.")


@task.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--why", default="", help="The reason, kept with your name for the audit.")
@pass_app
def import_(app: App, file: Path, why: str) -> int:
    """Take back what came of tasks: columns `ref` and `outcome`, maybe `user` and `at` (a time with its zone).

    Lines without an outcome stay open; a line that does not fit is told and the others are taken. Importing twice
    changes nothing. Exit code 1 when a line was not taken.

    \b
    Example:
      recall task import tasks.csv
    """
    from recall.engine.worklist import expire, take_outcomes
    from recall.store.controls import record_action

    setup = reading_setup(app)
    rows, unreadable = _read(file)
    taken = take_outcomes(setup, rows)
    with app.store.writing() as connection:
        record_action(connection, "import outcomes", f"{taken.recorded}", who=app.who, why=why, at=app.clock.now())
    expired = expire(setup)
    problems = sorted([*unreadable, *taken.problems])
    lines = [
        f"{taken.recorded} outcomes taken, {taken.known} known before, {taken.empty} tasks still open, "
        f"{expired} expired, {len(problems)} lines not taken."
    ]
    lines += [f"{file.name}:{line}: {what}" for line, what in problems[:100]]
    counts = {"recorded": taken.recorded, "known": taken.known, "empty": taken.empty, "expired": expired}
    app.output.answer({**counts, "problems": [{"line": line, "what": what} for line, what in problems]}, *lines)
    return PERSON_NEEDED if problems else 0


def _items(app: App, journey: str) -> Iterator[Item]:
    from recall.engine.worklist import list_tasks
    from recall.store.controls import refuse_unknown_journey

    if journey:
        with app.store.reading() as connection:
            refuse_unknown_journey(connection, journey)
    return list_tasks(reading_setup(app), journey=journey)


def _shown(item: Item) -> dict[str, str]:
    each = item.task
    expires = f"{moment(each.expires_at)} UTC" if each.expires_at is not None else ""
    return {
        "ref": each.ref,
        "user": each.user,
        "journey": each.journey,
        "step": each.step,
        "since": f"{moment(each.made_at)} UTC",
        "expires": expires,
        "outcomes": " ".join(item.outcomes),
    }


def _write(file: Path, items: Iterator[Item]) -> int:
    """A new file that only its owner may read; nothing in it becomes a formula."""
    from recall.intake.formulas import neutral

    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Misconfigured(
            f"{file} is there already; name a new file (outcomes in the old one would be lost)"
        ) from None
    count = 0
    with os.fdopen(descriptor, "w", encoding="utf-8-sig", newline="") as opened:  # the mark tells Excel it is UTF-8
        writer = csv.writer(opened, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(COLUMNS)
        for item in items:
            shown = {**_shown(item), "text": " ".join(item.task.text.split()), "link": item.task.link}
            writer.writerow([neutral(shown.get(column, "")) for column in COLUMNS])
            count += 1
    return count


def _read(file: Path) -> tuple[list[Reported], list[tuple[int, str]]]:
    """The lines of a file, and those that cannot be read; raises BadFile for a file without the columns."""
    from recall.engine.worklist import Reported
    from recall.intake.formulas import plain
    from recall.intake.reasons import WHAT_TO_DO
    from recall.intake.sheet import Layout, open_sheet

    rows: list[Reported] = []
    wrong: list[tuple[int, str]] = []
    with open_sheet(file, Layout(multiline=True), wanted=("ref", "outcome")) as sheet:
        for row in sheet.rows():
            if row.fault is not None:
                wrong.append((row.line, WHAT_TO_DO[row.fault]))
                continue
            cells = {name: plain(cell).strip() for name, cell in zip(sheet.columns, row.cells, strict=True)}
            try:
                at = to_instant(datetime.fromisoformat(cells["at"])) if cells.get("at") else None
            except (ValueError, OverflowError):
                wrong.append((row.line, "the time needs its zone, such as 2026-03-02T10:00+08:00"))
                continue
            rows.append(Reported(row.line, cells["ref"], cells["outcome"], cells.get("user", ""), at))
        sheet.refuse_changed()
    if len(rows) > 100_000:
        raise BadFile([Problem(file.name, None, f"has {len(rows)} lines", "bring back at most 100000 at once")])
    return rows, wrong
