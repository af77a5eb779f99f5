"""Does every drawn world keep every promise, and is a world the same each time it is lived?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults import simulation, workload
from tests.faults.simulation import live_through
from tests.faults.workload import Plan
from tests.faults.world import World

ROOT = Path(__file__).parents[2]
WORLDS = range(100, 112)
FOUND = (23, 257, 4931, 6803, 12642, 42489)  # worlds that once broke something: what was found stands in test_found.py
SAME = (3, 4, 5, 6, 21)  # of which 5 and 6 live on PostgreSQL


@pytest.mark.parametrize("seed", [*FOUND, *WORLDS])
def test_a_drawn_world_keeps_every_promise(seed: int) -> None:
    lived = live_through(workload.draw_plan(seed))
    assert lived.wrong == [], f"python -m tests.faults.simulation --seeds {seed} --shrink"


@pytest.fixture(scope="module")
def elsewhere() -> dict[int, Any]:
    """The same worlds in one other process, whose sets are ordered otherwise and where other worlds were lived."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.faults.simulation", "--seeds", ",".join(map(str, SAME)), "--json"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "77"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    worlds = [json.loads(line) for line in told.stdout.splitlines()]
    return {world["seed"]: world for world in worlds}


@pytest.mark.parametrize("seed", SAME)
def test_a_world_is_the_same_in_another_process(seed: int, elsewhere: dict[int, Any]) -> None:
    here, there = live_through(workload.draw_plan(seed)), elsewhere[seed]
    assert (there["digest"], there["sends"], there["rounds"]) == (here.digest, here.sends, here.rounds)


def test_some_worlds_live_on_postgresql() -> None:
    assert [seed for seed in SAME if workload.draw_plan(seed).has("postgresql")] == [5, 6]


def test_worlds_differ_and_smaller_ones_are_part_of_the_same_world() -> None:
    plan = workload.draw_plan(5)
    assert len({workload.draw_plan(seed).features for seed in range(50)}) > 40
    people = workload.draw_people(plan, 0)
    assert workload.draw_people(replace(plan, users=1), 0) == people[:1]


# --- a world that fails -----------------------------------------------------------------------------------


def deaf(write: Any) -> Any:
    """A world in which nobody who says stop is heard."""

    def written(self: World, connection: Any, fact: Any, now: int) -> None:
        if fact.kind != "opt_out":
            write(self, connection, fact, now)

    return written


def test_a_failure_tells_seed_commit_and_the_shortest_history(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(World, "_write", deaf(World._write))
    plan = Plan(1, frozenset({"opt_outs", "zones", "freeze", "calls"}), users=3, days=4, workers=2)
    monkeypatch.setattr(workload, "draw_plan", lambda seed: plan)
    monkeypatch.setattr(sys, "argv", ["simulation", "--seeds", "1", "--shrink"])
    assert simulation.main() == 1
    told = capsys.readouterr().err
    assert told.startswith(f"seed 1 at commit {simulation.commit()}: ")
    assert "  still fails with Plan(seed=1, features=frozenset({'opt_outs'}), users=" in told
    history = [line for line in told.splitlines() if line.startswith("    ")]
    assert any("opt_out u" in line for line in history)
    assert len(history) <= len(live_through(plan).history)
    assert "  after_stop: " in told.splitlines()[-1]
