"""How fast could anybody write what the engine writes? The same rows into the same tables, and nothing else.

    .venv/bin/python -m benchmarks.floors --store postgresql --people 100000

Values were prepared beforehand; chunks and commits are the engine's own; nothing is read, decided or rendered. Each
store gets its fastest durable statements: COPY, or executemany, and set updates by key. On PostgreSQL several
connections may write side by side, answers after their gate (`--connections`). What it leaves must equal what the
engine left.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import psycopg

from benchmarks import places
from benchmarks.engine import Way
from benchmarks.engine import measure as run_engine
from benchmarks.meter import Meter
from benchmarks.written import (
    DECISION_COLUMNS,
    MOVED_COLUMNS,
    SEND_COLUMNS,
    Gated,
    Settled,
    Transaction,
    checksums,
    differing,
    transactions,
)
from recall.store.connect import open_store

_PERSON = ", ".join([*(f"s{n} = s{n - 1}" for n in range(8, 1, -1)), *(f"sms{n} = sms{n - 1}" for n in (4, 3, 2))])
_ADDRESS = ", ".join([*(f"s{n} = s{n - 1}" for n in range(8, 1, -1)), *(f"m{n} = m{n - 1}" for n in (4, 3, 2))])
_GIVEN = "(select value from json_each(?))"
_MARKS = ", ".join(f"{name} = %s" for name in MOVED_COLUMNS)


class PostgresqlFloor:
    """COPY for what is new, one UPDATE by key for what all rows of a set have in common."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url)

    def write(self, transaction: Transaction) -> None:
        with self.connection.cursor() as cursor:
            if isinstance(transaction, Gated):
                self._gate(cursor, transaction)
            else:
                self._settle(cursor, transaction)
        self.connection.commit()

    def _gate(self, cursor: Any, gate: Gated) -> None:
        at = gate.at
        _copy(cursor, "sends", SEND_COLUMNS, gate.sends)
        counted = f"update contact_state set {_PERSON}, s1 = %s, sms1 = %s, streak = streak + 1 where user_id = any(%s)"
        cursor.execute(counted, (at, at, gate.counted_users))
        cursor.execute(
            f"update addresses set {_ADDRESS}, s1 = %s, m1 = %s where id = any(%s)", (at, at, gate.counted_addresses)
        )
        for values, ids in gate.moves.items():
            cursor.execute(f"update enrolments set {_MARKS} where id = any(%s)", (*values, ids))
        rest = "update contact_state set rest_until = %s, rests = rests + 1, streak = 0 where user_id = any(%s)"
        for until, users in gate.rests.items():
            cursor.execute(rest, (until, users))
        _copy(cursor, "decisions", DECISION_COLUMNS, gate.decisions)

    def _settle(self, cursor: Any, settled: Settled) -> None:
        ids, given = zip(*settled.accepted, strict=True)
        cursor.execute(
            "update sends set state = 'accepted', provider_id = new.given, settled_at = %s"
            " from unnest(%s::bigint[], %s::text[]) as new(id, given) where sends.id = new.id",
            (settled.at, list(ids), list(given)),
        )

    def close(self) -> None:
        self.connection.close()


def _copy(cursor: Any, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    if not rows:
        return
    with cursor.copy(f"copy {table} ({', '.join(columns)}) from stdin") as copy:
        for row in rows:
            copy.write_row(row)


class SqliteFloor:
    """Prepared inserts, many at a time; one UPDATE by key for what all rows of a set have in common."""

    def __init__(self, url: str) -> None:
        store = open_store(places.settings_of(url, places.FOLDER))  # the pragmas are those of every recall process
        self._store = store
        self._held = store.engine.raw_connection()
        self.connection: sqlite3.Connection = self._held.driver_connection  # type: ignore[assignment]

    def write(self, transaction: Transaction) -> None:
        self.connection.execute("begin immediate")
        if isinstance(transaction, Gated):
            self._gate(transaction)
        else:
            self._settle(transaction)
        self.connection.execute("commit")

    def _gate(self, gate: Gated) -> None:
        at, write = gate.at, self.connection.execute
        self._insert("sends", SEND_COLUMNS, gate.sends)
        person = f"update contact_state set {_PERSON}, s1 = {at}, sms1 = {at}, streak = streak + 1"
        write(f"{person} where user_id in {_GIVEN} and brand = 'default'", (json.dumps(gate.counted_users),))
        address = f"update addresses set {_ADDRESS}, s1 = {at}, m1 = {at}"
        write(f"{address} where id in {_GIVEN}", (json.dumps(gate.counted_addresses),))
        moved = f"update enrolments set {', '.join(f'{name} = ?' for name in MOVED_COLUMNS)} where id in {_GIVEN}"
        for values, ids in gate.moves.items():
            write(moved, (*values, json.dumps(ids)))
        rest = "update contact_state set rest_until = ?, rests = rests + 1, streak = 0"
        for until, users in gate.rests.items():
            write(f"{rest} where user_id in {_GIVEN} and brand = 'default'", (until, json.dumps(users)))
        self._insert("decisions", DECISION_COLUMNS, gate.decisions)

    def _insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        marks = ", ".join("?" * len(columns))
        self.connection.executemany(f"insert into {table} ({', '.join(columns)}) values ({marks})", rows)

    def _settle(self, settled: Settled) -> None:
        answer = f"update sends set state = 'accepted', provider_id = new.value, settled_at = {settled.at}"
        given = json.dumps(dict(settled.accepted))
        self.connection.execute(
            f"{answer} from json_each(?) as new where sends.id = cast(new.key as integer)", (given,)
        )

    def close(self) -> None:
        self._held.close()
        self._store.close()


Floor = PostgresqlFloor | SqliteFloor


def write_all(floors: Sequence[Floor], made: Sequence[Transaction]) -> None:
    """In the order in which they were committed; with several connections side by side, answers after their gate."""
    if len(floors) == 1:
        for transaction in made:
            floors[0].write(transaction)
        return
    free: SimpleQueue[Floor] = SimpleQueue()
    for floor in floors:
        free.put(floor)
    with ThreadPoolExecutor(len(floors)) as pool:
        written: list[Future[None]] = []
        for transaction, before in zip(made, _needed(made), strict=True):
            written.append(pool.submit(_write, free, transaction, [written[n] for n in before]))
        for each in written:
            each.result()


def _write(free: SimpleQueue[Floor], transaction: Transaction, before: Sequence[Future[None]]) -> None:
    for each in before:
        each.result()
    floor = free.get()
    try:
        floor.write(transaction)
    finally:
        free.put(floor)


def _needed(made: Sequence[Transaction]) -> list[set[int]]:
    """For each transaction the places of those that must be there before: of answers, the gates of their sends."""
    gate_of = {row[0]: n for n, each in enumerate(made) if isinstance(each, Gated) for row in each.sends}
    return [{gate_of[send] for send, _ in each.accepted} if isinstance(each, Settled) else set() for each in made]


def measure(kind: places.Kind, people: int, *, connections: int = 1) -> dict[str, Any]:
    """Write again what an engine run wrote (which is made first when none was kept)."""
    name = answers_of(people)
    source = places.kept(kind, name)
    if source is None:
        run_engine(kind, people, Way("null"), keep_as=name)
        source = places.kept(kind, name)
    assert source is not None
    make: Callable[[str], Floor] = SqliteFloor if kind == "sqlite" else PostgresqlFloor
    with places.alone(), places.copy_of(kind, *places.people(people)) as (url, folder):
        store = open_store(places.settings_of(url, folder))
        durability = places.durability(store)
        store.close()
        made = transactions(source)
        floors = [make(url) for _ in range(connections)]
        meter = Meter.of(postgresql=places.server().get_pid() if kind == "postgresql" else None)
        with meter.section():
            write_all(floors, made)
        for floor in floors:
            floor.close()
        wrong = differing(checksums(source), checksums(url))
        assert not wrong, f"the floor and the engine left different rows: {wrong}"
    return {"what": "floor", "store": kind, "connections": connections, **meter.told(people), "durability": durability}


def answers_of(people: int) -> str:
    """Name of the kept store of an engine run, made of today's seed and schema."""
    return places.stamp(f"answers_{people}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", choices=places.KINDS, default="sqlite")
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=1, help="that write side by side (PostgreSQL)")
    asked = parser.parse_args()
    print(json.dumps(measure(asked.store, asked.people, connections=asked.connections)))


if __name__ == "__main__":
    main()
