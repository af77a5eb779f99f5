"""Do the migrations give exactly the tables of the schema, on both stores?"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, select, text

from recall.errors import Misconfigured
from recall.store import schema
from recall.store.connect import Store, open_engine
from recall.store.migrations import check, is_current, known_revisions, migrate, newest_revision, read_revision


@pytest.fixture
def empty() -> Iterator[Engine]:
    """A SQLite store without tables."""
    engine = open_engine("sqlite://")
    yield engine
    engine.dispose()


def test_the_migrations_give_exactly_the_tables_of_the_schema(store: Store):
    with store.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": store.is_postgresql})
        # On SQLite Alembic takes an empty default for none; the next test compares the statements there.
        assert compare_metadata(context, schema.metadata) == []


def test_the_migrations_give_the_same_statements_as_the_schema_itself(sqlite_store: Store, empty: Engine):
    """What Alembic does not compare: checks, conditions of partial indexes, WITHOUT ROWID."""
    schema.metadata.create_all(empty)
    assert _statements(sqlite_store.engine) == _statements(empty)


def test_the_migrations_give_the_same_constraints_as_the_schema_itself(postgresql_store: Store):
    migrated = _definitions(postgresql_store.engine)
    with postgresql_store.writing() as connection:
        connection.execute(text("drop schema public cascade"))
        connection.execute(text("create schema public"))
        schema.metadata.create_all(connection)
    assert _definitions(postgresql_store.engine) == migrated


def test_a_migrated_store_has_the_row_that_stands_for_no_address(store: Store):
    with store.reading() as connection:
        (row,) = connection.execute(select(schema.addresses)).all()
    assert (row.id, row.kind, row.hash, row.value) == (schema.NO_ADDRESS, "none", "", None)


def test_migrating_again_changes_nothing(store: Store):
    assert migrate(store.engine) == (newest_revision(), newest_revision())
    check(store.engine)


def test_an_empty_store_asks_to_be_migrated(empty: Engine):
    assert not is_current(empty)
    with pytest.raises(Misconfigured, match="run `recall db migrate`"):
        check(empty)


def test_an_older_store_asks_to_be_migrated(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("recall.store.migrations.known_revisions", lambda: [*known_revisions(), "9999"])
    with pytest.raises(Misconfigured, match=r"needs 9999.*run `recall db migrate`"):
        check(store.engine)


def test_a_newer_store_asks_for_a_newer_program_and_is_left_alone(store: Store):
    with store.writing() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(Misconfigured, match="upgrade recall"):
        check(store.engine)
    with pytest.raises(Misconfigured, match="upgrade recall"):
        migrate(store.engine)
    assert read_revision(store.engine) == "9999"


def test_a_migration_that_fails_leaves_nothing_behind(empty: Engine, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched, pytest.raises(RuntimeError):
        patched.setattr("alembic.op.execute", fail)  # the last statement of the first migration
        migrate(empty)
    assert _statements(empty) == {}


def _statements(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        rows = connection.execute(text("select name, sql from sqlite_master where name not like 'alembic%'")).all()
    return {row.name: _sorted_lines(row.sql) for row in rows if row.sql}


def _sorted_lines(statement: str) -> str:
    return "\n".join(sorted(line.strip().rstrip(",") for line in statement.splitlines()))


def _definitions(engine: Engine) -> set[str]:
    constraints = "select conrelid::regclass || ' ' || pg_get_constraintdef(oid) from pg_constraint where conrelid > 0"
    indexes = "select indexdef from pg_indexes where schemaname = 'public'"
    with engine.connect() as connection:
        rows = [*connection.execute(text(constraints)).scalars(), *connection.execute(text(indexes)).scalars()]
    return {row for row in rows if "alembic_version" not in row}
