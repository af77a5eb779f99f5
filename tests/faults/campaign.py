"""How well are the promises kept, in figures? Kills, drawn worlds, a hammer, webhooks and planted bugs, in one run.

    python -m tests.faults.campaign --size ci      a few minutes on two cores
    python -m tests.faults.campaign --size full    what a release is measured with; hours
    python -m tests.faults.campaign --size full --only kills
    python -m tests.faults.campaign --size full --only "crash cases"

Prints a table and, last, one JSON object. Exit code 1 when any promise broke, or when fewer than 95 % of the planted
bugs were noticed by the tests that are named for them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from tests.faults.planted import MUTANTS

ROOT = Path(__file__).parents[2]
LANES = 2
WORLDS_AT_ONCE = 250  # in one process
KEYS = (
    "kills", "pauses", "restarts", "torn", "late", "crash_cases", "seeds", "sequences", "sends", "duplicates", "lost",
    "over_cap", "over_budget", "after_stop", "outside_window", "silent_doubt", "pii_hits", "other", "same_twice",
    "webhooks", "mutants_caught", "mutants",
)  # fmt: skip
BROKEN = KEYS[KEYS.index("duplicates") : KEYS.index("same_twice")]
# What a drawn world calls wrong, and under which figure it is counted; whatever else is wrong counts as `other`.
FIGURE = {
    "duplicate": "duplicates", "I1": "duplicates", "after_stop": "after_stop", "I2": "after_stop",
    "outside_window": "outside_window", "I3": "outside_window", "over_cap": "over_cap", "I4": "over_cap",
    "over_budget": "over_budget", "I5": "over_budget", "silent_doubt": "silent_doubt", "I12": "silent_doubt",
    "no_end": "lost", "I13": "lost", "I14": "lost", "I11": "lost", "lost": "lost", "pii": "pii_hits",
}  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How much of each."""

    seeds: int
    hours: float  # of processor time, after which no further world begins
    sequences: int  # of the state machine, on each store
    twice: int  # how many of the seeds are lived a second time, in another process
    kills: int  # per store
    pauses: int  # per store
    restarts: int  # of PostgreSQL
    between: int  # seconds at most from one restart to the next
    users: int  # of each wave of a kill run
    hammers: int
    worlds_per_mutant: int
    crashes: float  # share of the enumerated cases


SIZES = {
    "ci": Size(
        seeds=200,
        hours=1,
        sequences=20,
        twice=6,
        kills=10,
        pauses=2,
        restarts=1,
        between=5,
        users=200,
        hammers=1,
        worlds_per_mutant=0,
        crashes=0.04,
    ),
    "full": Size(
        seeds=20_000,
        hours=4,
        sequences=250,
        twice=50,
        kills=500,
        pauses=100,
        restarts=16,
        between=40,
        users=600,
        hammers=10,
        worlds_per_mutant=40,
        crashes=1.0,
    ),
}
HARM = ("kills", "pauses", "restarts", "between", "users", "sequences")
HARMED = ("kills_of and sqlite", "kills_of and postgresql", "pauses and sqlite", "pauses and postgresql", "restarts")
Figures = Counter[str]
Part = tuple[str, Callable[[], Figures]]


def ours(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    """Run Python on our modules; what it tells on stderr is shown at once."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **{name: str(value) for name, value in more.items()}},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )


# --- parts ------------------------------------------------------------------------------------------------


@dataclass
class Left:
    """Processor time the drawn worlds may still take, in seconds."""

    seconds: float


def worlds(first: int, last: int, again: int, left: Left) -> Figures:
    """Live through so many drawn worlds, the first few of them twice; what broke is told with its seed, shrunk."""
    if left.seconds <= 0:
        return Figures(unlived=last - first)
    lived = _lines(ours("-m", "tests.faults.simulation", "--seeds", f"{first}:{last}", "--json", "--shrink").stdout)
    figures = Figures(other=last - first - len(lived))  # a world that could not be lived through
    left.seconds -= sum(world["cpu"] for world in lived)
    for world in lived:
        figures.update({"seeds": 1, "sends": world["sends"], "world kills": world["counts"].get("kills", 0)})
        figures.update(FIGURE.get(text.partition(":")[0], "other") for text in world["wrong"])
    return figures + _twice(lived[:again])


def _twice(lived: Sequence[dict]) -> Figures:
    """The same worlds in another process, whose sets and dicts are ordered otherwise."""
    if not lived:
        return Figures()
    seeds = f"{lived[0]['seed']}:{lived[-1]['seed'] + 1}"
    again = _lines(ours("-m", "tests.faults.simulation", "--seeds", seeds, "--json", PYTHONHASHSEED=77).stdout)
    same = sum(one["digest"] == other["digest"] for one, other in zip(lived, again, strict=False))
    if same < len(lived):
        sys.stderr.write(f"of the seeds {seeds} only {same} gave the same world twice\n")
    return Figures(same_twice=same, other=len(lived) - same)


def measured_tests(size: Size, *names: str) -> Figures:
    """Run tests that measure: each writes one line of figures, and a test that fails counts as `other`."""
    with tempfile.TemporaryDirectory(prefix="recall-figures-") as folder:
        path = Path(folder) / "figures.jsonl"
        more = {f"FAULTS_{name.upper()}": getattr(size, name) for name in HARM} | {"FAULTS_FIGURES": path}
        told = ours("-m", "pytest", "-q", "-p", "no:cacheprovider", *names, **more)
        figures = Figures()
        for line in _lines(path.read_text() if path.exists() else ""):
            figures.update(line)
        if told.returncode:
            sys.stderr.write(told.stdout[-6000:])
            figures["other"] += 1
        figures["passed"] = sum(map(int, re.findall(r"(\d+) passed", told.stdout)))
        return figures


def kills(size: Size) -> Figures:
    """Kills, pauses and restarts, side by side: most of the time somebody stands still."""
    path, figures = "tests/faults/measured_kills.py", Figures()
    with ThreadPoolExecutor(len(HARMED)) as pool:
        for found in pool.map(lambda names: measured_tests(size, path, "-k", names), HARMED):
            figures.update(found)
    return figures


def crash_cases(store: str, share: float, seed: int) -> Figures:
    """Every moment of every script at which a process may die or an operation fail, or a drawn share of them."""
    told = ours("-m", "tests.faults.cases", "--stores", store, "--share", str(share), "--seed", str(seed), "--json")
    tallies = _lines(told.stdout)
    figures = Figures(crash_cases=sum(tally["cases"] for tally in tallies))
    figures.update(FIGURE.get(name, "other") for tally in tallies for name in tally["broken"])
    figures["other"] += told.returncode != 0 and not any(tally["broken"] for tally in tallies)
    return figures


def webhooks(size: Size) -> Figures:
    """Every class of webhook, on both stores: repeated, reordered, forged, foreign, oversized, unreadable …"""
    files = [*(ROOT / "tests/web").glob("test_*.py"), ROOT / "tests/store/test_receipts.py"]
    wanted = [str(path) for path in files if re.search(r"hook|twilio|voice|receipts", path.name)]
    figures = measured_tests(size, "-m", "not slow", *wanted)
    figures["webhooks"] = figures.pop("passed")
    return figures


def planted_bugs(names: Sequence[str], worlds: int) -> Figures:
    """Are they noticed by the tests that are named for them?"""
    told = ours("-m", "tests.faults.mutants", "--only", ",".join(names), "--worlds", str(worlds), "--lanes", "1",
                "--json")  # fmt: skip
    found = _lines(told.stdout)
    for caught in found:
        if not caught["by"]:
            sys.stderr.write(f"NOT CAUGHT: {caught['mutant']}: {caught['why_not']}\n")
    return Figures(
        mutants=len(names),
        mutants_caught=sum(bool(caught["by"]) for caught in found),
        in_worlds=sum(caught["world"] is not None for caught in found),
    )


def _lines(told: str) -> list[dict]:
    return [json.loads(line) for line in told.splitlines() if line.startswith("{")]


# --- the whole --------------------------------------------------------------------------------------------


def parts(size: Size, first_seed: int) -> list[Part]:
    """What can be done side by side, the longest first."""
    names = [mutant.name for mutant in MUTANTS]
    at_once, left = min(size.seeds // 4, WORLDS_AT_ONCE), Left(size.hours * 3600)
    cuts = range(first_seed, first_seed + size.seeds, at_once)
    return [
        ("kills", lambda: kills(size)),
        *(("planted bugs", lambda n=n: planted_bugs(names[n::2], size.worlds_per_mutant)) for n in range(2)),
        *(
            ("worlds", lambda cut=cut: worlds(cut, cut + at_once, size.twice if cut == first_seed else 0, left))
            for cut in cuts
        ),
        ("sequences", lambda: measured_tests(size, "tests/faults/test_state_machine.py")),
        *(
            ("crash cases", lambda store=store: crash_cases(store, size.crashes, first_seed))  # type: ignore[misc]
            for store in ("postgresql", "sqlite")
        ),
        ("webhooks", lambda: webhooks(size)),
        *(("hammer", lambda: measured_tests(size, "tests/faults/test_hammer.py")) for _ in range(size.hammers)),
        ("canaries", lambda: measured_tests(size, "tests/faults/test_canaries.py")),
    ]


def run(size: Size, *, first_seed: int, only: Sequence[str] = ()) -> tuple[Figures, dict[str, float]]:
    """The parts of these names, or all, two at a time; the figures, and the seconds each kind of part took."""
    figures, took = Figures(), Counter[str]()

    def timed(part: Part) -> None:
        name, work = part
        began = time.monotonic()
        figures.update(work())
        took[name] += time.monotonic() - began  # type: ignore[assignment]

    with ThreadPoolExecutor(LANES) as pool:
        list(pool.map(timed, [part for part in parts(size, first_seed) if not only or part[0] in only]))
    return figures, dict(took)


def budget_used(figures: Figures) -> float | None:
    """The lowest share of an allowance that was used in any hammer."""
    return min((float(name.split()[1]) for name in figures if name.startswith("budget_used ")), default=None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--size", choices=sorted(SIZES), default="ci")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--hours", type=float, help="processor time for drawn worlds, if not that of the size")
    parser.add_argument("--only", default="", help="names of parts, separated by commas, such as kills,worlds")
    given = parser.parse_args()
    only = [name.strip() for name in given.only.split(",") if name.strip()]
    size, began = SIZES[given.size], time.monotonic()
    size = size if given.hours is None else replace(size, hours=given.hours)
    if unknown := set(only) - {name for name, _ in parts(size, 0)}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    figures, took = run(size, first_seed=given.first_seed, only=only)
    whole = time.monotonic() - began
    if figures["unlived"]:
        goes_on = given.first_seed + figures["seeds"]
        sys.stderr.write(f"{size.hours} h of processor time are used up: go on with --first-seed {goes_on}\n")
    used = budget_used(figures)
    lines = [f"{name:16} {figures[name]:>8}" for name in KEYS] + [f"{'budget_used':16} {used or '–':>8}"]
    lines += ["", *(f"{name:16} {seconds:>6.0f} s" for name, seconds in took.items()), f"{'in all':16} {whole:>6.0f} s"]
    sys.stdout.write("\n".join(lines) + "\n")
    told = {name: figures[name] for name in KEYS} | {"budget_used": used, "seconds": round(whole)}
    sys.stdout.write(json.dumps(told) + "\n")
    if figures["kills"] and not figures["torn"]:
        sys.stderr.write("no kill came between a gate and its record: the kills prove little\n")
        figures["other"] += 1
    missed = figures["mutants_caught"] < 0.95 * figures["mutants"]
    return 1 if missed or any(figures[name] for name in BROKEN) else 0


if __name__ == "__main__":
    sys.exit(main())
