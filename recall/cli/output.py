"""How does an answer look? With `--json` one JSON object on stdout, else words for people; remarks go to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH_OF_A_PIPE = 160  # columns, where no terminal tells


class Output:
    """Where a verb says what it found."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json

    def answer(self, data: Mapping[str, Any], *lines: str | Table) -> None:
        """The result of a verb, once: `data` for programs, `lines` for people."""
        if self.as_json:
            print(json.dumps(data, ensure_ascii=False, default=str))
            return
        for line in lines:
            print(line) if isinstance(line, str) else _print_table(line)

    def remark(self, text: str) -> None:
        """Something worth knowing that is not the result."""
        print(text, file=sys.stderr)

    def fail(self, message: str) -> None:
        """What went wrong and what to do next."""
        print(f"recall: {message}", file=sys.stderr)
        if self.as_json:
            print(json.dumps({"error": message}, ensure_ascii=False))

    @contextmanager
    def progress(self, label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Yields `advance(n)`; draws only on a terminal."""
        if not sys.stderr.isatty():
            yield lambda _: None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda n: bar.advance(task, n)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> Table:
    """A table for people; columns that hold only numbers are aligned to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for n, column in enumerate(columns):
        numbers = bool(rows) and all(isinstance(row[n], int | float) for row in rows)
        made.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    return made


def _print_table(made: Table) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE).print(made)
