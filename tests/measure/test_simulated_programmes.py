"""Does the method tell the truth where the truth is known?"""

from __future__ import annotations

import pytest

from recall.measure.experiment import difference
from recall.measure.looks import boundary
from recall.measure.ratio import Ratio, check_ratio
from recall.measure.simulated_programmes import Programme, simulate_programme, weekly_scores

PROGRAMMES = 200
PEOPLE = 20_000


@pytest.fixture(scope="module")
def programmes() -> list[Programme]:
    return [simulate_programme(seed, PEOPLE) for seed in range(PROGRAMMES)]


def test_intervals_cover_the_true_lift_as_often_as_they_say(programmes: list[Programme]):
    covered = 0
    for programme in programmes:
        lift = difference(*programme.sides())
        assert lift is not None
        covered += lift.low <= programme.truth <= lift.high
    assert 0.92 <= covered / PROGRAMMES <= 0.98


def test_the_estimate_is_right_on_average(programmes: list[Programme]):
    lifts = [difference(*programme.sides()) for programme in programmes]
    mean = sum(lift.at for lift in lifts if lift) / PROGRAMMES
    truth = sum(programme.truth for programme in programmes) / PROGRAMMES
    assert truth > 0.02
    assert mean == pytest.approx(truth, abs=0.0015)


def test_thirteen_weekly_looks_raise_few_false_alarms():
    scores = abs(weekly_scores(1, 20_000, people=500, base=0.1))
    bounds = [boundary(look, 13) for look in range(1, 14)]
    assert (scores > bounds).any(axis=1).mean() <= 0.06
    assert (scores > 1.96).any(axis=1).mean() == pytest.approx(0.21, abs=0.02)  # what looking at p < .05 does


def test_a_silently_lost_part_of_the_holdout_is_flagged():
    """8 % of the held out who did not come back are lost; 40,000 people, 10 % held out."""
    flagged = fine = 0
    for seed in range(PROGRAMMES):
        programme = simulate_programme(seed, 40_000)
        flagged += _state(*programme.without_lost(0.08, seed)) is not Ratio.FINE
        fine += _state(*programme.sides()) is Ratio.FINE
    assert flagged / PROGRAMMES >= 0.85
    assert fine / PROGRAMMES >= 0.96


def _state(treated, control) -> Ratio:
    return check_ratio({"treated": treated.people, "holdout": control.people}, {"treated": 90, "holdout": 10}).state
