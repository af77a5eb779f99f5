"""Which tables are there? A file for each part of the domain; callers write `schema.sends`, whatever the file.

Laid out so that the gate reads few, narrow rows: `users` holds the current address of each kind,
`contact_state` the last counted sends of a person, `user_events` the latest event of each name.
All three can be rebuilt from the ledger and the events (`recall db check`).
"""

from __future__ import annotations

from recall.store.schema.answers import inbound, links, receipts
from recall.store.schema.behaviour import changed_users, events, user_events
from recall.store.schema.columns import metadata
from recall.store.schema.ledger import SENDS_OPEN, SENDS_TASKS, doubts, sends
from recall.store.schema.limits import CALL_BOUNDS_MS, allowances, breakers, provider_calls, senders
from recall.store.schema.operations import controls, facts, imports, operator_actions, prunings, runs, sources
from recall.store.schema.passages import decisions, enrolments, entry_counts, is_active
from recall.store.schema.people import (
    LAST_COUNTED,
    LAST_PER_CHANNEL,
    NO_ADDRESS,
    addresses,
    user_addresses,
    user_attributes,
    users,
    zones,
)
from recall.store.schema.permission import CHANNELS, FOR_GOOD, consent_state, consents, contact_state, suppressions
from recall.store.schema.published import journeys, policies, steps, versions

__all__ = [
    "CALL_BOUNDS_MS",
    "CHANNELS",
    "FOR_GOOD",
    "LAST_COUNTED",
    "LAST_PER_CHANNEL",
    "NO_ADDRESS",
    "SENDS_OPEN",
    "SENDS_TASKS",
    "addresses",
    "allowances",
    "breakers",
    "changed_users",
    "consent_state",
    "consents",
    "contact_state",
    "controls",
    "decisions",
    "doubts",
    "enrolments",
    "entry_counts",
    "events",
    "facts",
    "imports",
    "inbound",
    "is_active",
    "journeys",
    "links",
    "metadata",
    "operator_actions",
    "policies",
    "provider_calls",
    "prunings",
    "receipts",
    "runs",
    "senders",
    "sends",
    "sources",
    "steps",
    "suppressions",
    "user_addresses",
    "user_attributes",
    "user_events",
    "users",
    "versions",
    "zones",
]
