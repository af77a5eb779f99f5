"""Was anybody messaged twice, too often, too late in the day, after "stop", or forgotten? Asked of the provider's log.

The first half looks at the log and at what the world knows of its own people, never at our ledger; the second asks
`recall.engine.violations`, which holds log and ledger against each other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select

from journeys.journey import Journey
from journeys.policy import Policy
from journeys.words import Channel
from providers.accepted import Accepted
from recall.clock import SECOND, Instant, to_datetime
from recall.engine.violations import find_violations
from recall.store import schema
from recall.store.connect import Store
from tests.faults.witness import Book
from tests.faults.workload import PRICE, Fact, Someone

TOTAL_DELAY = 15 * SECOND
CAP_SLACK = 2 * TOTAL_DELAY
CALLS_PER_REF = 6
SWITCHES = ("pause", "resume", "kill_on", "kill_off")


@dataclass
class Known:
    """What the world knows of itself: people, rules, and when each fact was committed."""

    people: dict[str, Someone]
    policies: dict[str, Policy] = field(default_factory=dict)
    journeys: dict[str, Journey] = field(default_factory=dict)
    facts: list[tuple[Fact, Instant]] = field(default_factory=list)

    def learn(self, fact: Fact, at: Instant) -> None:
        """Tried again because the store was busy: the first time counts; of a switch, which others turn, each does."""
        if fact.kind in SWITCHES or all(known is not fact for known, _ in self.facts):
            self.facts.append((fact, at))

    def policy(self, row: Accepted) -> Policy:
        named = self.journeys[row.meta["journey"]].policy
        assert isinstance(named, str)  # drawn journeys name one policy
        return self.policies[named]


def find_wrong(store: Store, book: Book, known: Known, *, now: Instant) -> list[str]:
    """Everything that must never happen and did, as `what: where`."""
    log = sorted(book.taken, key=lambda row: row.at)
    found = [
        *duplicates(log),
        *after_stop(log, known),
        *outside_window(log, known),
        *over_cap(log, known),
        *over_budget(log, known),
        *(
            f"tripwire: ref {ref} was called {count} times"
            for ref, count in book.calls.items()
            if count > CALLS_PER_REF
        ),
        *without_end(store),
    ]
    return found + [str(violation) for violation in find_violations(store, log, now=now)]


def duplicates(log: list[Accepted]) -> Iterator[str]:
    """One message per person, journey, step, channel and attempt; drawn people enter each journey once."""
    seen = Counter((row.user, row.meta["journey"], row.meta["step"], row.channel, row.meta["group"]) for row in log)
    yield from (f"duplicate: {key} was taken {count} times" for key, count in seen.items() if count > 1)


def after_stop(log: list[Accepted], known: Known) -> Iterator[str]:
    """Nothing later than 15 s after the commit of what forbids it."""
    for row in log:
        for fact, at in known.facts:
            if row.at > at + TOTAL_DELAY and _forbids(fact, row, known) and not _is_over(fact, at, row, known):
                late = (row.at - at) // SECOND
                yield f"after_stop: {row.ref} [{row.channel}] for {row.user} {late} s after {fact.kind}"


def _forbids(fact: Fact, row: Accepted, known: Known) -> bool:
    match fact.kind:
        case "goal":
            return fact.subject == row.user and fact.at > known.people[row.user].settled_at
        case "opt_out":
            return row.channel in (Channel.SMS, Channel.CALL) and row.address.value == known.people[fact.subject].phone
        case "suppress" | "ineligible":
            return fact.subject == row.user
        case "frozen":
            return fact.subject == row.user and known.journeys[row.meta["journey"]].exit_when is not None
        case "withdraw":
            return fact.subject == row.user and row.channel is Channel.SMS
        case "pause":
            return fact.subject == row.meta["journey"]
        case "kill_on":
            return True
        case _:
            return False


def _is_over(fact: Fact, since: Instant, row: Accepted, known: Known) -> bool:
    ends = {"pause": "resume", "kill_on": "kill_off"}.get(fact.kind)
    return any(
        other.kind == ends and other.subject == fact.subject and since < at <= row.at for other, at in known.facts
    )


def outside_window(log: list[Accepted], known: Known) -> Iterator[str]:
    """The wall clock of the person at acceptance, or up to 15 s before it; every candidate zone counts."""
    for row in log:
        spans = known.policy(row).windows[row.channel].workday  # drawn policies have one window for all days
        zones = known.people[row.user].zones
        if not zones:
            yield f"outside_window: {row.ref} for {row.user}, whose zone nobody knows"
        for zone in zones:
            if not any(_inside(spans, _local(at, zone)) for at in (row.at, row.at - TOTAL_DELAY)):
                yield f"outside_window: {row.ref} for {row.user} at {_local(row.at, zone):%d %H:%M:%S} in {zone}"


def _local(at: Instant, zone: str) -> datetime:
    return to_datetime(at).astimezone(ZoneInfo(zone))


def _inside(spans: tuple[tuple[int, int], ...], local: datetime) -> bool:
    minute = local.hour * 60 + local.minute
    return any(start <= minute < end if start < end else minute >= start or minute < end for start, end in spans)


def over_cap(log: list[Accepted], known: Known) -> Iterator[str]:
    """Rolling caps per person and per address, over everything the provider took."""
    people, addresses = defaultdict[str, list[Accepted]](list), defaultdict[str, list[Accepted]](list)
    for row in log:
        people[row.user].append(row)
        addresses[row.address.value].append(row)
    for whose, groups in (("person", people), ("address", addresses)):
        for rows in groups.values():
            for place, last in enumerate(rows):
                policy = known.policy(last)
                # Under another policy's laxer cap one may have passed its gate later, and yet have been taken earlier.
                before = [r for r in rows[: place + 1] if r.at <= last.at - TOTAL_DELAY or known.policy(r) is policy]
                for cap in policy.caps if last.channel in policy.counts else ():
                    if cap.channel in (None, last.channel):
                        counted = {cap.channel} if cap.channel else set(policy.counts)
                        since = last.at - cap.within.micros + CAP_SLACK
                        count = sum(row.at > since and row.channel in counted for row in before)
                        if count > cap.sends:
                            yield f"over_cap: {last.ref} for {last.user} is number {count} of {cap.sends} ({whose})"


def over_budget(log: list[Accepted], known: Known) -> Iterator[str]:
    """Every message costs the same in a drawn world; the day is the journey's.

    What was taken within 15 s after midnight may have passed its gate on either day: no day counts it.
    """
    spent, limits = Counter[str](), dict[str, int]()
    for row in log:
        name = row.meta["journey"]
        journey, policy = known.journeys[name], known.policy(row)
        budget, day = journey.budget, _local(row.at, journey.zone).date()
        is_sure = _local(row.at - TOTAL_DELAY, journey.zone).date() == day
        wanted = [(f"policy {policy.id} {day}", policy.budget_per_day)] if is_sure else []
        if budget is not None:
            wanted += [(f"journey {name}", budget.total), (f"journey {name} {row.user}", budget.per_user)]
            wanted += [(f"journey {name} {day}", budget.per_day)] if is_sure else []
        for what, limit in wanted:
            if limit is not None:
                spent[what] += PRICE
                limits[what] = limit
    yield from (
        f"over_budget: {what} spent {spent[what]} of {limits[what]}" for what in spent if spent[what] > limits[what]
    )


def without_end(store: Store) -> Iterator[str]:
    """After all faults and enough time nobody is inside any more, and nothing is open."""
    with store.reading() as connection:
        table, sends = schema.enrolments, schema.sends
        for row in connection.execute(select(table).where(table.c.active.is_(True))):
            due = to_datetime(row.due_at)
            yield f"no_end: enrolment {row.id} on step {row.step_id}, due {due}, {row.reason}"
        for row in connection.execute(select(sends).where(sends.c.state.in_(("calling", "in_doubt")))):
            yield f"silent_doubt: send {row.id} is still {row.state} ({row.code})"
