"""What did people allow and forbid, and how much did they get of late?

The gate reads `consent_state` and `contact_state`: few, narrow rows instead of the history behind them.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Table, Text

from recall.store.schema.columns import Id, at, count, flag, metadata, row_id
from recall.store.schema.people import LAST_COUNTED, LAST_PER_CHANNEL

CHANNELS = ("push", "sms", "email", "call", "in_app", "task")
FOR_GOOD = 2**62  # a rest_until that no sign of life ends

consents = Table(  # append-only: who said what, when, to which wording
    "consents",
    metadata,
    row_id(),
    Column("key", Text, nullable=False, unique=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("brand", Text, nullable=False, server_default="default"),
    Column("channel", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    flag("granted"),
    at("at"),
    at("expires_at", null=True),
    Column("source", Text, nullable=False, server_default=""),
    Column("wording", Text, nullable=False, server_default=""),
)
Index("consents_by_user", consents.c.user_id)

consent_state = Table(  # the consent in force, for the gate
    "consent_state",
    metadata,
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    Column("brand", Text, primary_key=True),
    Column("purpose", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("consent_id", Id, nullable=False),
    flag("granted"),
    at("at"),
    at("expires_at", null=True),
    sqlite_with_rowid=False,
)

suppressions = Table(  # never: one row per decision; lives on after erasure as a hash
    "suppressions",
    metadata,
    row_id(),
    Column("brand", Text, nullable=False, server_default="default"),
    Column("kind", Text, nullable=False),  # phone | email | push | user
    Column("hash", Text, nullable=False),  # HMAC of kind and value (for users: of the user id)
    Column("channel", Text, nullable=False, server_default=""),  # "" = every channel
    Column("reason", Text, nullable=False),  # opted_out | complained | suppressed | operator …
    Column("source", Text, nullable=False, server_default=""),
    at("at"),
    at("until", null=True),  # a pause chosen by the person
    at("ended_at", null=True),
)
Index("suppressions_by_hash", suppressions.c.hash, suppressions.c.kind)
Index(
    "suppressions_in_force",
    suppressions.c.hash,
    suppressions.c.kind,
    suppressions.c.brand,
    suppressions.c.channel,
    unique=True,
    postgresql_where=suppressions.c.ended_at.is_(None),
    sqlite_where=suppressions.c.ended_at.is_(None),
)

contact_state = Table(  # one wide row per person and brand: what caps and the unresponsive rule need
    "contact_state",
    metadata,
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    Column("brand", Text, primary_key=True),
    *[at(f"s{n}", null=True) for n in range(1, LAST_COUNTED + 1)],  # counted sends, newest first
    *[at(f"{channel}{n}", null=True) for channel in CHANNELS for n in range(1, LAST_PER_CHANNEL + 1)],
    count("streak"),  # counted sends without a sign of life
    at("responded_at", null=True),
    at("rest_until", null=True),
    count("rests"),
    sqlite_with_rowid=False,
)
