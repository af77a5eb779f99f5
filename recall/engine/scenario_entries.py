"""Who of a scenario was not let in, and why? `enrol` counts reasons; here they get their people."""

from __future__ import annotations

from collections.abc import Iterator

from journeys.assignment import in_rollout
from journeys.words import EntryReason
from recall.clock import Instant
from recall.engine.enrol import EnrolResult, enrol
from recall.engine.scenario_given import Given
from recall.store.connect import Store
from recall.store.entry import Candidate, prepare, read_page
from recall.store.versions import Version, current_version


def let_in(store: Store, given: Given, *, now: Instant) -> EnrolResult:
    """Enrol whoever may enter the scenario's journey now, and note who was refused."""
    with store.reading() as connection:
        version = current_version(connection, given.journey.id)
    result = enrol(store, version, now=now)
    if result.enrolled < result.candidates:
        for candidate, reason in _refused(store, given, version, result, now):
            given.note_refused(candidate.host_id, reason.value)
    return result


def _refused(
    store: Store, given: Given, version: Version, result: EnrolResult, now: Instant
) -> Iterator[tuple[Candidate, EntryReason]]:
    """Whoever is a candidate still, with the first reason that was given at all and fits them."""
    entrance = prepare(version)
    with store.reading() as connection:
        left = read_page(connection, entrance, entrance.candidates.span(now), now=now)
    given_reasons = {reason for reason, people in result.reasons.items() if people}
    for candidate in left:
        fitting = (reason for reason, fits in _what_fits(candidate, given) if fits and reason in given_reasons)
        yield candidate, next(fitting, next(iter(given_reasons)))


def _what_fits(candidate: Candidate, given: Given) -> Iterator[tuple[EntryReason, bool]]:
    """In the order in which `enrol` asks."""
    rollout = given.journey.entry.rollout
    yield EntryReason.PAUSED, True
    yield EntryReason.ERASED, candidate.erased
    yield EntryReason.SUPPRESSED, candidate.suppressed
    yield EntryReason.NO_POLICY, given.has_no_policy(candidate.host_id)
    yield EntryReason.UNRESPONSIVE, candidate.resting
    yield EntryReason.NOT_ROLLED_OUT, not in_rollout(given.journey.id, candidate.host_id, rollout)
    yield EntryReason.REENTRY, candidate.inside or candidate.passages > 0
    yield EntryReason.OVERLAP, candidate.elsewhere
    yield EntryReason.DAILY_LIMIT, True
