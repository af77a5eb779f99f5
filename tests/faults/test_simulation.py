"""Does every drawn world keep every promise, and is a world the same each time it is lived?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import workload
from tests.faults.simulation import live_through

ROOT = Path(__file__).parents[2]
WORLDS = range(100, 112)
FOUND = (23,)  # worlds that once broke something: what was found stands in test_found.py


@pytest.mark.parametrize("seed", [*FOUND, *WORLDS])
def test_a_drawn_world_keeps_every_promise(seed: int) -> None:
    lived = live_through(workload.draw_plan(seed))
    assert lived.wrong == [], f"python -m tests.faults.simulation --seeds {seed} --shrink"


@pytest.mark.parametrize("seed", [3, 21])
def test_a_world_is_the_same_in_another_process(seed: int) -> None:
    here = live_through(workload.draw_plan(seed))
    told = subprocess.run(
        [sys.executable, "-m", "tests.faults.simulation", "--seeds", str(seed), "--json"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=False,
    )
    there = json.loads(told.stdout.splitlines()[0])
    assert (there["digest"], there["sends"], there["rounds"]) == (here.digest, here.sends, here.rounds)


def test_worlds_differ_and_smaller_ones_are_part_of_the_same_world() -> None:
    plan = workload.draw_plan(5)
    assert len({workload.draw_plan(seed).features for seed in range(50)}) > 40
    people = workload.draw_people(plan, 0)
    assert workload.draw_people(replace(plan, users=1), 0) == people[:1]
