"""Which rows does this file hold, exactly? Text only, read line by line in constant memory.

A line is a row. A quote that is not closed on its line is refused there, so that it cannot swallow the rows below
(`multiline` allows quoted text that spans lines; then rows of the wrong width are taken apart again). Nothing is
guessed that could be guessed wrong: what is not UTF-8 is read as GB 18030 only when it can hardly be anything else.
"""

from __future__ import annotations

import csv
import io
import os
import re
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

from recall.errors import BadFile, Problem
from recall.intake.encodings import examine
from recall.intake.formulas import plain
from recall.intake.reasons import Reason

MAX_FIELD = 64 * 1024  # bytes
MAX_ROW = 256 * 1024
MAX_COLUMNS = 2_000
WHITESPACE = "whitespace"
DELIMITERS = {",": ",", ";": ";", "|": "|", "tab": "\t", WHITESPACE: WHITESPACE}
_SNIFFED = (",", ";", "\t", "|")
_BLOCK = 1 << 20
# Python's own limit lies between those above, and is told without a place.
csv.field_size_limit(4 * MAX_ROW)
_BLANKS = re.compile(r"[ \t]+")
REJECTS_HEADER = ("recall_line", "recall_column", "recall_reason", "recall_hint", "recall_raw")


@dataclass(frozen=True)
class Layout:
    """How a file is written."""

    encoding: str = "auto"  # auto | utf-8 | gb18030 | utf-16
    delimiter: str = "auto"  # auto | , | ; | "|" | tab | whitespace
    header: bool = True
    columns: tuple[str, ...] = ()  # names of the columns of a file without header
    multiline: bool = False


class Row(NamedTuple):
    """One row, or what is wrong with it."""

    line: int  # 1-based, where it begins
    cells: Sequence[str]
    fault: Reason | None = None
    column: str = ""
    raw: str = ""  # the line itself, when it could not be taken apart


def open_sheet(path: Path, layout: Layout, *, wanted: Collection[str] = ()) -> Sheet:
    """Look through a file and open it at its first row; raises BadFile saying what to do.

    `wanted` are the columns that must be there; they also tell which delimiter is meant.
    """
    file = _open_regular(path)
    try:
        return Sheet(path, file, layout, wanted)
    except BaseException:
        file.close()
        raise


def _open_regular(path: Path) -> BinaryIO:
    try:
        # Without blocking, so that a pipe is refused instead of waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise BadFile([_problem(path, f"cannot be read ({error.strerror})", "check the path and its rights")]) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BadFile([_problem(path, "is not a file", "give the path of a CSV file")])
    return os.fdopen(descriptor, "rb")


def _problem(path: Path, message: str, hint: str, *, line: int | None = None, column: str | None = None) -> Problem:
    return Problem(path.name, line, message, hint, column)


class Sheet:
    """An open file; `columns` are its columns, `hash` the SHA-256 of its bytes."""

    def __init__(self, path: Path, file: BinaryIO, layout: Layout, wanted: Collection[str]) -> None:
        self.path = path
        self._file = file
        self._layout = layout
        self._stamp = self._now()
        self.size = self._stamp[0]
        self.hash, self.encoding = examine(path, file, layout.encoding)
        self.blank_lines = 0
        file.seek(0)
        # Every line end (CR, LF, CR LF) ends a line.
        self._text = io.TextIOWrapper(file, encoding=self.encoding, errors="strict", newline=None)
        self._line = 0
        first = self._first_line()
        self._is_rejects = tuple((_cells_or_none(first, ",") or ())[: len(REJECTS_HEADER)]) == REJECTS_HEADER
        if self._is_rejects:  # our own rejects file has a header and commas, whatever the file it came from had
            self._layout = replace(layout, delimiter=",", header=True)
        self.delimiter = self._choose_delimiter(first, wanted)
        self._pending = None if self._layout.header else first
        self.columns = self._read_columns(first)
        self._refuse_missing(wanted)

    def __enter__(self) -> Sheet:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._text.close()

    def _now(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns

    def refuse_changed(self) -> None:
        """Raise BadFile when the file was written to since it was opened: its last line may be half a line."""
        if self._now() != self._stamp:
            hint = "import it again once it is complete; what was taken is not taken twice"
            raise BadFile([_problem(self.path, "changes while it is read", hint)])

    def bytes_read(self) -> int:
        """How far the file was read, for a progress bar."""
        return self._file.tell()

    # --- header -------------------------------------------------------------------------------------------

    def _first_line(self) -> str:
        line = self._next_line()
        while line is not None and not line.strip():
            line = self._next_line()
        if line is None:
            raise BadFile([_problem(self.path, "is empty", "export it again")])
        if len(line) > MAX_ROW:
            hint = f"rows may have {MAX_ROW} bytes; is this a CSV file?"
            raise BadFile([_problem(self.path, "begins with a line that is too long", hint, line=self._line)])
        return line

    def _choose_delimiter(self, first: str, wanted: Collection[str]) -> str:
        asked = self._layout.delimiter
        if asked != "auto":
            return DELIMITERS[asked]
        fitting = [each for each in _SNIFFED if self._fits(first, each, wanted)]
        best = max(fitting, key=lambda each: len(_cells_or_none(first, each) or ()), default=None)
        if best is not None and (not self._layout.header or best in first):
            return best
        return max(_SNIFFED, key=first.count)  # the likeliest, for a complaint that helps

    def _fits(self, first: str, delimiter: str, wanted: Collection[str]) -> bool:
        cells = _cells_or_none(first, delimiter)
        if cells is None:
            return False
        if not self._layout.header:
            return len(cells) == len(self._layout.columns)
        return {cell.strip() for cell in cells}.issuperset(wanted)

    def _read_columns(self, first: str) -> tuple[str, ...]:
        cells = split(first, self.delimiter)
        if isinstance(cells, Reason):
            raise BadFile(
                [_problem(self.path, f"the header cannot be read ({cells.value})", "mend it", line=self._line)]
            )
        if not self._layout.header:
            return self._given_columns(len(cells))
        names = tuple((plain(cell) if self._is_rejects else cell).strip() for cell in cells)
        names = tuple(name or f"(column {n})" for n, name in enumerate(names, 1))
        if len(names) > MAX_COLUMNS:
            raise BadFile(
                [_problem(self.path, f"has {len(names)} columns", f"the most is {MAX_COLUMNS}", line=self._line)]
            )
        self._refuse_doubled(names)
        return names

    def _given_columns(self, width: int) -> tuple[str, ...]:
        names = self._layout.columns
        self._refuse_doubled(names)
        if not names:
            hint = "name them from left to right, such as --columns user,date,amount"
            raise BadFile([_problem(self.path, "has no header, and its columns are not named", hint)])
        if len(names) != width:
            hint = "name every column, and say --delimiter if it is not , ; | or tab"
            message = f"has {width} columns in its first row, but {len(names)} are named"
            raise BadFile([_problem(self.path, message, hint, line=self._line)])
        return names

    def _refuse_doubled(self, names: Sequence[str]) -> None:
        doubled = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if doubled:
            hint = "rename one of the two, else nobody knows which is meant"
            raise BadFile([_problem(self.path, "two columns have this name", hint, column=name) for name in doubled])

    def _refuse_missing(self, wanted: Collection[str]) -> None:
        missing = [name for name in wanted if name not in self.columns]
        if missing:
            there = ", ".join(self.columns[:30])
            hint = f"its columns are: {there}; say --delimiter if they should be more" if there else "name them"
            raise BadFile([_problem(self.path, "has no such column", hint, column=name) for name in missing])

    # --- rows ---------------------------------------------------------------------------------------------

    def rows(self) -> Iterator[Row]:
        """Every row below the header, once; empty lines are counted and passed over."""
        source = self._records() if self._layout.multiline else self._lines()
        for line, text in source:
            if not text.strip():
                self.blank_lines += 1
                continue
            yield self._row(line, text)

    def _lines(self) -> Iterator[tuple[int, str]]:
        if self._pending is not None:
            yield self._line, self._pending
        while (text := self._next_line()) is not None:
            yield self._line, text

    def _next_line(self) -> str | None:
        """The next line without its end, None after the last; an overlong one comes cut, its rest is skipped."""
        try:
            text = self._text.readline(MAX_ROW + 2)
        except UnicodeDecodeError:  # the whole file could be decoded when it was opened
            self.refuse_changed()
            raise
        if not text:
            return None
        self._line += 1
        if text.endswith("\n"):
            return text[:-1]
        if len(text) > MAX_ROW:
            while (rest := self._text.readline(_BLOCK)) and not rest.endswith("\n"):
                pass
        return text

    def _row(self, line: int, text: str) -> Row:
        if "\0" in text:
            return Row(line, (), Reason.NUL, raw=text)
        if len(text) > MAX_ROW or (4 * len(text) > MAX_ROW and len(text.encode()) > MAX_ROW):
            return Row(line, (), Reason.ROW_TOO_LONG, raw=text)
        cells = split(text, self.delimiter)
        if isinstance(cells, Reason):
            return Row(line, (), cells, raw=text)
        if len(cells) != len(self.columns):
            fault = Reason.SHORT_ROW if len(cells) < len(self.columns) else Reason.LONG_ROW
            return Row(line, cells, fault)
        if 4 * len(text) > MAX_FIELD:
            for name, cell in zip(self.columns, cells, strict=True):
                if len(cell.encode()) > MAX_FIELD:
                    return Row(line, cells, Reason.FIELD_TOO_LONG, name)
        if self._layout.header and cells[0].strip() == self.columns[0] and self._is_header(cells):
            return Row(line, cells, Reason.HEADER_AGAIN)
        return Row(line, [plain(cell) for cell in cells] if self._is_rejects else cells)

    def _is_header(self, cells: Sequence[str]) -> bool:
        return all(cell.strip() in (name, "") for cell, name in zip(cells, self.columns, strict=True))

    def _records(self) -> Iterator[tuple[int, str]]:
        """Lines joined while a quote is open; what does not become a row of the right width is taken apart again."""
        waiting: list[tuple[int, str]] = []
        lines = self._lines()
        while True:
            if not waiting:
                following = next(lines, None)
                if following is None:
                    return
                waiting.append(following)
            joined, size = self._join(waiting, lines)
            yield waiting[0][0], joined
            del waiting[:size]

    def _join(self, waiting: list[tuple[int, str]], lines: Iterator[tuple[int, str]]) -> tuple[str, int]:
        """The record that begins with the first waiting line, and how many lines it takes."""
        text, taken = waiting[0][1], 1
        if self.delimiter == WHITESPACE or '"' not in text:
            return text, 1
        while split(text, self.delimiter) is Reason.UNCLOSED_QUOTE and len(text) <= MAX_ROW:
            if taken == len(waiting):
                following = next(lines, None)
                if following is None:
                    return waiting[0][1], 1
                waiting.append(following)
            text += "\n" + waiting[taken][1]
            taken += 1
        cells = split(text, self.delimiter)
        fits = not isinstance(cells, Reason) and len(cells) == len(self.columns)
        return (text, taken) if fits else (waiting[0][1], 1)


def split(text: str, delimiter: str) -> list[str] | Reason:
    """The cells of one line, or why it has none."""
    if delimiter == WHITESPACE:
        return _BLANKS.split(text.strip(" \t"))
    if '"' not in text:
        return text.split(delimiter)
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        return Reason.UNCLOSED_QUOTE if "unexpected end" in str(error) else Reason.TEXT_AFTER_QUOTE


def _cells_or_none(text: str, delimiter: str) -> list[str] | None:
    cells = split(text, delimiter)
    return None if isinstance(cells, Reason) else cells
