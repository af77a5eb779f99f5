"""Does a task go the whole way: onto the list, into a file, back with an outcome, or over by itself?"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from recall.clock import DAY, HOUR
from recall.store.connect import Store
from tests.cli.conftest import Recall
from tests.cli.conftest import recall as recall
from tests.whole.conftest import Begin, Whole
from tests.whole.project import LINK

STEPS = f"""
  - task: words
    id: call-back
    expires: 2d
    outcome_within: 5d
    on_outcome:
      reached: [{{sms: words, id: thanks, link: "{LINK}"}}]
      declined: exit
      expired: [{{push: words, id: reminder, link: "{LINK}"}}]
"""


@pytest.fixture
def whole(begin: Begin, sqlite_store: Store) -> Whole:
    """Three people with a task each; what follows goes to the outbox."""
    whole = begin(sqlite_store, STEPS, routes={"task": {"providers": ["task"], "per_second": 20}})
    whole.enter("mei", "lan", "wei")
    assert whole.go() == {"call-back": {"accepted": 3}}
    return whole


def answer(recall: Recall, file: Path, outcomes: dict[str, str]) -> dict[str, int]:
    """Export the list, fill in what came of it, import it."""
    assert recall("task", "export", file).code == 0
    with file.open(encoding="utf-8-sig", newline="") as opened:
        rows = list(csv.DictReader(opened))
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, rows[0].keys())
        writer.writeheader()
        writer.writerows({**row, "outcome": outcomes.get(row["user"], "")} for row in rows)
    done = recall("task", "import", file, "--json")
    assert done.code == 0, done.err
    return dict(done.data)


def test_outcomes_come_back_and_what_nobody_did_is_over_by_itself(whole: Whole, recall: Recall, tmp_path: Path) -> None:
    whole.later(HOUR)
    listed = recall("task", "list", "--json").data["tasks"]
    assert [(each["user"], each["outcomes"]) for each in listed] == [
        (user, "declined expired reached") for user in ("mei", "lan", "wei")
    ]
    taken = answer(recall, tmp_path / "tasks.csv", {"mei": "reached", "lan": "declined"})
    assert (taken["recorded"], taken["empty"], taken["expired"]) == (2, 1, 0)
    assert whole.go(HOUR) == {"thanks": {"accepted": 1}}
    assert whole.sent() == [("mei", "sms")]
    assert whole.passage("lan").end_reason == "exit_rule"
    assert [each["user"] for each in recall("task", "list", "--json").data["tasks"]] == ["wei"]

    whole.later(2 * DAY)
    whole.reconcile()
    assert [send.answer for send in whole.sends_of("wei")] == ["expired"]
    assert whole.go(HOUR) == {"reminder": {"accepted": 1}}
    assert whole.sent() == [("mei", "sms"), ("wei", "push")]
    whole.go(DAY)
    assert [whole.passage(user).end_reason for user in ("mei", "lan", "wei")] == ["finished", "exit_rule", "finished"]


def test_who_comes_back_is_not_on_the_list_any_more(whole: Whole, recall: Recall) -> None:
    whole.later(HOUR)
    whole.converts("mei")
    whole.go(HOUR)
    assert [each["user"] for each in recall("task", "list", "--json").data["tasks"]] == ["lan", "wei"]
    assert whole.passage("mei").end_reason == "goal_reached"
