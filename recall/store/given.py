"""How do thousands of rows become the source of one statement? PostgreSQL: arrays; SQLite: a temporary table.

The statement that follows is the same on both: `… from {given} join …`, where the rows are called `given`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, CursorResult, text

from recall.errors import StoreBusy

Columns = Mapping[str, str]  # column -> bigint | text | boolean | double precision | place
PLACE = "place"  # a number that grows from row to row: SQLite keeps the rows by it, so ordering by it sorts nothing


@dataclass(frozen=True)
class Given:
    """Rows at hand within one transaction, until the next rows of the same name are given."""

    source: str
    parameters: Mapping[str, Any]

    def run(self, connection: Connection, statement: str, **parameters: Any) -> CursorResult[Any]:
        """Execute a statement in which `{given}` stands for these rows.

        They come first in every join: SQLite knows nothing about the temporary table and would rather walk a whole
        index of ours when that spares a sort. `cross join` keeps its hands off the order.
        """
        if not is_postgresql(connection):
            statement = statement.replace("{given} join", "{given} cross join")
        return connection.execute(text(statement.replace("{given}", self.source)), {**self.parameters, **parameters})


def is_postgresql(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def give(connection: Connection, name: str, columns: Columns, rows: Iterable[Sequence[Any]]) -> Given:
    """Put rows where a statement can read them; `name` tells the temporary tables of SQLite apart."""
    if is_postgresql(connection):
        return _as_arrays(columns, rows)
    table = f"given_{name}"
    kinds = {column: "integer primary key" if kind == PLACE else kind for column, kind in columns.items()}
    names = ", ".join(f"{column} {kind}" for column, kind in kinds.items())
    marks = ", ".join("?" * len(columns))
    sqlite: Any = connection.connection.driver_connection
    try:
        sqlite.execute(f"create temp table if not exists {table} ({names})")
        sqlite.execute(f"delete from temp.{table}")
        sqlite.executemany(f"insert into temp.{table} values ({marks})", rows)
    except connection.dialect.loaded_dbapi.OperationalError as error:
        raise StoreBusy(f"the store cannot be written ({type(error).__name__})") from None
    return Given(f"temp.{table} as given", {})


def _as_arrays(columns: Columns, rows: Iterable[Sequence[Any]]) -> Given:
    arrays = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in columns]
    kinds = {column: "bigint" if kind == PLACE else kind for column, kind in columns.items()}
    casts = ", ".join(f"cast(:given_{column} as {kind}[])" for column, kind in kinds.items())
    parameters = {f"given_{column}": values for column, values in zip(columns, arrays, strict=True)}
    return Given(f"unnest({casts}) as given({', '.join(columns)})", parameters)
