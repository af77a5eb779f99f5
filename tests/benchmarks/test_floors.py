"""Does a floor write exactly what the engine wrote, and is a benchmark that forgets commits refused?"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import engine, floors, places, seed, written
from recall.errors import Misconfigured
from recall.store.connect import Store, open_store

PEOPLE = 1_500


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "FOLDER", tmp_path)


def test_the_floor_leaves_the_same_rows_as_the_engine() -> None:
    assert floors.measure("sqlite", PEOPLE)["users"] == PEOPLE  # it compares every table by itself


def test_a_row_less_is_noticed(tmp_path: Path) -> None:
    engine.measure("sqlite", PEOPLE, engine.Way("null"), keep_as="left")
    url = places.kept("sqlite", "left")
    assert url is not None
    before = written.checksums(url)
    with written.opened(url) as connection:
        connection.execute("update contact_state set s1 = s1 + 1 where user_id = 1")
        connection.execute(f"delete from sends where id = (select max(id) from sends where gate_at >= {seed.NOW})")
    assert written.differing(before, written.checksums(url)) == ["sends", "contact_state"]
    store = open_store(places.settings_of(url, tmp_path))
    with pytest.raises(AssertionError):
        engine.check(store, seed.going(PEOPLE), people=PEOPLE, taken=seed.going(PEOPLE))
    store.close()


def test_a_store_that_may_forget_a_commit_is_not_measured(postgresql_store: Store) -> None:
    """The server of the tests has fsync off."""
    with pytest.raises(Misconfigured, match="measures nothing"):
        places.durability(postgresql_store)


def test_a_weak_sqlite_is_not_measured(sqlite_store: Store) -> None:
    held = sqlite_store.engine.raw_connection()
    held.driver_connection.execute("pragma synchronous=off")  # type: ignore[union-attr]
    held.close()  # back into the pool, from where it is taken next
    with pytest.raises(Misconfigured, match="measures nothing"):
        places.durability(sqlite_store)
