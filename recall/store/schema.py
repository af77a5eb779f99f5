"""Which tables are there? Times are BIGINT UTC microseconds, money is BIGINT micros, on both stores.

Laid out so that the gate reads few, narrow rows: `users` holds the current address of each kind,
`contact_state` the last counted sends of a person, `user_events` the latest event of each name.
All three can be rebuilt from the ledger and the events (`recall db check`).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
    true,
)

metadata = MetaData()

# SQLite numbers a row by itself only for a column typed INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")

NO_ADDRESS = 0  # the row of `addresses` that stands for "has none", so that every user joins to one
LAST_COUNTED = 8  # counted sends remembered per person and per address
LAST_PER_CHANNEL = 4  # and of those per channel
FOR_GOOD = 2**62  # a rest_until that no sign of life ends
CALL_BOUNDS_MS = (50, 100, 250, 500, 1000, 2500, 5000, 10000)  # of a provider's calls; no call lasts longer by much
CHANNELS = ("push", "sms", "email", "call", "in_app", "task")


def _id() -> Column[int]:
    return Column("id", _Id, primary_key=True, autoincrement=True)


def _at(name: str, *, null: bool = False, default: int | None = None) -> Column[int]:
    return Column(name, BigInteger, nullable=null, server_default=None if default is None else text(str(default)))


def _flag(name: str, *, default: bool = False) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=text("true" if default else "false"))


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


# --- the store itself -------------------------------------------------------------------------------------

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
    _at("at"),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
)

operator_actions = Table(  # who did what, for the audit
    "operator_actions",
    metadata,
    _id(),
    _at("at"),
    Column("who", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("why", Text, nullable=False, server_default=""),
)

prunings = Table(  # what was forgotten because it was kept long enough: one row per pass and kind, counts only
    "prunings",
    metadata,
    _id(),
    _at("at"),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),  # as in the policy's retention: bodies, events, receipts …
    _at("cutoff"),  # older than this
    _count("rows"),
)

sources = Table(  # how fresh each source of events is
    "sources",
    metadata,
    Column("name", Text, primary_key=True),
    _at("loaded_at"),  # when we last read it
    _at("as_of"),  # up to when it tells
)

imports = Table(  # one row per file read
    "imports",
    metadata,
    _id(),
    Column("kind", Text, nullable=False),
    Column("file_hash", Text, nullable=False),
    Column("source", Text, nullable=False),
    _at("at"),
    _count("read"),
    _count("added"),
    _count("changed"),
    _count("unchanged"),
    _count("rejected"),
)

# --- people -----------------------------------------------------------------------------------------------

zones = Table(  # one zone, or the set a person may be in; an empty set is never open
    "zones",
    metadata,
    _id(),
    Column("names", Text, nullable=False, unique=True),  # IANA names, sorted, joined by ","
)

addresses = Table(  # one row per normalised phone, e-mail or push token; id 0 = none
    "addresses",
    metadata,
    _id(),
    Column("kind", Text, nullable=False),  # phone | email | push | none
    Column("subkind", Text, nullable=False, server_default=""),  # fcm_token, fcm_fid, apns, jpush_regid …
    Column("value", Text),  # NULL once erased
    Column("hash", Text, nullable=False),  # HMAC of kind and value: what remains after erasure
    Column("region", Text, nullable=False, server_default=""),  # ISO 3166, of phones
    Column("opted_out", Integer, nullable=False, server_default=text("0")),  # bit mask of channels
    _flag("suppressed"),
    Column("unreachable", Text),  # reason; NULL = reachable
    _at("unreachable_at", null=True),
    _at("proved_at", null=True),  # last proof of ownership
    *[_at(f"s{n}", null=True) for n in range(1, LAST_COUNTED + 1)],  # last counted sends to it, newest first
    *[_at(f"m{n}", null=True) for n in range(1, LAST_PER_CHANNEL + 1)],  # its message channel (sms, email, push)
    *[_at(f"c{n}", null=True) for n in range(1, LAST_PER_CHANNEL + 1)],  # calls to it
    UniqueConstraint("kind", "hash"),
)

users = Table(
    "users",
    metadata,
    _id(),
    Column("user_id", Text, nullable=False, unique=True),  # the host's id
    Column("zone_id", _Id, ForeignKey("zones.id"), nullable=False),
    Column("locale", Text, nullable=False, server_default=""),
    Column("jurisdiction", Text, nullable=False, server_default=""),
    Column("phone_id", _Id, ForeignKey("addresses.id"), nullable=False, server_default=text("0")),
    Column("email_id", _Id, ForeignKey("addresses.id"), nullable=False, server_default=text("0")),
    Column("push_id", _Id, ForeignKey("addresses.id"), nullable=False, server_default=text("0")),
    _flag("suppressed"),
    _flag("is_test"),
    _at("created_at"),
    _at("erased_at", null=True),
)
for _kind in ("phone", "email", "push"):
    _address = users.c[f"{_kind}_id"]
    Index(f"users_by_{_kind}", _address, postgresql_where=_address > 0, sqlite_where=_address > 0)

user_addresses = Table(  # every address a user ever had; users.*_id is the current one
    "user_addresses",
    metadata,
    Column("user_id", _Id, ForeignKey("users.id"), primary_key=True),
    Column("address_id", _Id, ForeignKey("addresses.id"), primary_key=True),
    _at("since"),
    _at("until", null=True),
)
Index("user_addresses_by_address", user_addresses.c.address_id)

user_attributes = Table(
    "user_attributes",
    metadata,
    Column("user_id", _Id, ForeignKey("users.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("number", Double),  # the value as a number, where it is one
    _at("at", null=True),  # the value as an instant, where it is one
    sqlite_with_rowid=False,
)

consents = Table(  # append-only: who said what, when, to which wording
    "consents",
    metadata,
    _id(),
    Column("key", Text, nullable=False, unique=True),
    Column("user_id", _Id, ForeignKey("users.id"), nullable=False),
    Column("brand", Text, nullable=False, server_default="default"),
    Column("channel", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    _flag("granted"),
    _at("at"),
    _at("expires_at", null=True),
    Column("source", Text, nullable=False, server_default=""),
    Column("wording", Text, nullable=False, server_default=""),
)
Index("consents_by_user", consents.c.user_id)

consent_state = Table(  # the consent in force, for the gate
    "consent_state",
    metadata,
    Column("user_id", _Id, ForeignKey("users.id"), primary_key=True),
    Column("brand", Text, primary_key=True),
    Column("purpose", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("consent_id", _Id, nullable=False),
    _flag("granted"),
    _at("at"),
    _at("expires_at", null=True),
    sqlite_with_rowid=False,
)

suppressions = Table(  # never: one row per decision; lives on after erasure as a hash
    "suppressions",
    metadata,
    _id(),
    Column("brand", Text, nullable=False, server_default="default"),
    Column("kind", Text, nullable=False),  # phone | email | push | user
    Column("hash", Text, nullable=False),  # HMAC of kind and value (for users: of the user id)
    Column("channel", Text, nullable=False, server_default=""),  # "" = every channel
    Column("reason", Text, nullable=False),  # opted_out | complained | suppressed | operator …
    Column("source", Text, nullable=False, server_default=""),
    _at("at"),
    _at("until", null=True),  # a pause chosen by the person
    _at("ended_at", null=True),
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
    Column("user_id", _Id, ForeignKey("users.id"), primary_key=True),
    Column("brand", Text, primary_key=True),
    *[_at(f"s{n}", null=True) for n in range(1, LAST_COUNTED + 1)],  # counted sends, newest first
    *[_at(f"{channel}{n}", null=True) for channel in CHANNELS for n in range(1, LAST_PER_CHANNEL + 1)],
    _count("streak"),  # counted sends without a sign of life
    _at("responded_at", null=True),
    _at("rest_until", null=True),
    _count("rests"),
    sqlite_with_rowid=False,
)

# --- what people did --------------------------------------------------------------------------------------

events = Table(  # append-only
    "events",
    metadata,
    _id(),
    Column("key", Text, nullable=False, unique=True),  # the source's id, else a hash of the row
    Column("user_id", _Id, ForeignKey("users.id"), nullable=False),
    Column("name", Text, nullable=False),
    _at("at"),
    Column("properties", Text),  # JSON object of text values; NULL = none
    _at("recorded_at"),
)
Index("events_by_user", events.c.user_id, events.c.name, events.c.at)

user_events = Table(  # the latest event of each name, so that audiences need not read the history
    "user_events",
    metadata,
    Column("user_id", _Id, ForeignKey("users.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    _at("first_at"),
    _at("last_at"),
    Column("last_event_id", _Id, nullable=False),
    _count("times"),
    sqlite_with_rowid=False,
)
Index("user_events_by_time", user_events.c.name, user_events.c.last_at, user_events.c.user_id)

changed_users = Table(  # written with each event, consumed by converge
    "changed_users",
    metadata,
    _id(),
    Column("user_id", _Id, nullable=False),
)

# --- journeys ---------------------------------------------------------------------------------------------

policies = Table(  # live: the row with the greatest id of a name is in force
    "policies",
    metadata,
    _id(),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("content", Text, nullable=False),  # journeys.policy.Policy as JSON
    _at("published_at"),
)
Index("policies_by_name", policies.c.name, policies.c.id)

journeys = Table(
    "journeys",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),  # the id in the file
    Column("brand", Text, nullable=False, server_default="default"),
    Column("current_version_id", _Id),
    _count("priority"),
    _at("retired_at", null=True),
)

versions = Table(  # immutable
    "versions",
    metadata,
    _id(),
    Column("journey_id", _Id, ForeignKey("journeys.id"), nullable=False),
    Column("number", Integer, nullable=False),  # 1, 2, 3 … for people
    Column("hash", Text, nullable=False),
    Column("program", Text, nullable=False),  # journeys.program.Program as JSON
    _at("published_at"),
    Column("published_by", Text, nullable=False, server_default=""),
    UniqueConstraint("journey_id", "hash"),
)

steps = Table(  # the nodes of a version, for queries and reports
    "steps",
    metadata,
    Column("version_id", _Id, ForeignKey("versions.id"), primary_key=True),
    Column("step_id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("channel", Text),
    _flag("counts"),  # its channel counted to caps when published; the live policy decides
)

enrolments = Table(
    "enrolments",
    metadata,
    _id(),
    Column("journey_id", _Id, ForeignKey("journeys.id"), nullable=False),
    Column("version_id", _Id, ForeignKey("versions.id"), nullable=False),
    Column("user_id", _Id, ForeignKey("users.id"), nullable=False),
    Column("entry_key", Text, nullable=False),
    _at("anchor_at"),  # a goal after this stops messages
    _at("entered_at"),  # a goal after this counts as a recall
    Column("holdout", Text, nullable=False, server_default="treated"),
    Column("arm", Text, nullable=False, server_default=""),  # "split-1=b;split-2=a", in the order taken
    _flag("active", default=True),
    Column("priority", Integer, nullable=False, server_default=text("50")),
    Column("step_id", Integer, nullable=False),
    _at("due_at"),
    _at("first_due_at"),  # when this step first fell due; `expires` counts from here
    _at("base_at"),  # gate of the last message (or entering): waits count from here
    _at("until_at", null=True),  # time-out of an until or outcome step, once it began to rest
    Column("grp", Integer, nullable=False, server_default=text("0")),  # attempt group of the current step
    Column("retry_send_id", _Id),  # a send known not sent: same row and ref again
    Column("replay_of", _Id),  # the send a person asked to replay: a new row and ref
    _at("parked_until", null=True),  # in doubt: rests here until evidence or doubt_hold
    _at("resume_at", null=True),  # the due_at it had when it was parked
    Column("reason", Text),  # last reason of the gate on this step; NULL = none
    _at("ended_at", null=True),
    Column("end_reason", Text),
    _at("goal_at", null=True),  # first goal in the window, also after the last step
    Column("goal_event_id", _Id),
    Column("goal_value", BigInteger),  # micros
    _at("goal_until"),  # entered_at + window
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

# --- the ledger -------------------------------------------------------------------------------------------

sends = Table(  # one row and one ref per (enrolment, step, channel, attempt group)
    "sends",
    metadata,
    _id(),
    Column("ref", Text, nullable=False, unique=True),
    Column("enrolment_id", _Id, ForeignKey("enrolments.id"), nullable=False),
    Column("journey_id", _Id, nullable=False),
    Column("version_id", _Id, nullable=False),
    Column("step_id", Integer, nullable=False),
    Column("grp", Integer, nullable=False, server_default=text("0")),
    Column("channel", Text, nullable=False),
    Column("brand", Text, nullable=False, server_default="default"),
    Column("user_id", _Id, nullable=False),
    Column("address_id", _Id, nullable=False),
    Column("state", Text, nullable=False),  # journeys.words.SendState
    Column("cause", Text),  # journeys.words.Cause
    Column("code", Text),  # the vendor's
    Column("provider", Text, nullable=False),
    Column("provider_id", Text),
    Column("attempt", Integer, nullable=False, server_default=text("1")),
    _at("gate_at"),
    _at("settled_at", null=True),
    _at("retry_at", null=True),
    _at("expires_at", null=True),
    _flag("counted"),  # counts to caps and to the unresponsive rule
    Column("body", Text),  # as sent; NULL once erased
    Column("body_hash", Text, nullable=False),
    Column("link", Text),  # the only place a click may lead
    Column("policy_hash", Text, nullable=False),
    Column("consent_id", _Id),
    Column("price", BigInteger, nullable=False, server_default=text("0")),  # micros, reserved at the gate
    Column("cost", BigInteger),  # micros, as the vendor said later
    Column("currency", Text, nullable=False, server_default=""),
    Column("segments", Integer),
    Column("offer", Text),
    Column("sender", Text, nullable=False, server_default=""),
    Column("replay_of", _Id),
    Column("due_at", BigInteger, nullable=False),  # due time the gate took it at; put back if it was not sent
    Column("first_due_at", BigInteger, nullable=False),
    _at("delivered_at", null=True),
    _at("undelivered_at", null=True),
    _at("opened_at", null=True),
    _at("clicked_at", null=True),
    _at("answered_at", null=True),
    _at("dismissed_at", null=True),
    _at("opted_out_at", null=True),
    _at("complained_at", null=True),
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

decisions = Table(  # one row per change of reason
    "decisions",
    metadata,
    _id(),
    Column("enrolment_id", _Id, nullable=False),
    Column("step_id", Integer, nullable=False),
    _at("at"),
    Column("action", Text, nullable=False),  # defer skip else exit wait enter end
    Column("reason", Text, nullable=False),
    Column("facts", Text),  # JSON of the facts behind it; never personal data
    _at("until", null=True),  # deferred to
)
Index("decisions_by_enrolment", decisions.c.enrolment_id, decisions.c.id)

entry_counts = Table(  # per enrol run: candidates, enrolled and each entry reason
    "entry_counts",
    metadata,
    _id(),
    Column("journey_id", _Id, nullable=False),
    Column("version_id", _Id, nullable=False),
    _at("at"),
    Column("reason", Text, nullable=False),  # an entry reason, "enrolled" or "candidates"
    _count("users"),
)
Index("entry_counts_by_journey", entry_counts.c.journey_id, entry_counts.c.at)

allowances = Table(  # what is used up of budgets, ramps, stock; locked last, in this order of kind
    "allowances",
    metadata,
    Column("kind", SmallInteger, primary_key=True),  # 1 programme-day 2 journey 3 journey-day 4 ramp-day 5 offer
    Column("subject", Text, primary_key=True),  # policy, journey or offer
    Column("day", Integer, primary_key=True),  # local day number of the journey's zone; 0 = for good
    _count("used"),  # micros, or a count
)

senders = Table(  # token bucket and health of each sender, shared by workers
    "senders",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("sender", Text, primary_key=True),
    Column("brand", Text, nullable=False, server_default="default"),
    Column("tokens", Double, nullable=False),
    _at("refilled_at"),
    _at("resting_until", null=True),  # throttled or sick
    Column("why", Text),
)

breakers = Table(  # a provider that fails is left alone until then
    "breakers",
    metadata,
    Column("provider", Text, primary_key=True),
    _count("failures"),
    _at("open_until", null=True),
    Column("why", Text),
)

provider_calls = Table(  # how long calls of a real provider took; one row each, added to once per batch
    "provider_calls",
    metadata,
    Column("provider", Text, primary_key=True),
    _count("calls"),  # a call is one chunk
    _count("messages"),
    _count("micros"),  # of all calls together
    *[
        _count(f"within_{bound}ms") for bound in CALL_BOUNDS_MS
    ],  # calls that took so long and longer than the bound before
)

receipts = Table(  # inbox: what vendors told us, kept before it is interpreted
    "receipts",
    metadata,
    _id(),
    Column("provider", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("kind", Text, nullable=False),
    _at("at"),
    _at("received_at"),
    Column("detail", Text, nullable=False, server_default=""),
    _at("applied_at", null=True),
    UniqueConstraint("provider", "event_id"),
)
Index(
    "receipts_unapplied",
    receipts.c.id,
    postgresql_where=text("applied_at is null"),
    sqlite_where=text("applied_at is null"),
)

doubts = Table(  # what a person or evidence said about a send in doubt
    "doubts",
    metadata,
    Column("send_id", _Id, primary_key=True),
    _at("raised_at"),
    Column("why", Text, nullable=False),
    _at("resolved_at", null=True),
    Column("resolution", Text),  # accepted | not_sent
    Column("evidence", Text),
    Column("who", Text),
)

runs = Table(  # one pass over everything due in a journey
    "runs",
    metadata,
    _id(),
    Column("journey_id", _Id),
    Column("kind", Text, nullable=False),  # run | enrol | replay | reconcile
    _at("started_at"),
    _at("ended_at", null=True),
    Column("counts", Text),  # JSON
)

# --- what comes back from people ---------------------------------------------------------------------------

links = Table(  # the short address in a message, and the only place a click on it may lead
    "links",
    metadata,
    Column("token", Text, primary_key=True),
    Column("ref", Text, nullable=False),  # of the send
    Column("target", Text, nullable=False),
    _at("at"),
)

inbound = Table(  # replies that meant something; unique per vendor event, so that a repeated START cannot undo a STOP
    "inbound",
    metadata,
    _id(),
    Column("provider", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    _at("at"),
    _at("received_at"),
    Column("channel", Text, nullable=False, server_default=""),
    Column("kind", Text, nullable=False),  # of the address: phone | email
    Column("hash", Text, nullable=False),  # of the address
    Column("meaning", Text, nullable=False),  # stop | start | review
    Column("text", Text),  # only where a person must read it; phones and e-mails masked; NULL once handled or erased
    _at("handled_at", null=True),
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


# `calling` or `in_doubt`, spelled as `sends_open` spells it: SQLite takes no other spelling for the same.
SENDS_OPEN = text("sends.state in ('calling', 'in_doubt')")
SENDS_TASKS = text("sends.channel = 'task' and sends.answered_at is null and sends.undelivered_at is null")  # the same


def is_active(table: FromClause) -> ColumnElement[bool]:
    """`active`, spelled as the partial indexes spell it: only then may they be used."""
    return table.c.active == true()
