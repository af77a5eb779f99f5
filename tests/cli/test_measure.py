"""What does `recall measure` say about a table of people?"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Recall


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """900 treated of whom 200 came back, 100 held out of whom 8 did."""
    rows = [("test", n < 200) for n in range(900)] + [("holdout", n < 8) for n in range(100)]
    path = tmp_path / "people.csv"
    path.write_text("user,arm,back,worth\n" + "".join(f"u{n},{a},{b},{5 * b}\n" for n, (a, b) in enumerate(rows)))
    return path


def test_arms_are_compared_with_the_control(recall: Recall, people: Path):
    answer = recall("measure", "arms", people, "--arm", "arm", "--control", "holdout", "--goal", "back", "--json")
    assert answer.code == 0
    arm = answer.data["arms"][0]
    assert (arm["people"], arm["goals"], arm["control_people"], arm["control_goals"]) == (900, 200, 100, 8)
    assert arm["lift"]["low"] < 200 / 900 - 0.08 < arm["lift"]["high"]
    assert answer.data["sample_ratio"]["state"] == "not_checked"


def test_a_lost_holdout_blocks_and_asks_for_a_person(recall: Recall, people: Path):
    answer = recall(
        "measure", "arms", people, "--arm", "arm", "--control", "holdout", "--goal", "back", "--value", "worth",
        "--expected", "test=80", "--expected", "holdout=20",
    )  # fmt: skip
    assert answer.code == 1
    assert "BLOCKED" in answer.out
    assert "invalid" in answer.out


def test_a_cell_that_says_neither_is_told_by_line(recall: Recall, tmp_path: Path):
    path = tmp_path / "odd.csv"
    path.write_text("arm,back\na,yes\nb,perhaps\n")
    answer = recall("measure", "arms", path, "--arm", "arm", "--control", "a", "--goal", "back")
    assert answer.code == 1
    assert "odd.csv:3 [back]" in answer.err


def test_a_missing_column_is_told(recall: Recall, people: Path):
    answer = recall("measure", "arms", people, "--arm", "group", "--control", "a", "--goal", "back")
    assert answer.code == 1
    assert "group" in answer.err


def test_an_unknown_control_names_the_arms_there_are(recall: Recall, people: Path):
    answer = recall("measure", "arms", people, "--arm", "arm", "--control", "none", "--goal", "back")
    assert "holdout, test" in answer.err


def test_contacts_of_any_table(recall: Recall, tmp_path: Path):
    path = tmp_path / "calls.csv"
    path.write_text("campaign;y\n1;yes\n2;no\n3;yes\n")
    answer = recall("measure", "hazard", path, "--contacts", "campaign", "--goal", "y", "--json")
    assert [c["reached"] for c in answer.data["by_contact"]] == [3, 2, 1]
    assert answer.data["caps"][0] == {
        "cap": 1, "saved": 3, "saved_share": 0.5, "lost": 1, "lost_share": 0.5,
        "per_contact_within": 1 / 3, "per_contact_beyond": 1 / 3,
    }  # fmt: skip


def told_of(recall: Recall, tmp_path: Path, text: str) -> str:
    """What is said of a table that cannot be judged, with exit code 1 and the same as JSON."""
    path = tmp_path / "odd.csv"
    path.write_text(text)
    answer = recall(
        "measure", "arms", path, "--arm", "arm", "--control", "c", "--goal", "back", "--value", "worth", "--json"
    )
    assert answer.code == 1
    return str(answer.data["error"])


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("", "no rows below its header"),
        ("c,1,1\nc,0,0\n", "everybody in odd.csv is in the arm 'c'"),
        ("t,NaN,1\nc,0,0\n", "odd.csv:2 [back]"),
        ("t,2,1\nc,0,0\n", "odd.csv:2 [back]"),
        ("t,,1\nc,0,0\n", "odd.csv:2 [back]"),
        ("t,1,NaN\nc,0,0\n", "odd.csv:2 [worth]"),
        ("t,1,1e400\nc,0,0\n", "odd.csv:2 [worth]"),
        (",1,1\nc,0,0\n", "odd.csv:2 [arm]"),
        ("t,1,1\nc,0\n", "odd.csv:3"),
    ],
)
def test_what_cannot_be_judged_is_told_and_not_guessed(recall: Recall, tmp_path: Path, rows: str, told: str):
    assert told in told_of(recall, tmp_path, f"arm,back,worth\n{rows}")


def test_nobody_or_everybody_converted_is_too_small_to_tell(recall: Recall, tmp_path: Path):
    for goal in ("0", "1.0"):
        path = tmp_path / "same.csv"
        path.write_text("arm,back\n" + f"t,{goal}\nc,{goal}\n" * 500)
        answer = recall("measure", "arms", path, "--arm", "arm", "--control", "c", "--goal", "back", "--json")
        (arm,) = answer.data["arms"]
        assert (answer.code, arm["lift"]["at"], arm["p_value"], arm["verdict"]) == (0, 0.0, 1.0, "inconclusive")
        assert (arm["too_small_to_tell"], arm["shown_to_recall"], arm["people_needed"]) == (True, False, None)


def test_two_people_tell_nothing(recall: Recall, tmp_path: Path):
    path = tmp_path / "two.csv"
    path.write_text("arm,back\nt,1\nc,0\n")
    answer = recall("measure", "arms", path, "--arm", "arm", "--control", "c", "--goal", "back")
    assert "t: too small to tell" in answer.out
    assert "(0 to 1)" in answer.out  # and not "-0"


def test_a_column_that_holds_no_contact_numbers_is_told(recall: Recall, tmp_path: Path):
    path = tmp_path / "calls.csv"
    for value in ("1.5", "-1", "", "48213"):
        path.write_text(f"campaign;y\n{value};yes\n")
        answer = recall("measure", "hazard", path, "--contacts", "campaign", "--goal", "y", "--json")
        assert (answer.code, "calls.csv:2 [campaign]" in answer.data["error"]) == (1, True)


def test_contacts_without_any_success(recall: Recall, tmp_path: Path):
    path = tmp_path / "calls.csv"
    path.write_text("campaign;y\n2;no\n0;no\n")
    answer = recall("measure", "hazard", path, "--contacts", "campaign", "--goal", "y", "--json")
    assert [(c["reached"], c["hazard"], c["cumulative"]) for c in answer.data["by_contact"]] == [(1, 0.0, 0.0)] * 2
