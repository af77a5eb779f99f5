"""What does `recall review` write, and when does it call for a person?"""

from __future__ import annotations

from pathlib import Path

from recall.clock import DAY
from tests.cli.conftest import Growth


def test_the_weekly_page_is_written_with_its_tables(published: Growth, tmp_path: Path):
    published.treated(3)
    published.recall("run", "settled-30d", "--enrol")
    published.later(40 * DAY)
    answer = published.recall("review", "--week", "--out", "week.html", "--lang", "zh-CN", "--json")
    assert answer.code == 0
    assert (tmp_path / "week.html").exists()
    assert (tmp_path / "week-tables" / "lift.csv").exists()
    outcome = next(each for each in answer.data["outcomes"] if each["name"] == "settled-30d")
    assert outcome["assigned"] == {"treated": 3, "holdout": 0}
    assert outcome["too_small_to_tell"]


def test_yesterday_of_a_quiet_programme_alerts_nobody(published: Growth):
    answer = published.recall("review", "--day", "--json")
    assert (answer.code, answer.data["alerts"]) == (0, [])


def test_a_horizon_is_declared_and_noted(published: Growth):
    assert published.recall("measure", "horizon", "settled-30d", "--looks", "8").code == 0
    assert ("declare horizon", "settled-30d", "8 weekly looks") in published.actions()
    answer = published.recall("review", "--out", "week.html", "--json")
    assert next(each for each in answer.data["outcomes"] if each["name"] == "settled-30d")["looks"] == 8


def test_a_split_that_is_not_there_is_told(published: Growth):
    answer = published.recall("measure", "split", "settled-30d", "words")
    assert answer.code == 1
    assert "its splits are: none" in answer.err
