"""What would become of people if we ran these journeys? The same engine, over a virtual clock and simulated people.

Nothing here decides anything: a simulation sets the clock of a store marked `simulated`, tells what people did by
then, and lets the same passes run that run in production. The passes are handed over, so that the demo drives the
Prefect flows with this very loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import IntEnum
from heapq import merge
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim

from journeys.journey import Journey, TriggerAnchor
from journeys.policy import Policy
from journeys.project import Project
from providers.world import World
from recall.clock import DAY, MINUTE, Instant, to_datetime, to_instant
from recall.engine.converge import drain_receipts
from recall.engine.enrol import enrol
from recall.engine.feed import bring_people, feed
from recall.engine.reconcile import reconcile
from recall.engine.run import run_journey
from recall.engine.setup import Setup
from recall.store.connect import Store
from recall.store.simulated import mark_simulated, move_clock
from recall.store.versions import current_version

WORLD = "world"
RUNS = "15 */2 * * *"  # when a pass looks for due messages; the journey's own schedule may be finer than needed here
RECONCILES = "45 */6 * * *"
_PER_SECOND = 1_000  # simulated people take any number of messages a second


@dataclass(frozen=True)
class Passes:
    """What drives the engine: its own functions, or the flows around them. Each works at the store's virtual now."""

    enrol: Callable[[str], object]
    run: Callable[[str], object]
    reconcile: Callable[[], object]


@dataclass
class Simulated:
    """How much was simulated; what came of it is in the store."""

    users: int = 0
    days: int = 0
    enrol_passes: int = 0
    run_passes: int = 0
    reconcile_passes: int = 0
    told: int = 0  # events, receipts and opt-outs of people


class _Kind(IntEnum):
    """At one moment, in this order."""

    ENROL = 0
    RUN = 1
    RECONCILE = 2


class _Moment(NamedTuple):
    at: Instant
    kind: _Kind
    journey: str = ""


def start_simulation(store: Store, *, at: Instant) -> None:
    """Mark a fresh store `simulated` and set its clock; raises Misconfigured for a store that holds real data."""
    with store.writing() as connection:
        mark_simulated(connection, at=at)


def set_time(store: Store, now: Instant) -> None:
    """Let it be `now` in a simulated store, for every process that works on it."""
    with store.writing() as connection:
        move_clock(connection, to=now)


def routed_to_world(project: Project) -> Project:
    """The same project, with every message of every policy going to simulated people."""
    policies = {name: replace(loaded, noun=_to_world(loaded.noun)) for name, loaded in project.policies.items()}
    return replace(project, policies=policies)


def _to_world(policy: Policy) -> Policy:
    change = {"providers": (WORLD,), "per_second": _PER_SECOND, "senders": ()}
    return policy.model_copy(
        update={"routes": {channel: route.model_copy(update=change) for channel, route in policy.routes.items()}}
    )


def engine_passes(setup: Setup) -> Passes:
    """The engine called directly, as `recall run` does."""

    def enrol_now(journey: str) -> object:
        with setup.store.reading() as connection:
            version = current_version(connection, journey)
        return enrol(setup.store, version, now=setup.clock.now())

    return Passes(enrol_now, lambda journey: run_journey(setup, journey), lambda: reconcile(setup))


def simulate(
    setup: Setup,
    world: World,
    journeys: Sequence[str],
    *,
    days: int,
    passes: Passes,
    runs: str = RUNS,
    reconciles: str = RECONCILES,
    on_day: Callable[[int], None] | None = None,
) -> Simulated:
    """Walk everybody of a world through published journeys for so many days; `on_day` hears of each day that is over.

    `runs` and `reconciles` are cron lines on the clock of each journey; people enter by the journey's own schedule.
    The store must be simulated and stand where the world begins.
    """
    done = Simulated(users=bring_people(setup.store, world))
    nouns = _journeys(setup.store, journeys)
    start = world.population.start
    done.told += feed(setup, world, start).total
    for day in range(days):
        for moment in _moments(nouns, start + day * DAY, runs=runs, reconciles=reconciles):
            _at(setup, world, moment, passes, done)
        done.days += 1
        if on_day is not None:
            on_day(done.days)
    _close(setup, world, journeys, passes, done, now=start + days * DAY)
    return done


def _journeys(store: Store, names: Iterable[str]) -> list[Journey]:
    with store.reading() as connection:
        return [current_version(connection, name).program.journey for name in names]


def _at(setup: Setup, world: World, moment: _Moment, passes: Passes, done: Simulated) -> None:
    """Whatever pass is due at this moment, after people told what they did until then."""
    set_time(setup.store, moment.at)
    done.told += feed(setup, world, moment.at).total
    match moment.kind:
        case _Kind.ENROL:
            passes.enrol(moment.journey)
            done.enrol_passes += 1
        case _Kind.RUN:
            passes.run(moment.journey)
            done.run_passes += 1
        case _Kind.RECONCILE:
            passes.reconcile()
            done.reconcile_passes += 1


def _close(
    setup: Setup, world: World, journeys: Sequence[str], passes: Passes, done: Simulated, *, now: Instant
) -> None:
    """A last look: who came back by the end, and what is known of the last messages."""
    for journey in journeys:
        _at(setup, world, _Moment(now, _Kind.RUN, journey), passes, done)
    _at(setup, world, _Moment(now + MINUTE, _Kind.RECONCILE), passes, done)
    drain_receipts(setup)


def _moments(journeys: Sequence[Journey], start: Instant, *, runs: str, reconciles: str) -> Iterator[_Moment]:
    """Everything that happens in the 24 hours from `start`, in order."""
    streams = [_times(_Moment(0, _Kind.RECONCILE), reconciles, journeys[0].zone, start)]
    for journey in journeys:
        entry = runs if isinstance(journey.entry.anchor, TriggerAnchor) else journey.entry.schedule
        streams.append(_times(_Moment(0, _Kind.ENROL, journey.id), entry, journey.zone, start))
        streams.append(_times(_Moment(0, _Kind.RUN, journey.id), runs, journey.zone, start))
    return merge(*streams)


def _times(moment: _Moment, cron: str, zone: str, start: Instant) -> Iterator[_Moment]:
    local = to_datetime(start).astimezone(ZoneInfo(zone)) - timedelta(minutes=1)  # CronSim begins after its start
    for found in CronSim(cron, local):
        at = to_instant(found)
        if at >= start + DAY:
            return
        if at >= start:
            yield moment._replace(at=at)
