"""Can the worklist be handed out as a file and brought back, without a formula and without a loss?"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from recall.engine.worklist import list_tasks
from tests.engine.test_worklist import publish_tasks


@pytest.fixture
def working(growth):
    """Two people with an open task; one has an id that a spreadsheet would take for a formula."""
    version = publish_tasks(growth.scene)
    for user in ("=1+1", "u2"):
        growth.scene.add_user(user)
    growth.scene.enrol(version, "=1+1", "u2")
    growth.scene.run()
    return growth


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_tasks_are_listed_without_their_texts(working):
    answer = working.recall("task", "list", "--json")
    assert answer.code == 0
    tasks = answer.data["tasks"]
    assert [each["user"] for each in tasks] == ["=1+1", "u2"]
    assert tasks[0]["outcomes"] == "declined reached"
    assert "text" not in tasks[0]
    assert "Nothing is to be done." in working.recall("task", "list").out or len(tasks) == 2


def test_an_unknown_journey_is_a_mistake(working):
    assert working.recall("task", "list", "--journey", "nowhere").code == 1


def test_a_file_goes_out_and_comes_back(working, tmp_path: Path):
    file = tmp_path / "tasks.csv"
    assert working.recall("task", "export", file).code == 0
    assert file.stat().st_mode & 0o077 == 0
    rows = read(file)
    assert [row["user"] for row in rows] == ["'=1+1", "u2"]
    assert all(row["text"] and "\n" not in row["text"] for row in rows)
    rows[0]["outcome"] = "Reached"
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    answer = working.recall("task", "import", file, "--json")
    assert (answer.code, answer.data) == (0, {"recorded": 1, "known": 0, "empty": 1, "expired": 0, "problems": []})
    assert [item.task.user for item in list_tasks(working.scene.setup)] == ["u2"]
    again = working.recall("task", "import", file, "--json").data
    assert (again["recorded"], again["known"]) == (0, 1)


def test_a_file_that_is_there_is_not_written_over(working, tmp_path: Path):
    file = tmp_path / "tasks.csv"
    file.write_text("outcomes somebody wrote")
    answer = working.recall("task", "export", file)
    assert answer.code == 1
    assert "is there already" in answer.err
    assert file.read_text() == "outcomes somebody wrote"


def test_lines_that_do_not_fit_are_told_by_their_line(working, tmp_path: Path):
    refs = [item.task.ref for item in list_tasks(working.scene.setup)]
    file = tmp_path / "back.csv"
    file.write_text(
        f"ref,outcome,at\n{refs[0]},reached,2026-03-02 10:00\n{refs[1]},reached,\nffff,reached,\n{refs[0]},a,b,c,d\n"
    )
    answer = working.recall("task", "import", file, "--json")
    assert answer.code == 1
    assert answer.data["recorded"] == 1
    assert [problem["line"] for problem in answer.data["problems"]] == [2, 4, 5]


def test_a_file_without_the_columns_is_refused(working, tmp_path: Path):
    file = tmp_path / "back.csv"
    file.write_text("id,result\n1,done\n")
    answer = working.recall("task", "import", file)
    assert answer.code == 1
    assert "outcome" in answer.err
