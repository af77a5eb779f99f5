"""Who enters a journey today? Each candidate of the audience enters, or has exactly one reason why not.

Reasons are looked at in this order: paused, erased, suppressed, no_policy, unresponsive, not_rolled_out, reentry,
overlap, daily_limit. The earliest anchors go first where a daily limit leaves room for only some. One transaction
per page holds enrolments and counts, so the totals add up wherever a run is cut off; the next run goes on from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from functools import cache
from zoneinfo import ZoneInfo

from journeys.assignment import holdout_of, in_rollout
from journeys.durations import add, local_to_instant, subtract
from journeys.journey import Journey
from journeys.policy import Policy
from journeys.program import Delay
from journeys.windows import due_after
from journeys.words import EntryReason, Holdout
from recall.clock import Instant, to_datetime
from recall.store.candidates import Span
from recall.store.connect import Connection, Store
from recall.store.entry import (
    Candidate,
    Entrance,
    NewEnrolment,
    add_counts,
    count_entered,
    insert_enrolments,
    lock_entry,
    prepare,
    read_page,
    refresh_statistics,
)
from recall.store.policies import live_policies
from recall.store.versions import Version
from recall.store.zones import read_zones

PAGE = 10_000  # anchors looked at in one transaction


@dataclass
class EnrolResult:
    """What one look at the audience came to: `candidates` = `enrolled` + all `reasons`."""

    candidates: int = 0
    enrolled: int = 0
    reasons: Counter[EntryReason] = field(default_factory=Counter)
    holdouts: Counter[Holdout] = field(default_factory=Counter)  # of those enrolled

    def add(self, other: EnrolResult) -> None:
        self.candidates += other.candidates
        self.enrolled += other.enrolled
        self.reasons += other.reasons
        self.holdouts += other.holdouts

    def counts(self) -> dict[str, int]:
        """As kept in `entry_counts`."""
        reasons = {reason.value: users for reason, users in self.reasons.items()}
        return {"candidates": self.candidates, "enrolled": self.enrolled, **reasons}


def enrol(store: Store, version: Version, *, now: Instant, page_size: int = PAGE) -> EnrolResult:
    """Let in everyone who may enter now; asked again at the same moment it lets in nobody more."""
    entrance = prepare(version)
    result, count_rows, full = EnrolResult(), dict[str, int](), False
    start, end = entrance.candidates.span(now)
    with store.writing() as connection:
        refresh_statistics(connection)
    while True:
        with store.writing() as connection:
            closed = lock_entry(connection, version)
            page = entrance.candidates.first_page(connection, (start, end), now=now, size=page_size)
            door = _open_door(connection, version, closed=closed, full=full, now=now)
            come = _let_in(connection, entrance, page, door, now=now)
            add_counts(connection, version, come.counts(), count_rows, now=now)
        result.add(come)
        start, full = page[1], door.room == 0
        if start == end:
            return result


def _let_in(connection: Connection, entrance: Entrance, page: Span, door: _Door, *, now: Instant) -> EnrolResult:
    """Everybody on one page: in, or a reason."""
    journey = entrance.version.program.journey
    found = read_page(connection, entrance, page, now=now)
    result, rows = EnrolResult(candidates=len(found)), list[NewEnrolment]()
    for candidate in found:
        reason = door.refuse(candidate)
        if reason is None:
            rows.append(door.admit(candidate))
        else:
            result.reasons[reason] += 1
    goal_until = add(now, journey.goal.window, ZoneInfo(journey.zone))
    entered = insert_enrolments(connection, entrance.version, rows, now=now, goal_until=goal_until)
    result.enrolled = len(entered)
    result.reasons[EntryReason.REENTRY] += len(rows) - len(entered)  # somebody else let them in meanwhile
    result.holdouts.update(Holdout(row.holdout) for row in rows if row.user_id in entered)
    return result


@dataclass
class _Door:
    """What is asked of the candidates of one page; remembers whom it admitted."""

    journey: Journey
    closed: bool
    policies: Mapping[str, Policy]  # in force, by name
    rested_since: Instant  # a last passage that ended later is too recent
    room: int | None  # how many more today; None = no limit
    due_in: Callable[[int], Instant]  # zone_id -> when the first step is due
    admitted: set[int] = field(default_factory=set)  # users.id

    def refuse(self, candidate: Candidate) -> EntryReason | None:
        """The first reason that holds; None lets the candidate in."""
        if self.closed:
            return EntryReason.PAUSED
        if candidate.erased:
            return EntryReason.ERASED
        if candidate.suppressed:
            return EntryReason.SUPPRESSED
        if self._policy_of(candidate) is None:
            return EntryReason.NO_POLICY
        if candidate.resting:
            return EntryReason.UNRESPONSIVE
        if not in_rollout(self.journey.id, candidate.host_id, self.journey.entry.rollout):
            return EntryReason.NOT_ROLLED_OUT
        if self._is_too_soon(candidate):
            return EntryReason.REENTRY
        if candidate.elsewhere:
            return EntryReason.OVERLAP
        return EntryReason.DAILY_LIMIT if self.room == 0 else None

    def admit(self, candidate: Candidate) -> NewEnrolment:
        """Take the candidate in; the place counts to the daily limit, held out or not."""
        policy = self._policy_of(candidate)
        assert policy is not None  # else refused
        self.admitted.add(candidate.user_id)
        self.room = None if self.room is None else self.room - 1
        holdout = holdout_of(
            candidate.host_id,
            policy=policy.id,
            programme_percent=policy.holdout,
            journey=self.journey.id,
            journey_percent=self.journey.holdout.percent if self.journey.holdout else 0,
        )
        due_at = self.due_in(candidate.zone_id)
        return NewEnrolment(candidate.user_id, candidate.entry_key, candidate.anchor_at, holdout.value, due_at)

    def _policy_of(self, candidate: Candidate) -> Policy | None:
        named = self.journey.policy
        return self.policies.get(
            named if isinstance(named, str) else named.cases.get(candidate.jurisdiction, named.otherwise)
        )

    def _is_too_soon(self, candidate: Candidate) -> bool:
        """Inside, or back before the journey lets people back. Without `reentry` each new entry key may enter."""
        if candidate.inside or candidate.user_id in self.admitted:
            return True
        again = self.journey.entry.reentry
        if again is None or not candidate.passages:
            return False
        often = again.max is not None and candidate.passages >= again.max
        return often or (candidate.last_ended_at or 0) > self.rested_since


def _open_door(connection: Connection, version: Version, *, closed: bool, full: bool, now: Instant) -> _Door:
    journey = version.program.journey
    zone, again, limit = ZoneInfo(journey.zone), journey.entry.reentry, journey.entry.limit
    room = None
    if limit is not None:
        entered = limit.per_day if full else count_entered(connection, version.journey_id, since=_day_start(now, zone))
        room = max(0, limit.per_day - entered)
    return _Door(
        journey=journey,
        closed=closed,
        policies={name: live.policy for name, live in live_policies(connection).items()},
        rested_since=now if again is None else subtract(now, again.after, zone),
        room=room,
        due_in=_due_in(connection, version.program.start.delays, now),
    )


def _due_in(connection: Connection, delays: Sequence[Delay], now: Instant) -> Callable[[int], Instant]:
    """When the first step is due, by zone_id: at once, or after the waits before it on the person's own clock."""
    if not delays:
        return lambda zone_id: now
    zones = read_zones(connection)
    return cache(lambda zone_id: due_after(delays, now, zones[zone_id]))


def _day_start(now: Instant, zone: ZoneInfo) -> Instant:
    return local_to_instant(datetime.combine(to_datetime(now).astimezone(zone), time.min), zone)
