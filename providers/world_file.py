"""What does the world remember? One SQLite file, shared by every process that sends to it or asks it.

Each request is one durable transaction: the log line, what it does to the person and what they will tell us
about it are all there, or nothing is.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from providers.accepted import Accepted
from providers.life import Kick, Life, Nature
from providers.nature import Stage
from providers.people import Person, Population
from providers.world_rows import (
    HAPPENING_COLUMNS,
    PERSON_COLUMNS,
    REQUEST_COLUMNS,
    Row,
    accepted_from,
    event_rows,
    person_from,
    person_row,
)
from recall.clock import Instant
from recall.errors import Misconfigured

LOCK_SECONDS = 8.0  # below the 10 s a caller waits for a provider
_CHUNK = 500  # values in one `in (...)`

_TABLES = """
create table facts (name text primary key, value text not null);
create table people (
    user text primary key, zone text not null, locale text not null, jurisdiction text not null,
    phone text not null, email text not null, push_token text not null,
    attributes text not null, consents text not null, created_at integer not null,
    stage text not null, silent_since integer not null, enters_at integer not null,
    tendency real not null, response real not null,
    requests integer not null default 0
) without rowid;
create table requests (  -- everything asked of the provider, never deduplicated: the oracle
    id integer primary key, ref text not null, at integer not null, channel text not null, user text not null,
    kind text not null, address text not null, body text not null, title text not null, html text not null,
    link text not null, body_hash text not null, sender text not null, provider_id text not null,
    meta text not null, outcome text not null, cause text not null
);
create index requests_by_ref on requests (ref);
create index requests_by_user on requests (user, at);
create table kicks (user text not null, sent_at integer not null, at integer not null, size real not null);
create index kicks_by_user on kicks (user);
create table stops (address text not null, channel text not null, at integer not null);
create index stops_by_address on stops (address);
create table happenings (
    id integer primary key, at integer not null, key text not null, kind text not null, user text not null,
    ref text not null, channel text not null, name text not null, detail text not null,
    taken integer not null default 0
);
create index happenings_to_come on happenings (at, key, id) where taken = 0;
create index happenings_by_user on happenings (user) where taken = 0 and kind = 'event';
"""


@contextmanager
def world_open(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for one piece of work; transactions are begun by hand."""
    if not path.exists():
        raise Misconfigured(f"there is no world in {path.name} yet: make one with providers.world.populate")
    connection = sqlite3.connect(path, isolation_level=None, timeout=LOCK_SECONDS)
    try:
        connection.execute("pragma synchronous = full")
        yield connection
    finally:
        connection.close()


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("begin immediate")
    try:
        yield
        connection.execute("commit")
    finally:
        if connection.in_transaction:
            connection.execute("rollback")


def create(path: Path, population: Population) -> None:
    """Lay an empty world, in place of one that was never finished."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        leftover.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("pragma journal_mode = wal")
        connection.executescript(f"begin; {_TABLES} commit;")
        facts = asdict(population) | {"taken_until": population.start}
        rows = [(name, json.dumps(value)) for name, value in facts.items()]
        connection.executemany("insert into facts values (?, ?)", rows)
    finally:
        connection.close()


def population_of(connection: sqlite3.Connection) -> Population:
    facts = {name: json.loads(value) for name, value in connection.execute("select name, value from facts")}
    facts.pop("taken_until")
    stages = {Stage(stage): share for stage, share in facts.pop("stages").items()}
    return Population(**facts, stages=stages)


def taken_until(connection: sqlite3.Connection) -> Instant:
    """Up to when happenings were asked for; what is before can no longer change."""
    return int(connection.execute("select value from facts where name = 'taken_until'").fetchone()[0])


def set_taken_until(connection: sqlite3.Connection, now: Instant) -> None:
    if now > taken_until(connection):
        query = "update facts set value = max(cast(value as integer), ?) where name = 'taken_until'"
        with transaction(connection):
            connection.execute(query, (now,))


# --- people ---------------------------------------------------------------------------------------------


def add_people(connection: sqlite3.Connection, people: Iterable[tuple[Person, Nature]]) -> None:
    rows = [person_row(person, nature) for person, nature in people]
    connection.executemany(f"insert into people ({PERSON_COLUMNS}) values ({_marks(PERSON_COLUMNS)})", rows)


def all_people(connection: sqlite3.Connection, seed: int) -> Iterator[tuple[Person, Nature, int]]:
    for row in connection.execute(f"select {PERSON_COLUMNS} from people order by user"):
        yield person_from(row, seed)


def people_by_user(
    connection: sqlite3.Connection, users: Sequence[str], seed: int
) -> dict[str, tuple[Person, Nature, int]]:
    rows = _select(connection, f"select {PERSON_COLUMNS} from people where user in", users)
    return {row[0]: person_from(row, seed) for row in rows}


def kicks_by_user(connection: sqlite3.Connection, users: Sequence[str]) -> dict[str, list[Kick]]:
    return _kicks(_select(connection, "select user, sent_at, at, size from kicks where user in", users))


def kicks_of_all(connection: sqlite3.Connection) -> dict[str, list[Kick]]:
    return _kicks(connection.execute("select user, sent_at, at, size from kicks"))


def _kicks(rows: Iterable[Row]) -> dict[str, list[Kick]]:
    kicks: dict[str, list[Kick]] = {}
    for user, sent_at, at, size in rows:
        kicks.setdefault(user, []).append(Kick(sent_at, at, size))
    return kicks


def add_kicks(connection: sqlite3.Connection, user: str, kicks: Iterable[Kick]) -> None:
    rows = [(user, kick.sent_at, kick.at, kick.size) for kick in kicks]
    connection.executemany("insert into kicks values (?, ?, ?, ?)", rows)


def stops_by_address(connection: sqlite3.Connection, addresses: Sequence[str]) -> dict[tuple[str, str], Instant]:
    """Since when the owner of an address has said stop to a channel, by (address, channel)."""
    stops: dict[tuple[str, str], Instant] = {}
    for address, channel, at in _select(
        connection, "select address, channel, at from stops where address in", addresses
    ):
        stops[address, channel] = min(at, stops.get((address, channel), at))
    return stops


def add_stop(connection: sqlite3.Connection, address: str, channel: str, at: Instant) -> None:
    connection.execute("insert into stops values (?, ?, ?)", (address, channel, at))


# --- requests -------------------------------------------------------------------------------------------


def add_request(connection: sqlite3.Connection, user: str, row: Row) -> None:
    connection.execute(f"insert into requests ({REQUEST_COLUMNS}) values ({_marks(REQUEST_COLUMNS)})", row)
    connection.execute("update people set requests = requests + 1 where user = ?", (user,))


def accepted_since(connection: sqlite3.Connection, user: str, since: Instant) -> int:
    """Accepted messages to one person from an instant on."""
    query = "select count(*) from requests where user = ? and at >= ? and outcome = 'accepted'"
    return int(connection.execute(query, (user, since)).fetchone()[0])


def accepted_rows(connection: sqlite3.Connection) -> Iterator[Accepted]:
    """The log of accepted requests, in the order taken."""
    for row in connection.execute(f"select {REQUEST_COLUMNS} from requests where outcome = 'accepted' order by id"):
        yield accepted_from(row)


def accepted_refs(connection: sqlite3.Connection, refs: Sequence[str]) -> dict[str, str]:
    """The provider's ids of those refs that were taken."""
    query = "select ref, provider_id from requests where outcome = 'accepted' and ref in"
    return {ref: provider_id for ref, provider_id in _select(connection, query, refs)}


# --- happenings -----------------------------------------------------------------------------------------


def add_happenings(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    query = f"insert into happenings ({HAPPENING_COLUMNS}) values ({_marks(HAPPENING_COLUMNS)})"
    connection.executemany(query, rows)


def rewrite_future(connection: sqlite3.Connection, user: str, life: Life, *, now: Instant) -> None:
    """Put a new future in place of the one that was to come."""
    query = "delete from happenings where user = ? and kind = 'event' and taken = 0 and at > ?"
    connection.execute(query, (user, now))
    add_happenings(connection, event_rows(user, life, after=now))


def happenings_due(connection: sqlite3.Connection, now: Instant, limit: int) -> list[tuple[int, Row]]:
    """What is to be told by now and was not acknowledged, earliest first."""
    query = f"select id, {HAPPENING_COLUMNS} from happenings where taken = 0 and at <= ? order by at, key, id limit ?"
    return [(row[0], row[1:]) for row in connection.execute(query, (now, limit))]


def next_happening_at(connection: sqlite3.Connection) -> Instant | None:
    found: Instant | None = connection.execute("select min(at) from happenings where taken = 0").fetchone()[0]
    return found


def acknowledge(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    with transaction(connection):
        connection.executemany("update happenings set taken = 1 where id = ?", [(one,) for one in ids])


def _select(connection: sqlite3.Connection, query: str, values: Sequence[str]) -> Iterator[Row]:
    """Run a query that ends in `in` for any number of values."""
    distinct = sorted(set(values))
    for start in range(0, len(distinct), _CHUNK):
        chunk = distinct[start : start + _CHUNK]
        yield from connection.execute(f"{query} ({_marks(chunk)})", chunk)


def _marks(values: str | Sequence[str]) -> str:
    count = len(values.split(",")) if isinstance(values, str) else len(values)
    return ", ".join("?" * count)
