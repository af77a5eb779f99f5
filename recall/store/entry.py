"""What is asked of each candidate before entering, and what is written for those who enter?

Everything happens a page at a time under the journey's row lock, so that two runs at once count one daily limit,
and journeys that do not overlap see each other's people. The unique keys hold even without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, Select, and_, case, func, literal_column, or_, select, text
from sqlalchemy.sql.elements import ColumnElement

from recall.clock import Instant
from recall.store import schema
from recall.store.audience import NOW, found_in
from recall.store.candidates import USERS, Candidates, Span, candidates, walk_indexes
from recall.store.controls import read_controls
from recall.store.given import give
from recall.store.versions import Version

_S = schema.contact_state.alias("state")
_E = schema.enrolments


class Candidate(NamedTuple):
    """One person who may enter, with what speaks against it."""

    user_id: int
    entry_key: str
    anchor_at: Instant
    host_id: str  # the host's user id
    jurisdiction: str
    zone_id: int
    erased: bool
    suppressed: bool  # the person, or every address there is
    resting: bool  # unresponsive, and left alone
    passages: int  # through this journey, so far
    inside: bool  # this journey, now
    last_ended_at: Instant | None  # of those passages
    elsewhere: bool  # inside another journey; asked only where journeys may not overlap


class NewEnrolment(NamedTuple):
    """One person who enters."""

    user_id: int
    entry_key: str
    anchor_at: Instant
    holdout: str
    due_at: Instant


@dataclass(frozen=True)
class Entrance:
    """The door of one version, prepared once and used page by page."""

    version: Version
    candidates: Candidates
    statement: Select[Any]


@lru_cache(maxsize=256)
def prepare(version: Version) -> Entrance:
    """Build the statement that finds candidates and what speaks against them."""
    found = candidates(version)
    mine = and_(_S.c.user_id == USERS.c.id, _S.c.brand == version.brand)
    statement = found.statement.outerjoin(_S, mine).add_columns(
        USERS.c.user_id.label("host_id"),
        USERS.c.jurisdiction,
        USERS.c.zone_id,
        USERS.c.erased_at.is_not(None),
        or_(USERS.c.suppressed, _all_addresses_suppressed()),
        func.coalesce(_S.c.rest_until, 0) > NOW,
        *_passages(version),
        _elsewhere(version),
    )
    return Entrance(version, found, statement)


def read_page(connection: Connection, entrance: Entrance, page: Span, *, now: Instant) -> list[Candidate]:
    """The candidates of one page, in the order in which they enter."""
    walk_indexes(connection)
    parameters = entrance.candidates.parameters(now, page)
    return [Candidate._make(row) for row in connection.execute(entrance.statement, parameters)]


def _all_addresses_suppressed() -> ColumnElement[bool]:
    """Has addresses, and none that may be written to."""
    table = schema.addresses.alias()
    current = (USERS.c.phone_id, USERS.c.email_id, USERS.c.push_id)
    usable = (table.c.id.in_(current), table.c.id != schema.NO_ADDRESS, table.c.suppressed.is_(False))
    return and_(or_(*[column != schema.NO_ADDRESS for column in current]), ~found_in(table, *usable))


def _passages(version: Version) -> tuple[ColumnElement[Any], ...]:
    """How many passages through this journey, whether in one now, and when the last ended."""
    table = schema.enrolments.alias()

    def over(what: ColumnElement[Any]) -> ColumnElement[Any]:
        mine = (table.c.journey_id == version.journey_id, table.c.user_id == USERS.c.id)
        return select(what).where(*mine).correlate_except(table).scalar_subquery()

    inside = over(func.coalesce(func.max(case((table.c.active, 1), else_=0)), 0)) == 1
    return over(func.count()), inside, over(func.max(table.c.ended_at))


def _elsewhere(version: Version) -> ColumnElement[bool]:
    if version.program.journey.entry.overlap == "allow":
        return literal_column("0", Integer) == 1
    table = schema.enrolments.alias()
    others = (table.c.user_id == USERS.c.id, table.c.journey_id != version.journey_id, schema.is_active(table))
    return found_in(table, *others)


# --- the door -------------------------------------------------------------------------------------------


_STALE_STATISTICS = """
select relname from pg_stat_user_tables
where relname in ('user_events', 'user_attributes') and n_mod_since_analyze > 1000 + n_live_tup / 10
order by relname
"""


def refresh_statistics(connection: Connection) -> None:
    """Tell PostgreSQL's planner about events that came in bulk just now.

    While it takes an event for rare, it may look a person's latest one up by walking everybody's.
    """
    if connection.dialect.name == "postgresql":
        for table in connection.execute(text(_STALE_STATISTICS)).scalars().all():
            connection.execute(text(f"analyze {table}"))


def lock_entry(connection: Connection, version: Version) -> bool:
    """Keep other entries out of this journey until commit; returns whether it lets nobody in (paused, retired).

    A journey that may not overlap keeps entries out of all journeys. Locks are taken in one order, and let through
    whoever only refers to a journey; SQLite has one writer anyway.
    """
    table = schema.journeys
    locked = select(table.c.id, table.c.retired_at).order_by(table.c.id).with_for_update(key_share=True)
    if version.program.journey.entry.overlap == "allow":
        locked = locked.where(table.c.id == version.journey_id)
    retired = any(row.retired_at is not None for row in connection.execute(locked) if row.id == version.journey_id)
    return retired or version.name in read_controls(connection).paused


def count_entered(connection: Connection, journey_id: int, *, since: Instant) -> int:
    """How many entered a journey since a moment."""
    entered = select(func.count()).where(_E.c.journey_id == journey_id, _E.c.entered_at >= since)
    return int(connection.execute(entered).scalar_one())


_INSERT_STATES = """
insert into contact_state (user_id, brand)
select given.user_id, :brand from {given} where true order by given.user_id
on conflict do nothing
"""

_INSERT_ENROLMENTS = """
insert into enrolments (
    journey_id, version_id, user_id, entry_key, anchor_at, entered_at, holdout,
    priority, step_id, due_at, first_due_at, base_at, goal_until
)
select
    :journey_id, :version_id, given.user_id, given.entry_key, given.anchor_at, :now, given.holdout,
    :priority, :step_id, given.due_at, given.due_at, :now, :goal_until
from {given} where true order by given.due_at, given.user_id
on conflict do nothing
returning user_id
"""

_COLUMNS = {"user_id": "bigint", "entry_key": "text", "anchor_at": "bigint", "holdout": "text", "due_at": "bigint"}


def insert_enrolments(
    connection: Connection, version: Version, rows: Sequence[NewEnrolment], *, now: Instant, goal_until: Instant
) -> set[int]:
    """Let people in, each at most once; returns users.id of those who were not in already."""
    if not rows:
        return set()
    given = give(connection, "entries", _COLUMNS, rows)
    given.run(connection, _INSERT_STATES, brand=version.brand)
    entered = given.run(
        connection,
        _INSERT_ENROLMENTS,
        journey_id=version.journey_id,
        version_id=version.id,
        priority=version.program.journey.entry.priority,
        step_id=version.program.start.node,
        now=now,
        goal_until=goal_until,
    )
    return set(entered.scalars())


def add_counts(
    connection: Connection, version: Version, counts: Mapping[str, int], rows: dict[str, int], *, now: Instant
) -> None:
    """Add to the counts of one run; `rows` remembers its rows between pages, reason -> entry_counts.id."""
    table = schema.entry_counts
    for reason, users in counts.items():
        if reason in rows:
            changed = table.update().where(table.c.id == rows[reason]).values(users=table.c.users + users)
            connection.execute(changed)
        elif users:
            new = table.insert().values(
                journey_id=version.journey_id, version_id=version.id, at=now, reason=reason, users=users
            )
            rows[reason] = int(connection.execute(new.returning(table.c.id)).scalar_one())
