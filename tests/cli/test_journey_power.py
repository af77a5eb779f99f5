"""Is it said before sending that a journey has too few people to show what it brings?"""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, text

from recall.clock import DAY
from recall.store import schema
from tests.cli.conftest import Growth


def lint(growth: Growth) -> list[Any]:
    answer = growth.recall("journey", "lint", "--json")
    assert answer.code == 0, answer.err
    assert answer.data["people_needed"]["settled-30d"] == 21_304
    return [each["message"] for each in answer.data["problems"] if "people" in each["message"]]


def know(growth: Growth, people: int) -> None:
    with growth.scene.store.writing() as connection:
        connection.execute(text("insert into zones (names) values ('UTC')"))
        zone = connection.execute(text("select min(id) from zones")).scalar_one()
        rows = [{"user_id": f"u{n}", "zone_id": zone, "created_at": growth.scene.now} for n in range(people)]
        connection.execute(insert(schema.users), rows)


def test_a_store_of_500_is_too_small_for_a_tenth_held_out(growth: Growth):
    know(growth, 500)
    assert lint(growth) == ["the store knows 500 people, 21,304 are needed to see what it brings"]


def test_a_store_that_is_large_enough_is_not_warned_of_until_the_audience_was_looked_at(growth: Growth):
    know(growth, 21_304)
    assert lint(growth) == []
    growth.recall("journey", "publish", "--all")
    growth.treated(3)
    growth.recall("run", "settled-30d", "--enrol")
    growth.later(DAY)
    growth.settled("late-1", "late-2")
    growth.recall("run", "settled-30d", "--enrol")
    growth.recall("run", "settled-30d", "--enrol")
    assert lint(growth) == ["in a quarter there were 5 people, 21,304 are needed to see what it brings"]
