"""Has a change made the gate quadratic, or the idle run as long as the list of the enrolled? A minute, for CI.

    .venv/bin/python -m benchmarks.guard [--store sqlite] [--plant no-index|count-all]

Counts work, not time: pages PostgreSQL touched, steps SQLite's machine took, so that a busy machine changes nothing.
`--plant` breaks something on purpose, to show that the guard sees it: it must then end with an error.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from sqlalchemy import event

from benchmarks import neighbours, places, seed
from benchmarks.adapters import Null
from benchmarks.engine import JOURNEY, RunningClock, check, send_everything, setup_of
from benchmarks.written import opened
from recall.clock import DAY
from recall.engine import run
from recall.engine.setup import Setup
from recall.store.connect import Connection, Store, open_store

SMALL, BIG = 2_500, 10_000
# Of the work of a run, between the two sizes; PostgreSQL's trees grow a level within them.
MOST_EXPONENT: dict[places.Kind, float] = {"sqlite": 1.05, "postgresql": 1.2}
MOST_IDLE_TIMES = 1.25  # the work of an idle run, big over small
_STEPS = 100  # of SQLite's machine, between two looks
Plant = Literal["", "no-index", "count-all"]
PLANTS: tuple[Plant, ...] = ("", "no-index", "count-all")


class SqliteWork:
    """Steps of SQLite's machine, in all connections of a store."""

    def __init__(self, store: Store, url: str) -> None:
        self._steps = 0
        event.listen(store.engine, "connect", self._count)

    def _count(self, connection: Any, _record: object) -> None:
        connection.set_progress_handler(self._tick, _STEPS)

    def _tick(self) -> int:
        self._steps += _STEPS
        return 0

    def done(self, store: Store) -> int:
        return self._steps


class PostgresqlWork:
    """Pages of tables and indexes that a database's sessions touched; told when they end."""

    def __init__(self, store: Store, url: str) -> None:
        self._url = url
        self._before = self._pages()

    def _pages(self) -> int:
        query = (
            "select coalesce(sum(coalesce(heap_blks_hit, 0) + coalesce(heap_blks_read, 0) + coalesce(idx_blks_hit, 0)"
            " + coalesce(idx_blks_read, 0)), 0) from pg_statio_user_tables"
        )
        with psycopg.connect(self._url, autocommit=True) as connection:
            _await_the_end_of_others(connection)
            found = connection.execute(query).fetchone()
        return int(found[0]) if found else 0

    def done(self, store: Store) -> int:
        store.close()
        return self._pages() - self._before


def _await_the_end_of_others(connection: psycopg.Connection[Any]) -> None:
    """A session goes on for a moment after it was closed, and tells what it touched just before it is gone."""
    query = (
        "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        " and backend_type = 'client backend'"
    )
    for _ in range(1_000):
        if connection.execute(query).fetchone() == (0,):
            return
        time.sleep(0.02)
    raise AssertionError("a session of the guard's own database does not end")


Work = SqliteWork | PostgresqlWork


@contextmanager
def _working(kind: places.Kind, template: tuple[str, places.Make], plant: Plant) -> Iterator[tuple[Store, Work, Any]]:
    with places.copy_of(kind, *template) as (url, folder):
        if plant == "no-index":
            _drop_index(url)
        store = open_store(places.settings_of(url, folder))
        places.durability(store)
        store.close()
        work = SqliteWork(store, url) if kind == "sqlite" else PostgresqlWork(store, url)
        with _planted(plant):
            yield store, work, folder
        store.close()


def _drop_index(url: str) -> None:
    with opened(url) as connection:
        connection.execute("drop index enrolments_due")
        connection.commit()


@contextmanager
def _planted(plant: Plant) -> Iterator[None]:
    """`count-all` looks at every enrolment to find out who is due."""
    kept = vars(run)["count_due"]
    if plant == "count-all":
        vars(run)["count_due"] = _count_all
    try:
        yield
    finally:
        vars(run)["count_due"] = kept


def _count_all(connection: Connection, version_id: int, step_id: int, *, due_before: int) -> int:
    rows = connection.exec_driver_sql("select version_id, step_id, due_at from enrolments where active")
    return sum(1 for row in rows if row[:2] == (version_id, step_id) and row[2] <= due_before)


def work_of_a_run(kind: places.Kind, people: int, plant: Plant = "") -> int:
    """Everybody is due and messaged, in many chunks."""
    with _working(kind, places.people(people), plant) as (store, work, folder):
        provider = Null()
        sent = send_everything(setup_of(store, provider, folder))
        check(store, sent, people=people, taken=provider.taken)
        return work.done(store)


def work_of_idling(kind: places.Kind, people: int, plant: Plant = "") -> int:
    """Everybody is enrolled, and nobody due before tomorrow."""
    with _working(kind, places.people(people), plant) as (store, work, folder):
        return _idle(setup_of(store, Null(), folder, clock=RunningClock(seed.NOW - DAY)), JOURNEY, store, work)


def work_beside(kind: places.Kind, people: int, plant: Plant = "") -> int:
    """Nobody is due in a small journey, and everybody in the one beside it."""
    with _working(kind, neighbours.template(people), plant) as (store, work, folder):
        return _idle(setup_of(store, Null(), folder), "quiet", store, work)


def _idle(setup: Setup, journey: str, store: Store, work: Work) -> int:
    for _ in range(3):
        assert run.run_journey(setup, journey).is_idle
    return work.done(store)


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what it came to, and what it may come to at most."""

    name: str
    value: float
    most: float

    @property
    def is_wrong(self) -> bool:
        return self.value > self.most


def look(kind: places.Kind, *, small: int = SMALL, big: int = BIG, plant: Plant = "") -> list[Finding]:
    """All three questions on one store."""

    def times(work: Callable[[places.Kind, int, Plant], int]) -> float:
        return work(kind, big, plant) / work(kind, small, plant)

    exponent = math.log(times(work_of_a_run)) / math.log(big / small)
    return [
        Finding(f"gate_exponent_{kind}", round(exponent, 3), MOST_EXPONENT[kind]),
        Finding(f"idle_times_{kind}", round(times(work_of_idling), 3), MOST_IDLE_TIMES),
        Finding(f"idle_beside_busy_times_{kind}", round(times(work_beside), 3), MOST_IDLE_TIMES),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", choices=places.KINDS, action="append")
    parser.add_argument("--plant", choices=PLANTS, default="")
    asked = parser.parse_args()
    findings = [found for kind in asked.store or places.KINDS for found in look(kind, plant=asked.plant)]
    for found in findings:
        print(f"{'WRONG' if found.is_wrong else 'well ':5} {found.name}: {found.value} (at most {found.most})")
    wrong = [found.name for found in findings if found.is_wrong]
    print(json.dumps({"guard": {found.name: found.value for found in findings}, "wrong": wrong}))
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
