"""Was this row in the file before? A scratch table that starts in memory and moves to disk when it grows.

Memory stays the same for a file of a thousand rows and of a hundred million.
"""

from __future__ import annotations

import sqlite3
from types import TracebackType


class Seen:
    """What a file told so far, by digest; forgotten when closed."""

    def __init__(self) -> None:
        # The empty name is a private database of SQLite that is written to a temporary file only under pressure.
        self._scratch = sqlite3.connect("", isolation_level=None)
        self._scratch.execute("pragma journal_mode = off")
        self._scratch.execute("create table seen (key blob primary key, said blob, n integer) without rowid")
        self._scratch.execute("begin")

    def __enter__(self) -> Seen:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._scratch.close()

    def count(self, key: bytes) -> int:
        """How often this key was told, this time included."""
        told = self._scratch.execute(
            "insert into seen values (?, null, 1) on conflict do update set n = n + 1 returning n", (key,)
        )
        return int(told.fetchone()[0])

    def contradicts(self, key: bytes, said: bytes, n: int) -> int | None:
        """The line on which something else was said about this key; None when it is new, or said again alike."""
        told = self._scratch.execute(
            "insert into seen values (?, ?, ?) on conflict do update set key = key returning said, n", (key, said, n)
        )
        first, line = told.fetchone()
        return None if first == said else int(line)
