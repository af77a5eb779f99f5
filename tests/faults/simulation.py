"""What happens to one drawn world when the real engine lives through it? One seed is one world.

    python -m tests.faults.simulation --seeds 0:200          many worlds; exit code 1 when any invariant broke
    python -m tests.faults.simulation --seeds 17 --history   one world, told line by line
    python -m tests.faults.simulation --seeds 17 --shrink    the smallest world of this seed that still fails

Engine and store are the real ones. Provider, clock and scheduler are doubles (`witness`, `loom`); the provider's log
is the oracle.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.faults import workload
from tests.faults.loom import Died, woven
from tests.faults.oracle import find_wrong
from tests.faults.stores import new_engine
from tests.faults.workload import Plan
from tests.faults.world import World


@dataclass
class Lived:
    """What became of one world."""

    seed: int
    wrong: list[str] = field(default_factory=list)
    digest: str = ""
    sends: int = 0
    rounds: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)

    @property
    def invariants(self) -> set[str]:
        return {text.partition(":")[0] for text in self.wrong}


@contextmanager
def opened(plan: Plan) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="recall-world-") as name:
        folder = Path(name)
        with new_engine(folder, is_postgresql=plan.has("postgresql")) as engine:
            world = World(plan, folder, engine)
            with closing(world), woven(world.loom):
                yield world


def live_through(plan: Plan) -> Lived:
    """One world from its first day to its last check; never raises for what the engine does."""
    with opened(plan) as world:
        lived = Lived(plan.seed)
        try:
            world.live()
            world.drain()
            lived.wrong = find_wrong(world.store, world.book, world.known, now=world.loom.time)
        except (Died, Exception) as error:
            lived.wrong = [f"raised: {type(error).__name__}: {str(error)[:300]}"]
        lived.sends, lived.rounds = len(world.book.taken), world.rounds
        lived.counts, lived.history = world.loom.counts, world.loom.history
        whole = [world.loom.trace.hexdigest(), *world.book.lines(), *world.ledger()]
        lived.digest = hashlib.sha256("\n".join(whole).encode()).hexdigest()
        return lived


# --- the smallest world that still fails ------------------------------------------------------------------


def shrink(plan: Plan, wrong: set[str], *, seconds: float = 120) -> tuple[Plan, Lived]:
    """Take away features, people, days and workers as long as one of the same invariants still breaks."""
    best, lived, deadline = plan, live_through(plan), time.monotonic() + seconds
    changed = True
    while changed and time.monotonic() < deadline:
        changed = False
        for smaller in _smaller(best):
            if time.monotonic() > deadline:
                break
            tried = live_through(smaller)
            if tried.invariants & wrong:
                best, lived, changed = smaller, tried, True
                break
    return best, lived


def _smaller(plan: Plan) -> Iterator[Plan]:
    if plan.users > 1:
        yield replace(plan, users=plan.users // 2)
        yield replace(plan, users=plan.users - 1)
    if plan.days > 1:
        yield replace(plan, days=plan.days // 2)
    if plan.workers > 1:
        yield replace(plan, workers=1)
    for feature in sorted(plan.features):
        yield replace(plan, features=plan.features - {feature})


# --- the door ---------------------------------------------------------------------------------------------


def commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or "unknown"


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", default="0:20", help="some, with commas, or first:last+1")
    parser.add_argument("--history", action="store_true")
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--stop", action="store_true", help="at the first world that fails")
    parser.add_argument("--json", action="store_true", help="one JSON object per world")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no world after so long")
    given = parser.parse_args()
    failed, began = 0, time.monotonic()
    for seed in _seeds(given.seeds):
        if time.monotonic() - began > given.seconds:
            break
        plan, cpu = workload.draw_plan(seed), time.process_time()
        lived = live_through(plan)
        if given.json:
            tell(json.dumps({"seed": seed, "sends": lived.sends, "wrong": lived.wrong, "counts": lived.counts,
                             "digest": lived.digest, "rounds": lived.rounds,
                             "cpu": round(time.process_time() - cpu, 3)}))  # fmt: skip
        if lived.wrong:
            failed += 1
            _report(plan, lived, given.shrink and failed == 1)
        if given.history:
            tell("\n".join(lived.history))
        if failed and given.stop:
            break
    return 1 if failed else 0


def _seeds(given: str) -> Iterable[int]:
    first, _, last = given.partition(":")
    return range(int(first), int(last)) if last else map(int, given.split(","))


def _report(plan: Plan, lived: Lived, shrinks: bool) -> None:
    sys.stderr.write(f"seed {plan.seed} at commit {commit()}: {len(lived.wrong)} wrong\n")
    sys.stderr.writelines(f"  {text}\n" for text in lived.wrong[:10])
    if shrinks:
        small, again = shrink(plan, lived.invariants)
        sys.stderr.write(f"  still fails with {small}\n")
        for version in ("first", "second", "third"):
            if version == "first" or small.has(f"{version}_journey"):
                sys.stderr.write(workload.write_journey(small, version))
        sys.stderr.writelines(f"    {line}\n" for line in again.history)
        sys.stderr.writelines(f"  {text}\n" for text in again.wrong[:10])


if __name__ == "__main__":
    random.seed(0)
    sys.exit(main())
