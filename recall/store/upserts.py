"""How is a row written that may be there already? The INSERT … ON CONFLICT of the store at hand."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from recall.store.bulk import is_postgresql


def insert(connection: Connection, table: Table) -> Any:
    """A statement with `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return postgresql.insert(table) if is_postgresql(connection) else sqlite.insert(table)
