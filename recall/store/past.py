"""What happened in a store, told again in the order in which it happened?"""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlalchemy import select, tuple_

from recall.clock import Instant
from recall.store import schema
from recall.store.connect import Store
from recall.store.events import NewEvent
from recall.store.people import NewUser

_U, _V, _Z = schema.users, schema.events, schema.zones
_PAGE = 10_000


def past_users(store: Store) -> Iterator[NewUser]:
    """Everybody who is not erased, with zone, locale and jurisdiction; addresses and attributes stay behind.

    Both are only known as they are today, and would tell the past what it could not know.
    """
    last = 0
    while True:
        page = (
            select(_U.c.id, _U.c.user_id, _U.c.locale, _U.c.jurisdiction, _U.c.created_at, _Z.c.names)
            .join(_Z, _Z.c.id == _U.c.zone_id)
            .where(_U.c.id > last, _U.c.erased_at.is_(None))
            .order_by(_U.c.id)
            .limit(_PAGE)
        )
        with store.reading() as connection:
            rows = list(connection.execute(page))
        for row in rows:
            zones = tuple(row.names.split(",")) if row.names else ()
            yield NewUser(
                row.user_id, zones=zones, locale=row.locale, jurisdiction=row.jurisdiction, created_at=row.created_at
            )
        if len(rows) < _PAGE:
            return
        last = rows[-1].id


def past_events(store: Store, *, after: Instant, until: Instant) -> Iterator[NewEvent]:
    """Events in (after, until], oldest first; constant memory."""
    place = (after, 2**62)
    while True:
        page = (
            select(_V.c.id, _V.c.key, _U.c.user_id, _V.c.name, _V.c.at, _V.c.properties)
            .join(_U, _U.c.id == _V.c.user_id)
            .where(tuple_(_V.c.at, _V.c.id) > place, _V.c.at <= until)
            .order_by(_V.c.at, _V.c.id)
            .limit(_PAGE)
        )
        with store.reading() as connection:
            rows = list(connection.execute(page))
        for row in rows:
            yield NewEvent(
                row.key, row.user_id, row.name, row.at, json.loads(row.properties) if row.properties else None
            )
        if len(rows) < _PAGE:
            return
        place = (rows[-1].at, rows[-1].id)
