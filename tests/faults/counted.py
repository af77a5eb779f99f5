"""How does every statement, commit and file operation of a process become a moment?

Beneath SQLAlchemy, so that hot writes by the driver's own cursor count too; and in the module `os`, for the files of
one folder: the spool, the marks, rejects, a project.
"""

from __future__ import annotations

import errno
import io
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine, event

from tests.faults.moments import MOMENTS

# --- the store ------------------------------------------------------------------------------------------------------


def _full() -> Exception:
    texts = ("disk I/O error", "database or disk is full", "database is locked")
    return sqlite3.OperationalError(texts[MOMENTS.counts["statement"] % len(texts)])


class _LiteCursor(sqlite3.Cursor):
    def execute(self, *given: Any) -> Any:
        MOMENTS.reach("statement", fails=_full)
        return super().execute(*given)

    def executemany(self, *given: Any) -> Any:
        MOMENTS.reach("statement", fails=_full)
        return super().executemany(*given)


class _LiteConnection(sqlite3.Connection):
    def cursor(self, *_: Any) -> Any:  # type: ignore[override]
        return super().cursor(_LiteCursor)

    def execute(self, *given: Any) -> Any:  # type: ignore[override]
        return self.cursor().execute(*given)

    def executemany(self, *given: Any) -> Any:  # type: ignore[override]
        return self.cursor().executemany(*given)

    def commit(self) -> None:
        MOMENTS.reach("commit", fails=_full)
        super().commit()
        MOMENTS.leave("commit", is_lost=_full)

    def rollback(self) -> None:
        if not MOMENTS.is_dead:
            super().rollback()

    def give_up(self) -> None:
        super().rollback()


class _PostgreSQLCursor(psycopg.Cursor[Any]):
    def execute(self, *given: Any, **named: Any) -> Any:
        MOMENTS.reach("statement", fails=self._lose)
        return super().execute(*given, **named)

    def executemany(self, *given: Any, **named: Any) -> None:
        MOMENTS.reach("statement", fails=self._lose)
        super().executemany(*given, **named)

    @contextmanager
    def copy(self, *given: Any, **named: Any) -> Iterator[Any]:
        MOMENTS.reach("statement", fails=self._lose)
        with super().copy(*given, **named) as copying:
            yield copying

    def _lose(self) -> Exception:
        """By turns a lost connection, a deadlock and a statement that took too long."""
        match MOMENTS.counts["statement"] % 3:
            case 0:
                self.connection.close()
                return psycopg.OperationalError("server closed the connection unexpectedly")
            case 1:
                return psycopg.errors.DeadlockDetected("deadlock detected")
            case _:
                return psycopg.errors.QueryCanceled("canceling statement due to statement timeout")


class _PostgreSQLConnection(psycopg.Connection[Any]):
    def commit(self) -> None:
        MOMENTS.reach("commit", fails=self._lose)
        super().commit()
        MOMENTS.leave("commit", is_lost=self._lose)

    def rollback(self) -> None:
        if not MOMENTS.is_dead:
            super().rollback()

    def give_up(self) -> None:
        if not self.closed:
            super().rollback()

    def _lose(self) -> Exception:
        self.close()
        return psycopg.OperationalError("server closed the connection unexpectedly")


def count_statements(engine: Engine) -> None:
    """From now on every connection of this engine has moments."""
    is_postgresql = engine.dialect.name == "postgresql"

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, given: list[Any], named: dict[str, Any]) -> Any:
        connection: Any
        if is_postgresql:
            connection = _PostgreSQLConnection.connect(*given, cursor_factory=_PostgreSQLCursor, **named)
        else:
            connection = sqlite3.connect(*given, factory=_LiteConnection, **named)
        MOMENTS.connections.append(connection)
        return connection


# --- the tripwire's own file ---------------------------------------------------------------------------------------


class _WireConnection(sqlite3.Connection):
    """Counts of its own; SQLite keeps what was committed."""

    def execute(self, *given: Any) -> Any:  # type: ignore[override]
        MOMENTS.reach("tripwire", fails=lambda: sqlite3.OperationalError("database or disk is full"))
        done = super().execute(*given)
        MOMENTS.leave("tripwire")
        return done

    def executemany(self, *given: Any) -> Any:  # type: ignore[override]
        MOMENTS.reach("tripwire", fails=lambda: sqlite3.OperationalError("database or disk is full"))
        return super().executemany(*given)

    def give_up(self) -> None:
        super().rollback()


class CountedSqlite:
    """Stands for the module `sqlite3` where the tripwire opens its file."""

    Error, OperationalError = sqlite3.Error, sqlite3.OperationalError

    @staticmethod
    def connect(*given: Any, **named: Any) -> Any:
        connection = sqlite3.connect(*given, factory=_WireConnection, **named)
        MOMENTS.connections.append(connection)
        return connection


# --- files ---------------------------------------------------------------------------------------------------------


@contextmanager
def counted_files(folder: Path, *, but: tuple[str, ...] = ("recall.db", "tripwire.db")) -> Iterator[None]:
    """Every file operation below `folder` is a moment: the spool, the marks, rejects."""
    inside, before = f"{folder}{os.sep}", {name: getattr(os, name) for name in _BY_PATH | {"write", "fsync"}}
    opened: set[int] = set()

    def is_ours(path: Any) -> bool:
        text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
        return str(text).startswith(inside) and not any(name in str(text) for name in but)

    def by_path(name: str) -> Callable[..., Any]:
        def work(path: Any, *given: Any, **named: Any) -> Any:
            done = _do(before[name], is_ours(path), path, *given, **named)
            if name == "open" and is_ours(path):
                opened.add(done)
            return done

        return work

    def write(descriptor: int, data: Any) -> int:
        if descriptor in opened and MOMENTS.is_on:
            _reach_file()
            if MOMENTS.is_torn("file"):
                before["write"](descriptor, bytes(data)[: len(data) // 2])
                MOMENTS.die()
            done = before["write"](descriptor, data)
            MOMENTS.leave("file")
            return int(done)
        return int(before["write"](descriptor, data))

    real_open = io.open

    def read(path: Any, *given: Any, **named: Any) -> Any:
        return _do(real_open, is_ours(path), path, *given, **named)

    os.write, os.fsync, io.open = write, lambda d: _do(before["fsync"], d in opened, d), read  # type: ignore[assignment]
    for name in _BY_PATH:
        setattr(os, name, by_path(name))
    try:
        yield
    finally:
        io.open = real_open
        for name, real in before.items():
            setattr(os, name, real)


_BY_PATH = {"open", "rename", "replace", "unlink", "mkdir"}


def _reach_file() -> None:
    MOMENTS.reach(
        "file", ENOSPC=lambda: OSError(errno.ENOSPC, "No space left on device"), EIO=lambda: OSError(errno.EIO, "I/O")
    )


def _do(work: Callable[..., Any], is_ours: bool, *given: Any, **named: Any) -> Any:
    if not is_ours:
        return work(*given, **named)
    _reach_file()
    done = work(*given, **named)
    MOMENTS.leave("file")
    return done
