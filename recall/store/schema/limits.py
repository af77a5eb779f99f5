"""How much may still go out? Money and stock used up, and the pace and health of senders and providers."""

from __future__ import annotations

from sqlalchemy import Column, Double, Integer, SmallInteger, Table, Text

from recall.store.schema.columns import at, count, metadata

CALL_BOUNDS_MS = (50, 100, 250, 500, 1000, 2500, 5000, 10000)  # of a provider's calls; no call lasts longer by much

allowances = Table(  # what is used up of budgets, ramps, stock; locked last, in this order of kind
    "allowances",
    metadata,
    Column("kind", SmallInteger, primary_key=True),  # 1 programme-day 2 journey 3 journey-day 4 ramp-day 5 offer
    Column("subject", Text, primary_key=True),  # policy, journey or offer
    Column("day", Integer, primary_key=True),  # local day number of the journey's zone; 0 = for good
    count("used"),  # micros, or a count
)

senders = Table(  # token bucket and health of each sender, shared by workers
    "senders",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("sender", Text, primary_key=True),
    Column("brand", Text, nullable=False, server_default="default"),
    Column("tokens", Double, nullable=False),
    at("refilled_at"),
    at("resting_until", null=True),  # throttled or sick
    Column("why", Text),
)

breakers = Table(  # a provider that fails is left alone until then
    "breakers",
    metadata,
    Column("provider", Text, primary_key=True),
    count("failures"),
    at("open_until", null=True),
    Column("why", Text),
)

provider_calls = Table(  # how long calls of a real provider took; one row each, added to once per batch
    "provider_calls",
    metadata,
    Column("provider", Text, primary_key=True),
    count("calls"),  # a call is one chunk
    count("messages"),
    count("micros"),  # of all calls together
    *[count(f"within_{bound}ms") for bound in CALL_BOUNDS_MS],  # took longer than the bound before, and no longer
)
