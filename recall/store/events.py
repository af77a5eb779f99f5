"""What did people do? Events are appended once, whatever order they come in and however often they are told.

One transaction keeps four things together: the event, the latest event of each name (`user_events`), who changed
(`changed_users`, read by converge), and the answer how many were new.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from recall.clock import Instant
from recall.store.connect import Store, read_fact
from recall.store.given import PLACE, Given, give, is_postgresql

EVENTS_SINCE = (
    "events_since"  # a fact of the store: events before this were forgotten, because they were kept long enough
)
_EVER = -(2**62)
_CHUNK = 10_000  # rows per statement
_COLUMNS = {
    "n": PLACE,
    "key": "text",
    "who": "text",
    "name": "text",
    "at": "bigint",
    "properties": "text",
}


class NewEvent(NamedTuple):
    """One thing a user did, as its source tells it."""

    key: str  # makes the event unique for ever; see `source_key`
    user: str  # the host's user id
    name: str
    at: Instant
    properties: Mapping[str, str] | None = None  # text values; amounts stay text


@dataclass(frozen=True)
class Recorded:
    """What became of events that were told: added + unchanged + refused = told."""

    added: int = 0
    unchanged: int = 0  # known already, exactly so
    refused: Mapping[int, str] = field(
        default_factory=dict
    )  # place in rows -> unknown_user | erased_user | key_taken | too_old

    def __add__(self, other: Recorded) -> Recorded:
        return Recorded(self.added + other.added, self.unchanged + other.unchanged, {**self.refused, **other.refused})


def source_key(source: str, event_id: str) -> str:
    """The key of an event that has an id where it comes from; every door names it the same way."""
    return f"{source}:{event_id}"


def written_properties(properties: Mapping[str, str] | None) -> str | None:
    """Properties as they are kept: JSON with sorted keys, so that equal ones are equal text; None for none."""
    if not properties:
        return None
    return json.dumps(properties, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def record_events(where: Connection | Store, rows: Sequence[NewEvent], now: Instant) -> Recorded:
    """Append the events that are new, in one transaction (the one `where` is in, or one of its own)."""
    if isinstance(where, Store):
        with where.writing() as connection:
            return record_events(connection, rows, now)
    recorded = Recorded()
    for start in range(0, len(rows), _CHUNK):
        recorded += _record(where, rows[start : start + _CHUNK], start=start, now=now)
    return recorded


def _record(connection: Connection, rows: Sequence[NewEvent], *, start: int, now: Instant) -> Recorded:
    # A generator: thousands of tuples that live at once keep the garbage collector busy.
    told = ((n, *row[:4], written_properties(row[4])) for n, row in enumerate(rows, start))
    given = give(connection, "events", _COLUMNS, told)
    since = events_since(connection)
    append = _append_postgresql if is_postgresql(connection) else _append
    added = append(connection, given, since=since, now=now)
    refused = _refused(connection, given, since) if added < len(rows) else {}
    return Recorded(added, len(rows) - added - len(refused), refused)


_APPEND = """
insert into events (key, user_id, name, at, properties, recorded_at)
select given.key, users.id, given.name, given.at, given.properties, :now
from {given} join users on users.user_id = given.who
where users.erased_at is null and given.at >= :since
order by given.n
on conflict (key) do nothing
"""

_SUMMARISE = """
insert into user_events (user_id, name, first_at, last_at, last_event_id, times)
{added}
on conflict (user_id, name) do update set
    first_at = case when excluded.first_at < user_events.first_at then excluded.first_at else user_events.first_at end,
    last_event_id = case
        when excluded.last_at > user_events.last_at
          or (excluded.last_at = user_events.last_at and excluded.last_event_id > user_events.last_event_id)
        then excluded.last_event_id else user_events.last_event_id end,
    last_at = case when excluded.last_at > user_events.last_at then excluded.last_at else user_events.last_at end,
    times = user_events.times + excluded.times
"""

# SQLite takes the rows of one statement in turn, so each may meet the summary the one before it left; PostgreSQL wants
# one row per summary, and rows in key order: two writers that touch the same people then wait for each other instead
# of deadlocking.
_EACH = "select user_id, name, at, at, id, 1 from {added}"
_GROUPED = """
select user_id, name, first_at, at, id, times from (
    select id, user_id, name, at,
           row_number() over (partition by user_id, name order by at desc, id desc) as place,
           min(at) over (partition by user_id, name) as first_at,
           count(*) over (partition by user_id, name) as times
    from {added}
) as added
where place = 1
order by user_id, name
"""

_CHANGED = "insert into changed_users (user_id) select distinct user_id from {added}"


def _append(connection: Connection, given: Given, *, since: Instant, now: Instant) -> int:
    """SQLite: one writer at a time, so the new events are those with a greater id than before."""
    before = connection.execute(text("select coalesce(max(id), 0) from events")).scalar_one()
    added = given.run(connection, _APPEND, since=since, now=now).rowcount
    if added:
        new = "events not indexed where id > :before"  # else SQLite walks all events in the order of an index
        each = _EACH.replace("{added}", new)
        connection.execute(text(_SUMMARISE.replace("{added}", each)), {"before": before})
        connection.execute(text(_CHANGED.replace("{added}", new)), {"before": before})
    return int(added)


def _append_postgresql(connection: Connection, given: Given, *, since: Instant, now: Instant) -> int:
    """PostgreSQL: one statement, because other writers append meanwhile."""
    summarise = _SUMMARISE.replace("{added}", _GROUPED.replace("{added}", "new"))
    changed = _CHANGED.replace("{added}", "new")
    statement = f"""
        with new as ({_APPEND} returning id, user_id, name, at), summary as ({summarise}), changes as ({changed})
        select count(*) from new
    """
    return int(given.run(connection, statement, since=since, now=now).scalar_one())


_REFUSED = """
select given.n, users.id as user_id, users.erased_at, given.at < :since as is_too_old
from {given} left join users on users.user_id = given.who left join events on events.key = given.key
where users.id is null or users.erased_at is not null or (events.id is null and given.at < :since)
   or events.user_id <> users.id or events.name <> given.name or events.at <> given.at
   or coalesce(events.properties, '') <> coalesce(given.properties, '')
"""


def _refused(connection: Connection, given: Given, since: Instant) -> dict[int, str]:
    """Events that were neither added nor known exactly so."""
    return {row.n: _why(row) for row in given.run(connection, _REFUSED, since=since)}


def _why(row: Any) -> str:
    if row.user_id is None:
        return "unknown_user"
    if row.erased_at is not None:
        return "erased_user"
    return "too_old" if row.is_too_old else "key_taken"


def events_since(connection: Connection) -> Instant:
    """Older events were forgotten and are not taken again; they would count twice."""
    return int(read_fact(connection, EVENTS_SINCE) or _EVER)
