"""How long does a person wait for the smallest answers? Whole processes, from start to end.

    .venv/bin/python -m benchmarks.startup [--rounds 9]

`--help` and `journey lint` against half a second; `explain` against a process that only imports SQLAlchemy.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import places

_RECALL = Path(sys.executable).with_name("recall")


def commands(project: Path) -> dict[str, list[str]]:
    """What is started, by name; `project` is a folder `recall init` made."""
    journey = next((project / "journeys").glob("*.yaml"))
    return {
        "python": [sys.executable, "-c", "pass"],
        "import sqlalchemy": [sys.executable, "-c", "import sqlalchemy"],
        "help": [str(_RECALL), "--help"],
        "lint": [str(_RECALL), "journey", "lint", str(journey)],
        "lint_all": [str(_RECALL), "journey", "lint"],  # asks the store how many people there are
        "explain": [str(_RECALL), "explain", "u1"],
    }


def measure(rounds: int) -> dict[str, Any]:
    """Medians of wall and CPU seconds, rounds interleaved; the store of `explain` has a thousand people."""
    with places.alone(), places.copy_of("sqlite", *places.people(1_000)) as (url, folder):
        project = folder / "project"
        subprocess.run([_RECALL, "init", str(project)], check=True, capture_output=True)
        environment = {**os.environ, "RECALL_DATABASE_URL": url, "RECALL_ADDRESS_KEY": "benchmark"}
        wall: dict[str, list[float]] = {}
        cpu: dict[str, list[float]] = {}
        for _ in range(rounds + 1):  # the first one fills caches
            for name, command in commands(project).items():
                seconds, used = _run(command, project, environment)
                wall.setdefault(name, []).append(seconds)
                cpu.setdefault(name, []).append(used)
    told: dict[str, Any] = {"what": "startup"}
    for name in wall:
        told[name] = {
            "wall": round(statistics.median(wall[name][1:]), 3),
            "cpu": round(statistics.median(cpu[name][1:]), 3),
        }
    return told


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    before, began = _children(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode in (0, 1), (command, done.stderr)
    return time.perf_counter() - began, _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    print(json.dumps(measure(parser.parse_args().rounds)))


if __name__ == "__main__":
    main()
