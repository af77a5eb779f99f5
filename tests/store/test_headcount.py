"""Are people counted by the bare driver as the store would count them?"""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import insert

from recall.clock import DAY
from recall.errors import StoreBusy
from recall.store import schema
from recall.store.connect import Store
from recall.store.headcount import count_heads
from recall.store.people import NewUser, upsert_users


def url_of(store: Store) -> str:
    return store.engine.url.render_as_string(hide_password=False)


def test_people_are_those_who_were_not_erased(store: Store, now: int):
    upsert_users(store, [NewUser(f"u{n}") for n in range(5)], now)
    with store.writing() as connection:
        connection.execute(schema.users.update().where(schema.users.c.user_id == "u1").values(erased_at=now))
    heads = count_heads(url_of(store))
    assert heads is not None
    assert (heads.people, heads.of_a_quarter) == (4, {})


def test_a_journey_found_who_entered_in_the_quarter_and_who_was_left_over_at_its_last_look(store: Store, now: int):
    looks = [
        (now - 91 * DAY, "enrolled", 1_000),  # too long ago
        (now - 90 * DAY + 1, "enrolled", 100),
        (now - DAY, "candidates", 70),  # left over then, and looked at again since
        (now - DAY, "enrolled", 10),
        (now, "candidates", 7),
        (now, "enrolled", 3),
        (now, "capped", 4),
    ]
    with store.writing() as connection:
        connection.execute(insert(schema.journeys), [{"id": 1, "name": "looked"}, {"id": 2, "name": "never-looked"}])
        rows = [{"journey_id": 1, "version_id": 1, "at": at, "reason": why, "users": n} for at, why, n in looks]
        connection.execute(insert(schema.entry_counts), rows)
    heads = count_heads(url_of(store))
    assert heads is not None
    assert heads.of_a_quarter == {"looked": 100 + 10 + 3 + 7 - 3}


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path):
    assert count_heads(f"sqlite:///{tmp_path}/recall.db") is None
    assert list(tmp_path.iterdir()) == []


def test_a_store_without_tables_has_no_people(tmp_path: Path):
    (tmp_path / "recall.db").touch()
    assert count_heads(f"sqlite:///{tmp_path}/recall.db") is None


def test_a_store_nobody_answers_at_is_told_as_such():
    with pytest.raises(StoreBusy, match="unreachable"):
        count_heads("postgresql+psycopg://nobody@127.0.0.1:1/recall")
