"""How are thousands of rows written in one statement? The driver's own way on each store.

PostgreSQL: COPY for inserts, UPDATE … FROM unnest(arrays) for updates. SQLite: executemany, UPDATE … FROM json_each.
The hot path only; everything else uses SQLAlchemy's statements.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Connection, Table, bindparam, func, select


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
    return list(ids) if is_postgresql(connection) else _json_list(ids)


def _json_list(ids: Iterable[int]) -> str:
    return f"[{','.join(map(str, ids))}]"


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
    member = "= any(%(ids)s::bigint[])" if postgresql else "in (select value from json_each(:ids))"
    parameters = {c: v for c, v in changes.items() if not isinstance(v, Sql)}
    cursor = driver(connection).execute(
        f"update {table.name} set {sets} where {key} {member}{' and ' + only if only else ''}",
        parameters | {"ids": f"{{{','.join(map(str, ids))}}}" if postgresql else _json_list(ids)},
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


def update_texts(
    connection: Connection,
    table: Table,
    *,
    key: str,
    column: str,
    texts: Mapping[str, str | None],
    same: Mapping[str, Any],
    only: str = "",
) -> int:
    """Give each row (found by `key`) a text of its own in `column`, and all of them what is the same.

    Returns how many rows changed.
    """
    if not texts:
        return 0
    postgresql = is_postgresql(connection)
    mark = "%s" if postgresql else "?"
    sets = ", ".join([f"{column} = given.value", *(f"{name} = {mark}" for name in same)])
    given, parameters = _unnested(texts) if postgresql else ("json_each(?)", [json.dumps(texts)])
    cursor = driver(connection).execute(
        f"update {table.name} set {sets} from {given} as given "
        f"where {table.name}.{key} = given.key{' and ' + only if only else ''}",
        [*same.values(), *parameters],
    )
    return int(cursor.rowcount)


def _unnested(texts: Mapping[str, str | None]) -> tuple[str, list[str]]:
    cut = "unnest(string_to_array(%s, %s, %s))"
    parameters = [part for column in (texts, texts.values()) for part in (_joined(list(column)), _END, _NULL)]
    return f"(select {cut} as key, {cut} as value)", parameters


_END, _NULL = "\x1e", "\x1f"  # between two texts, and instead of one


def _joined(column: Sequence[str | None]) -> str:
    """Texts as one, which the server cuts up again: several times cheaper than an array parameter."""
    texts = [_NULL if text is None else text for text in column]
    joined = _END.join(texts)
    if joined.count(_END) != len(texts) - 1 or joined.count(_NULL) != column.count(None):
        return _END.join(_NULL if text is None else text.replace(_END, " ").replace(_NULL, " ") for text in column)
    return joined
