"""What was published? Policies are live, versions never change."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint

from recall.store.schema.columns import Id, at, count, flag, metadata, row_id

policies = Table(  # live: the row with the greatest id of a name is in force
    "policies",
    metadata,
    row_id(),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("content", Text, nullable=False),  # journeys.policy.Policy as JSON
    at("published_at"),
)
Index("policies_by_name", policies.c.name, policies.c.id)

journeys = Table(
    "journeys",
    metadata,
    row_id(),
    Column("name", Text, nullable=False, unique=True),  # the id in the file
    Column("brand", Text, nullable=False, server_default="default"),
    Column("current_version_id", Id),
    count("priority"),
    at("retired_at", null=True),
)

versions = Table(  # immutable
    "versions",
    metadata,
    row_id(),
    Column("journey_id", Id, ForeignKey("journeys.id"), nullable=False),
    Column("number", Integer, nullable=False),  # 1, 2, 3 … for people
    Column("hash", Text, nullable=False),
    Column("program", Text, nullable=False),  # journeys.program.Program as JSON
    at("published_at"),
    Column("published_by", Text, nullable=False, server_default=""),
    UniqueConstraint("journey_id", "hash"),
)

steps = Table(  # the nodes of a version, for queries and reports
    "steps",
    metadata,
    Column("version_id", Id, ForeignKey("versions.id"), primary_key=True),
    Column("step_id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("channel", Text),
    flag("counts"),  # its channel counted to caps when published; the live policy decides
)
