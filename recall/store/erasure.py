"""How is a person forgotten, so that nothing remains but a hash that keeps them from being messaged again?

Counts and times stay (a report of last month must not change); every text that says who, where or what does not.
The suppression hash is of the host's id and of each address that was only theirs, so that an import of an old
list brings nobody back.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from sqlalchemy import Connection, Table, Text, cast, func, literal, select

from journeys.words import End
from recall.clock import Instant
from recall.errors import Misconfigured
from recall.store import schema
from recall.store.connect import Store, busy_told
from recall.store.controls import record_action
from recall.store.people import ERASED
from recall.store.suppressions import suppress_address, suppress_user

_U, _A, _L = schema.users, schema.addresses, schema.user_addresses


@dataclass(frozen=True)
class Erased:
    """What was forgotten; counts only."""

    addresses: int
    attributes: int
    events: int
    messages: int
    enrolments_ended: int


def erase(connection: Connection, store: Store, *, user: str, who: str, why: str, at: Instant) -> Erased:
    """Forget a user (the host's id); raises Misconfigured when nobody has this id. Cannot be taken back."""
    overwrite_deleted(connection)
    user_id = connection.execute(select(_U.c.id).where(_U.c.user_id == user)).scalar()
    if user_id is None:
        raise Misconfigured("no user has this id (or it was erased already); ids are compared exactly, as text")
    hashed = store.hash_address("user", user)
    suppress_user(connection, store, user=user, reason=ERASED, source="erasure", at=at)
    own = _own_addresses(connection, user_id)
    for address_id in own:
        suppress_address(connection, store, address_id=address_id, reason=ERASED, source="erasure", at=at)
    done = Erased(
        addresses=len(own),
        attributes=_delete(connection, schema.user_attributes, user_id),
        events=_forget_events(connection, user_id),
        messages=_forget_messages(connection, user_id),
        enrolments_ended=_end_enrolments(connection, user_id, at),
    )
    _forget_addresses(connection, user_id, own)
    _forget_user(connection, user_id, hashed, at)
    record_action(connection, "erase", hashed, who=who, why=why, at=at)
    return done


def overwrite_deleted(connection: Connection) -> None:
    """Let SQLite write zeros over what this connection deletes, rather than leave it in the file's free pages."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")


def empty_log(store: Store) -> None:
    """Move SQLite's write-ahead log into the file and empty it: it holds earlier states of every page.

    Waits for readers, as any writer does; where they do not end, the log is emptied with the next checkpoint.
    """
    if store.is_postgresql:
        return
    with busy_told(store.engine), closing(store.engine.raw_connection()) as raw:
        raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _own_addresses(connection: Connection, user_id: int) -> list[int]:
    """Addresses that never belonged to anybody else."""
    shared = select(_L.c.address_id).group_by(_L.c.address_id).having(func.count() > 1)
    mine = select(_L.c.address_id).where(_L.c.user_id == user_id, _L.c.address_id.not_in(shared))
    return list(connection.execute(mine.order_by(_L.c.address_id)).scalars())


def _delete(connection: Connection, table: Table, user_id: int) -> int:
    return int(connection.execute(table.delete().where(table.c.user_id == user_id)).rowcount)


def _forget_events(connection: Connection, user_id: int) -> int:
    _delete(connection, schema.user_events, user_id)
    _delete(connection, schema.changed_users, user_id)
    return _delete(connection, schema.events, user_id)


def _forget_messages(connection: Connection, user_id: int) -> int:
    sends, links = schema.sends, schema.links
    refs = select(sends.c.ref).where(sends.c.user_id == user_id)
    connection.execute(links.delete().where(links.c.ref.in_(refs)))
    forgotten = sends.update().where(sends.c.user_id == user_id, sends.c.body.is_not(None))
    return int(connection.execute(forgotten.values(body=None, link=None)).rowcount)


def _end_enrolments(connection: Connection, user_id: int, at: Instant) -> int:
    table = schema.enrolments
    mine = table.update().where(table.c.user_id == user_id)
    ended = connection.execute(
        mine.where(schema.is_active(table)).values(active=False, ended_at=at, end_reason=End.ERASED.value)
    )
    connection.execute(mine.values(entry_key=literal("erased-") + cast(table.c.id, Text)))
    return int(ended.rowcount)


def _forget_addresses(connection: Connection, user_id: int, own: list[int]) -> None:
    nothing = schema.NO_ADDRESS
    mine = _U.update().where(_U.c.id == user_id)
    connection.execute(mine.values(phone_id=nothing, email_id=nothing, push_id=nothing))
    _delete(connection, _L, user_id)
    inbound, hashes = schema.inbound, select(_A.c.hash).where(_A.c.id.in_(own))
    connection.execute(inbound.update().where(inbound.c.hash.in_(hashes)).values(text=None))
    connection.execute(_A.update().where(_A.c.id.in_(own)).values(value=None, region="", subkind=""))


def _forget_user(connection: Connection, user_id: int, hashed: str, at: Instant) -> None:
    consents = schema.consents
    key = literal("erased-") + cast(consents.c.id, Text)
    connection.execute(consents.update().where(consents.c.user_id == user_id).values(key=key, source="", wording=""))
    values = {"user_id": f"erased-{hashed[:32]}", "locale": "", "jurisdiction": "", "erased_at": at}
    connection.execute(_U.update().where(_U.c.id == user_id).values(**values))
