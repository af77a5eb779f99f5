"""Is the effect of one more contact counted over those who reached it?"""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest

from recall.measure.hazard import hazards

BANK = Path(__file__).parents[3] / "shared" / "data" / "bank_full_2012.csv"
BANK_HASH = "d1513ec63b385506f7cfce9f2c5caa9fe99e7ba4e8c3fa264b3aaf0f849ed32d"


def test_hazard_counts_those_who_reached_the_contact():
    found = hazards([(1, True), (1, False), (2, True), (3, False), (0, True)])
    assert [(c.reached, c.successes) for c in found.by_contact] == [(4, 1), (2, 1), (1, 0)]
    assert found.by_contact[0].hazard == 0.25


def test_a_cap_tells_what_it_saves_and_loses():
    cap = hazards([(1, True), (3, True), (5, False)]).caps[1]
    assert (cap.k, cap.saved, cap.lost) == (2, 4, 1)
    assert cap.beyond == 0.25


def test_nobody_is_no_error():
    assert hazards([]).by_contact == ()


@pytest.mark.skipif(not BANK.exists(), reason="the public bank extract is not beside this checkout (../shared/data)")
def test_the_bank_extract_gives_the_published_numbers():
    content = BANK.read_bytes()
    assert hashlib.sha256(content).hexdigest() == BANK_HASH
    rows = csv.DictReader(content.decode().splitlines(), delimiter=";")
    found = hazards((int(row["campaign"]), row["y"] == "yes") for row in rows)
    first = found.by_contact[:10]
    assert (found.people, found.successes, found.contacts) == (45_211, 5_289, 124_956)
    assert [c.reached for c in first] == [45211, 27667, 15162, 9641, 6119, 4355, 3064, 2329, 1789, 1462]
    assert [round(c.hazard, 4) for c in first] == [
        0.0566, 0.0506, 0.0408, 0.0329, 0.0227, 0.0211, 0.0153, 0.0137, 0.0117, 0.0096,
    ]  # fmt: skip
    assert [c.cumulative for c in first] == pytest.approx(
        [0.484, 0.749, 0.866, 0.926, 0.952, 0.970, 0.978, 0.985, 0.988, 0.991], abs=6e-4
    )
    cap = found.caps[2]
    assert (cap.saved, cap.lost) == (36_916, 709)
    assert (round(cap.saved_share, 4), round(cap.lost_share, 4)) == (0.2954, 0.1341)
    assert (round(cap.within, 4), round(cap.beyond or 0, 4)) == (0.0520, 0.0192)
