"""How fast is recall, against what it could be? All ratios in one sitting; the last line is one JSON object.

    make bench          30,000 to 300,000 people, a quarter of an hour on two idle cores
    make bench-full     the same with a million

Each run is a process of its own on a fresh copy of a seeded store; the sides of a ratio alternate. Results are kept in
`benchmarks/results/`; `python -m benchmarks.report` writes them into docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import places
from benchmarks.floors import answers_of
from benchmarks.ratios import Run, Runs, by_name, missed, ratios

RESULTS = places.ROOT / "benchmarks" / "results"
_LONGEST_SECONDS = 3_600.0  # one run


@dataclass(frozen=True)
class Size:
    """How many people and rounds each question gets."""

    name: str
    ratio: int  # floors, engine, batches
    rounds: int
    small: int  # growth and memory: from …
    big: int  # … to
    idle: int
    single: int  # one message per request
    prefect: int
    prefect_single: int
    workers: int
    beside: int
    audience: int
    intake: int
    fewer_rounds: int = 2  # where a round takes minutes


SIZES = {
    "tiny": Size("tiny", 2_000, 1, 1_000, 4_000, 4_000, 2_000, 4_000, 2_000, 2_000, 4_000, 2_000, 5_000, 1),
    "small": Size(
        "small", 30_000, 5, 30_000, 300_000, 300_000, 60_000, 300_000, 60_000, 10_000, 30_000, 30_000, 50_000
    ),
    "full": Size(
        "full", 1_000_000, 3, 100_000, 1_000_000, 1_000_000, 100_000, 1_000_000, 100_000, 300_000, 1_000_000,
        1_000_000, 1_000_000, 3,
    ),
}  # fmt: skip


def limited(size: Size, most: int | None) -> Size:
    """The same with at most so many rounds."""
    if most is None:
        return size
    return replace(size, rounds=min(size.rounds, most), fewer_rounds=min(size.fewer_rounds, most))


@dataclass
class Bench:
    """Runs processes, keeps what they said."""

    size: Size
    stores: list[places.Kind]
    only: str = ""
    runs: Runs = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    kept: Path = places.FOLDER / "runs.json"

    def run(self, name: str, module: str, *arguments: object) -> None:
        """One process; what it says last is kept under `name`."""
        command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
        began = time.monotonic()
        try:
            done = subprocess.run(
                command, cwd=places.ROOT, capture_output=True, text=True, timeout=_LONGEST_SECONDS, check=True
            )
            self.runs.setdefault(name, []).append(json.loads(done.stdout.splitlines()[-1]))
            self.kept.write_text(json.dumps(self.runs))  # what is measured is not lost when the rest is cut off
            print(f"{time.monotonic() - began:6.1f} s  {_line(name, self.runs[name][-1])}", flush=True)
        except subprocess.CalledProcessError as error:
            self._break(name, (error.stderr or "").strip().splitlines()[-1:])
        except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
            self._break(name, [type(error).__name__])

    def _break(self, name: str, why: list[str]) -> None:
        self.broken[name] = " ".join(why)
        print(f"BROKEN {name}: {self.broken[name]}", flush=True)

    def each(self, part: str, rounds: int, runs: dict[str, tuple[object, ...]]) -> None:
        """So many rounds of these runs, alternating; skipped unless asked for."""
        if self.only and part not in self.only.split(","):
            return
        for _ in range(rounds):
            for name, (module, *arguments) in runs.items():
                self.run(name, str(module), *arguments)

    # --- the questions --------------------------------------------------------------------------------------

    def everything(self) -> None:
        self.each("startup", 1, {"startup": ("startup",)})
        for kind in self.stores:
            self.of_store(kind)
        if "postgresql" in self.stores:
            self.of_postgresql()

    def of_store(self, kind: places.Kind) -> None:
        size, store = self.size, ("--store", kind)
        at = (*store, "--people", size.ratio)
        floors: dict[str, tuple[object, ...]] = {f"floor {kind}": ("floors", *at)}
        if kind == "postgresql":
            floors[f"floor beside {kind}"] = ("floors", *at, "--connections", 3)
        if not self.only or "floors" in self.only.split(","):
            places.forget(kind, answers_of(size.ratio))  # what today's engine writes, not yesterday's
            self.run(f"answers {kind}", "engine", *at, "--keep-as", answers_of(size.ratio))
        engine = {f"null {kind}": ("engine", *at), f"batch {kind}": ("engine", *at, "--way", "batch")}
        self.each("floors", size.rounds, {**floors, **engine})
        places.forget(kind, answers_of(size.ratio))
        self.each(
            "growth",
            size.fewer_rounds,
            {
                f"small null {kind}": ("engine", *store, "--people", size.small),
                f"big null {kind}": ("engine", *store, "--people", size.big),
            },
        )
        self.each(
            "idle",
            size.fewer_rounds,
            {
                f"idle small {kind}": ("idle", *store, "--people", 1_000),
                f"idle big {kind}": ("idle", *store, "--people", size.idle),
            },
        )
        single = (*store, "--people", size.single, "--way", "single")
        self.each(
            "single",
            min(size.rounds, 3),
            {f"bare client {kind}": ("bare", "client", "--people", size.single), f"single {kind}": ("engine", *single)},
        )
        self.through_prefect(kind)
        beside = ("neighbours", *store, "--people", size.beside)
        self.each(
            "neighbours",
            size.fewer_rounds,
            {f"neighbours beside {kind}": beside, f"neighbours alone {kind}": (*beside, "--alone")},
        )
        self.each("audience", 1, {f"audience {kind}": ("audience", *store, "--people", size.audience)})
        intake = ("intake", *store, "--events", size.intake)
        self.each("intake", size.fewer_rounds, {f"intake {kind}": intake, f"intake floor {kind}": (*intake, "--floor")})

    def through_prefect(self, kind: places.Kind) -> None:
        size = self.size
        ways = [("batch", size.prefect), ("single", size.prefect_single)]
        for way, people in ways if kind == "postgresql" else ways[:1]:
            at = ("--store", kind, "--people", people, "--way", way)
            self.each(
                "prefect",
                size.fewer_rounds,
                {f"direct {way} {kind}": ("engine", *at), f"prefect {way} {kind}": ("through_prefect", *at)},
            )
            if way == "batch":
                self.each("prefect", 1, {f"prefect whole {kind}": ("through_prefect", *at, "--whole")})

    def of_postgresql(self) -> None:
        size = self.size
        self.each(
            "peers", size.fewer_rounds, {f"peer {who}": ("peers", who) for who in ("engine", "batch", "loop", "tasks")}
        )
        at = ("workers", "--people", size.workers, "--workers")
        self.each("workers", size.fewer_rounds, {"workers 1": (*at, 1), "workers 3": (*at, 3)})


def _line(name: str, run: Run) -> str:
    if "per_second" in run:
        return f"{name}: {run['per_second']:,} users/s, {run['us']} us of CPU each, load {run['load']}"
    return f"{name}: " + ", ".join(f"{key} {value}" for key, value in run.items() if isinstance(value, int | float))


def keep(bench: Bench, began: datetime, seconds: float) -> dict[str, Any]:
    """The whole measurement, as it is written into a file."""
    found = ratios(bench.runs)
    return {
        "date": began.date().isoformat(),
        "size": bench.size.name,
        "cores": os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "load": [round(load, 2) for load in os.getloadavg()],
        "seconds": round(seconds),
        "ratios": by_name(found),
        "about": {ratio.name: ratio.about for ratio in found},
        "missed": list(missed(found)),
        "broken": bench.broken,
        "runs": bench.runs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--store", choices=places.KINDS, action="append")
    parser.add_argument("--only", default="", help="such as floors,growth,idle")
    parser.add_argument("--rounds", type=int, help="at most so many of each, where time is short")
    parser.add_argument("--no-result", action="store_true", help="write no file")
    parser.add_argument("--add", action="store_true", help="to the day's file: what is not measured again stays")
    asked = parser.parse_args()
    began, clock = datetime.now(UTC), time.monotonic()
    bench = Bench(limited(SIZES[asked.size], asked.rounds), asked.store or list(places.KINDS), asked.only)
    if "postgresql" in bench.stores:
        places.server()  # held open, so that it does not stop between two runs
        places.forget_stale()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        bench.everything()
    except KeyboardInterrupt:
        bench.broken["the rest"] = "stopped by hand"  # what was measured until then counts
    path = RESULTS / f"{began.date()}-{os.cpu_count()}c{'' if asked.size == 'small' else '-' + asked.size}.json"
    before = json.loads(path.read_text()) if asked.add and path.exists() else {"runs": {}, "seconds": 0}
    bench.runs = before["runs"] | bench.runs
    kept = keep(bench, began, before["seconds"] + time.monotonic() - clock)
    if not asked.no_result:
        RESULTS.mkdir(exist_ok=True)
        path.write_text(json.dumps(kept, indent=1) + "\n")
        print(f"kept in {path.relative_to(places.ROOT)}")
    print(json.dumps({"ratios": kept["ratios"], "missed": kept["missed"], "broken": kept["broken"]}))


if __name__ == "__main__":
    main()
