"""Can every planted bug be planted today, and is a bug only called caught when it was?"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.mutants import verdict
from tests.faults.planted import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
BUG = Mutant("bug", "recall/a.py", "old", "new", ("tests/test_a.py::test_b",))
TOLD = {"code": 1, "failed": {"t": "call: assert 1 == 2"}, "errors": [], "imported": ["recall/a.py"], "seconds": 1.0}
CLEAN = {"code": 0, "failed": {}}


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_its_place_is_there_once_and_its_tests_exist(mutant: Mutant) -> None:
    for file, old, new in mutant.changes:
        assert (ROOT / file).read_text().count(old) == 1 and old != new
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text()


def test_there_are_enough_and_none_twice() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 40


def test_a_test_that_fails_only_with_the_bug_has_caught_it() -> None:
    assert verdict(BUG, TOLD, [CLEAN]).by == "t"


@pytest.mark.parametrize(
    ("told", "clean", "why"),
    [
        (TOLD | {"code": 0, "failed": {}}, CLEAN, "its tests pass"),
        (TOLD, {"code": 1, "failed": {"t": "call: assert 3 == 4"}}, "its tests pass"),
        (TOLD, {"code": 4, "failed": {}}, "cannot be run without it"),
        (TOLD | {"code": 4, "failed": {}}, CLEAN, "pytest ended with 4"),
        (
            TOLD | {"failed": {"t": "call: NameError: name 'x' is not defined"}},
            CLEAN,
            "not because of what they assert",
        ),
        (TOLD | {"imported": []}, CLEAN, "never imported"),
        ({"error": "the process ended with status 14", "seconds": 1.0}, CLEAN, "status 14"),
    ],
)
def test_nothing_else_counts(told: dict, clean: dict, why: str) -> None:
    caught = verdict(BUG, told, [clean])
    assert caught.by == ""
    assert why in caught.why_not
