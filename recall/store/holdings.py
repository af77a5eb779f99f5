"""What do we hold about one person, besides their passages?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, tuple_

from recall.store import schema
from recall.store.connect import Store

_A, _L = schema.addresses, schema.user_addresses


@dataclass(frozen=True)
class Holdings:
    """Rows of each kind, oldest first."""

    addresses: list[Any]
    attributes: list[Any]
    consents: list[Any]
    suppressions: list[Any]
    events: list[Any]


def read_holdings(connection: Connection, store: Store, user: str, user_id: int) -> Holdings:
    """Everything about a user that is not a passage through a journey."""
    links = select(_A, _L.c.since, _L.c.until).join(_L, _L.c.address_id == _A.c.id).where(_L.c.user_id == user_id)
    addresses = list(connection.execute(links.order_by(_L.c.since, _A.c.id)))
    hashes = [("user", store.hash_address("user", user)), *((row.kind, row.hash) for row in addresses)]
    table = schema.suppressions
    decided = select(table).where(tuple_(table.c.kind, table.c.hash).in_(hashes)).order_by(table.c.at, table.c.id)
    return Holdings(
        addresses=addresses,
        attributes=_of(connection, schema.user_attributes, user_id, schema.user_attributes.c.name),
        consents=_of(connection, schema.consents, user_id, schema.consents.c.at),
        suppressions=list(connection.execute(decided)),
        events=_of(connection, schema.events, user_id, schema.events.c.at),
    )


def _of(connection: Connection, table: Any, user_id: int, order: Any) -> list[Any]:
    return list(connection.execute(select(table).where(table.c.user_id == user_id).order_by(order)))
