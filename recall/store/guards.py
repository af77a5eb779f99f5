"""What does the store say about itself to the guards that stand outside it?"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from journeys.words import End
from recall.clock import Instant
from recall.store import schema
from recall.store.connect import Store
from recall.store.moves import end

EPOCH = "epoch"


def store_epoch(store: Store) -> str:
    """The name of this store, drawn once; a copy of it has the same."""
    known = store.fact(EPOCH)
    if known is not None:
        return known
    drawn = secrets.token_hex(8)
    try:
        with store.writing() as connection:
            connection.execute(schema.facts.insert().values(name=EPOCH, value=drawn))
    except IntegrityError:  # another process drew one in the same moment; that one holds
        return store_epoch(store)
    return drawn


def knows_ref(store: Store, ref: str) -> bool:
    """Whether this message is in the ledger."""
    with store.reading() as connection:
        return connection.execute(select(schema.sends.c.id).where(schema.sends.c.ref == ref)).first() is not None


def unknown_refs(connection: Connection, refs: Iterable[str]) -> set[str]:
    """Which of these messages the ledger has never heard of."""
    wanted = set(refs)
    ordered = sorted(wanted)
    for start in range(0, len(ordered), 1000):
        some = ordered[start : start + 1000]
        wanted -= set(connection.execute(select(schema.sends.c.ref).where(schema.sends.c.ref.in_(some))).scalars())
    return wanted


def end_for_good(connection: Connection, who: Iterable[tuple[str, str]], *, now: Instant) -> int:
    """End the passages of these (user, journey): the store forgot what they were sent, so they get no more of it."""
    enrolments, users, journeys = schema.enrolments, schema.users, schema.journeys
    ids: list[int] = []
    for user, journey in sorted(set(who)):
        inside = (
            select(enrolments.c.id)
            .join(users, users.c.id == enrolments.c.user_id)
            .join(journeys, journeys.c.id == enrolments.c.journey_id)
            .where(users.c.user_id == user, journeys.c.name == journey, enrolments.c.active.is_(True))
        )
        ids += connection.execute(inside).scalars()
    return end(connection, ids, End.OPERATOR, now=now)
