"""What happened to messages nobody knows about? Evidence settles a doubt; without it a person decides.

Runs each minute in `recall serve` and `recall up`, and as a flow. A row past the gate is never released by
time alone: what was `calling` too long becomes a doubt, which is shown, not sent again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from journeys.words import ADDRESS_OF, AddressKind, Channel, Outcome
from providers.base import Address, InDoubt, Lookup, Provider, SendResult
from recall.clock import SECOND, Instant
from recall.engine.converge import drain_receipts
from recall.engine.guard import rest_sick_senders
from recall.engine.retention import forget_when_due
from recall.engine.setup import Setup
from recall.engine.spool import replay as replay_spool
from recall.engine.worklist import expire
from recall.store.addresses import read_values
from recall.store.ledger import doubt, open_doubts, policy_of, read_open, resolve, stale_calls
from recall.store.policies import live_policies
from recall.store.preferences import end_all_pauses
from recall.store.purse import Key, give_back
from recall.store.versions import read_version

CALLING_TOO_LONG = 120 * SECOND  # no live process still waits for an answer after this


@dataclass
class Reconciled:
    """Counts of one pass."""

    spooled: int = 0  # answers brought back from the spool
    receipts: int = 0
    raised: int = 0  # doubts raised for calls whose process died
    accepted: int = 0  # doubts that evidence resolved
    not_sent: int = 0
    open: int = 0  # doubts that wait for evidence or a person
    forgotten: int = 0  # rows that were kept long enough
    rested: list[str] = field(default_factory=list)  # senders taken out of their pools, and why


def reconcile(setup: Setup) -> Reconciled:
    """Spool, overdue tasks, receipts, dead calls, then lookups at the providers."""
    done = Reconciled()
    done.spooled = replay_spool(setup.store, setup.spool_dir, now=setup.clock.now())
    expire(setup)  # tasks nobody did in time
    done.receipts = drain_receipts(setup)
    with setup.store.writing() as connection:
        end_all_pauses(connection, setup.store, at=setup.clock.now())
    done.raised = raise_doubts(setup)
    _look_up(setup, done)
    done.rested = rest_sick_senders(setup)
    done.forgotten = forget_when_due(setup)
    with setup.store.reading() as connection:
        done.open = len(open_doubts(connection))
    return done


def raise_doubts(setup: Setup, *, older_than: int = CALLING_TOO_LONG) -> int:
    """Turn calls without a record into doubts; returns how many."""
    now = setup.clock.now()
    with setup.store.writing() as connection:
        policies = live_policies(connection)
        return sum(
            doubt(
                connection,
                send,
                policy_of(policies, send.policy_hash, read_version(connection, send.version_id)),
                why="the process died",
                now=now,
            )
            for send in stale_calls(connection, before=now - older_than)
        )


def _look_up(setup: Setup, done: Reconciled) -> None:
    with setup.store.reading() as connection:
        doubtful = open_doubts(connection)
        addresses = read_values(connection, {send.address_id for send in doubtful})
    by_provider: dict[str, list[Any]] = defaultdict(list)
    for send in doubtful:
        by_provider[send.provider].append(send)
    for name, sends in by_provider.items():
        provider = setup.providers.get(name)
        if provider is not None and provider.caps.reconcile is Lookup.LOOKUP:
            _ask(setup, provider, sends, addresses, done)


def _ask(setup: Setup, provider: Provider, sends: Sequence[Any], addresses: dict[int, str], done: Reconciled) -> None:
    items = [to_item(send, addresses) for send in sends]
    asked_at = setup.clock.now()  # absence speaks of this moment, however long the answer takes to get here
    found = {result.ref: result for result in setup.dispatcher.run(provider.reconcile(items))}
    now = setup.clock.now()
    with setup.store.writing() as connection:
        policies, returned = live_policies(connection), Counter[Key]()
        for send in read_open(connection, [send.ref for send in sends]):
            outcome = verdict(provider, send, found.get(send.ref), now=asked_at)
            if outcome is None:
                continue
            proof = f"{provider.name} lookup"
            if resolve(connection, send, outcome, policies, evidence=proof, who="recall", now=now, returned=returned):
                done.accepted += outcome is Outcome.ACCEPTED
                done.not_sent += outcome is Outcome.NOT_SENT
        give_back(connection, returned)


def to_item(send: Any, addresses: dict[int, str]) -> InDoubt:
    channel = Channel(send.channel)
    kind = ADDRESS_OF[channel]
    value = "" if kind is AddressKind.NONE else addresses.get(send.address_id, "")
    return InDoubt(
        send.ref,
        channel,
        Address(kind, value),
        send.body_hash,
        send.gate_at,
        send.provider_id or "",
        body=send.body or "",
    )


def verdict(provider: Provider, send: Any, found: SendResult | None, *, now: Instant) -> Outcome | None:
    """What a lookup proves: presence at once; absence only after the time the provider vouches for."""
    if found is not None and found.outcome is Outcome.ACCEPTED:
        return Outcome.ACCEPTED
    after = provider.caps.authoritative_after_seconds
    says_absent = found is not None and found.outcome is Outcome.NOT_SENT
    if says_absent and after is not None and now - send.gate_at >= after * SECOND:
        return Outcome.NOT_SENT
    return None
