"""What is behind an address id? Read only where a message or a lookup needs it."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from recall.store import schema

_A = schema.addresses


def read_values(connection: Connection, ids: Collection[int]) -> dict[int, str]:
    """Normalised values by id; erased ones are left out."""
    if not ids:
        return {}
    rows = connection.execute(select(_A.c.id, _A.c.value).where(_A.c.id.in_(sorted(ids)), _A.c.value.is_not(None)))
    return {row.id: row.value for row in rows}
