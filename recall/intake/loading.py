"""How does a file become rows of the store? Read, judge, write in chunks; count everything.

Each chunk is one transaction. What was written before an interruption stays, and importing again takes the rest,
because nothing is taken twice.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from recall.clock import Instant, elapsed_seconds
from recall.intake.mapping import Fields, FileMapping, Plan, plan, refuse_unknown_fields
from recall.intake.reasons import Reason, Rejected
from recall.intake.rejects import Rejects
from recall.intake.sheet import Row, Sheet, open_sheet
from recall.store.connect import Store
from recall.store.imports import note_source, record_import

CHUNK = 5_000  # rows per transaction
Item = TypeVar("Item")
Progress = Callable[[int], None]  # told after each chunk how many bytes more were read


_PERSONAL = re.compile(r"\+?\d{9,}|[^\s@]+@[^\s@]+")  # a phone, an e-mail; a date has eight digits


def plain_name(file: Path) -> str:
    """What a file is called, without whom somebody called it after."""
    return _PERSONAL.sub("x", file.stem)


@dataclass(frozen=True)
class Written:
    """What the store did with one chunk."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: Mapping[int, str] = field(default_factory=dict)  # place in the chunk -> a Reason


class Reader(Protocol[Item]):
    """What one kind of import does with a row, and with a chunk of what came of it."""

    def read(self, row: Row) -> Item:
        """Raises Rejected."""
        ...

    def write(self, items: Sequence[Item]) -> Written: ...

    def newest(self, items: Sequence[Item]) -> Instant | None:
        """Up to when these items tell; None when that is not said."""
        ...


@dataclass(frozen=True)
class ImportReport:
    """read = added + changed + unchanged + rejected."""

    kind: str
    file: str
    source: str
    read: int
    added: int
    changed: int
    unchanged: int
    rejected: int
    reasons: Mapping[str, int]  # Reason -> rows
    rejects_path: Path | None
    blank_lines: int
    ignored_columns: tuple[str, ...]
    encoding: str
    delimiter: str
    seconds: float
    users_created: int = 0


@dataclass(frozen=True)
class Kind:
    """One of the five imports."""

    name: str
    fields: Fields


@dataclass(frozen=True)
class Job(Generic[Item]):
    """One import of one file."""

    store: Store
    kind: Kind
    mapping: FileMapping
    now: Instant
    rejects: Path  # folder
    as_of: Instant | None = None
    progress: Progress | None = None

    @property
    def source(self) -> str:
        return self.mapping.source or self.kind.name

    def run(self, file: Path, make_reader: Callable[[Plan], Reader[Item]]) -> ImportReport:
        """Import one file; raises BadFile when it cannot be read as a whole, and StoreBusy."""
        begun = elapsed_seconds()
        with _rows_alone_collected():
            return self._run(file, make_reader, begun)

    def _run(self, file: Path, make_reader: Callable[[Plan], Reader[Item]], begun: float) -> ImportReport:
        refuse_unknown_fields(self.mapping, self.kind.fields, file=file.name)
        with open_sheet(file, self.mapping.layout, wanted=self.mapping.wanted) as sheet:
            found = plan(self.mapping, self.kind.fields, sheet.columns, file=file.name)
            name = f"{self.kind.name}-{plain_name(file)[:60]}-{sheet.hash[:8]}"
            with Rejects(self.rejects, name, sheet.columns) as rejects:
                counts = self._load(sheet, make_reader(found), rejects)
        self._note(sheet, counts)
        return ImportReport(
            kind=self.kind.name,
            file=file.name,
            source=self.source,
            read=counts.read,
            added=counts.added,
            changed=counts.changed,
            unchanged=counts.unchanged,
            rejected=counts.rejected,
            reasons=dict(rejects.counts.most_common()),
            rejects_path=rejects.path,
            blank_lines=sheet.blank_lines,
            ignored_columns=found.ignored,
            encoding=sheet.encoding.removesuffix("-sig"),
            delimiter=sheet.delimiter,
            seconds=round(elapsed_seconds() - begun, 3),
        )

    def _load(self, sheet: Sheet, reader: Reader[Item], rejects: Rejects) -> Counts:
        counts, position = Counts(), 0
        for rows in _chunks(sheet.rows()):
            kept, items = _read(reader, rows, rejects)
            sheet.refuse_changed()
            written = reader.write(items) if items else Written()
            for n, why in written.refused.items():
                rejects.add(kept[n], Reason(why), _blamed(why, sheet, self.mapping))
            counts.add(len(rows), written, reader.newest(items))
            if self.progress is not None:
                self.progress(sheet.bytes_read() - position)
                position = sheet.bytes_read()
        counts.rejected = sum(rejects.counts.values())
        return counts

    def _note(self, sheet: Sheet, counts: Counts) -> None:
        as_of = self.as_of if self.as_of is not None else counts.newest
        with self.store.writing() as connection:
            record_import(
                connection,
                kind=self.kind.name,
                file_hash=sheet.hash,
                source=self.source,
                at=self.now,
                read=counts.read,
                added=counts.added,
                changed=counts.changed,
                unchanged=counts.unchanged,
                rejected=counts.rejected,
            )
            if as_of is not None:
                note_source(connection, self.source, loaded_at=self.now, as_of=min(as_of, self.now))


@dataclass
class Counts:
    """Running totals of one import."""

    read: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: int = 0
    newest: Instant | None = None

    def add(self, rows: int, written: Written, newest: Instant | None) -> None:
        self.read += rows
        self.added += written.added
        self.changed += written.changed
        self.unchanged += written.unchanged
        self.newest = max((at for at in (self.newest, newest) if at is not None), default=None)


@contextmanager
def _rows_alone_collected() -> Iterator[None]:
    """Spare the garbage collector everything that was there before: every few thousand rows it walks what it knows."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def _read(reader: Reader[Item], rows: Sequence[Row], rejects: Rejects) -> tuple[list[Row], list[Item]]:
    """The rows that say something, with what they say; the others go to the rejects."""
    kept, items = [], []
    for row in rows:
        if row.fault is not None:
            rejects.add(row, row.fault, row.column)
            continue
        try:
            items.append(reader.read(row))
        except Rejected as rejected:
            rejects.add(row, rejected.reason, rejected.column)
        else:
            kept.append(row)
    return kept, items


def _blamed(why: str, sheet: Sheet, mapping: FileMapping) -> str:
    """The column behind a refusal of the store."""
    wanted = "id" if why == Reason.KEY_TAKEN.value else "user"
    column = mapping.map.get(wanted, wanted)
    return column if column in sheet.columns else ""
