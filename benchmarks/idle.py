"""What does a run cost when nobody is due? It must not matter how many are enrolled.

    .venv/bin/python -m benchmarks.idle --store postgresql --people 1000000 [--runs 200]

Everybody is enrolled and due tomorrow. One line: CPU microseconds and wall of one idle run (the median of `--runs`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

from benchmarks import places, seed
from benchmarks.adapters import Null
from benchmarks.engine import JOURNEY, RunningClock, setup_of
from benchmarks.meter import Meter
from recall.clock import DAY
from recall.engine.run import run_journey
from recall.store.connect import open_store

_WARM = 5


def measure(kind: places.Kind, people: int, runs: int) -> dict[str, Any]:
    with places.alone(), places.copy_of(kind, *places.people(people)) as (url, folder):
        store = open_store(places.settings_of(url, folder))
        durability = places.durability(store)
        setup = setup_of(store, Null(), folder, clock=RunningClock(seed.NOW - DAY))
        for _ in range(_WARM):
            run_journey(setup, JOURNEY)
        meter = Meter.of(postgresql=places.server().get_pid() if kind == "postgresql" else None)
        walls = []
        with meter.section():
            for _ in range(runs):
                began = time.perf_counter()
                result = run_journey(setup, JOURNEY)
                walls.append(time.perf_counter() - began)
                assert result.is_idle, result
        store.close()
    told = meter.told(runs)  # per run
    return {
        "what": "idle",
        "store": kind,
        "people": people,
        "runs": runs,
        "us": told["us"],
        "wall_us": round(statistics.median(walls) * 1e6, 1),
        "cpu_by": told["cpu_by"],
        "load": told["load"],
        "durability": durability,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", choices=places.KINDS, default="sqlite")
    parser.add_argument("--people", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=200)
    asked = parser.parse_args()
    print(json.dumps(measure(asked.store, asked.people, asked.runs)))


if __name__ == "__main__":
    main()
