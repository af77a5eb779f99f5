"""Is this store a simulation, and what time is it there? Its clock is a row, so that every process agrees on it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event, literal, select, union_all

from recall.clock import Instant
from recall.errors import Misconfigured
from recall.store import schema
from recall.store.connect import Store, read_fact, write_fact

_REAL = (schema.users, schema.events, schema.enrolments, schema.sends, schema.suppressions)


def is_simulated(connection: Connection) -> bool:
    return read_fact(connection, "simulated") == "true"


def mark_simulated(connection: Connection, *, at: Instant) -> None:
    """Make this store a simulation that begins at `at`; raises Misconfigured for a store that holds anything real."""
    if not is_simulated(connection):
        found = _filled(connection)
        if found:
            raise Misconfigured(
                f"this store holds real data ({', '.join(found)}), so it cannot become a simulation; "
                "name a new file with --store"
            )
        write_fact(connection, "simulated", "true")
    move_clock(connection, to=at)


def move_clock(connection: Connection, *, to: Instant) -> None:
    """Let it be `to` in a simulated store; time never goes back there, or what is due would be due again."""
    if not is_simulated(connection):
        raise Misconfigured("only a simulated store has a clock that can be set")
    now = read_fact(connection, "virtual_now")
    if now is not None and int(now) > to:
        raise Misconfigured("the clock of a simulated store cannot go back; begin a new simulation")
    write_fact(connection, "virtual_now", str(to))


def _filled(connection: Connection) -> list[str]:
    """Tables with somebody or something in them."""
    looks = [select(literal(table.name)).where(select(literal(1)).select_from(table).exists()) for table in _REAL]
    return sorted(connection.execute(union_all(*looks)).scalars())


def throw_away(store: Store) -> None:
    """Do not wait for the disk: a simulated store that is lost is simulated again. Refuses any other store."""
    with store.reading() as connection:
        if not is_simulated(connection):
            raise Misconfigured("only a simulated store may forget a commit")
    if store.is_postgresql:
        return

    @event.listens_for(store.engine, "connect")
    def _hurry(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    store.engine.dispose()
