"""Can a store be made, examined and copied from the command line?"""

from __future__ import annotations

import sqlite3
import stat
import subprocess
from pathlib import Path

import pytest

from recall.clock import Instant
from recall.settings import Settings
from recall.store.connect import Store, open_store, write_fact
from recall.store.migrations import newest_revision


def test_migrating_makes_the_tables_and_again_changes_nothing(recall):
    assert recall("db", "migrate", "--json").data == {"before": None, "after": newest_revision()}
    assert recall("db", "migrate", "--json").data == {"before": newest_revision(), "after": newest_revision()}
    assert recall("db", "check").code == 0


def test_a_whole_store_is_told_so(recall_on):
    answer = recall_on("db", "check")
    assert answer.code == 0
    assert "whole, durable and at revision" in answer.out


def test_a_lost_column_needs_a_person(recall_on, store: Store):
    with store.writing() as connection:
        connection.exec_driver_sql("alter table doubts drop column evidence")
    answer = recall_on("db", "check", "--json")
    assert answer.code == 1
    assert answer.data["damage"] == ["doubts.evidence is missing"]


def test_a_row_that_points_nowhere_needs_a_person(recall, sqlite_store: Store, now: Instant):
    raw = sqlite3.connect(str(sqlite_store.engine.url.database))
    raw.execute("insert into users (user_id, zone_id, created_at) values ('u1', 7, ?)", [now])
    raw.commit()
    raw.close()
    assert "points to a row of zones that is gone" in recall("db", "check").out


def test_a_sqlite_backup_is_a_store_of_its_own(recall, sqlite_store: Store, settings: Settings, tmp_path: Path):
    with sqlite_store.writing() as connection:
        write_fact(connection, "colour", "red")
    copy = tmp_path / "backups" / "monday.db"
    assert recall("db", "backup", copy, "--json").data == {"file": str(copy), "bytes": copy.stat().st_size}
    opened = open_store(settings.model_copy(update={"database_url": f"sqlite:///{copy}"}))
    assert opened.fact("colour") == "red"
    opened.close()


def test_a_postgresql_backup_is_read_by_pg_restore(
    recall, postgresql_store: Store, postgresql_programs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("PATH", str(postgresql_programs), prepend=":")
    _use(postgresql_store, monkeypatch)
    copy = tmp_path / "monday.dump"
    answer = recall("db", "backup", copy)
    assert answer.code == 0, answer.err
    listed = subprocess.run(
        [postgresql_programs / "pg_restore", "--list", copy], capture_output=True, text=True, check=True
    )
    assert "TABLE DATA public sends" in listed.stdout
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_without_pg_dump_a_person_is_told_what_to_install(recall, postgresql_store: Store, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    _use(postgresql_store, monkeypatch)
    answer = recall("db", "backup", tmp_path / "monday.dump")
    assert answer.code == 1
    assert "pg_dump is not installed" in answer.err
    assert not (tmp_path / "monday.dump").exists()


def _use(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECALL_ALLOW_WEAK_DURABILITY", "true")
    monkeypatch.setenv("RECALL_DATABASE_URL", store.engine.url.render_as_string(hide_password=False))


def test_a_backup_is_for_its_owner_only_and_never_overwritten(recall, sqlite_store: Store, tmp_path: Path):
    copy = tmp_path / "monday.db"
    assert recall("db", "backup", copy).code == 0
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    before = copy.read_bytes()
    answer = recall("db", "backup", copy)
    assert answer.code == 1
    assert "is there already" in answer.err
    assert copy.read_bytes() == before
