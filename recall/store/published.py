"""Which versions did a journey ever have, and who published them?"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from recall.clock import Instant
from recall.errors import Misconfigured
from recall.store import schema
from recall.store.versions import Version, read_version


@dataclass(frozen=True)
class PublishedVersion:
    """When a version was first published, and by whom."""

    id: int
    number: int
    hash: str
    at: Instant
    who: str
    is_current: bool  # the one new enrolments enter


def published_versions(connection: Connection, journey: str) -> list[PublishedVersion]:
    """Every version of a journey, oldest first; empty when it was never published."""
    table, journeys = schema.versions, schema.journeys
    rows = connection.execute(
        select(table, journeys.c.current_version_id)
        .join(journeys, journeys.c.id == table.c.journey_id)
        .where(journeys.c.name == journey)
        .order_by(table.c.number)
    )
    return [
        PublishedVersion(
            row.id, row.number, row.hash, row.published_at, row.published_by, row.id == row.current_version_id
        )
        for row in rows
    ]


def numbered_version(connection: Connection, journey: str, number: int | None) -> Version:
    """One version by its number (None: the current one); raises Misconfigured when it was not published."""
    versions = published_versions(connection, journey)
    for version in versions:
        if version.is_current if number is None else version.number == number:
            return read_version(connection, version.id)
    if not versions:
        raise Misconfigured(f"no journey {journey!r} is published; run `recall journey publish {journey}`")
    numbers = ", ".join(str(version.number) for version in versions)
    raise Misconfigured(f"{journey} has no version {number}; there are: {numbers}")
