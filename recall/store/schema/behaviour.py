"""What did people do? `user_events` holds the latest event of each name, `changed_users` whom to look at again."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Table, Text

from recall.store.schema.columns import Id, at, count, metadata, row_id

events = Table(  # append-only
    "events",
    metadata,
    row_id(),
    Column("key", Text, nullable=False, unique=True),  # the source's id, else a hash of the row
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("name", Text, nullable=False),
    at("at"),
    Column("properties", Text),  # JSON object of text values; NULL = none
    at("recorded_at"),
)
Index("events_by_user", events.c.user_id, events.c.name, events.c.at)

user_events = Table(  # the latest event of each name, so that audiences need not read the history
    "user_events",
    metadata,
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    at("first_at"),
    at("last_at"),
    Column("last_event_id", Id, nullable=False),
    count("times"),
    sqlite_with_rowid=False,
)
Index("user_events_by_time", user_events.c.name, user_events.c.last_at, user_events.c.user_id)

changed_users = Table(  # written with each event, consumed by converge
    "changed_users",
    metadata,
    row_id(),
    Column("user_id", Id, nullable=False),
)
