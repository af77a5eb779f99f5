"""Are users assigned evenly, independently, and for good?"""

from __future__ import annotations

import hashlib
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journeys.assignment import arm, holdout_of, in_holdout, in_rollout, share
from journeys.words import Holdout

USERS = [f"u{n}" for n in range(20_000)]
ARMS = (("a", 50), ("b", 30), ("c", 20))


def test_a_share_is_the_start_of_the_hash() -> None:
    digest = hashlib.sha256(b"rollout:settled-30d:10001").hexdigest()
    assert share("rollout:settled-30d", "10001") == pytest.approx(int(digest[:16], 16) / 16**16, abs=1e-12)


@given(st.text(), st.text())
def test_every_share_lies_in_the_unit_interval(salt: str, user: str) -> None:
    assert 0 <= share(salt.encode("utf-8", "ignore").decode(), user.encode("utf-8", "ignore").decode()) < 1


def test_shares_are_spread_evenly() -> None:
    tenths = [0] * 10
    for user in USERS:
        tenths[int(share("any salt", user) * 10)] += 1
    assert all(abs(count - 2_000) < 200 for count in tenths)  # 4.7 standard deviations


def test_nobody_is_held_out_at_0_and_everybody_at_100_percent() -> None:
    assert not any(in_holdout("j", user, 0) for user in USERS[:1000])
    assert all(in_holdout("j", user, 100) for user in USERS[:1000])


@given(st.text(alphabet="abc0123456789"), st.integers(0, 100), st.integers(0, 100))
def test_raising_a_rollout_only_adds(user: str, one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert in_rollout("j", user, high) or not in_rollout("j", user, low)


def test_rollout_programme_holdout_journey_holdout_and_arm_are_independent() -> None:
    cells: dict[tuple[bool, bool, bool, bool], int] = {}
    for user in USERS:
        cell = (
            in_rollout("j", user, 50),
            in_holdout("programme:p", user, 50),
            in_holdout("journey:j", user, 50),
            arm("j", "split-1", user, (("a", 50), ("b", 50))) == "a",
        )
        cells[cell] = cells.get(cell, 0) + 1
    expected = len(USERS) / 16
    assert all(abs(cells[cell] - expected) < 5 * expected**0.5 for cell in product((False, True), repeat=4))


def test_who_is_held_out_twice_belongs_to_the_programme() -> None:
    held = {user: holdout_of(user, policy="p", programme_percent=30, journey="j", journey_percent=30) for user in USERS}
    for user, kind in held.items():
        if in_holdout("programme:p", user, 30):
            assert kind is Holdout.PROGRAMME
        else:
            assert (kind is Holdout.JOURNEY) == in_holdout("journey:j", user, 30)
    assert set(held.values()) == set(Holdout)


def test_arms_get_their_percentages() -> None:
    counts = {name: sum(arm("j", "s", user, ARMS) == name for user in USERS) for name, _ in ARMS}
    assert all(abs(counts[name] - len(USERS) * percent / 100) < 350 for name, percent in ARMS)


def test_an_arm_depends_on_journey_and_split_and_on_nothing_else() -> None:
    first = [arm("j", "split-1", user, ARMS) for user in USERS[:200]]
    assert first == [arm("j", "split-1", user, iter(ARMS)) for user in USERS[:200]]
    assert first != [arm("j", "split-2", user, ARMS) for user in USERS[:200]]
    assert first != [arm("k", "split-1", user, ARMS) for user in USERS[:200]]


def test_arms_that_leave_users_without_one_are_refused() -> None:
    with pytest.raises(ValueError, match="add up to 0"):
        arm("j", "split-1", "10001", (("a", 0),))
