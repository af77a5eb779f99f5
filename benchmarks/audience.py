"""What does the daily look at all audiences cost, against the bare SELECTs it needs?

    .venv/bin/python -m benchmarks.audience --store postgresql --people 1000000 [--events 20]

Every journey of the catalogue, over people with twenty events each. Yesterday everybody who could enter did; today only
what a day brought is new. `select` asks each journey's own question once, whole, and fetches the answer; `refresh` is
what `recall-enrol` does with it: pages, locks, reasons, new rows, counts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from benchmarks import places, seed
from benchmarks.meter import Meter
from journeys.project import shipped_project
from recall.clock import DAY, Instant
from recall.engine.enrol import enrol
from recall.engine.publish import publish_project
from recall.store import schema
from recall.store.bulk import insert_rows
from recall.store.candidates import candidates, walk_indexes
from recall.store.connect import Store, open_store
from recall.store.people import ensure_zones
from recall.store.versions import Version, published_journeys

_AT_ONCE = 5_000
NAMES = (
    "visited", "visited", "visited", "visited", "registered", "application_started", "application_submitted",
    "credit_granted", "loan_drawn", "loan_settled",
)  # fmt: skip


def template(people: int, events: int) -> tuple[str, places.Make]:
    """The catalogue, published, and people with a history."""

    def make(store: Store) -> None:
        publish_project(store, shipped_project(), now=seed.NOW - 90 * DAY, who="benchmark")
        with store.writing() as connection:
            zone = next(iter(ensure_zones(connection, [("Asia/Shanghai",)]).values()))
        numbers = iter(range(1, people + 1))
        while some := list(islice(numbers, _AT_ONCE)):
            with store.writing() as connection:
                for table, columns, rows in _rows(some, zone, events):
                    insert_rows(connection, table, columns, rows)  # type: ignore[arg-type]
        if store.is_postgresql:
            seed.settle_down(store, people)
            with store.writing() as connection:
                connection.exec_driver_sql(
                    "select setval(pg_get_serial_sequence('events', 'id'), (select max(id) from events))"
                )

    return f"audience_{people}_{events}", make


def happened(n: int, events: int) -> list[tuple[str, Instant]]:
    """What the n-th person did in the last four months, oldest first, a little of it tomorrow."""
    found = []
    for k in range(events):
        draw = (n * 2_654_435_761 + k * 40_503 * (n % 97 + 1)) % 1_000_003
        found.append((NAMES[draw % len(NAMES)], seed.NOW + DAY - draw * 121 * DAY // 1_000_003))
    return sorted(found, key=lambda each: each[1])


def _rows(
    numbers: list[int], zone: int, events: int
) -> Iterator[tuple[object, tuple[str, ...], list[tuple[Any, ...]]]]:
    s = schema
    yield (
        s.addresses,
        ("id", "kind", "value", "hash", "region", "proved_at"),
        [(n, "phone", f"+86138{n:08d}", f"h{n}", "CN", seed.NOW - DAY) for n in numbers],
    )
    yield (
        s.users,
        ("id", "user_id", "zone_id", "locale", "jurisdiction", "phone_id", "created_at"),
        [(n, f"u{n}", zone, "zh-CN", "CN", n, seed.NOW - 400 * DAY) for n in numbers],
    )
    rows, latest = [], []
    for n in numbers:
        mine = happened(n, events)
        ids = {name: n * 100 + k for k, (name, _) in enumerate(mine)}
        rows += [(n * 100 + k, f"e{n}-{k}", n, name, at, at) for k, (name, at) in enumerate(mine)]
        for name, last in ids.items():
            times = [at for each, at in mine if each == name]
            latest.append((n, name, min(times), max(times), last, len(times)))
    yield s.events, ("id", "key", "user_id", "name", "at", "recorded_at"), rows
    yield s.user_events, ("user_id", "name", "first_at", "last_at", "last_event_id", "times"), latest


def select_all(store: Store, version: Version, now: Instant) -> int:
    """The journey's question over its whole span, in one statement."""
    question = candidates(version)
    with store.reading() as connection:
        walk_indexes(connection)
        return sum(1 for _ in connection.execute(question.statement, question.parameters(now, question.span(now))))


def measure(kind: places.Kind, people: int, events: int) -> dict[str, Any]:
    with places.alone(), places.copy_of(kind, *template(people, events)) as (url, folder):
        store = open_store(places.settings_of(url, folder))
        durability = places.durability(store)
        with store.reading() as connection:
            versions = published_journeys(connection)
        server = places.server().get_pid() if kind == "postgresql" else None
        first, selecting, refreshing = (Meter.of(postgresql=server) for _ in range(3))
        with first.section():
            entered_first = sum(enrol(store, version, now=seed.NOW).enrolled for version in versions)
        today, found, entered = seed.NOW + DAY, 0, 0
        journeys = {}
        for version in versions:
            select, refresh = Meter.of(postgresql=server), Meter.of(postgresql=server)
            with selecting.section(), select.section():
                candidates_found = select_all(store, version, today)
            with refreshing.section(), refresh.section():
                result = enrol(store, version, now=today)
            assert result.candidates == candidates_found, (version.name, result, candidates_found)
            found, entered = found + candidates_found, entered + result.enrolled
            journeys[version.name] = {
                "candidates": candidates_found,
                "enrolled": result.enrolled,
                "times": round(refresh.wall / select.wall, 2),
            }
        store.close()
    select_told, refresh_told = selecting.told(people), refreshing.told(people)
    return {
        "what": "audience",
        "store": kind,
        "people": people,
        "events": people * events,
        "first_day": {"enrolled": entered_first, **first.told(people)},
        "candidates": found,
        "enrolled": entered,
        "journeys": journeys,
        "select_wall": select_told["wall"],
        "select_cpu": select_told["cpu"],
        "refresh_wall": refresh_told["wall"],
        "refresh_cpu": refresh_told["cpu"],
        "times": round(refreshing.wall / selecting.wall, 2),
        "peak_mib": refresh_told["peak_mib"],
        "load": refresh_told["load"],
        "durability": durability,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", choices=places.KINDS, default="sqlite")
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=20, help="of each person")
    asked = parser.parse_args()
    print(json.dumps(measure(asked.store, asked.people, asked.events)))


if __name__ == "__main__":
    main()
