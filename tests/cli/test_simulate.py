"""Does `recall simulate` tell what would become of people, in words and as one object?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recall.cli import simulated
from recall.engine.evidence import Violation

SMALL = ("--users", 60, "--days", 8, "--seed", 3)
KEYS = {"journey", "users", "days", "enrolled", "holdout", "sent", "not_sent", "goal_reached", "in_doubt", "violations"}


def check_account(data: dict[str, Any]) -> None:
    """What holds for every simulation: nothing is missing, and nothing was violated."""
    assert data.keys() >= KEYS
    assert data["violations"] == 0
    assert data["enrolled"] == data["treated"] + data["holdout"] > 0
    assert data["goal_reached"].keys() == {"treated", "holdout"}
    for step in data["steps"]:
        assert step["people"] == step["sent"] + step["in_doubt"] + sum(step["not_sent"].values())
    assert sum(step["sent"] for step in data["steps"]) == sum(data["sent"].values()) > 0
    unsent = sum(count for step in data["steps"] for count in step["not_sent"].values())
    assert sum(data["not_sent"].values()) == unsent + data["not_sent"].get("holdout", 0)


def test_one_object_in_which_nothing_is_missing(recall):
    answer = recall("simulate", "settled-30d", *SMALL, "--json")
    assert answer.code == 0
    check_account(answer.data)
    assert (answer.data["journey"], answer.data["users"], answer.data["days"]) == ("settled-30d", 60, 8)
    assert {step["people"] for step in answer.data["steps"]} == {answer.data["treated"]}
    assert "day 5 of 8" in answer.err
    user = recall("explain", "1000000000000000003", "--project", answer.data["folder"], "--json")
    assert user.code == 0


def test_several_journeys_at_once(recall):
    answer = recall("simulate", "settled-30d", "granted-7d", *SMALL, "--json")
    assert answer.code == 0
    assert [each["journey"] for each in answer.data["journeys"]] == ["settled-30d", "granted-7d"]
    assert sum(each["enrolled"] for each in answer.data["journeys"]) == answer.data["enrolled"]


def test_words_for_people(recall):
    answer = recall("simulate", "settled-30d", *SMALL, "--store", "kept.db")
    assert answer.code == 0
    assert "push-1 [push]" in answer.out
    assert "not_installed" in answer.out
    assert "0 violations" in answer.out
    assert Path("kept.db").exists()
    again = recall("simulate", "settled-30d", *SMALL, "--store", "kept.db")
    assert (again.code, "name another" in again.err) == (1, True)


def test_a_violation_needs_a_person(recall, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(simulated, "find_violations", lambda *_, **__: [Violation("I4", "too many")])
    answer = recall("simulate", "settled-30d", "--users", 5, "--days", 1)
    assert answer.code == 1
    assert "I4: too many" in answer.out


def test_a_journey_nobody_wrote(recall):
    answer = recall("simulate", "nothing", *SMALL)
    assert answer.code == 1
    assert "settled-30d" in answer.err  # one that there is


def test_a_simulation_never_takes_the_store_of_the_project(recall):
    assert recall("simulate", "settled-30d", "--database", "sqlite:///real.db").code == 2
