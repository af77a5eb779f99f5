"""Who is where in which journey, what was decided about them, and why did others not enter?"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
    true,
)

from recall.store.schema.columns import Id, at, count, flag, metadata, row_id

enrolments = Table(
    "enrolments",
    metadata,
    row_id(),
    Column("journey_id", Id, ForeignKey("journeys.id"), nullable=False),
    Column("version_id", Id, ForeignKey("versions.id"), nullable=False),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("entry_key", Text, nullable=False),
    at("anchor_at"),  # a goal after this stops messages
    at("entered_at"),  # a goal after this counts as a recall
    Column("holdout", Text, nullable=False, server_default="treated"),
    Column("arm", Text, nullable=False, server_default=""),  # "split-1=b;split-2=a", in the order taken
    flag("active", default=True),
    Column("priority", Integer, nullable=False, server_default=text("50")),
    Column("step_id", Integer, nullable=False),
    at("due_at"),
    at("first_due_at"),  # when this step first fell due; `expires` counts from here
    at("base_at"),  # gate of the last message (or entering): waits count from here
    at("until_at", null=True),  # time-out of an until or outcome step, once it began to rest
    Column("grp", Integer, nullable=False, server_default=text("0")),  # attempt group of the current step
    Column("retry_send_id", Id),  # a send known not sent: same row and ref again
    Column("replay_of", Id),  # the send a person asked to replay: a new row and ref
    at("parked_until", null=True),  # in doubt: rests here until evidence or doubt_hold
    at("resume_at", null=True),  # the due_at it had when it was parked
    Column("reason", Text),  # last reason of the gate on this step; NULL = none
    at("ended_at", null=True),
    Column("end_reason", Text),
    at("goal_at", null=True),  # first goal in the window, also after the last step
    Column("goal_event_id", Id),
    Column("goal_value", BigInteger),  # micros
    at("goal_until"),  # entered_at + window
    UniqueConstraint("journey_id", "user_id", "entry_key"),
    CheckConstraint("active = (ended_at IS NULL)", name="ended_means_inactive"),
)
Index(
    "enrolments_due",
    enrolments.c.version_id,
    enrolments.c.step_id,
    enrolments.c.due_at,
    enrolments.c.user_id,
    postgresql_where=text("active"),
    sqlite_where=text("active = 1"),
)
Index(
    "enrolments_one_active",
    enrolments.c.journey_id,
    enrolments.c.user_id,
    unique=True,
    postgresql_where=text("active"),
    sqlite_where=text("active = 1"),
)
Index("enrolments_by_user", enrolments.c.user_id)

decisions = Table(  # one row per change of reason
    "decisions",
    metadata,
    row_id(),
    Column("enrolment_id", Id, nullable=False),
    Column("step_id", Integer, nullable=False),
    at("at"),
    Column("action", Text, nullable=False),  # defer skip else exit wait enter end
    Column("reason", Text, nullable=False),
    Column("facts", Text),  # JSON of the facts behind it; never personal data
    at("until", null=True),  # deferred to
)
Index("decisions_by_enrolment", decisions.c.enrolment_id, decisions.c.id)

entry_counts = Table(  # per enrol run: candidates, enrolled and each entry reason
    "entry_counts",
    metadata,
    row_id(),
    Column("journey_id", Id, nullable=False),
    Column("version_id", Id, nullable=False),
    at("at"),
    Column("reason", Text, nullable=False),  # an entry reason, "enrolled" or "candidates"
    count("users"),
)
Index("entry_counts_by_journey", entry_counts.c.journey_id, entry_counts.c.at)


def is_active(table: FromClause) -> ColumnElement[bool]:
    """`active`, spelled as the partial indexes spell it: only then may they be used."""
    return table.c.active == true()
