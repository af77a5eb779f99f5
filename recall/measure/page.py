"""What does a page consist of, and how is it written? One HTML file that needs no network, and a CSV per table."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

from recall.measure.words import Words

# Which queries a definition rests on; the statements themselves were kept while asking.
QUERIES: Mapping[str, tuple[str, ...]] = {
    "assigned": ("assigned",),
    "open_windows": ("assigned",),
    "passages": ("passages",),
    "sample_ratio": ("assigned", "policies"),
    "rate": ("assigned",),
    "lift": ("assigned",),
    "incremental": ("assigned",),
    "programme": ("programme",),
    "cost": ("cost", "programme_cost", "redeemed"),
    "cost_per_incremental": ("assigned", "cost", "redeemed"),
    "value": ("assigned", "cost"),
    "attributed": ("attributed",),
    "incremental_share": ("assigned", "attributed"),
    "event_lag": ("event_lag", "latest_event"),
    "messages_state": ("troubles",),
    "receipts_waiting": ("receipts_waiting",),
    "reached": ("reached",),
    "stage": ("stages", "reached", "logins", "held_out"),
    "lifecycle": ("lifecycle",),
    "pulse": ("lifecycle",),
    "steps": ("steps",),
    "templates": ("steps",),
    "senders": ("senders",),
    "hazard": ("contacts",),
    "cap": ("contacts",),
    "cohorts": ("assigned",),
    "boundary": ("assigned",),
    "sample_size": ("assigned",),
    "split": ("arms",),
    "retention": ("retention",),
    "active_later": ("active_later",),
    "guardrails": ("steps",),
    "harm": ("harm", "held_out", "stops"),
}


@dataclass(frozen=True)
class Column:
    """One column: what it is called, what it means, how its values are shown."""

    label: str
    definition: str = ""
    form: str = "text"  # text | count | share | points | money | number | p


@dataclass(frozen=True)
class Table:
    """`name` is the CSV's; cells are raw values, shown by their column's form; `marks` colours (row, column)."""

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[object]]
    marks: Mapping[tuple[int, int], str] = field(default_factory=dict)  # bad | good | open
    note: str = ""
    kind: str = "table"


@dataclass(frozen=True)
class Figure:
    """One number that matters, with what belongs to it."""

    label: str
    value: str
    more: str = ""
    definition: str = ""
    mark: str = ""
    kind: str = "figure"


@dataclass(frozen=True)
class Chart:
    svg: str
    caption: str
    kind: str = "chart"


@dataclass(frozen=True)
class Note:
    text: str
    mark: str = ""  # "" | bad | caution
    kind: str = "note"


@dataclass(frozen=True)
class Heading:
    text: str
    kind: str = "heading"


Part = Table | Figure | Chart | Note | Heading


@dataclass
class Section:
    """One numbered section of the page."""

    id: str
    title: str
    parts: list[Part] = field(default_factory=list)

    def or_nothing(self, words: Words) -> Section:
        """The same; where it is empty, saying so."""
        if not self.parts:
            self.parts.append(Note(words("nothing_yet")))
        return self


@dataclass(frozen=True)
class Page:
    """Everything there is to write."""

    title: str
    lines: Sequence[str]
    sections: Sequence[Section]
    queries: Mapping[str, str]
    words: Words

    @property
    def tables(self) -> list[Table]:
        return [part for section in self.sections for part in section.parts if isinstance(part, Table)]


def shown(value: object, form: str) -> str:
    """A raw value as people read it; nothing there is a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    match form:
        case "share":
            return f"{100 * value:.1f} %"
        case "fine":
            return f"{100 * value:.2f} %"
        case "points":
            return f"{100 * value:+.2f} pp"
        case "money":
            return f"{value:,.2f}"
        case "number":
            return f"{value:,.2f}"
        case "p":
            return f"{value:.4f}" if value >= 0.0001 else "<.0001"
        case _:
            return f"{round(value):,}"  # never "-0"


def render(page: Page) -> str:
    """The HTML text."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    source = files("recall.measure").joinpath("report", "page.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["groupby_kind"] = runs_of_kind
    template = environment.from_string(source)
    return template.render(
        page=page,
        words=page.words,
        shown=shown,
        svg=Markup,  # drawn by matplotlib here, from texts it escapes itself
        definitions=_definitions(page),
        csv_name=csv_name,
    )


def runs_of_kind(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Neighbours of one kind together, in order."""
    return [{"kind": kind, "parts": list(group)} for kind, group in groupby(parts, key=lambda part: part.kind)]


def _definitions(page: Page) -> list[dict[str, Any]]:
    return [
        {
            "key": key,
            "title": page.words.definition(key)[0],
            "meaning": page.words.definition(key)[1],
            "queries": [page.queries[name] for name in names if name in page.queries],
        }
        for key, names in QUERIES.items()
    ]


def csv_name(name: str) -> str:
    return f"{name}.csv"


def write_page(page: Page, path: Path) -> Path:
    """The HTML at `path` and each table as CSV in the folder `<name>-tables` beside it; replaces what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = tables_folder(path)
    folder.mkdir(exist_ok=True)
    for table in page.tables:
        with (folder / csv_name(table.name)).open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([neutral(column.label) for column in table.columns])
            writer.writerows([_cell(value) for value in row] for row in table.rows)
    _replace(path, render(page))
    return path


def tables_folder(path: Path) -> Path:
    return path.with_name(f"{path.stem}-tables")


def _replace(path: Path, text: str) -> None:
    """Whole or not at all: somebody may be reading the page of last week."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(draft, 0o644)
    os.replace(draft, path)


def _cell(value: object) -> object:
    if value is None:
        return ""
    return neutral(value) if isinstance(value, str) else value


_DANGEROUS = "=+-@＝＋－＠\t\r"


def neutral(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip(" '")[:1] in tuple(_DANGEROUS) and text.strip(" '") else text
