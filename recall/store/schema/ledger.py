"""What was sent, what became of it, and what was said about sends in doubt?"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint, text

from recall.store.schema.columns import Id, at, flag, metadata, row_id

sends = Table(  # one row and one ref per (enrolment, step, channel, attempt group)
    "sends",
    metadata,
    row_id(),
    Column("ref", Text, nullable=False, unique=True),
    Column("enrolment_id", Id, ForeignKey("enrolments.id"), nullable=False),
    Column("journey_id", Id, nullable=False),
    Column("version_id", Id, nullable=False),
    Column("step_id", Integer, nullable=False),
    Column("grp", Integer, nullable=False, server_default=text("0")),
    Column("channel", Text, nullable=False),
    Column("brand", Text, nullable=False, server_default="default"),
    Column("user_id", Id, nullable=False),
    Column("address_id", Id, nullable=False),
    Column("state", Text, nullable=False),  # journeys.words.SendState
    Column("cause", Text),  # journeys.words.Cause
    Column("code", Text),  # the vendor's
    Column("provider", Text, nullable=False),
    Column("provider_id", Text),
    Column("attempt", Integer, nullable=False, server_default=text("1")),
    at("gate_at"),
    at("settled_at", null=True),
    at("retry_at", null=True),
    at("expires_at", null=True),
    flag("counted"),  # counts to caps and to the unresponsive rule
    Column("body", Text),  # as sent; NULL once erased
    Column("body_hash", Text, nullable=False),
    Column("link", Text),  # the only place a click may lead
    Column("policy_hash", Text, nullable=False),
    Column("consent_id", Id),
    Column("price", BigInteger, nullable=False, server_default=text("0")),  # micros, reserved at the gate
    Column("cost", BigInteger),  # micros, as the vendor said later
    Column("currency", Text, nullable=False, server_default=""),
    Column("segments", Integer),
    Column("offer", Text),
    Column("sender", Text, nullable=False, server_default=""),
    Column("replay_of", Id),
    Column("due_at", BigInteger, nullable=False),  # due time the gate took it at; put back if it was not sent
    Column("first_due_at", BigInteger, nullable=False),
    at("delivered_at", null=True),
    at("undelivered_at", null=True),
    at("opened_at", null=True),
    at("clicked_at", null=True),
    at("answered_at", null=True),
    at("dismissed_at", null=True),
    at("opted_out_at", null=True),
    at("complained_at", null=True),
    Column("answer", Text),  # outcome of a call or task
    UniqueConstraint("enrolment_id", "step_id", "channel", "grp"),
)
Index(
    "sends_open",
    sends.c.enrolment_id,
    sends.c.gate_at,
    postgresql_where=text("state in ('calling', 'in_doubt')"),
    sqlite_where=text("state in ('calling', 'in_doubt')"),
)
Index(  # the worklist of people of ours
    "sends_tasks",
    sends.c.id,
    postgresql_where=text("channel = 'task' and answered_at is null and undelivered_at is null"),
    sqlite_where=text("channel = 'task' and answered_at is null and undelivered_at is null"),
)
Index("sends_by_user", sends.c.user_id, sends.c.gate_at)
Index(  # what guardrails look back on; rows come in the order of time, so that PostgreSQL need not list each of them
    "sends_by_time",
    sends.c.gate_at,
    postgresql_using="brin",
    postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
)

# `calling` or `in_doubt`, spelled as `sends_open` spells it: SQLite takes no other spelling for the same.
SENDS_OPEN = text("sends.state in ('calling', 'in_doubt')")
SENDS_TASKS = text("sends.channel = 'task' and sends.answered_at is null and sends.undelivered_at is null")  # the same

doubts = Table(  # what a person or evidence said about a send in doubt
    "doubts",
    metadata,
    Column("send_id", Id, primary_key=True),
    at("raised_at"),
    Column("why", Text, nullable=False),
    at("resolved_at", null=True),
    Column("resolution", Text),  # accepted | not_sent
    Column("evidence", Text),
    Column("who", Text),
)
