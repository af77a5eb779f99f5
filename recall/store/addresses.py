"""What is behind an address id? Read only where a message or a lookup needs it."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from recall.store import schema
from recall.store.given import give

_A = schema.addresses


def read_values(connection: Connection, ids: Collection[int]) -> dict[int, str]:
    """Normalised values by id; erased ones are left out."""
    if not ids:
        return {}
    rows = connection.execute(select(_A.c.id, _A.c.value).where(_A.c.id.in_(sorted(ids)), _A.c.value.is_not(None)))
    return {row.id: row.value for row in rows}


def ids_of_hashes(connection: Connection, which: Collection[tuple[str, str]]) -> list[int]:
    """Ids of the addresses we have, by kind and hash."""
    given = give(connection, "hashes", {"kind": "text", "hash": "text"}, sorted(set(which)))
    rows = given.run(
        connection, "select a.id from {given} join addresses a on a.hash = given.hash and a.kind = given.kind"
    )
    return [int(row.id) for row in rows]


def phone_regions(connection: Connection) -> set[str]:
    """Countries (ISO 3166) of the phones we have."""
    rows = select(_A.c.region).where(_A.c.kind == "phone", _A.c.region != "").distinct()
    return set(connection.execute(rows).scalars())
