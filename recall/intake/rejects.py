"""What was not taken, and why? A file beside the store: one line per rejected row, with everything the row said.

It can be mended and imported as it stands, with the same mapping. Nobody but its owner can read it.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from recall.intake.formulas import neutral
from recall.intake.reasons import WHAT_TO_DO, Reason
from recall.intake.sheet import REJECTS_HEADER, Row


class Rejects:
    """Rejected rows of one import; the file is made with the first of them."""

    def __init__(self, folder: Path, name: str, columns: Sequence[str]) -> None:
        self._folder = folder
        self._name = name
        # A rejects file that is imported again does not grow a second set of columns.
        self._skip = len(REJECTS_HEADER) if tuple(columns[: len(REJECTS_HEADER)]) == REJECTS_HEADER else 0
        self._columns = columns[self._skip :]
        self._file: IO[str] | None = None
        self.path: Path | None = None
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> Rejects:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, row: Row, reason: Reason, column: str = "") -> None:
        """Keep one row; `column` is the file's name of the value that is wrong, "" for the whole row."""
        self.counts[reason.value] += 1
        cells = [*row.cells[self._skip :]] if row.cells else []
        width = len(self._columns)
        # What has no column of its own must not be lost: it goes, line for line, into the raw column.
        raw = row.raw or ("\x1f".join(cells) if len(cells) > width else "")
        cells = (cells + [""] * width)[:width]
        said = [str(row.line), column, reason.value, WHAT_TO_DO[reason], raw.replace("\0", "\\0"), *cells]
        csv.writer(self._open(), quoting=csv.QUOTE_ALL, lineterminator="\n").writerow([neutral(cell) for cell in said])

    def _open(self) -> IO[str]:
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path, descriptor = self._create()
            # With a byte order mark, without which Excel takes UTF-8 for the local encoding.
            self._file = os.fdopen(descriptor, "w", encoding="utf-8-sig", newline="")
            csv.writer(self._file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(
                [*REJECTS_HEADER, *(neutral(column) for column in self._columns)]
            )
        return self._file

    def _create(self) -> tuple[Path, int]:
        """A new file that only its owner may read; never one that is there, never through a link."""
        for n in range(1, 10_000):
            path = self._folder / f"{self._name}{f'-{n}' if n > 1 else ''}.csv"
            try:
                return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                continue
        raise FileExistsError(f"too many rejects files called {self._name} in {self._folder}")
