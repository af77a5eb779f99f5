"""What would these journeys have done to our own past? The same engine, day by day, over the events of a store.

Each event is fed when the virtual clock reaches it, so nothing is known before it happened. Answers to messages
cannot be known: nobody in the past was messaged, so a conversion here is one that came by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from journeys.durations import local_to_instant
from recall.clock import Instant
from recall.engine.enrol import enrol
from recall.engine.run import run_journey
from recall.engine.setup import Setup
from recall.errors import Misconfigured
from recall.store.connect import Store, write_fact
from recall.store.events import record_events
from recall.store.past import past_events, past_users
from recall.store.people import upsert_users
from recall.store.versions import current_version

_AT_ONCE = 5000


@dataclass(frozen=True)
class Period:
    """Days of a past, and the local times of each day at which people enter and messages go."""

    first: date
    last: date
    zone: ZoneInfo
    enrol_at: time = time(8, 30)
    run_at: tuple[time, ...] = (time(9, 0), time(15, 0))

    def days(self) -> Iterator[date]:
        day = self.first
        while day <= self.last:
            yield day
            day += timedelta(days=1)

    def instant(self, day: date, at: time) -> Instant:
        return local_to_instant(datetime.combine(day, at), self.zone)


@dataclass
class Backtested:
    days: int = 0
    events: int = 0
    enrolled: dict[str, int] = field(default_factory=dict)  # by journey


def backtest(source: Store, setup: Setup, journeys: Sequence[str], period: Period) -> Backtested:
    """Walk the people of `source` through journeys published in the simulated store of `setup`."""
    if setup.store.fact("simulated") != "true":
        raise Misconfigured("a backtest runs on a simulated store, never on one that may message people")
    done = Backtested()
    begin = period.instant(period.first, time.min)
    _set_time(setup.store, begin)
    _copy_people(source, setup.store, begin)
    fed = -(2**62)
    for day in period.days():
        done.days += 1
        now = _go_to(setup.store, period.instant(day, period.enrol_at))
        fed, count = _feed(source, setup.store, after=fed, until=now)
        done.events += count
        for journey in journeys:
            done.enrolled[journey] = done.enrolled.get(journey, 0) + _enrol(setup, journey, now)
        for at in period.run_at:
            now = _go_to(setup.store, period.instant(day, at))
            fed, count = _feed(source, setup.store, after=fed, until=now)
            done.events += count
            for journey in journeys:
                run_journey(setup, journey)
    return done


def _set_time(store: Store, now: Instant) -> None:
    with store.writing() as connection:
        write_fact(connection, "virtual_now", str(now))


def _go_to(store: Store, now: Instant) -> Instant:
    _set_time(store, now)
    return now


def _copy_people(source: Store, target: Store, now: Instant) -> None:
    people = past_users(source)
    while some := list(islice(people, _AT_ONCE)):
        upsert_users(target, some, now)


def _feed(source: Store, target: Store, *, after: Instant, until: Instant) -> tuple[Instant, int]:
    """Events in (after, until]; returns (until, how many)."""
    events = past_events(source, after=after, until=until)
    count = 0
    while some := list(islice(events, _AT_ONCE)):
        record_events(target, some, until)
        count += len(some)
    return until, count


def _enrol(setup: Setup, journey: str, now: Instant) -> int:
    with setup.store.reading() as connection:
        version = current_version(connection, journey)
    return enrol(setup.store, version, now=now).enrolled
