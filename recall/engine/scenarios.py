"""Does a journey do to people what its author expects? Plays scenario files on a virtual clock.

The real engine on a store of its own that is thrown away: events are told when the clock reaches them, people are
enrolled by the journey's schedule, and a run looks every `every` (15 minutes), but only where something is due.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from cronsim import CronSim

from journeys.journey import Budget, TriggerAnchor
from journeys.program import Program
from journeys.project import Project, compile_project, policy_names
from journeys.scenarios import Outcomes, Scenario, compare, instant_of
from providers.outbox import Outbox
from recall.clock import SECOND, FixedClock, Instant, to_datetime, to_instant
from recall.engine.dispatch import Dispatcher
from recall.engine.run import run_journey
from recall.engine.scenario_entries import let_in
from recall.engine.scenario_given import Given
from recall.engine.scenario_provider import Scripted
from recall.engine.scenario_seen import dues, seen
from recall.engine.setup import Setup
from recall.errors import Misconfigured
from recall.store.connect import Store, open_engine, write_fact
from recall.store.migrations import migrate
from recall.store.policies import publish_policy
from recall.store.versions import publish_version

MOST_LOOKS = 5_000  # of one scenario: 52 days of something due in every quarter of an hour
_KEY = b"addresses of scenarios are invented"


@dataclass(frozen=True)
class Played:
    """One scenario, what happened in it, and how that differs from what was expected."""

    journey: str
    scenario: str
    file: str
    actual: Outcomes
    differences: list[str]

    @property
    def is_as_expected(self) -> bool:
        return not self.differences


@dataclass(frozen=True)
class Case:
    """One scenario of a project, ready to be played."""

    project: Project
    programs: Mapping[str, Program]
    journey: str
    scenario: Scenario
    file: str

    def __str__(self) -> str:
        return f"{self.journey}: {self.scenario.name}"

    def play(self, empty: Path) -> Played:
        """Play it on a copy of an empty store (see `empty_store`)."""
        actual = play(self.project, self.programs, self.journey, self.scenario, empty=empty)
        differences = compare(self.scenario.expectation(), actual)
        return Played(self.journey, self.scenario.name, self.file, actual, differences)


def cases_of(project: Project, journey: str | None = None) -> list[Case]:
    """Every scenario of a project (or of one journey), in the order of the files.

    Raises BadFile when lint finds an error, Misconfigured for a journey that has no scenarios.
    """
    if journey is not None and journey not in project.scenarios:
        raise Misconfigured(
            f"there are no scenarios for {journey!r}; write journeys/{journey}.scenarios.yaml (docs/scenarios.md)"
        )
    programs = compile_project(project)
    return [
        Case(project, programs, name, scenario, loaded.file)
        for name, loaded in sorted(project.scenarios.items())
        if journey in (None, name)
        for scenario in loaded.noun.scenarios
    ]


@contextmanager
def empty_store() -> Iterator[Path]:
    """A migrated store without anybody in it, made once and copied for each scenario."""
    with tempfile.TemporaryDirectory(prefix="recall-scenarios-") as folder:
        path = Path(folder) / "empty.db"
        engine = open_engine(f"sqlite:///{path}")
        migrate(engine)
        engine.dispose()  # the last connection moves everything from the WAL into the file
        yield path


def play(
    project: Project, programs: Mapping[str, Program], journey: str, scenario: Scenario, *, empty: Path
) -> Outcomes:
    """What happens in one scenario, played on a copy of an empty store."""
    with tempfile.TemporaryDirectory(prefix="recall-scenario-") as name:
        folder = Path(name)
        shutil.copyfile(empty, folder / "recall.db")
        store = Store(open_engine(f"sqlite:///{folder / 'recall.db'}"), _KEY)
        try:
            return _prepare(store, folder, project, programs, journey, scenario).play()
        finally:
            store.close()


def _prepare(
    store: Store,
    folder: Path,
    project: Project,
    programs: Mapping[str, Program],
    journey: str,
    scenario: Scenario,
) -> _Play:
    """Publish what is needed, enter the people, open the providers."""
    starts, ends = (instant_of(local, scenario.zone) for local in (scenario.starts, scenario.ends))
    clock = FixedClock(starts)
    needed = [_adapted(programs[journey], scenario), *_walked_before(programs, scenario)]
    policies = {name: policy.noun for name, policy in project.policies.items()}
    with store.writing() as connection:
        write_fact(connection, "simulated", "true")
        for name in sorted({policy for each in needed for policy in policy_names(each.journey)}):
            publish_policy(connection, policies[name], now=starts)
        for program in needed:
            publish_version(connection, program, now=starts, who="scenario")
    given = Given(store, scenario, needed[0].journey, policies, clock)
    outbox = Outbox(folder / "outbox", clock=clock)
    routed = {name for each in policies.values() for route in each.routes.values() for name in route.providers}
    providers = {name: Scripted(name, outbox, given) for name in routed | {"outbox"}}
    setup = Setup(store, providers, clock, folder / "spool", dispatcher=_dispatcher())
    return _Play(setup, clock, given, scenario.every.micros, starts, ends)


def _walked_before(programs: Mapping[str, Program], scenario: Scenario) -> list[Program]:
    """Other journeys people of the scenario have been through; they are published and not run."""
    names = sorted({passage.journey for passage in scenario.passages})
    for name in names:
        if name not in programs:
            raise Misconfigured(f"{scenario.name!r}: there is no journey {name!r} to have been through")
    return [programs[name] for name in names]


@cache
def _dispatcher() -> Dispatcher:
    """One provider loop for all scenarios of a process."""
    return Dispatcher()


# --- one scenario ----------------------------------------------------------------------------------------


def _adapted(program: Program, scenario: Scenario) -> Program:
    """Without `freshness`, as a scenario has no sources; with the scenario's budget as total."""
    journey = program.journey
    changes: dict[str, object] = {"entry": journey.entry.model_copy(update={"freshness": None})}
    if scenario.budget is not None:
        budget = journey.budget or Budget(currency="XXX")
        changes["budget"] = budget.model_copy(update={"total": scenario.budget})
    return program.model_copy(update={"journey": journey.model_copy(update=changes)})


@dataclass
class _Play:
    """One scenario on its way from `starts` to `ends`."""

    setup: Setup
    clock: FixedClock
    given: Given
    every: int  # microseconds between two looks
    starts: Instant
    ends: Instant
    enrol_at: Instant = 0  # next time by schedule

    def play(self) -> Outcomes:
        self.enrol_at = self._next_enrolment(self.starts - 1)
        for _ in range(MOST_LOOKS):
            upcoming = self._next_look(again=self._look())
            if upcoming is None or upcoming > self.ends:
                return seen(self.setup.store, self.given)
            self.clock.instant = upcoming
        raise Misconfigured(
            f"the scenario {self.given.scenario.name!r} needs more than {MOST_LOOKS} looks; end it earlier, "
            "or look less often with a longer `every`"
        )

    def _look(self) -> bool:
        """Tell what happened, enrol where it is time, run; says whether anything moved."""
        now = self.clock.now()
        self.given.tell(now)
        enrolled = 0
        if self._is_triggered or self.enrol_at <= now:
            enrolled = let_in(self.setup.store, self.given, now=now).enrolled
            self.enrol_at = self._next_enrolment(now)
        result = run_journey(self.setup, self.given.journey.id)
        return bool(enrolled or result.turned or result.failed or any(result.steps.values()))

    def _next_look(self, *, again: bool) -> Instant | None:
        """The next quarter of an hour (counted from the start) at which there is something to do.

        What stays due although a run has just looked (kill switch, pause) waits for something else to happen.
        """
        now = self.clock.now()
        times = [due for due in dues(self.setup.store, self.given) if due > now or again]
        times += [] if self._is_triggered else [self.enrol_at]
        told_at = self.given.next_at()
        times += [] if told_at is None else [told_at]
        if not times:
            return None
        looks = max(-(-(min(times) - self.starts) // self.every), (now - self.starts) // self.every + 1)
        return self.starts + looks * self.every

    @property
    def _is_triggered(self) -> bool:
        """Entered when an event says so, not by a schedule."""
        return isinstance(self.given.journey.entry.anchor, TriggerAnchor)

    def _next_enrolment(self, after: Instant) -> Instant:
        journey = self.given.journey
        local = to_datetime(after // SECOND * SECOND).astimezone(ZoneInfo(journey.zone))
        return to_instant(next(CronSim(journey.entry.schedule, local)))
