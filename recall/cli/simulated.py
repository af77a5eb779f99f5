"""How is a simulation set up, and how is it told? Shared by `simulate` and `demo`; a folder of its own each time."""

from __future__ import annotations

import fcntl
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from journeys.durations import local_to_instant
from journeys.words import Reason
from recall.cli.journey_outline import money
from recall.cli.output import Output, table
from recall.engine.publish import publish_project
from recall.engine.setup import Setup, open_setup
from recall.engine.simulate import routed_to_world, start_simulation
from recall.engine.violations import find_violations
from recall.errors import Misconfigured
from recall.measure.account import Account, read_account
from recall.settings import Mode, load
from recall.store.accounts import Troubles, read_troubles
from recall.store.connect import open_store
from recall.store.controls import ControlKind, set_control
from recall.store.migrations import migrate
from recall.store.simulated import throw_away

if TYPE_CHECKING:
    from rich.table import Table

    from journeys.journey import Journey
    from journeys.project import Project
    from providers.nature import Stage
    from providers.world import World
    from recall.engine.evidence import Violation

FIRST_DAY = datetime(2026, 3, 2)  # noqa: DTZ001  # a Monday, on the clock of the first journey
# A little of everything that goes wrong, so that retries, doubts and their evidence are seen at work.
MISHAPS = {
    "throttle_rate": "0.01",
    "lost_answer_rate": "0.005",
    "server_error_rate": "0.002",
    "late_receipt_rate": "0.05",
    "doubled_receipt_rate": "0.05",
}
_MOST_SHOWN = 20  # violations


@dataclass(frozen=True)
class Size:
    """How large a simulation is."""

    users: int
    days: int
    seed: int


@dataclass
class Simulation:
    """A store and a world that fit, both new."""

    folder: Path  # a project folder: `recall --project FOLDER` works on it
    journeys: tuple[str, ...]
    size: Size
    setup: Setup
    world: World


@contextmanager
def new_simulation(
    folder: Path, project: Project, journeys: Sequence[str], size: Size, *, store_file: Path | None = None
) -> Iterator[Simulation]:
    """Make people, publish the journeys to them, set the clock; `folder` is empty.

    Raises Misconfigured for a journey that is not in the project, or a store file that is there already.
    """
    missing = [name for name in journeys if name not in project.journeys]
    if missing:
        there = ", ".join(sorted(project.journeys))
        raise Misconfigured(f"there is no journey {missing[0]!r} in this project; there are: {there}")
    if store_file is not None and store_file.exists():
        raise Misconfigured(f"{store_file} is there already; a simulation needs a new file, so name another")
    setup, world = _open(folder, project, journeys, size, store_file)
    try:
        yield Simulation(folder, tuple(journeys), size, setup, world)
    finally:
        for provider in setup.providers.values():
            setup.dispatcher.run(provider.close())
        setup.store.close()


@contextmanager
def empty_folder(folder: Path) -> Iterator[Path]:
    """This folder for us alone; what an earlier simulation left there is removed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misconfigured(f"another simulation runs in {folder}; wait for its end") from None
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        yield folder


def _open(
    folder: Path, project: Project, journeys: Sequence[str], size: Size, store_file: Path | None
) -> tuple[Setup, World]:
    from providers.world import populate

    nouns = [project.journeys[name].noun for name in journeys]
    start = local_to_instant(FIRST_DAY, ZoneInfo(nouns[0].zone))
    settings = load(
        _env_file=None,
        project_dir=folder,
        var_dir=Path("var"),
        database_url=f"sqlite:///{(store_file or folder / 'var' / 'recall.db').resolve()}",
        world_url=str((folder / "var" / "world.db").resolve()),
        mode=Mode.LIVE,
        provider_options={"world": MISHAPS},
    )
    settings.var_dir.mkdir(parents=True)
    store = open_store(settings)
    migrate(store.engine)
    start_simulation(store, at=start)
    throw_away(store)
    stages = _stages(nouns)
    populate(Path(settings.world_url), n=size.users, seed=size.seed, start=start, days=size.days + 1, stages=stages)
    published = publish_project(store, routed_to_world(project), now=start, who="simulation", only=journeys)
    with store.writing() as connection:
        for version in published.new:
            set_control(connection, ControlKind.APPROVED, version.hash, who="simulation", why="simulated", at=start)
    setup = open_setup(settings, store=store)
    return setup, cast("World", setup.providers["world"])


def _stages(journeys: Sequence[Journey]) -> Mapping[Stage, float] | None:
    """People who can enter at all: of the stages the journeys are anchored on; everybody where that is not told."""
    from providers.nature import STAGES, Stage

    of = {
        "registered": Stage.REGISTERED,
        "application_started": Stage.APPLICATION,
        "credit_granted": Stage.GRANTED,
        "loan_settled": Stage.SETTLED,
    }
    anchors = {journey.entry.anchor for journey in journeys if isinstance(journey.entry.anchor, str)}
    if len(anchors) < len({str(journey.entry.anchor) for journey in journeys}) or not anchors <= set(of):
        return None
    return {of[anchor]: STAGES[of[anchor]].share for anchor in sorted(anchors)}


@contextmanager
def days_shown(output: Output, days: int) -> Iterator[Callable[[int], None]]:
    """Yields `on_day`: a bar on a terminal, else a remark now and then."""
    import sys

    with output.progress("virtual days", days) as advance:

        def on_day(day: int) -> None:
            advance(1)
            if not sys.stderr.isatty() and (day % 5 == 0 or day == days):
                output.remark(f"day {day} of {days}")

        yield on_day


# --- telling it -------------------------------------------------------------------------------------------


@dataclass
class Told:
    """What came of it, for programs and for people."""

    accounts: list[Account]
    troubles: Troubles
    violations: list[Violation]
    size: Size

    def data(self) -> dict[str, Any]:
        """One object; with several journeys their sums, and each of them under `journeys`."""
        data = self._of(self.accounts)
        if len(self.accounts) > 1:
            data["journeys"] = [self._of([account]) for account in self.accounts]
        return data | {
            "doubts": {"raised": self.troubles.doubts, **self.troubles.resolved},
            "tried_again": self.troubles.tried_again,
            "violations": len(self.violations),
            "violations_by_invariant": dict(Counter(wrong.invariant for wrong in self.violations)),
        }

    def _of(self, accounts: Sequence[Account]) -> dict[str, Any]:
        steps = [
            {
                "journey": account.journey,
                "step": step.step,
                "channel": step.channel,
                "people": step.people,
                "sent": step.sent,
                "in_doubt": step.in_doubt,
                "not_sent": _ordered(step.not_sent),
            }
            for account in accounts
            for step in account.steps
        ]
        cost = _sums(account.cost for account in accounts)
        return {
            "journey": ", ".join(account.journey for account in accounts),
            "users": self.size.users,
            "days": self.size.days,
            "seed": self.size.seed,
            "users_entered": sum(account.users_entered for account in accounts),
            "entry_reasons": _ordered(_sums(account.entry_reasons for account in accounts)),
            "enrolled": sum(account.enrolled for account in accounts),
            "treated": sum(account.treated for account in accounts),
            "holdout": sum(account.held_out for account in accounts),
            "sent": _ordered(_sums(account.sent for account in accounts)),
            "not_sent": _ordered(_sums(account.not_sent for account in accounts)),
            "goal_reached": {
                "treated": sum(account.goals_treated for account in accounts),
                "holdout": sum(account.goals_held_out for account in accounts),
            },
            "in_doubt": sum(account.in_doubt for account in accounts),
            "cost": {currency: money(micros) for currency, micros in sorted(cost.items()) if micros},
            "steps": steps,
        }

    def lines(self) -> Iterator[str | Table]:
        """The same in words."""
        for account in self.accounts:
            yield from _account_lines(account, self.size)
        yield _doubts_line(self.troubles)
        if not self.violations:
            yield "0 violations: I1 to I14 hold against the provider's own log."
            return
        yield f"{len(self.violations)} violations of what must never happen:"
        yield from (f"  {wrong}" for wrong in self.violations[:_MOST_SHOWN])
        if len(self.violations) > _MOST_SHOWN:
            yield f"  … and {len(self.violations) - _MOST_SHOWN} more"


def tell(simulation: Simulation) -> Told:
    """Read what came of it, and check it."""
    from providers.world import accepted_log

    store, now = simulation.setup.store, simulation.setup.clock.now()
    with store.reading() as connection:
        accounts = [read_account(connection, journey, now=now) for journey in simulation.journeys]
        troubles = read_troubles(connection)
    violations = find_violations(store, accepted_log(simulation.world.path), now=now)
    return Told(accounts, troubles, violations, simulation.size)


def _account_lines(account: Account, size: Size) -> Iterator[str | Table]:
    entered = f"{account.users_entered:,} of {size.users:,} simulated users entered within {size.days} days"
    refused = "".join(f", {reason} {count:,}" for reason, count in _ordered(account.entry_reasons).items())
    passages = f"{account.enrolled:,} passages: {account.treated:,} treated, {account.held_out:,} held out"
    yield f"{account.journey}: {entered}{refused and f' (not let in: {refused[2:]})'}. {passages}."
    yield table(
        ["step", "people", "sent", "in doubt", "not sent", "why not"],
        [
            [f"{step.step} [{step.channel}]", step.people, step.sent, step.in_doubt, step.not_sent.total(), _why(step)]
            for step in account.steps
        ],
        title="Treated people, by step",
    )
    reasons = _ordered(account.not_sent)
    rows = [[reason, count, _MEANING.get(reason, "")] for reason, count in reasons.items()]
    yield table(["reason", "messages", ""], rows, title="Every message that was not sent")
    yield _returned(account)
    yield _cost(account)


_MEANING = {
    Reason.HOLDOUT.value: "the messages the holdout would have got",
    Reason.NOT_INSTALLED.value: "no app on the phone, or pushes forbidden",
    Reason.UNREACHABLE.value: "the address is known not to work",
    Reason.GOAL_REACHED.value: "came back before",
    "address": "refused by the provider: no such address",
    "not_sent": "in doubt, until evidence showed that it never went out",
    "other_way": "the journey led them another way",
    "not_due_yet": "the simulation ended first",
    "throttled": "too fast for the provider, each time it was tried",
}


def _why(step: Any) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in _ordered(step.not_sent).items())


def _returned(account: Account) -> str:
    treated = f"{account.goals_treated:,} of {account.treated:,} treated"
    held_out = f"{account.goals_held_out:,} of {account.held_out:,} held out"
    still = f"; for {account.open_windows:,} the time to come back is not over" if account.open_windows else ""
    return (
        f"Came back: {treated}, {held_out}{still}. What the journey caused is the difference, once it is large enough."
    )


def _cost(account: Account) -> str:
    sent = ", ".join(f"{channel} {count:,}" for channel, count in account.sent.items())
    cost = ", ".join(f"{money(micros)} {currency}" for currency, micros in account.cost.items() if micros)
    return f"Sent: {sent or 'nothing'}; cost: {cost or 'nothing'}."


def _doubts_line(troubles: Troubles) -> str:
    settled = ", ".join(f"{count} {what}" for what, count in troubles.resolved.items())
    again = f"{troubles.tried_again} were taken at a later attempt"
    return f"{troubles.doubts} messages were in doubt, settled by evidence: {settled or 'none'}; {again}."


def _sums(counts: Any) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    """The greatest first."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
