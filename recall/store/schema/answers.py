"""What comes back? What vendors told us, the links in messages, and replies that meant something."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table, Text, UniqueConstraint, text

from recall.store.schema.columns import at, metadata, row_id

receipts = Table(  # inbox: what vendors told us, kept before it is interpreted
    "receipts",
    metadata,
    row_id(),
    Column("provider", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("kind", Text, nullable=False),
    at("at"),
    at("received_at"),
    Column("detail", Text, nullable=False, server_default=""),
    at("applied_at", null=True),
    UniqueConstraint("provider", "event_id"),
)
Index(
    "receipts_unapplied",
    receipts.c.id,
    postgresql_where=text("applied_at is null"),
    sqlite_where=text("applied_at is null"),
)

links = Table(  # the short address in a message, and the only place a click on it may lead
    "links",
    metadata,
    Column("token", Text, primary_key=True),
    Column("ref", Text, nullable=False),  # of the send
    Column("target", Text, nullable=False),
    at("at"),
)

inbound = Table(  # replies that meant something; unique per vendor event, so that a repeated START cannot undo a STOP
    "inbound",
    metadata,
    row_id(),
    Column("provider", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    at("at"),
    at("received_at"),
    Column("channel", Text, nullable=False, server_default=""),
    Column("kind", Text, nullable=False),  # of the address: phone | email
    Column("hash", Text, nullable=False),  # of the address
    Column("meaning", Text, nullable=False),  # stop | start | review
    Column("text", Text),  # only where a person must read it; phones and e-mails masked; NULL once handled or erased
    at("handled_at", null=True),
    Column("handled_by", Text),
    Column("verdict", Text),  # stop | nothing
    UniqueConstraint("provider", "event_id"),
)
Index(
    "inbound_to_review",
    inbound.c.id,
    postgresql_where=text("meaning = 'review' and handled_at is null"),
    sqlite_where=text("meaning = 'review' and handled_at is null"),
)
