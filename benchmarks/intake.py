"""How fast do events come in from a file, against a bare COPY (or executemany) of the same rows into the same tables?

    .venv/bin/python -m benchmarks.intake --store postgresql --events 1000000 [--floor]

The file holds new events of people the store knows; each chunk writes events, the latest event of each name, and who
changed. The floor writes what that comes to, in chunks of the same size, values prepared beforehand.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import places, seed
from benchmarks.meter import Meter
from benchmarks.written import opened
from recall.clock import SECOND, to_datetime
from recall.intake.events import import_events
from recall.intake.loading import CHUNK
from recall.intake.mapping import FileMapping
from recall.store.connect import open_store

NAMES = ("visited", "application_started", "credit_granted", "loan_drawn", "loan_settled")

Event = tuple[str, int, str, int]  # key, users.id, name, at


def events_of(count: int, people: int) -> Iterator[Event]:
    """New events, the same each time: twenty days, many people, five names."""
    for k in range(count):
        n = k * 7_919 % people + 1
        at = seed.NOW - 20 * 86_400 * SECOND + k * SECOND % (20 * 86_400 * SECOND)
        yield f"events:x{k}", n, NAMES[k * 31 % len(NAMES)], at


def write_file(path: Path, events: int, people: int) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "user", "name", "at"])
        for key, n, name, at in events_of(events, people):
            writer.writerow([key.removeprefix("events:"), f"u{n}", name, to_datetime(at).isoformat()])


def people_for(events: int) -> int:
    """A tenth as many people as events, at least a thousand."""
    return max(1_000, events // 10)


def measure(kind: places.Kind, events: int, *, floor: bool) -> dict[str, Any]:
    people = people_for(events)
    with places.alone(), places.copy_of(kind, *places.people(people)) as (url, folder):
        store = open_store(places.settings_of(url, folder))
        durability = places.durability(store)
        meter = Meter.of(postgresql=places.server().get_pid() if kind == "postgresql" else None)
        if floor:
            store.close()
            _write_floor(url, meter, events, people)
        else:
            path = folder / "events.csv"
            write_file(path, events, people)
            with meter.watching_memory(), meter.section():
                report = import_events(store, path, FileMapping(), now=seed.NOW, rejects=folder / "rejects")
            store.close()
            assert report.added == events, report
        _check(url, events, people)
    what = "intake floor" if floor else "intake"
    return {"what": what, "store": kind, **meter.told(events), "durability": durability}


def _check(url: str, events: int, people: int) -> None:
    """Every event stands once, and is counted in the summary of its person."""
    with opened(url) as connection:
        [(stored,)] = connection.execute("select count(*) from events")
        [(counted,)] = connection.execute("select sum(times) from user_events")
    assert stored == counted == events + people, (stored, counted, events, people)


# --- the floor ----------------------------------------------------------------------------------------------


def _write_floor(url: str, meter: Meter, events: int, people: int) -> None:
    made = list(_chunks(events, people))
    with opened(url) as connection:
        write = _write_sqlite if url.startswith("sqlite") else _write_postgresql
        if url.startswith("sqlite"):
            for pragma in (
                "synchronous=full",
                "cache_size=-64000",
                "mmap_size=268435456",
                "wal_autocheckpoint=20000",
            ):
                connection.execute(f"pragma {pragma}")
        with meter.section():
            for chunk in made:
                write(connection, chunk)


class Chunk:
    """What one transaction writes: events with their ids, new and changed summaries, changed people."""

    def __init__(self) -> None:
        self.events: list[tuple[int, str, int, str, int, int]] = []
        self.new: list[tuple[int, str, int, int, int, int]] = []
        self.changed: list[tuple[int, int, int, int, int, str]] = []
        self.people: list[tuple[int]] = []


def _chunks(events: int, people: int) -> Iterator[Chunk]:
    """Summaries as they are after each chunk, kept from the first one on."""
    latest: dict[tuple[int, str], tuple[int, int, int, int]] = {
        (n, "loan_drawn"): (seed._drawn(n), seed._drawn(n), n, 1) for n in range(1, people + 1)
    }
    coming, last_id = events_of(events, people), people
    while some := list(islice(coming, CHUNK)):
        chunk, touched, known = Chunk(), dict[tuple[int, str], None](), set(latest)
        for key, n, name, at in some:
            last_id += 1
            chunk.events.append((last_id, key, n, name, at, seed.NOW))
            first, last, last_event, times = latest.get((n, name), (at, at, last_id, 0))
            newer = (at, last_id) >= (last, last_event)
            latest[n, name] = (min(first, at), max(last, at), last_id if newer else last_event, times + 1)
            touched[n, name] = None
        for n, name in touched:
            first, last, last_event, times = latest[n, name]
            if (n, name) in known:
                chunk.changed.append((first, last, last_event, times, n, name))
            else:
                chunk.new.append((n, name, first, last, last_event, times))
        chunk.people = [(n,) for n in dict.fromkeys(n for n, _ in touched)]
        yield chunk


_EVENTS = ("id", "key", "user_id", "name", "at", "recorded_at")
_SUMMARY = ("user_id", "name", "first_at", "last_at", "last_event_id", "times")


def _write_postgresql(connection: Any, chunk: Chunk) -> None:
    with connection.cursor() as cursor:
        _copy(cursor, "events", _EVENTS, chunk.events)
        _copy(cursor, "user_events", _SUMMARY, chunk.new)
        columns = [list(column) for column in zip(*chunk.changed, strict=True)] or [[]] * 6
        cursor.execute(
            "update user_events set first_at = new.a, last_at = new.b, last_event_id = new.c, times = new.d"
            " from unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[])"
            " as new(a, b, c, d, n, e) where user_events.user_id = new.n and user_events.name = new.e",
            columns,
        )
        _copy(cursor, "changed_users", ("user_id",), chunk.people)
    connection.commit()


def _copy(cursor: Any, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with cursor.copy(f"copy {table} ({', '.join(columns)}) from stdin") as copy:
        for row in rows:
            copy.write_row(row)


def _write_sqlite(connection: Any, chunk: Chunk) -> None:
    connection.execute("begin immediate")
    connection.executemany(f"insert into events ({', '.join(_EVENTS)}) values (?, ?, ?, ?, ?, ?)", chunk.events)
    connection.executemany(f"insert into user_events ({', '.join(_SUMMARY)}) values (?, ?, ?, ?, ?, ?)", chunk.new)
    connection.executemany(
        "update user_events set first_at = ?, last_at = ?, last_event_id = ?, times = ? where user_id = ? and name = ?",
        chunk.changed,
    )
    connection.executemany("insert into changed_users (user_id) values (?)", chunk.people)
    connection.execute("commit")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", choices=places.KINDS, default="sqlite")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--floor", action="store_true", help="write the same rows bare")
    asked = parser.parse_args()
    print(json.dumps(measure(asked.store, asked.events, floor=asked.floor)))


if __name__ == "__main__":
    main()
