"""Which journey is this, exactly? Published versions never change; workers execute nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, select

from journeys.program import MessageNode, Program
from recall.clock import Instant
from recall.errors import Misconfigured
from recall.store import schema


@dataclass(frozen=True, eq=False)
class Version:
    """One published version of one journey."""

    id: int
    journey_id: int
    name: str  # the journey's id in its file
    number: int
    hash: str
    brand: str
    program: Program


def publish_version(connection: Connection, program: Program, *, now: Instant, who: str) -> Version:
    """Publish a program; the same content again returns the version there is (and makes it current)."""
    content = program.model_dump_json(exclude_none=True)
    digest = hashlib.sha256(content.encode()).hexdigest()
    journey_id = _ensure_journey(connection, program)
    version_id = connection.execute(
        select(schema.versions.c.id).where(schema.versions.c.journey_id == journey_id, schema.versions.c.hash == digest)
    ).scalar()
    if version_id is None:
        version_id = _insert_version(connection, journey_id, program, content=content, digest=digest, now=now, who=who)
    connection.execute(
        schema.journeys.update()
        .where(schema.journeys.c.id == journey_id)
        .values(current_version_id=version_id, priority=program.journey.entry.priority, retired_at=None)
    )
    return read_version(connection, version_id)


def _ensure_journey(connection: Connection, program: Program) -> int:
    table, journey = schema.journeys, program.journey
    found = connection.execute(select(table.c.id).where(table.c.name == journey.id)).scalar()
    if found is not None:
        return int(found)
    row = connection.execute(table.insert().values(name=journey.id, brand=journey.brand).returning(table.c.id))
    return int(row.scalar_one())


def _insert_version(
    connection: Connection, journey_id: int, program: Program, *, content: str, digest: str, now: Instant, who: str
) -> int:
    table = schema.versions
    number = connection.execute(
        select(func.count()).select_from(table).where(table.c.journey_id == journey_id)
    ).scalar_one()
    version_id = connection.execute(
        table.insert()
        .values(
            journey_id=journey_id, number=number + 1, hash=digest, program=content, published_at=now, published_by=who
        )
        .returning(table.c.id)
    ).scalar_one()
    connection.execute(
        schema.steps.insert(),
        [
            {
                "version_id": version_id,
                "step_id": node.id,
                "name": node.name,
                "kind": node.kind,
                "channel": node.channel if isinstance(node, MessageNode) else None,
            }
            for node in program.nodes
        ],
    )
    return int(version_id)


def read_version(connection: Connection, version_id: int) -> Version:
    """One published version; raises Misconfigured when there is none with this id."""
    return _one(_read(connection, _BY_ID, id=version_id), f"no published version {version_id}")


def current_version(connection: Connection, journey: str) -> Version:
    """The version new enrolments enter; raises Misconfigured when the journey was never published."""
    found = _read(connection, _CURRENT, journey=journey)
    return _one(found, f"no journey {journey!r} is published; run `recall journey publish`")


def _one(found: list[Version], missing: str) -> Version:
    if not found:
        raise Misconfigured(missing)
    return found[0]


def versions_in_use(connection: Connection, journey: str) -> list[Version]:
    """Every version of a journey somebody is inside, and the current one; oldest first."""
    return _read(connection, _IN_USE, journey=journey)


def _somebody_inside() -> ColumnElement[bool]:
    """One look into the index of active enrolments per version, however many people are enrolled.

    The first in the index's order: as EXISTS under an OR, PostgreSQL would read all that is active.
    """
    inside = schema.enrolments
    first = (
        select(1)
        .where(inside.c.version_id == schema.versions.c.id, schema.is_active(inside))
        .order_by(inside.c.step_id, inside.c.due_at)
        .limit(1)
    )
    return first.correlate(schema.versions).scalar_subquery().is_not(None)


def all_versions_in_use(connection: Connection) -> list[Version]:
    """Every version of any journey somebody is inside; oldest first."""
    return _read(connection, _ALL_IN_USE)


def published_journeys(connection: Connection) -> list[Version]:
    """The current version of every journey that is not retired, by name."""
    return _read(connection, _PUBLISHED)


def _read(connection: Connection, statement: Select[Any], **asked: object) -> list[Version]:
    return [_version(*row) for row in connection.execute(statement, asked)]


@lru_cache(maxsize=256)
def _version(
    version_id: int, journey_id: int, name: str, number: int, digest: str, brand: str, content: str
) -> Version:
    """The same object each time, so that what is prepared for a version is prepared once."""
    return Version(version_id, journey_id, name, number, digest, brand, Program.model_validate_json(content))


# Statements are built once: building one costs more than asking it.
_V, _J = schema.versions, schema.journeys
_ALL = select(_V.c.id, _V.c.journey_id, _J.c.name, _V.c.number, _V.c.hash, _J.c.brand, _V.c.program).join(
    _J, _J.c.id == _V.c.journey_id
)
_NAMED = _ALL.where(_J.c.name == bindparam("journey")).order_by(_V.c.id)
_IS_CURRENT = _J.c.current_version_id == _V.c.id
_BY_ID = _ALL.where(_V.c.id == bindparam("id"))
_CURRENT = _NAMED.where(_IS_CURRENT)
_IN_USE = _NAMED.where(_somebody_inside() | _IS_CURRENT)
_ALL_IN_USE = _ALL.where(_somebody_inside()).order_by(_V.c.id)
_PUBLISHED = _ALL.where(_IS_CURRENT, _J.c.retired_at.is_(None)).order_by(_J.c.name)
