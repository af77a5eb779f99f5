"""Which journey is this, exactly? Published versions never change; workers execute nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import ColumnElement, Connection, func, select

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


@lru_cache(maxsize=256)
def _parse(content: str) -> Program:
    return Program.model_validate_json(content)


def read_version(connection: Connection, version_id: int) -> Version:
    """One published version; raises Misconfigured when there is none with this id."""
    return _one(connection, schema.versions.c.id == version_id, f"no published version {version_id}")


def current_version(connection: Connection, journey: str) -> Version:
    """The version new enrolments enter; raises Misconfigured when the journey was never published."""
    return _one(
        connection,
        (schema.journeys.c.name == journey) & (schema.journeys.c.current_version_id == schema.versions.c.id),
        f"no journey {journey!r} is published; run `recall journey publish`",
    )


def _one(connection: Connection, condition: object, missing: str) -> Version:
    found = _read(connection, condition)
    if not found:
        raise Misconfigured(missing)
    return found[0]


def versions_in_use(connection: Connection, journey: str) -> list[Version]:
    """Every version of a journey somebody is inside, and the current one; oldest first."""
    return _read(
        connection,
        (schema.journeys.c.name == journey)
        & (_somebody_inside() | (schema.versions.c.id == schema.journeys.c.current_version_id)),
    )


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
    return _read(connection, _somebody_inside())


def published_journeys(connection: Connection) -> list[Version]:
    """The current version of every journey that is not retired, by name."""
    return _read(
        connection,
        (schema.journeys.c.current_version_id == schema.versions.c.id) & schema.journeys.c.retired_at.is_(None),
        order=schema.journeys.c.name,
    )


def _read(connection: Connection, condition: object, *, order: object = schema.versions.c.id) -> list[Version]:
    rows = connection.execute(
        select(schema.versions, schema.journeys.c.name, schema.journeys.c.brand)
        .join(schema.journeys, schema.journeys.c.id == schema.versions.c.journey_id)
        .where(condition)  # type: ignore[arg-type]  # built above from columns
        .order_by(order)  # type: ignore[arg-type]
    )
    return [
        Version(row.id, row.journey_id, row.name, row.number, row.hash, row.brand, _parse(row.program)) for row in rows
    ]
