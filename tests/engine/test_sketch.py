"""Is nobody told too rarely by counters that numbers share, and hardly anybody too often?"""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from recall.engine.sketch import Sketch

NUMBERS = st.integers(-(2**63), 2**63 - 1)


def told_by(numbers: list[int], *, limit: int) -> set[int]:
    return {number for number, times in Counter(numbers).items() if times > limit}


@given(st.lists(st.lists(NUMBERS | st.integers(-3, 3), max_size=20), max_size=10), st.integers(1, 5))
def test_whoever_came_more_often_than_the_limit_is_told(parts: list[list[int]], limit: int) -> None:
    sketch, seen = Sketch(limit=limit), list[int]()
    for part in parts:
        seen += part
        assert sketch.add(part) >= told_by(seen, limit=limit) & set(part)


def test_numbers_that_share_one_counter_are_told_apart_by_the_other() -> None:
    sketch = Sketch(limit=3)
    assert sketch.add([5, 5 + (1 << 32), 5 + (2 << 32), 5 + (3 << 32), 5 + (4 << 32)]) == set()
    assert sketch.add([1 << 32, 1 + (1 << 32), 2 + (1 << 32), 3 + (1 << 32), 4 + (1 << 32)]) == set()


def test_numbers_that_share_both_counters_are_told_together() -> None:
    same = [5, 5 + (1 << 30), 5 + (1 << 31), 5 + (3 << 30)]
    assert Sketch(limit=3).add(same) == {same[-1]}


def test_of_a_million_numbers_that_came_once_hardly_one_is_told() -> None:
    draw = random.Random(1)
    numbers = [draw.getrandbits(64) - 2**63 for _ in range(1_000_000)]
    assert len(Sketch(limit=3).add(numbers)) <= 3
