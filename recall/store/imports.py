"""Which files were read, and how fresh is each source?"""

from __future__ import annotations

from sqlalchemy import Connection, text

from recall.clock import Instant
from recall.store import schema


def record_import(
    connection: Connection,
    *,
    kind: str,
    file_hash: str,
    source: str,
    at: Instant,
    read: int,
    added: int,
    changed: int,
    unchanged: int,
    rejected: int,
) -> None:
    """Note that a file was read to its end."""
    counts = {"read": read, "added": added, "changed": changed, "unchanged": unchanged, "rejected": rejected}
    connection.execute(schema.imports.insert().values(kind=kind, file_hash=file_hash, source=source, at=at, **counts))


def note_source(connection: Connection, name: str, *, loaded_at: Instant, as_of: Instant) -> None:
    """Note up to when a source tells; an older file read later does not make it older."""
    connection.execute(
        text(
            "insert into sources (name, loaded_at, as_of) values (:name, :loaded_at, :as_of)"
            " on conflict (name) do update set loaded_at = excluded.loaded_at,"
            " as_of = case when excluded.as_of > sources.as_of then excluded.as_of else sources.as_of end"
        ),
        {"name": name, "loaded_at": loaded_at, "as_of": as_of},
    )
