"""Does recall stay as quick and as small as it was? Hundreds of virtual days of equal work on one store.

    .venv/bin/python -m benchmarks.soak --store postgresql [--people 100000] [--days 240] [--prefect 20]

Each day some people settle a loan, some visit, some draw one; yesterday's messages are receipted; then everybody who
may enters, what is due is sent, doubts are looked for, what was kept long enough is forgotten. Every `--prefect`th run
goes through the Prefect flow and a server of its own. The store keeps its usual settings (autovacuum, checkpoints).

The last line is one JSON object. It ends with an error when the last quarter of the days took more than 1.3 times the
CPU of the second, or as much more memory, or when inboxes grew. The funnel, which a run draws only as often as it may
cost a hundredth of the time, is told beside.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import places, soak_days
from benchmarks.meter import Meter
from benchmarks.soak_store import Statements, own_server, sizes
from recall.clock import DAY, FixedClock
from recall.engine.enrol import enrol
from recall.engine.reconcile import reconcile
from recall.engine.run import run_journey
from recall.engine.setup import Setup
from recall.measure.funnel import funnel
from recall.store.connect import Store, open_store
from recall.store.migrations import migrate
from recall.store.versions import current_version

AT_MOST = 1.3
SAME_WORK = 0.05
PARTS = ("tell", "enrol", "run", "reconcile", "funnel")
BY_HISTORY = "funnel"  # counts everybody who ever entered, and is therefore kept to a hundredth of the time


@dataclass
class Day:
    """What one day cost, by part, and what was done on it."""

    cpu: dict[str, float] = field(default_factory=dict)
    wall: dict[str, float] = field(default_factory=dict)
    sent: int = 0
    told: int = 0
    memory_mib: float = 0.0
    through_prefect: bool = False

    @property
    def work(self) -> int:
        return self.sent + self.told

    @property
    def total(self) -> float:
        return sum(seconds for name, seconds in self.cpu.items() if name != BY_HISTORY)


def soak(kind: places.Kind, people: int, days: int, every: int) -> dict[str, Any]:
    """Walk one store through its days; returns everything that was seen."""
    folder = places.FOLDER / f"soak-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    try:
        with (
            own_server(folder) if kind == "postgresql" else nullcontext((f"sqlite:///{folder}/recall.db", None)) as (
                url,
                pid,
            )
        ):
            store = open_store(places.settings_of(url, folder))
            migrate(store.engine)
            try:
                with _prefect(folder) if every else nullcontext(None) as call:
                    return {"what": "soak", "store": kind} | _walk(store, folder, pid, people, days, every, call)
            finally:
                store.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _walk(store: Store, folder: Path, pid: int | None, people: int, days: int, every: int, call: Any) -> dict[str, Any]:
    durability = places.durability(store)
    soak_days.bring(store, people)
    clock, provider = FixedClock(soak_days.START), soak_days.Remembering()
    setup = Setup(store, {soak_days.PROVIDER: provider}, clock, folder / "spool")
    if call is not None:
        from tasks import setup as tasks_setup

        tasks_setup.use(setup)
    seen, looks, statements = list[Day](), dict[int, Any](), Statements(store)
    for number in range(days):
        clock.instant = soak_days.START + number * DAY
        statements.quarter = number * 4 // days
        seen.append(_one(setup, provider, people, number, pid, call if every and number % every == every - 1 else None))
        if (number + 1) % max(1, days // 8) == 0:
            looks[number + 1] = sizes(store)
            print(f"day {number + 1}: {_told_day(seen[-1])}", file=sys.stderr, flush=True)
    verdict = _verdict(seen, setup)
    return verdict | {"people": people, "days": days, "durability": durability, "sizes": looks} | statements.told()


def _one(setup: Setup, provider: Any, people: int, number: int, pid: int | None, call: Any) -> Day:
    """One day, part by part."""
    day, store, now = Day(through_prefect=call is not None), setup.store, setup.clock.now()
    receipts = provider.hand_over()

    def tell() -> None:
        day.told = soak_days.tell(store, people, number, receipts, now=now)

    def let_in() -> None:
        with store.reading() as connection:
            version = current_version(connection, soak_days.JOURNEY)
        enrol(store, version, now=now)

    def show() -> None:
        with store.reading() as connection:
            funnel(connection, soak_days.JOURNEY)

    send = partial(call, soak_days.JOURNEY) if call else partial(run_journey, setup, soak_days.JOURNEY)
    for name, work in zip(PARTS, (tell, let_in, send, partial(reconcile, setup), show), strict=True):
        meter = Meter.of(postgresql=pid)
        with meter.section():
            work()
        day.cpu[name], day.wall[name] = sum(meter.cpu.values()), meter.wall
    day.sent = len(provider.taken)
    day.memory_mib = meter.told(1)["peak_own_mib"]
    return day


@contextmanager
def _prefect(folder: Path) -> Iterator[Any]:
    """A way to call the flow in this process, reporting to a server beside."""
    os.environ |= {"DO_NOT_TRACK": "1", "PREFECT_HOME": str(folder / "prefect"), "PREFECT_LOGGING_LEVEL": "WARNING"}
    from flows.run import run_journey as flow
    from flows.session import session
    from recall.cli.server import own_server as prefect_server

    with prefect_server(folder / "prefect") as server:
        server.wait()
        with session(server.url, server.home) as opened:

            def call(journey: str) -> None:
                state = opened.call(flow, journey)
                assert state.is_completed(), state

            yield call


# --- what came of it ----------------------------------------------------------------------------------------


def _verdict(seen: list[Day], setup: Setup) -> dict[str, Any]:
    """The last quarter against the second; the first still fills the store."""
    quarter = len(seen) // 4
    second, last = seen[quarter : 2 * quarter], seen[-quarter:]
    direct = [[day for day in part if not day.through_prefect] for part in (second, last)]
    work = [statistics.mean(day.work for day in part) for part in (second, last)]
    cpu = [statistics.median(day.total for day in part) for part in direct]
    memory = [max(day.memory_mib for day in part) for part in (second, last)]
    parts = {name: [round(statistics.median(day.cpu[name] for day in part), 4) for part in direct] for name in PARTS}
    ratios = {"cpu": round(cpu[1] / cpu[0], 3), "memory": round(memory[1] / memory[0], 3)}
    left = soak_days.left_over(setup.store)
    wrong = [name for name, ratio in ratios.items() if ratio > AT_MOST]
    wrong += [f"work differs: {work}"] if abs(work[1] / work[0] - 1) > SAME_WORK else []
    wrong += [f"{name}: {rows} rows wait" for name, rows in left.items() if rows]
    through = [[sum(day.wall.values()) for day in part if day.through_prefect] for part in (second, last)]
    return {
        "ratios": ratios,
        "wrong": wrong,
        "work_per_day": [round(part) for part in work],
        "cpu_per_day": [round(part, 3) for part in cpu],
        "cpu_by_part": parts,
        "memory_mib": memory,
        "prefect_wall": [round(statistics.median(part), 2) if part else None for part in through],
        "load": round(os.getloadavg()[0], 1),
        "seconds": round(time.process_time(), 1),
    }


def _told_day(day: Day) -> str:
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in day.cpu.items())
    return f"{day.sent} sent, {day.told} told, {day.memory_mib} MiB, CPU {parts}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", choices=places.KINDS, default="sqlite")
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=240)
    parser.add_argument("--prefect", type=int, default=0, help="every how many days through Prefect; 0: never")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers of ours end with us
    found = soak(asked.store, asked.people, asked.days, asked.prefect)
    print(json.dumps(found))
    sys.exit(bool(found["wrong"]))


if __name__ == "__main__":
    main()
