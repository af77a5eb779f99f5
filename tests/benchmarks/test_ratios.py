"""Are ratios computed as they are told, and is what was missed, or never measured, named?"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import growth, ratios


def run(users: int, wall: float, **more: Any) -> dict[str, Any]:
    return {"users": users, "wall": wall, "cpu": wall / 2, **more}


def found(runs: ratios.Runs) -> dict[str, ratios.Ratio]:
    return {ratio.name: ratio for ratio in ratios.ratios(runs)}


def test_a_ratio_is_the_median_of_its_rounds() -> None:
    floors, engines = [run(100, 1.0), run(100, 2.0), run(100, 1.0)], [run(100, 2.0), run(100, 2.5), run(100, 9.0)]
    ratio = found({"floor sqlite": floors, "null sqlite": engines})["engine_of_floor_sqlite"]
    assert (ratio.value, ratio.rounds, ratio.is_met) == (0.5, 3, True)


def test_the_target_holds_against_a_floor_on_one_connection_and_three_are_told_beside_it() -> None:
    runs = {
        "floor postgresql": [run(100, 1.0)],
        "floor beside postgresql": [run(100, 0.8)],
        "null postgresql": [run(100, 1.25)],
    }
    one, three = (found(runs)[f"engine_of_floor_{which}postgresql"] for which in ("", "beside_"))
    assert (one.value, three.value) == (pytest.approx(0.8), pytest.approx(0.64))
    assert one.is_met
    assert "engine_of_floor_beside_postgresql" not in set(ratios.missed([one, three]))


def test_what_was_not_measured_counts_as_missed() -> None:
    everything = ratios.ratios({})
    assert set(ratios.missed(everything)) >= {"engine_of_floor_sqlite", "help_seconds", "three_workers_of_one"}
    assert all(ratio.value is None for ratio in everything)


def test_the_exponent_of_proportional_growth_is_one() -> None:
    assert growth.exponent([run(100, 1.0)], [run(1000, 10.0)], "wall") == 1.0
    assert growth.exponent([run(100, 1.0)], [run(1000, 100.0)], "wall") == 2.0
