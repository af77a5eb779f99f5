"""Did anything happen that must never happen? The invariants I1 to I14, checked over the result.

Every claim about messages is checked against the provider's own log, which the ledger cannot influence; the ledger
and the provider are then held against each other in both directions. The checks share nothing with the gate: windows
are read off the wall clock, caps and budgets are counted from the log, hashes are drawn again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial

from journeys.message import digest, written
from journeys.words import ADDRESS_OF, AddressKind, Channel, SendState
from providers.accepted import Accepted
from recall.clock import Instant
from recall.engine.evidence import Evidence, Taken, Violation, read_evidence
from recall.engine.violations_in_message import find_in_message
from recall.engine.violations_in_passages import find_in_passages
from recall.engine.violations_in_sequence import find_in_sequence
from recall.store.connect import Store, clock_of
from recall.store.invariants import Sent, Which, read_sends
from recall.store.suppressions import USER

INVARIANTS = tuple(f"I{number}" for number in range(1, 15))
_TAKEN = frozenset({SendState.ACCEPTED.value, SendState.IN_DOUBT.value, SendState.CALLING.value})


def find_violations(store: Store, accepted: Iterable[Accepted], *, now: Instant | None = None) -> list[Violation]:
    """Everything wrong, by invariant; `accepted` is the whole log of every provider the store's messages went to.

    `now` is the store's own clock unless given. People must have entered through `enrol`: who is held out, and on
    which arm, is drawn again from their ids.
    """
    moment = clock_of(store).now() if now is None else now
    with store.reading() as connection:
        evidence = read_evidence(connection)
        ledger = {row.ref: row for row in read_sends(connection)}
        taken: list[Taken] = []
        found = list(_compare(store, evidence, ledger, accepted, taken))
        found += [wrong for message in taken for wrong in find_in_message(evidence, message)]
        found += find_in_sequence(evidence, taken, ledger.values())
        found += find_in_passages(connection, evidence, ledger.values(), now=moment)
    return sorted(found, key=lambda wrong: (INVARIANTS.index(wrong.invariant), wrong.text))


def _compare(
    store: Store, evidence: Evidence, ledger: dict[str, Sent], accepted: Iterable[Accepted], taken: list[Taken]
) -> Iterator[Violation]:
    """Ledger and log, both directions; fills `taken` with the messages both know."""
    times: Counter[str] = Counter()
    for message in accepted:
        times[message.ref] += 1
        row = ledger.get(message.ref)
        if row is None:
            yield Violation("I11", f"the provider took ref {message.ref}, which is not in the ledger")
            continue
        address = _which(store, message)
        yield from _fits(evidence, message, row, address)
        person = (USER, store.hash_address(USER, row.host_id))
        taken.append(Taken(message.at, row, (person, address) if address else (person,), message.body))
    yield from _only_once(evidence, ledger, times)
    for row in ledger.values():
        if row.state == SendState.ACCEPTED and row.ref not in times:
            yield Violation("I11", f"{evidence.named(row)} is accepted in the ledger and not in the provider's log")


def _which(store: Store, message: Accepted) -> Which | None:
    kind = message.address.kind
    return None if kind is AddressKind.NONE else (kind.value, store.hash_address(kind, message.address.value))


def _fits(evidence: Evidence, message: Accepted, row: Sent, address: Which | None) -> Iterator[Violation]:
    """Is this the message the ledger knows, to the person the ledger knows?"""
    wrong = partial(_wrong, evidence, row)
    if row.state == SendState.SHADOW:
        yield wrong("I9", "is a shadow, and the provider took it")
    elif row.state not in _TAKEN:
        yield wrong("I11", f"is {row.state} in the ledger, and the provider took it")
    person = message.user == row.host_id or row.erased_at is not None
    wanted = None if ADDRESS_OF[Channel(row.channel)] is AddressKind.NONE else (row.kind, row.hash)
    if not person or message.channel != row.channel or address != wanted:
        yield wrong("I11", "went to another person, channel or address than the ledger says")
    if message.body_hash != row.body_hash or _digest(message) != message.body_hash:
        yield wrong("I8", "has another text in the provider's log than in the ledger")
    if row.body is not None and row.body != written(title=message.title, body=message.body):
        yield wrong("I8", "has another text in the provider's log than is kept of it")
    if any(mark in part for part in (message.body, message.title, message.html) for mark in ("{{", "{%")):
        yield wrong("I8", "went out with a place nobody filled in")
    texts = evidence.policy(row).opt_out_text.get(Channel(row.channel), ())
    if texts and not any(text in message.body or text in message.html for text in texts):
        yield wrong("I8", "went out without the words that tell how to say stop")


def _wrong(evidence: Evidence, row: Sent, invariant: str, what: str) -> Violation:
    return Violation(invariant, f"{evidence.named(row)} {what}")


def _digest(message: Accepted) -> str:
    return digest(title=message.title, body=message.body, html=message.html, link=message.link)


def _only_once(evidence: Evidence, ledger: dict[str, Sent], times: Counter[str]) -> Iterator[Violation]:
    """One accepted message per ref, and per enrolment, step, channel and attempt group."""
    groups: Counter[tuple[int, int, str, int]] = Counter()
    for ref, count in times.items():
        row = ledger.get(ref)
        if count > 1:
            what = evidence.named(row) if row else f"ref {ref}"
            yield Violation("I1", f"{what} was taken {count} times by the provider")
        if row is not None:
            groups[row.enrolment_id, row.step_id, row.channel, row.grp] += 1
    for (enrolment_id, step_id, channel, group), count in groups.items():
        if count > 1:
            where = f"enrolment {enrolment_id}, step {step_id} [{channel}], group {group}"
            yield Violation("I1", f"{where}: {count} refs were taken by the provider")
