"""Do rates, intervals, tests, boundaries and sample sizes agree with those who know?"""

from __future__ import annotations

import pytest
from scipy.stats import binomtest, chisquare
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_effectsize, proportions_ztest

from journeys.sample_size import detectable, effect_size, people_needed, power_of
from recall.measure.experiment import (
    Plan,
    Verdict,
    compare,
    compare_arms,
    compare_strata,
)
from recall.measure.looks import boundary, constant
from recall.measure.ratio import Ratio, SampleRatio, check_ratio
from recall.measure.sides import Side

BIG = Side(9000, 1000, cost=900.0), Side(1000, 60)


def test_lift_interval_and_p_are_those_of_statsmodels():
    found = compare(*BIG)
    low, high = confint_proportions_2indep(1000, 9000, 60, 1000, method="newcomb", compare="diff")
    z, p = proportions_ztest([1000, 60], [9000, 1000])
    assert found.lift is not None
    assert found.lift.at == pytest.approx(1000 / 9000 - 0.06, abs=1e-9)
    assert (found.lift.low, found.lift.high) == pytest.approx((low, high), abs=1e-9)
    assert (found.z, found.p_value) == pytest.approx((z, p), abs=1e-9)


@pytest.mark.parametrize(("base", "better"), [(0.02, 0.025), (0.1, 0.12), (0.17, 0.2), (0.5, 0.4)])
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_sample_size_and_power_are_those_of_statsmodels(base: float, better: float, share: float):
    power = NormalIndPower()
    ratio = (1 - share) / share
    held_out = power.solve_power(abs(proportion_effectsize(better, base)), alpha=0.05, power=0.8, ratio=ratio)
    needed = people_needed(base, better, share)
    assert needed is not None
    assert abs(needed - held_out * (1 + ratio)) < 1.001  # rounded up to whole people
    reached = power.power(abs(proportion_effectsize(better, base)), nobs1=500, alpha=0.05, ratio=ratio)
    assert power_of(effect_size(base, better), 500 * (1 + ratio), share) == pytest.approx(reached, abs=1e-9)


@pytest.mark.parametrize(
    ("base", "better", "thousands"),
    [
        (0.02, 0.025, (27.5, 43.0, 76.5, 145)),
        (0.02, 0.03, (7.6, 11.8, 21.0, 39.9)),
        (0.05, 0.06, (16.3, 25.4, 45.2, 85.7)),
        (0.085, 0.10, (11.7, 18.3, 32.5, 61.6)),
        (0.17, 0.20, (5.3, 8.2, 14.6, 27.6)),
    ],
)
def test_the_published_table_of_sample_sizes_comes_out(base: float, better: float, thousands: tuple[float, ...]):
    found = [people_needed(base, better, share) for share in (0.5, 0.2, 0.1, 0.05)]
    assert [(n or 0) / 1000 for n in found] == pytest.approx(list(thousands), rel=0.01)


def test_what_is_detectable_needs_exactly_the_people_there_are():
    least = detectable(0.1, 10_000, 0.1)
    assert people_needed(0.1, 0.1 + least, 0.1) == pytest.approx(10_000, abs=1)


@pytest.mark.parametrize(
    ("looks", "published"),
    [(1, 1.960), (2, 1.977), (3, 2.004), (5, 2.040), (10, 2.087), (12, 2.098), (15, 2.110), (20, 2.126)],
)
def test_boundaries_are_those_of_the_textbook(looks: int, published: float):
    """Jennison and Turnbull 2000, table 2.3, two-sided 5 %."""
    assert constant(looks) == pytest.approx(published, abs=1.1e-3)


def test_an_early_look_asks_for_more():
    assert boundary(1, 4) == pytest.approx(2 * constant(4))
    assert boundary(4, 4) == constant(4) == boundary(9, 4)


@pytest.mark.parametrize(
    ("held_out", "state"),
    [(1000, Ratio.FINE), (921, Ratio.CAUTION), (899, Ratio.BLOCKED)],
)
def test_the_sample_ratio_has_three_states(held_out: int, state: Ratio):
    found = check_ratio({"treated": 10_000 - held_out, "holdout": held_out}, {"treated": 90, "holdout": 10})
    assert found.state is state
    assert found.p_value == pytest.approx(binomtest(held_out, 10_000, 0.1).pvalue, abs=1e-9)


def test_three_arms_are_held_against_chi_square():
    observed = {"a": 3300, "b": 3400, "c": 3100}
    found = check_ratio(observed, dict.fromkeys(observed, 1.0))
    assert found.p_value == pytest.approx(chisquare(list(observed.values())).pvalue, abs=1e-9)


def test_somebody_where_nobody_should_be_blocks():
    assert check_ratio({"treated": 50, "holdout": 1}, {"treated": 1.0, "holdout": 0.0}).state is Ratio.BLOCKED


def test_a_blocked_ratio_makes_every_verdict_invalid_and_shows_no_cost():
    blocked = SampleRatio(Ratio.BLOCKED, 1e-9, {}, {})
    found = compare(*BIG, ratio=blocked)
    assert found.verdict is Verdict.INVALID
    assert found.cost_per_incremental is None


def test_cost_per_incremental_inverts_the_interval_of_the_lift():
    found = compare(*BIG)
    cost = found.cost_per_incremental
    assert found.lift is not None and cost is not None
    assert cost.at == pytest.approx(900 / (found.lift.at * 9000))
    assert (cost.low, cost.high) == pytest.approx((900 / (found.lift.high * 9000), 900 / (found.lift.low * 9000)))


def test_a_lift_whose_interval_includes_zero_is_not_shown_to_recall_anyone():
    found = compare(Side(900, 70, cost=10.0), Side(100, 6))
    assert found.lift is not None and found.lift.includes_zero
    assert found.cost_per_incremental is None
    assert found.too_small


def test_a_handful_of_goals_is_too_small_whatever_p_says():
    found = compare(Side(100, 30), Side(100, 0))
    assert found.too_small
    assert found.verdict is Verdict.INCONCLUSIVE


def test_an_early_look_runs_on_where_the_last_would_stop():
    treated, control = Side(1000, 130), Side(1000, 100)
    assert compare(treated, control).verdict is Verdict.STOP
    assert compare(treated, control, plan=Plan(looks=13, look=2)).verdict is Verdict.RUNNING
    assert compare(Side(1000, 101), control, plan=Plan(looks=13, look=13)).verdict is Verdict.INCONCLUSIVE


def test_two_arms_against_one_control_share_the_five_percent():
    _, found = compare_arms({"a": Side(100, 20), "b": Side(100, 20), "c": Side(100, 9)}, "c")
    assert [each.arm for each in found] == ["a", "b"]
    assert found[0].boundary == pytest.approx(2.2414, abs=1e-3)


def test_strata_of_different_shares_are_not_pooled():
    """Pooled, the second journey's many holdouts with a high base rate would turn the lift around."""
    strata = [(Side(9000, 990), Side(1000, 100)), (Side(5000, 1550), Side(5000, 1500))]
    pooled = compare(strata[0][0] + strata[1][0], strata[0][1] + strata[1][1])
    found = compare_strata(strata)
    assert pooled.lift is not None and found.lift is not None
    assert pooled.lift.at < 0 < found.lift.at
    assert found.lift.at == pytest.approx(0.01)


def test_incremental_value_is_the_difference_of_means_times_people():
    found = compare(Side(100, 20, 2000.0, 400_000.0, cost=50.0), Side(100, 10, 1000.0, 200_000.0))
    assert found.value is not None and found.net is not None
    assert found.value.at == pytest.approx(1000.0)
    assert found.net.at == pytest.approx(950.0)
    assert found.value.low < 1000 < found.value.high


def test_an_empty_arm_tells_nothing():
    found = compare(Side(10, 2), Side(0, 0))
    assert (found.lift, found.p_value, found.incremental, found.cost_per_incremental) == (None,) * 4
    assert found.too_small


def test_with_two_arms_the_intervals_are_wider_too():
    """Else an arm would be shown to recall people whom its verdict does not."""
    (alone,) = compare_arms({"a": Side(1000, 130), "c": Side(1000, 100)}, "c")[1]
    with_other, _ = compare_arms({"a": Side(1000, 130), "b": Side(1000, 101), "c": Side(1000, 100)}, "c")[1]
    assert (alone.verdict, alone.is_shown) == (Verdict.STOP, True)
    assert (with_other.verdict, with_other.is_shown) == (Verdict.INCONCLUSIVE, False)
    low, high = confint_proportions_2indep(130, 1000, 100, 1000, method="newcomb", compare="diff", alpha=0.025)
    assert with_other.lift is not None
    assert (with_other.lift.low, with_other.lift.high) == pytest.approx((low, high), abs=1e-9)
