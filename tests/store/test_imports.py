"""Is it known which files were read, and how fresh each source is?"""

from __future__ import annotations

from sqlalchemy import text

from recall.store.connect import Store
from recall.store.imports import note_source, record_import


def test_a_source_does_not_become_older_when_an_old_file_is_read(store: Store):
    with store.writing() as connection:
        note_source(connection, "crm", loaded_at=10, as_of=8)
        note_source(connection, "crm", loaded_at=20, as_of=5)
        assert connection.execute(text("select * from sources")).one() == ("crm", 20, 8)
        note_source(connection, "crm", loaded_at=30, as_of=9)
        assert connection.execute(text("select * from sources")).one() == ("crm", 30, 9)


def test_every_file_read_leaves_its_counts(store: Store):
    counts = {"read": 10, "added": 4, "changed": 3, "unchanged": 2, "rejected": 1}
    with store.writing() as connection:
        record_import(connection, kind="users", file_hash="abc", source="crm", at=7, **counts)
        row = connection.execute(text("select * from imports")).mappings().one()
    assert {name: value for name, value in row.items() if name != "id"} == {
        "kind": "users",
        "file_hash": "abc",
        "source": "crm",
        "at": 7,
        **counts,
    }
