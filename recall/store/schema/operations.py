"""What does the store know of itself, and what was done with it: switched, read in, run, pruned, by whom?"""

from __future__ import annotations

from sqlalchemy import Column, Table, Text

from recall.store.schema.columns import Id, at, count, metadata, row_id

facts = Table(  # one row per fact about this store: key fingerprint, simulated, virtual clock, highest time seen
    "facts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

controls = Table(  # what a person switched: kill switch, paused journeys, stopped templates and steps
    "controls",
    metadata,
    Column("kind", Text, primary_key=True),  # kill_switch | paused | stopped_step | stopped_template | approved
    Column("subject", Text, primary_key=True),  # journey id, "journey/step", version hash; "" = everything
    at("at"),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
)

operator_actions = Table(  # who did what, for the audit
    "operator_actions",
    metadata,
    row_id(),
    at("at"),
    Column("who", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("why", Text, nullable=False, server_default=""),
)

prunings = Table(  # what was forgotten because it was kept long enough: one row per pass and kind, counts only
    "prunings",
    metadata,
    row_id(),
    at("at"),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),  # as in the policy's retention: bodies, events, receipts …
    at("cutoff"),  # older than this
    count("rows"),
)

sources = Table(  # how fresh each source of events is
    "sources",
    metadata,
    Column("name", Text, primary_key=True),
    at("loaded_at"),  # when we last read it
    at("as_of"),  # up to when it tells
)

imports = Table(  # one row per file read
    "imports",
    metadata,
    row_id(),
    Column("kind", Text, nullable=False),
    Column("file_hash", Text, nullable=False),
    Column("source", Text, nullable=False),
    at("at"),
    count("read"),
    count("added"),
    count("changed"),
    count("unchanged"),
    count("rejected"),
)

runs = Table(  # one pass over everything due in a journey
    "runs",
    metadata,
    row_id(),
    Column("journey_id", Id),
    Column("kind", Text, nullable=False),  # run | enrol | replay | reconcile
    at("started_at"),
    at("ended_at", null=True),
    Column("counts", Text),  # JSON
)
