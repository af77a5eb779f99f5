"""What does Prefect cost? A flow that sends, reporting to a real server, beside the engine called directly.

    .venv/bin/python -m benchmarks.through_prefect --store postgresql --people 100000 [--way batch|single] [--whole]

The flow is `journey-lane`: turn, steps, batches, and nothing the engine does not do. `--whole` takes `journey-run`, the
first of its day, which also counts for people: the funnel of everybody who ever entered, and how yesterday went.

The server is one of its own with SQLite, in a process beside; its CPU counts. Two runs that find nobody warm up both
processes, as they are after a worker's first minute: one of the journey, and one of its step, with a task and a bar.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import places, seed
from benchmarks.engine import JOURNEY, RunningClock, Way, check, setup_of, warm_up
from benchmarks.meter import Meter
from recall.cli.server import own_server
from recall.clock import DAY, Instant
from recall.engine.run import due_steps
from recall.store.connect import open_store


class SwitchedClock(RunningClock):
    """A day early until it is switched on: the run before that finds nobody due."""

    def __init__(self) -> None:
        super().__init__()
        self.early = DAY

    def now(self) -> Instant:
        return super().now() - self.early


def measure(kind: places.Kind, people: int, way: Way, *, whole: bool = False) -> dict[str, Any]:
    with (
        places.alone(),
        places.copy_of(kind, *places.people(people)) as (url, folder),
        way.open() as (adapter, stub),
    ):
        store = open_store(places.settings_of(url, folder))
        durability = places.durability(store)
        clock = SwitchedClock()
        setup = setup_of(store, adapter, folder, clock=clock)
        with _prefect() as (call, prefect):
            from tasks import setup as tasks_setup

            tasks_setup.use(setup)
            warm_up(setup)
            step = due_steps(setup, JOURNEY, due_before=clock.now() + clock.early)[0]
            call("run_journey", JOURNEY)
            call("run_step", JOURNEY, step.node.name, step.node.channel.value, step.version.id, 1, 1)
            clock.early = 0
            server = places.server().get_pid() if kind == "postgresql" else None
            meter = Meter.of(postgresql=server, stub=stub.pid if stub else None, prefect=prefect)
            with meter.watching_memory(), meter.section():
                call("run_journey" if whole else "run_lane", JOURNEY)
            told = meter.told(people, not_ours=["stub"])
        taken = stub.counts()["messages"] if stub else getattr(adapter, "taken", 0)
        check(store, seed.going(people), people=people, taken=taken)
        store.close()
    return {"what": f"prefect {way.name}{' whole' if whole else ''}", "store": kind, **told, "durability": durability}


@contextmanager
def _prefect() -> Iterator[tuple[Any, int]]:
    """A way to call a flow by its name in this process, and the process of the server it reports to: one as
    `recall up` starts it."""
    with tempfile.TemporaryDirectory(prefix="recall-benchmark-prefect-") as home:
        os.environ |= {"DO_NOT_TRACK": "1", "PREFECT_HOME": home, "PREFECT_LOGGING_LEVEL": "WARNING"}
        from flows.lane import run_lane
        from flows.run import run_journey
        from flows.session import session
        from flows.step import run_step

        flows = {"run_journey": run_journey, "run_lane": run_lane, "run_step": run_step}
        with own_server(Path(home) / "server") as server:
            server.wait()
            with session(server.url, Path(home)) as opened:

                def call(flow: str, *arguments: object) -> None:
                    state = opened.call(flows[flow], *arguments)
                    assert state.is_completed(), state

                yield call, server.process.pid


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", choices=places.KINDS, default="sqlite")
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--way", choices=("null", "batch", "single"), default="batch")
    parser.add_argument("--at-once", type=int, default=256)
    parser.add_argument("--whole", action="store_true", help="with the tables a run draws for people")
    asked = parser.parse_args()
    print(json.dumps(measure(asked.store, asked.people, Way(asked.way, at_once=asked.at_once), whole=asked.whole)))


if __name__ == "__main__":
    main()
