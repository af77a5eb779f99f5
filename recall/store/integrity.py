"""Is the store whole? What the database itself can tell, and whether every table and column is there."""

from __future__ import annotations

from sqlalchemy import Connection, inspect

from recall.store import schema
from recall.store.connect import Store


def find_damage(store: Store) -> list[str]:
    """One line per thing wrong; empty when all is well. Reads the whole file on SQLite."""
    with store.reading() as connection:
        damage = _missing_columns(connection)
        if not store.is_postgresql:
            damage += _sqlite_damage(connection)
    return damage


def _missing_columns(connection: Connection) -> list[str]:
    inspector = inspect(connection)
    tables = set(inspector.get_table_names())
    missing = []
    for table in schema.metadata.sorted_tables:
        there = {column["name"] for column in inspector.get_columns(table.name)} if table.name in tables else set()
        missing += [f"{column} is missing" for column in table.columns if column.name not in there]
    return missing


def _sqlite_damage(connection: Connection) -> list[str]:
    verdicts = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    damage = [str(verdict) for verdict in verdicts if verdict != "ok"]
    return damage + [f"{row[0]} row {row[1]} points to a row of {row[2]} that is gone" for row in orphans]
