"""Does a busy journey make its neighbours dear? A quiet one beside it must cost what it costs alone.

    .venv/bin/python -m benchmarks.neighbours --store postgresql --people 100000 [--alone]

In one store stand `bench`, with everybody due, and `quiet`, with a thousand people. Measured are idle runs of `quiet`
(before its people are due) and the run that messages them; with `--alone` nobody is left in `bench`.
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

from benchmarks import places, seed
from benchmarks.adapters import Null
from benchmarks.engine import RunningClock, send_everything, setup_of
from benchmarks.idle import _WARM
from benchmarks.meter import Meter
from benchmarks.written import opened
from recall.clock import HOUR
from recall.engine.run import run_journey
from recall.engine.setup import Setup
from recall.store import schema
from recall.store.bulk import insert_rows
from recall.store.connect import Store, open_store

QUIET = 1_000
QUIET_IDS = 500_000_000  # added to a person's number: the passage in `quiet`
RUNS = 100
TOGETHER = 5  # runs measured as one; the median of these counts


def template(people: int) -> tuple[str, places.Make]:
    """Both journeys in one store; the quiet one's people are due an hour later than the busy one's."""

    def make(store: Store) -> None:
        busy = seed.publish(store, provider=seed.PROVIDER)
        quiet = seed.publish(store, provider=seed.PROVIDER, name="quiet")
        seed.seed(store, busy, people)
        going = [n for n in range(1, people + 1) if seed.fate(n) == "go"][-QUIET:]
        later = seed.NOW + HOUR
        with store.writing() as connection:
            insert_rows(
                connection,
                schema.enrolments,
                ("id", "journey_id", "version_id", "user_id", "entry_key", "anchor_at", "entered_at", "active",
                 "step_id", "due_at", "first_due_at", "base_at", "goal_until"),
                [(QUIET_IDS + n, quiet.journey_id, quiet.id, n, f"q{n}", seed.NOW - HOUR, seed.NOW - HOUR, True, 0,
                  later, later, seed.NOW, later + HOUR) for n in going],
            )  # fmt: skip
        if store.is_postgresql:
            seed.settle_down(store, people)

    return f"neighbours_{people}", make


def measure(kind: places.Kind, people: int, *, alone: bool) -> dict[str, Any]:
    with places.alone(), places.copy_of(kind, *template(people)) as (url, folder):
        if alone:
            _empty_busy(url, people)
        store = open_store(places.settings_of(url, folder))
        durability = places.durability(store)
        server = places.server().get_pid() if kind == "postgresql" else None
        sending = Meter.of(postgresql=server)
        setup = setup_of(store, Null(), folder)
        for _ in range(_WARM):
            run_journey(setup, "quiet")
        idle = [_idle_runs(setup, server) for _ in range(RUNS // TOGETHER)]
        setup = setup_of(store, Null(), folder, clock=RunningClock(seed.NOW + HOUR))
        with sending.section():
            sent = send_everything(setup, "quiet")
        assert sent == QUIET, sent
        store.close()
    return {
        "what": "neighbours",
        "store": kind,
        "people": people,
        "alone": alone,
        "idle_us": round(statistics.median(us for us, _ in idle), 1),
        "idle_wall_us": round(statistics.median(wall for _, wall in idle), 1),
        "sending": sending.told(QUIET),
        "load": sending.told(QUIET)["load"],
        "durability": durability,
    }


def _idle_runs(setup: Setup, server: int | None) -> tuple[float, float]:
    """CPU and wall of a run, in microseconds; what PostgreSQL does now and then falls on few of these."""
    meter = Meter.of(postgresql=server)
    with meter.section():
        for _ in range(TOGETHER):
            assert run_journey(setup, "quiet").is_idle
    return meter.told(TOGETHER)["us"], meter.wall / TOGETHER * 1e6


def _empty_busy(url: str, people: int) -> None:
    with opened(url) as connection:
        connection.execute(f"delete from enrolments where id <= {people}")
        connection.commit()
    with opened(url) as connection:
        if not url.startswith("sqlite"):
            connection.autocommit = True
            connection.execute("vacuum analyze enrolments")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", choices=places.KINDS, default="sqlite")
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--alone", action="store_true")
    asked = parser.parse_args()
    print(json.dumps(measure(asked.store, asked.people, alone=asked.alone)))


if __name__ == "__main__":
    main()
