"""How are thousands of rows written in one statement? The driver's own way on each store.

PostgreSQL: COPY for inserts, one UPDATE … FROM unnest(arrays) for updates. SQLite: executemany.
The hot path only; everything else uses SQLAlchemy's statements.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Boolean, ColumnElement, Connection, Double, Integer, Table, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

_PG_TYPES = {BigInteger: "bigint", Integer: "integer", Boolean: "boolean", Double: "double precision"}


def is_postgresql(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def driver(connection: Connection) -> Any:
    """The driver's own connection (sqlite3 or psycopg), inside the same transaction."""
    return connection.connection.driver_connection


def among(connection: Connection, column: ColumnElement[int], name: str) -> ColumnElement[bool]:
    """`column` is one of the ids given as parameter `name`; pass them with `ids_parameter`."""
    if is_postgresql(connection):
        return column == func.any(bindparam(name, type_=ARRAY(BigInteger)))
    return column.in_(select(func.json_each(bindparam(name)).table_valued("value").c.value))


def ids_parameter(connection: Connection, ids: Iterable[int]) -> Any:
    """The value for a parameter of `among`."""
    return list(ids) if is_postgresql(connection) else json.dumps(list(ids))


def update_ids(
    connection: Connection, table: Table, ids: Sequence[int], changes: Mapping[str, Any], *, only: str = ""
) -> int:
    """Give many rows (by their first key column) the same values; a value may be a SQL expression as `Sql`.

    `only` is a further condition in SQL. Returns how many rows changed.
    """
    if not ids:
        return 0
    postgresql = is_postgresql(connection)
    key = next(iter(table.primary_key.columns)).name
    mark = "%({})s" if postgresql else ":{}"
    sets = ", ".join(f"{c} = {v.text if isinstance(v, Sql) else mark.format(c)}" for c, v in changes.items())
    member = "= any(%(ids)s)" if postgresql else "in (select value from json_each(:ids))"
    parameters = {c: v for c, v in changes.items() if not isinstance(v, Sql)}
    cursor = driver(connection).execute(
        f"update {table.name} set {sets} where {key} {member}{' and ' + only if only else ''}",
        parameters | {"ids": ids_parameter(connection, ids)},
    )
    return int(cursor.rowcount)


class Sql:
    """A piece of SQL standing for a value; never built from anything a person wrote."""

    def __init__(self, text: str) -> None:
        self.text = text


def insert_rows(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Append rows; raises the driver's IntegrityError when a unique key is taken."""
    if not rows:
        return
    names = ", ".join(columns)
    if is_postgresql(connection):
        with driver(connection).cursor() as cursor, cursor.copy(f"copy {table.name} ({names}) from stdin") as copy:
            for row in rows:
                copy.write_row(row)
        return
    marks = ", ".join("?" * len(columns))
    driver(connection).executemany(f"insert into {table.name} ({names}) values ({marks})", rows)


def update_rows(
    connection: Connection,
    table: Table,
    *,
    key: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    only: str = "",
) -> int:
    """Give each row (found by `key`, first in each tuple) its own values; returns how many changed."""
    if not rows:
        return 0
    if is_postgresql(connection):
        return _update_unnest(connection, table, key, columns, rows, only)
    sets = ", ".join(f"{column} = ?" for column in columns)
    cursor = driver(connection).executemany(
        f"update {table.name} set {sets} where {key} = ?{' and ' + only if only else ''}",
        [(*row[1:], row[0]) for row in rows],
    )
    return int(cursor.rowcount)


def _update_unnest(
    connection: Connection, table: Table, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], only: str
) -> int:
    names = (key, *columns)
    arrays = ", ".join(f"%s::{_pg_type(table, name)}[]" for name in names)
    sets = ", ".join(f"{column} = new.{column}" for column in columns)
    cursor = driver(connection).execute(
        f"update {table.name} set {sets} from unnest({arrays}) as new({', '.join(names)}) "
        f"where {table.name}.{key} = new.{key}{' and ' + only if only else ''}",
        [list(column) for column in zip(*rows, strict=True)],
    )
    return int(cursor.rowcount)


def _pg_type(table: Table, name: str) -> str:
    kind = table.c[name].type
    return next((sql for python, sql in _PG_TYPES.items() if type(kind) is python), "text")
