"""Does a library that shares nothing with ours say the same? On real data: calls of a bank, by cellular and telephone.

The figures are what tea-tasting 1.14.0 answered for the 32,191 rows of the public extract with either kind of phone
(`Proportion(method="norm", correction=False)`, `Mean(use_t=False, equal_var=False)`,
`SampleRatio(10, method="binom")`); it pulls in 200 MB, so it is no dependency. Newcombe's interval it does not know:
that one is held against statsmodels (test_experiment.py).
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from recall.measure.experiment import compare, ztest
from recall.measure.people import read_sides
from recall.measure.ratio import check_ratio
from recall.measure.sides import Side

BANK = Path(__file__).parents[3] / "shared" / "data" / "bank_full_2012.csv"
CELLULAR = Side(29_285, 4_369, 40_938_292.0, 330_930_355_954.0)
TELEPHONE = Side(2_906, 390, 5_241_564.0, 63_212_732_156.0)


def test_rates_difference_and_p_are_those_of_tea_tasting():
    found = compare(CELLULAR, TELEPHONE)
    assert found.lift is not None
    assert found.lift.at == pytest.approx(0.014983911698650348, abs=1e-12)
    assert (CELLULAR.rate, TELEPHONE.rate) == pytest.approx((0.14918900460986853, 0.13420509291121818), abs=1e-12)
    assert ztest(CELLULAR, TELEPHONE)[1] == pytest.approx(0.029962756506797035, abs=1e-9)


def test_the_difference_of_means_has_its_interval():
    found = compare(CELLULAR, TELEPHONE)
    assert found.value is not None
    each = found.value.times(1 / CELLULAR.people)
    expected = (-405.77706722304856, -566.0535891748139, -245.50054527128322)
    assert (each.at, each.low, each.high) == pytest.approx(
        expected, abs=1e-6
    )  # money of six digits, summed over 29,285


def test_the_exact_sample_ratio_is_the_same():
    sizes = {"cellular": CELLULAR.people, "telephone": TELEPHONE.people}
    assert check_ratio(sizes, {"cellular": 10, "telephone": 1}).p_value == pytest.approx(0.6982032695307255, abs=1e-9)


@pytest.mark.skipif(not BANK.exists(), reason="the public bank extract is not beside this checkout (../shared/data)")
def test_the_counts_above_are_those_of_the_extract():
    with BANK.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter=";") if row["contact"] != "unknown"]
    sides = read_sides(enumerate(rows, 2), file=BANK.name, arm="contact", goal="y", value="balance")
    assert sides == {"cellular": CELLULAR, "telephone": TELEPHONE}
