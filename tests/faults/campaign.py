"""How well are the promises kept, in figures? Kills, drawn worlds, a hammer and planted bugs, in one run.

    python -m tests.faults.campaign --size ci      a few minutes on two cores
    python -m tests.faults.campaign --size full    what a release is measured with; hours

Prints a table and, last, one JSON object. Exit code 1 when any promise broke; at full size also when fewer
than 95 % of the planted bugs were noticed (a few seeds are too few to demand it of CI).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults import mutants

ROOT = Path(__file__).parents[2]
KEYS = (
    "kills", "seeds", "sends", "duplicates", "lost", "over_cap", "over_budget", "after_stop", "outside_window",
    "silent_doubt", "pii_hits", "mutants_caught", "mutants",
)  # fmt: skip
# What a drawn world calls wrong, and under which figure it is counted; whatever else is wrong counts as `other`.
FIGURE = {
    "duplicate": "duplicates", "I1": "duplicates", "after_stop": "after_stop", "I2": "after_stop",
    "outside_window": "outside_window", "I3": "outside_window", "over_cap": "over_cap", "I4": "over_cap",
    "over_budget": "over_budget", "I5": "over_budget", "silent_doubt": "silent_doubt", "I12": "silent_doubt",
    "no_end": "lost", "I13": "lost", "I14": "lost", "I11": "lost",
}  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How much of each."""

    seeds: int
    kills: int  # per store
    users: int  # of each kill run
    workers: int
    mutants: int
    seeds_per_mutant: int
    seconds_per_mutant: float


SIZES = {
    "ci": Size(seeds=200, kills=10, users=400, workers=4, mutants=6, seeds_per_mutant=30, seconds_per_mutant=20),
    "full": Size(
        seeds=20_000, kills=500, users=10_000, workers=4, mutants=len(mutants.MUTANTS), seeds_per_mutant=200,
        seconds_per_mutant=240,
    ),
}  # fmt: skip


def worlds(first: int, count: int, lanes: int = 2) -> Counter[str]:
    """Live through so many drawn worlds; what broke is told on stderr with its seed."""
    parts = [(first + count * n // lanes, first + count * (n + 1) // lanes) for n in range(lanes)]
    figures: Counter[str] = Counter()
    with ThreadPoolExecutor(lanes) as pool:
        for lines in pool.map(lambda part: _some_worlds(*part), parts):
            for lived in lines:
                figures["seeds"] += 1
                figures["sends"] += lived["sends"]
                figures["world kills"] += lived["counts"].get("kills", 0)
                for text in lived["wrong"]:
                    figures[FIGURE.get(text.partition(":")[0], "other")] += 1
    figures["other"] += count - figures["seeds"]  # a world that could not be lived through
    return figures


def _some_worlds(first: int, last: int) -> list[dict[str, Any]]:
    told = subprocess.run(
        [sys.executable, "-m", "tests.faults.simulation", "--seeds", f"{first}:{last}", "--json"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return [json.loads(line) for line in told.stdout.splitlines() if line.startswith("{")]


def measured_tests(size: Size, *names: str) -> list[dict[str, Any]]:
    """Run tests that measure; each writes one line of figures."""
    with tempfile.TemporaryDirectory(prefix="recall-figures-") as folder:
        path = Path(folder) / "figures.jsonl"
        more = {"KILLS": size.kills, "USERS": size.users, "WORKERS": size.workers, "FIGURES": path}
        told = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *names],
            cwd=ROOT,
            env={**os.environ, **{f"FAULTS_{name}": str(value) for name, value in more.items()}},
            capture_output=True,
            text=True,
            check=False,
        )
        if told.returncode:
            sys.stderr.write(told.stdout[-4000:])
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines] + ([{"other": 1}] if told.returncode else [])


def run(size: Size, *, first_seed: int, turn: int) -> tuple[dict[str, int], list[mutants.Caught], dict[str, float]]:
    """Everything, one after the other; each part uses both cores."""
    figures, took = Counter[str](), dict[str, float]()

    def timed(name: str, part: Any) -> Any:
        began = time.monotonic()
        result = part()
        took[name] = time.monotonic() - began
        return result

    for found in timed("kills", lambda: measured_tests(size, "tests/faults/measured_kills.py")):
        figures.update(found)
    for found in timed("hammer", lambda: measured_tests(size, "tests/faults/test_hammer.py")):
        figures.update(found)
    for found in timed("canaries", lambda: measured_tests(size, "tests/faults/test_canaries.py")):
        figures.update(found)
    figures.update(timed("worlds", lambda: worlds(first_seed, size.seeds)))
    wanted = mutants.sample(size.mutants, turn)
    caught = timed(
        "planted bugs",
        lambda: mutants.hunt(wanted, seeds=size.seeds_per_mutant, seconds=size.seconds_per_mutant),
    )
    figures["mutants"], figures["mutants_caught"] = len(caught), sum(bool(each.by) for each in caught)
    return dict(figures), caught, took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--size", choices=sorted(SIZES), default="ci")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--turn", type=int, default=int(time.time()) // 86_400, help="which planted bugs: by day")
    given = parser.parse_args()
    figures, caught, took = run(SIZES[given.size], first_seed=given.first_seed, turn=given.turn)
    lines = [f"{name:16} {figures.get(name, 0):>8}" for name in KEYS]
    lines += [f"{'anything else':16} {figures.get('other', 0):>8}", ""]
    lines += [f"{each.mutant:34} {each.by or 'NOT CAUGHT'}" for each in caught]
    lines += ["", *(f"{name:16} {seconds:>6.0f} s" for name, seconds in took.items()), ""]
    sys.stdout.write("\n".join(lines))
    sys.stdout.write(json.dumps({name: figures.get(name, 0) for name in KEYS}) + "\n")
    broken = sum(figures.get(name, 0) for name in (*KEYS[3:11], "other"))
    missed = given.size == "full" and figures["mutants_caught"] < 0.95 * figures["mutants"]
    return 1 if broken or missed else 0


if __name__ == "__main__":
    sys.exit(main())
