"""What does the whole job look like? Simulated people, the shipped three-step journey, a real Prefect server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recall.cli.context import App, pass_app

if TYPE_CHECKING:
    from recall.cli.output import Output
    from recall.cli.server import Server
    from recall.cli.simulated import Simulation
    from recall.engine.simulate import Passes

Runs = dict[str, dict[str, int]]  # flow -> state -> runs

JOURNEY = "settled-30d"
RUNS = "15 11,17,22 * * *"  # the windows of every zone these people live in are open at one of them
RECONCILES = "45 12 * * *"
VIOLATED = 1


@click.command()
@click.option(
    "--users",
    default=3500,
    show_default=True,
    type=click.IntRange(1),
    help="Simulated people; about six in ten enter the journey.",
)
@click.option("--days", default=30, show_default=True, type=click.IntRange(1), help="Virtual days.")
@click.option("--seed", default=1, show_default=True, type=int, help="Another seed, other people and other chances.")
@pass_app
def demo(app: App, users: int, days: int, seed: int) -> int:
    """Find dormant users, walk them through push, SMS and call, and count who came back; all through Prefect.

    Starts a Prefect server on this machine and stops it at the end. The people are simulated and nothing leaves this
    machine; some answers get lost on purpose. Exit code 0 only if no invariant was violated. Takes a minute or two.

    \b
    Example:
      recall demo --json
    """
    from journeys.project import shipped_project
    from recall.cli.server import own_server
    from recall.cli.simulated import Size, empty_folder, new_simulation, tell
    from recall.clock import elapsed_seconds
    from recall.measure.review import write_review

    began = elapsed_seconds()
    folder = app.settings.var_dir / "demo"
    app.output.remark(f"recall demo: making {users:,} simulated people, starting a Prefect server")
    with (
        _stopped_by_sigterm(),
        empty_folder(folder),
        own_server(folder / "prefect") as server,
        new_simulation(folder, shipped_project(), [JOURNEY], Size(users, days, seed)) as simulation,
    ):
        runs = _walk(app.output, simulation, server)
        told = tell(simulation)
        setup = simulation.setup
        page = write_review(setup.store, folder / "review.html", now=setup.clock.now())
        user = _somebody(simulation)
    seconds = round(elapsed_seconds() - began, 1)
    data = told.data() | {"prefect": runs, "seconds": seconds, "folder": str(folder), "review": str(page)}
    app.output.answer(data, *told.lines(), *_prefect_lines(runs, seconds), *_next_lines(folder, user))
    return VIOLATED if told.violations else 0


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM ends us as Ctrl-C does, so that the server never outlives us."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _walk(output: Output, simulation: Simulation, server: Server) -> Runs:
    """Every virtual day through the flows; returns how many ran."""
    from flows.session import session
    from recall.cli.simulated import days_shown
    from recall.engine.simulate import simulate
    from tasks.setup import forget, use

    server.wait()
    output.remark(f"recall demo: walking through {simulation.size.days} virtual days")
    use(simulation.setup)
    try:
        with session(server.url, server.home) as prefect, days_shown(output, simulation.size.days) as on_day:
            simulate(
                simulation.setup,
                simulation.world,
                simulation.journeys,
                days=simulation.size.days,
                passes=_passes(output, prefect),
                runs=RUNS,
                reconciles=RECONCILES,
                on_day=on_day,
            )
            return prefect.count_runs()
    finally:
        forget()


def _passes(output: Output, prefect: Any) -> Passes:
    """The flows in place of the engine's functions; a red run is told, and what it left is due again."""
    from flows.enrol import run_enrol
    from flows.reconcile import run_reconcile
    from flows.run import run_journey
    from recall.engine.simulate import Passes

    def call(flow: Any, *arguments: str) -> None:
        state = prefect.call(flow, *arguments)
        if not state.is_completed():
            output.remark(f"recall demo: a run ended {state.name}: {state.message}")

    return Passes(
        enrol=lambda journey: call(run_enrol, journey),
        run=lambda journey: call(run_journey, journey),
        reconcile=lambda: call(run_reconcile),
    )


def _somebody(simulation: Simulation) -> str:
    from recall.store.accounts import find_eventful_user

    with simulation.setup.store.reading() as connection:
        return find_eventful_user(connection, JOURNEY) or "USER"


def _prefect_lines(runs: Runs, seconds: float) -> list[str]:
    told = "; ".join(
        f"{flow} {sum(states.values())} ({', '.join(f'{state} {count}' for state, count in states.items())})"
        for flow, states in runs.items()
    )
    return [f"Prefect ran {sum(map(_total, runs.values())):,} flows: {told}. The whole took {seconds:.0f} s."]


def _total(states: dict[str, int]) -> int:
    return sum(states.values())


def _next_lines(folder: Path, user: str) -> list[str]:
    shown = os.path.relpath(folder)
    return [
        "Where to look next:",
        f"  {shown}/review.html        the weekly page: what came back because of the messages, and what it cost",
        f"  recall explain {user} --project {shown}        why one user got what, and what not",
        f"  PREFECT_HOME={shown}/prefect prefect server start     its runs in the Prefect UI, at http://127.0.0.1:4200",
        "  recall journey show settled-30d --shipped        the journey that was walked",
        "  recall simulate granted-7d --shipped             another one; `recall init DIR` begins your own",
    ]
